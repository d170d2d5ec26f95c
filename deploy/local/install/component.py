"""What an installable component is, and the workbench it is built on."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from runtime.tools import run_tool


@dataclass
class Workbench:
    """One run of the installer: scratch space, logs, and what its components share."""

    scratch: Path
    logs: Path
    cancelled: threading.Event
    shared: dict = field(default_factory=dict)
    shared_lock: threading.RLock = field(default_factory=threading.RLock)

    def run(self, command: list, component: str, what: str, seconds: float = 900,
            environment: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        run_tool(command, log=self.logs / f"install-{component}.log", seconds=seconds,
                 what=f"{component}: {what}", environment=environment, cwd=cwd,
                 cancelled=self.cancelled)


@dataclass(frozen=True)
class Installed:
    """What an installation says of itself; `notice` is for the user's eyes."""

    version: str
    source: str
    notice: str = ""


@dataclass(frozen=True)
class Component:
    name: str
    # Changes whenever the way of installing changes: an older installation is then replaced.
    recipe: str
    # Which package client it waits for: components of one lane are installed one by one.
    lane: str
    # install(workbench, empty target folder) -> Installed
    install: object
    # self_test(workbench, target folder): raises StackError when the installation does not work.
    self_test: object
    # What to do when it cannot be had.
    remedy: str
