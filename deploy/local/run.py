#!/usr/bin/env python3
"""`make run`: the whole product on this machine, until Ctrl-C or for RUN_FOR seconds."""

import os
import sys
import threading

import control
from install import runner, system_deps
from install.catalogue import chosen
from runtime.errors import StackError
from runtime.layout import DEFAULT_RUN_DIR, RunDir
from runtime.signals import end_like_ctrl_c, uninterrupted
from servers import NAMES

DURATION_VARIABLE = "RUN_FOR"
PROFILE = "run"


def main() -> int:
    end_like_ctrl_c()
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
    # Servers that `make up` had started stay.
    started = control.up(run, list(NAMES), PROFILE)
    try:
        control.say("serving; Ctrl-C stops what was started")
        threading.Event().wait(seconds)
    finally:
        with uninterrupted():
            control.stop_together(started)


if __name__ == "__main__":
    sys.exit(main())
