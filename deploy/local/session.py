"""`stack.py with`: a stack of its own for the time that one command runs."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys

import control
from runtime import envfile
from runtime.errors import StackError
from runtime.layout import RunDir
from runtime.signals import uninterrupted

COMMAND_NOT_FOUND = 127


def run_with_stack(run: RunDir, names: list[str], profile: str | None, fresh: bool,
                   command: list[str]) -> int:
    """Up, the command with the stack's variables, down; returns the command's exit code.

    With `fresh` nothing of an earlier time is there, and after success nothing is left; after a
    failure the logs are.
    """
    if not command:
        raise StackError("with: say which command, after `--`")
    with _alone(run):
        if fresh and run.exists():
            control.down(run, wipe=True)
        try:
            control.up(run, names, profile)
            code = _run_command(run, command)
        except BaseException:
            _take_down(run, fresh, succeeded=False)
            raise
        _take_down(run, fresh, succeeded=code == 0)
    return code


@contextlib.contextmanager
def _alone(run: RunDir):
    """A second one in the same folder would take the servers away from the first."""
    lock = run.path.with_name(run.path.name + ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"{run.path} is in use by another run: wait for it, or use another --dir") from None
        yield


def _run_command(run: RunDir, command: list[str]) -> int:
    environment = {**os.environ, **envfile.read(run.env_file), "HEADGATE_RUN_DIR": str(run.path)}
    try:
        child = subprocess.Popen(command, env=environment)
    except FileNotFoundError:
        print(f"stack: there is no command {command[0]}", file=sys.stderr)
        return COMMAND_NOT_FOUND
    # The terminal sends Ctrl-C to the command as well; SIGTERM reaches only us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _take_down(run: RunDir, fresh: bool, succeeded: bool) -> None:
    with uninterrupted():
        control.down(run, wipe=fresh and succeeded)
    if fresh and not succeeded:
        # Who reads addresses from it would wait for servers that are gone.
        run.env_file.unlink(missing_ok=True)
        control.say(f"the servers' logs are kept in {run.path}")
