"""The errors a user is meant to read."""


class StackError(Exception):
    """Says in one line what went wrong and what to do; printed without a traceback.

    `detail` is shown below the line: the tail of a log, the output of a tool.
    """

    def __init__(self, message: str, detail: str = ""):
        super().__init__(message)
        self.detail = detail


class Cancelled(StackError):
    """The user interrupted, or another server of the same `up` failed."""

    def __init__(self, what: str):
        super().__init__(f"{what}: interrupted")
