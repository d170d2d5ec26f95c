"""`DIR/env`: sourced by shells, read line by line as `export KEY=value` by programs."""

import re
import shlex
from pathlib import Path

from runtime.errors import StackError
from runtime.files import locked, write_atomic

KEY = re.compile(r"[A-Z][A-Z0-9_]*")


def read(path: Path) -> dict[str, str]:
    values = {}
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return values
    for line in lines:
        if line.startswith("export ") and "=" in line:
            key, _, quoted = line[len("export "):].partition("=")
            values[key] = "".join(shlex.split(quoted))
    return values


def update(path: Path, changes: dict[str, str | None]) -> None:
    """Sets the given keys (None removes one) and leaves the others as they are."""
    for key, value in changes.items():
        if not KEY.fullmatch(key):
            raise StackError(f"{key!r} cannot be an environment variable: use capitals, digits and _")
        if value is not None and "\n" in value:
            raise StackError(f"the value of {key} has a line break, which {path.name} cannot hold")
    with locked(path.with_name(path.name + ".lock")):
        values = read(path)
        values.update({key: value for key, value in changes.items() if value is not None})
        for key, value in changes.items():
            if value is None:
                values.pop(key, None)
        lines = [f"export {key}={shlex.quote(value)}" for key, value in sorted(values.items())]
        # It holds passwords, be they only of servers on the loopback interface.
        write_atomic(path, "\n".join(lines) + "\n", mode=0o600)
