"""Commands as a reader types them: printed, run by the shell, their output shortened."""

import json
import os
import re
import subprocess

import building
from runtime.errors import StackError
from runtime.layout import REPOSITORY, RunDir

COMMAND_SECONDS = 180
LINES_MAX = 16
COLUMNS_MAX = 240
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Shell:
    def __init__(self, run: RunDir, variables: dict[str, str]):
        self._environment = {
            **os.environ, **variables, "HEADGATE_RUN_DIR": str(run.path),
            "PATH": f"{building.release_folder()}:{os.environ.get('PATH', os.defpath)}"}

    def run(self, command: str, lines_max: int = LINES_MAX) -> str:
        """Shows the command and what it says on stdout and stderr, and returns that; it has to succeed."""
        print(f"\n$ {command}", flush=True)
        done = self._done(command, subprocess.STDOUT)
        if done.stdout:
            print(shortened(done.stdout, lines_max), flush=True)
        if done.returncode != 0:
            raise StackError(f"`{command}` ended with exit code {done.returncode}")
        return done.stdout

    def ask(self, command: str) -> dict | list:
        """What `headgate` answers to programs; shows nothing."""
        done = self._done(f"headgate --output json {command}", subprocess.PIPE)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise StackError(f"`headgate {command}` ended with exit code {done.returncode}", done.stderr) from None

    def _done(self, command: str, stderr: int) -> subprocess.CompletedProcess:
        try:
            return subprocess.run(["sh", "-c", command], env=self._environment, cwd=REPOSITORY, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                  errors="replace", timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise StackError(f"`{command}` was not done within {COMMAND_SECONDS} s") from None


def shortened(text: str, lines_max: int) -> str:
    """The first lines, and how many there are more."""
    lines = [_cut(line.rstrip()) for line in text.strip("\n").splitlines()]
    left_out = len(lines) - lines_max
    if left_out > 1:  # one line is not longer than the note on it
        lines = [*lines[:lines_max], f"... {left_out} more lines"]
    return "\n".join(lines)


def _cut(line: str) -> str:
    return line if len(line) <= COLUMNS_MAX else line[:COLUMNS_MAX - 3] + "..."


def first_id(text: str) -> str:
    """The first id that a command names."""
    found = ID.search(text)
    if not found:
        raise StackError("no id where one was expected", text)
    return found[0]


def tell(text: str) -> None:
    print(f"\n{text}", flush=True)


def step(title: str) -> None:
    print(f"\n{title}\n{'=' * len(title)}", flush=True)


def require(holds: bool, what: str, found: object = "") -> None:
    """A step that does not come out as told ends the story."""
    if not holds:
        raise StackError(f"not as told: {what}", str(found))
