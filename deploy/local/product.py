"""The whole product on this machine: programs, servers, what they hold, services."""

import building
import control
import installation
from install import runner, system_deps
from install.catalogue import PURPOSES, chosen
from runtime.layout import RunDir
from runtime.signals import uninterrupted
from servers import NAMES, Server
from services import SERVICE_NAMES


def provide() -> None:
    """Whatever is not there yet: Debian packages, servers, the release build."""
    system_deps.ensure()
    runner.install(chosen(PURPOSES["run"]))
    building.build()


def up(run: RunDir, profile: str | None) -> list[Server]:
    """Starts what is not running and returns that; on failure or Ctrl-C stops it again."""
    started = control.up(run, list(NAMES), profile)
    try:
        installation.bootstrap(run)
        started += control.up(run, list(SERVICE_NAMES), profile)
    except BaseException:
        with uninterrupted():
            control.stop_together(started)
        raise
    return started
