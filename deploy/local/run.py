#!/usr/bin/env python3
"""`make run`: the whole product on this machine, until Ctrl-C or for RUN_FOR seconds."""

import os
import signal
import sys
import threading

import control
from install import runner, system_deps
from install.catalogue import chosen
from runtime.errors import StackError
from runtime.layout import DEFAULT_RUN_DIR, RunDir
from servers import NAMES

DURATION_VARIABLE = "RUN_FOR"
PROFILE = "run"


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        seconds = _duration()
        system_deps.ensure()
        runner.install(chosen(list(NAMES)))
        _serve(RunDir(DEFAULT_RUN_DIR), seconds)
    except StackError as error:
        print(f"run: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _duration() -> float | None:
    text = os.environ.get(DURATION_VARIABLE, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise StackError(f"{DURATION_VARIABLE}={text!r} is not a number of seconds") from None


def _serve(run: RunDir, seconds: float | None) -> None:
    control.up(run, list(NAMES), PROFILE)
    try:
        control.say("serving; Ctrl-C stops everything")
        threading.Event().wait(seconds)
    finally:
        # A second Ctrl-C would leave servers behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        control.down(run, wipe=False)


if __name__ == "__main__":
    sys.exit(main())
