#!/usr/bin/env python3
"""`make demo-incident`: three kinds of failure are planted in the running product, found and mended.

Uses what `make up` or `make run` has started, else starts the product and stops it at the end.
"""

import signal
import sys

import building
import control
import product
from demonstration.incident.story import Incident
from runtime.errors import StackError
from runtime.files import tail
from runtime.layout import RunDir, chosen_run_dir
from runtime.signals import end_like_ctrl_c, uninterrupted
from services import SERVICE_NAMES

LOG_LINES = 8


def main() -> int:
    end_like_ctrl_c()
    run = RunDir(chosen_run_dir())
    try:
        product.provide()
        _tell(run)
    except StackError as error:
        print(f"\nincident: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        _show_logs(run)
        return 1
    except KeyboardInterrupt:
        print("\nincident: interrupted; letters that it planted and left are in `headgate dlq groups`", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _tell(run: RunDir) -> None:
    # What `make up` had started stays.
    started = product.up(run, None)
    try:
        Incident(run, str(building.release_folder())).tell()
    finally:
        with uninterrupted():
            control.stop_together(started)


def _show_logs(run: RunDir) -> None:
    for name in SERVICE_NAMES:
        log = tail(run.component(name) / "server.log", LOG_LINES)
        if log:
            print(f"\n-- the end of the log of {name}\n{log}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
