"""Short-lived helper programs: package clients, formatters, initialisers."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from runtime.errors import Cancelled, StackError
from runtime.files import tail
from runtime.waiting import wait_until

TOOL_LOG_LINES = 15


def run_tool(command: list[str], log: Path, seconds: float, what: str,
             environment: dict[str, str] | None = None, cwd: Path | None = None,
             cancelled: threading.Event | None = None) -> None:
    """Runs to its end with the output in `log`; cancelling or the deadline kills its whole group."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        try:
            child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=environment, cwd=cwd, start_new_session=True)
        except FileNotFoundError:
            raise StackError(f"{what}: the program {command[0]} is missing") from None
    try:
        ended = wait_until(lambda: child.poll() is not None, seconds,
                           cancelled or threading.Event(), what)
    except (Cancelled, KeyboardInterrupt):
        _kill_group(child)
        raise
    if not ended:
        _kill_group(child)
        raise StackError(f"{what}: not done within {seconds:.0f} s, see {log}",
                         tail(log, TOOL_LOG_LINES))
    if child.returncode != 0:
        raise StackError(f"{what}: exit code {child.returncode}, see {log}",
                         tail(log, TOOL_LOG_LINES))


def run_visibly(command: list[str], what: str, environment: dict[str, str] | None = None,
                cwd: Path | None = None) -> None:
    """Runs to its end, however long, and shows what it says; an interruption kills its whole group."""
    # A group of its own: only we decide how it ends. Its talk goes to stderr, stdout is for data.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment,
                             cwd=cwd, process_group=0)
    try:
        code = child.wait()
    except BaseException:
        _kill_group(child)
        raise
    if code != 0:
        raise StackError(f"{what}: exit code {code}")


def output_of(command: list[str], environment: dict[str, str] | None = None,
              seconds: float = 60) -> str:
    """What a tool prints, both streams; empty when it cannot be run."""
    try:
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds, env=environment)
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if not found:
        raise StackError("Java is missing: install Java 17 (Debian: openjdk-17-jre-headless)")
    return found


def _kill_group(child: subprocess.Popen) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
