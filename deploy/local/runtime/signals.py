"""Interruptions: asked to end, we end what we started; asked twice, we still finish that."""

import contextlib
import signal

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_like_ctrl_c() -> None:
    """Whoever stops us in another way (a supervisor, a closed terminal) wants the same clean end."""
    for number in ASKING:
        signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def uninterrupted():
    """For taking servers down: a second Ctrl-C would leave some behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ASKING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
