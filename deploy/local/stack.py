#!/usr/bin/env python3
"""The local stack: real MySQL, Redis, Kafka and schema registry, without a container engine."""

import argparse
import signal
import sys
from pathlib import Path

import contents
import control
import product
import session
from install import runner, system_deps
from install.catalogue import PURPOSES, chosen
from members import MEMBER_NAMES
from runtime.errors import StackError
from runtime.layout import RunDir, chosen_run_dir
from runtime.signals import end_like_ctrl_c
from servers import NAMES
from servers.mysql_wire import MySqlError
from servers.profiles import PROFILES

LOG_LINES = 40


def main() -> int:
    end_like_ctrl_c()
    arguments = _parser().parse_args()
    try:
        return arguments.run(arguments) or 0
    except MySqlError as error:
        print(f"stack: mysql: {error}", file=sys.stderr)
        return 1
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stack: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stack.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    install = _command(commands, "install", "install servers and tools", _install, with_dir=False)
    some = install.add_mutually_exclusive_group()
    some.add_argument("--only", type=_names, metavar="A,B")
    some.add_argument("--for", choices=PURPOSES, dest="purpose", help="what this needs")
    _command(commands, "system-deps", "check or install what the Rust build needs",
             lambda _: system_deps.ensure(), with_dir=False)

    up = _command(commands, "up", "start the servers and wait until each answers", _up)
    what = up.add_mutually_exclusive_group()
    what.add_argument("--only", type=_names, metavar="A,B")
    what.add_argument("--services", action="store_true",
                      help="the whole product: install, build, the servers, what they hold, the services")
    up.add_argument("--profile", choices=PROFILES, help="default: that of last time, else run")
    down = _command(commands, "down", "stop services and servers", lambda a: control.down(_run(a), a.wipe))
    down.add_argument("--wipe", action="store_true", help="remove the data, too")
    _command(commands, "status", "exit code 0 only if all members answer",
             lambda a: control.status(_run(a)))

    for name, text, action in (
            ("start", "start one member, wait until it answers", control.start),
            ("stop", "stop one member cleanly", control.stop),
            ("kill", "kill one member (SIGKILL)", control.kill),
            ("pause", "freeze one member (SIGSTOP)", control.pause),
            ("resume", "let a frozen member go on (SIGCONT)", control.resume)):
        single = _command(commands, name, text, lambda a, act=action: act(_run(a), a.component))
        single.add_argument("component", choices=MEMBER_NAMES)

    statement = _command(commands, "sql", "run one statement in the product's database",
                         lambda a: contents.sql(_run(a), a.statement))
    statement.add_argument("statement")

    snapshot = _command(commands, "redis-snapshot", "keep Redis' data, or put them back",
                        lambda a: contents.redis_snapshot(_run(a), a.action, a.name))
    snapshot.add_argument("action", choices=("save", "restore"))
    snapshot.add_argument("--name", default="default")

    during = _command(commands, "with", "run one command with a stack that lives as long as it", _with)
    during.add_argument("--only", type=_names, metavar="A,B")
    during.add_argument("--profile", choices=PROFILES)
    during.add_argument("--fresh", action="store_true", help="start from nothing, leave nothing on success")
    during.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    logs = _command(commands, "logs", "show the logs of servers and services",
                    lambda a: control.logs(_run(a), a.component, a.lines, a.follow))
    logs.add_argument("component", nargs="?")
    logs.add_argument("--lines", type=int, default=LOG_LINES)
    logs.add_argument("--follow", action="store_true")

    env = _command(commands, "env", "show the env file, or set and unset its variables",
                   lambda a: control.env(_run(a), a.action, a.assignments))
    env.add_argument("action", choices=("show", "set", "unset"))
    env.add_argument("assignments", nargs="*", metavar="KEY=VALUE")
    return parser


def _command(commands, name, text, run, with_dir=True) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.set_defaults(run=run)
    if with_dir:
        command.add_argument("--dir", type=Path, default=chosen_run_dir(),
                             help="the stack's own folder (default: .run of this checkout)")
    return command


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _run(arguments) -> RunDir:
    return RunDir(arguments.dir)


def _install(arguments) -> None:
    runner.install(chosen(arguments.only or PURPOSES.get(arguments.purpose)))


def _up(arguments) -> None:
    if arguments.services:
        product.provide()
        product.up(_run(arguments), arguments.profile)
    else:
        control.up(_run(arguments), arguments.only or list(NAMES), arguments.profile)


def _with(arguments) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    names = arguments.only or list(NAMES)
    return session.run_with_stack(_run(arguments), names, arguments.profile, arguments.fresh, words)


if __name__ == "__main__":
    sys.exit(main())
