"""The self-test of an installed server: start it on scratch data, ask it, stop it."""

from pathlib import Path

from install.component import Workbench
from runtime.layout import RunDir
from servers import server


def start_and_ask(name: str):
    def self_test(bench: Workbench, target: Path) -> None:
        run = RunDir(bench.scratch / f"self-test-{name}")
        candidate = server(name, run, "test", home=target.parent)
        candidate.choose_ports()
        try:
            candidate.start(bench.cancelled)
        finally:
            candidate.stop()
    return self_test
