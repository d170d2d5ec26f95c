"""The one bounded wait of the local stack."""

import threading
import time

from runtime.errors import Cancelled

PAUSE_SECONDS = 0.05


def wait_until(condition, seconds: float, cancelled: threading.Event, what: str) -> bool:
    """True as soon as `condition()` holds, False when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        if cancelled.wait(PAUSE_SECONDS):
            raise Cancelled(what)
