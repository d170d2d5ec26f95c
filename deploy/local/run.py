#!/usr/bin/env python3
"""`make run`: the whole product on this machine, with a sale, until Ctrl-C or for RUN_FOR seconds."""

import os
import shlex
import sys
import threading
import time

import building
import control
import product
from demonstration.sale import Sale
from runtime import envfile
from runtime.errors import StackError
from runtime.files import tail
from runtime.layout import RunDir, chosen_run_dir
from runtime.signals import end_like_ctrl_c, uninterrupted
from servers import Server
from services import service

DURATION_VARIABLE = "RUN_FOR"
PROFILE = "run"
WATCH_SECONDS = 1.0
LOG_LINES = 20

GUIDE = """\

Where to look
  api            {api}/docs
  operator       {operator}   (for HEADGATE_OPERATOR_TOKEN)
  metrics        {metrics}
  logs           {logs}
  settings       . {env}

What to try
  . {env}
  curl -s -H "X-API-KEY: $HEADGATE_API_KEY" $HEADGATE_API_URL/v1/campaigns/{campaign}
  curl -s -H "X-API-KEY: $HEADGATE_API_KEY" -H 'Content-Type: application/json' \\
       -d '{{"user_id": "{winner}"}}' $HEADGATE_API_URL/v1/campaigns/{campaign}/claims
  curl -s -H "X-API-KEY: $HEADGATE_API_KEY" $HEADGATE_API_URL/v1/users/{winner}/coupons
  curl -s -H "Authorization: Bearer $HEADGATE_OPERATOR_TOKEN" $HEADGATE_OPERATOR_URL/v1/outbox
  {headgate} campaign show {campaign}
  {headgate} reconcile
  {headgate} dlq list
"""


def main() -> int:
    end_like_ctrl_c()
    try:
        seconds = _duration()
        product.provide()
        _serve(RunDir(chosen_run_dir()), seconds)
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
    # What `make up` had started stays.
    started = product.up(run, PROFILE)
    try:
        _demonstrate(run)
        until = "Ctrl-C" if seconds is None else f"{seconds:g} s are over, or Ctrl-C,"
        control.say(f"serving until {until} ends it")
        _watch(started, seconds)
    finally:
        with uninterrupted():
            control.stop_together(started)


def _demonstrate(run: RunDir) -> None:
    variables = envfile.read(run.env_file)
    sale = Sale(variables)
    try:
        sale.hold()
    finally:
        sale.close()
    print(GUIDE.format(
        api=variables["HEADGATE_API_URL"], operator=variables["HEADGATE_OPERATOR_URL"],
        metrics=service("api", run, PROFILE).metrics_url(), logs=shlex.quote(str(run.path)) + "/*/server.log",
        env=shlex.quote(str(run.env_file)), campaign=sale.campaign_id, winner=sale.winner,
        headgate=shlex.quote(str(building.program("headgate")))), flush=True)


def _watch(started: list[Server], seconds: float | None) -> None:
    """Returns when the time is up; whoever dies before ends it all, unless somebody stopped it on purpose."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        for each in started:
            if each.ended_by_itself():
                raise StackError(f"{each.name} has ended by itself", tail(each.process.log_file, LOG_LINES))
        left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
        if left <= 0:
            return
        threading.Event().wait(left)


if __name__ == "__main__":
    sys.exit(main())
