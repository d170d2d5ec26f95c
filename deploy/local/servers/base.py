"""What every server can do: start until it answers, stop, be killed, paused, resumed."""

import signal
import threading
from pathlib import Path

from runtime.errors import StackError
from runtime.files import locked, read_json
from runtime.layout import RunDir
from runtime.ports import HOST, allocate, is_free
from runtime.process import BackgroundProcess, server_environment
from runtime.waiting import wait_until
from servers.profiles import Profile

SIGNAL_SECONDS = 10


class Server:
    name: str
    port_names: tuple[str, ...]
    ready_seconds = 60.0
    stop_seconds = 30.0

    def __init__(self, run: RunDir, profile: Profile, home: Path):
        self.run = run
        self.profile = profile
        self.home = home
        self.folder = run.component(self.name)
        self.data = self.folder / "data"
        self.process = BackgroundProcess(self.name, self.folder)

    # What a server defines.

    def prepare(self, cancelled: threading.Event) -> None:
        """Writes the configuration and, the first time, the data folder."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """A real roundtrip, as a client does it. Never raises for a server that is not up."""
        raise NotImplementedError

    def after_ready(self) -> None:
        """What can be set only through the running server."""

    def environment(self) -> dict[str, str]:
        """What clients need, for `DIR/env`."""
        raise NotImplementedError

    def process_variables(self) -> dict[str, str]:
        """The server's own environment, beside what all get."""
        return {}

    def require_installed(self) -> None:
        if not (self.home / "manifest.json").exists():
            raise StackError(f"{self.name} is not installed: run `make setup`")

    def version(self) -> str:
        manifest = read_json(self.home / "manifest.json") or {}
        return f"{manifest.get('version')} ({manifest.get('source')})"

    # What is common.

    @property
    def port(self) -> int:
        return self.ports()[0]

    def ports(self) -> list[int]:
        known = read_json(self.run.ports_file) or {}
        missing = [name for name in self.port_names if name not in known]
        if missing:
            raise StackError(f"{self.name} has no port in {self.run.ports_file}: run `stack.py up` first")
        return [known[name] for name in self.port_names]

    def choose_ports(self) -> list[str]:
        """Keeps the stack's ports where possible; returns those that another program has taken."""
        with locked(self.folder / "lock"):
            known = read_json(self.run.ports_file) or {}
            running = self.process.identity() is not None
            taken = set() if running else {
                name for name in self.port_names if name in known and not is_free(known[name])}
            allocate(self.run.ports_file, list(self.port_names), replace=taken)
            return sorted(taken)

    def start(self, cancelled: threading.Event, started: list["Server"] | None = None) -> bool:
        """True when it was started now, False when it was running already.

        `started` learns of the process before the wait, so that an interrupted caller can stop it.
        """
        self.require_installed()
        with locked(self.folder / "lock", f"another start or stop of {self.name}"):
            running = self.process.identity() is not None
            if running:
                self.process.send(signal.SIGCONT)
            else:
                self._require_free_ports()
                self.prepare(cancelled)
                self.process.launch(self.command(), server_environment(self.process_variables()))
                if started is not None:
                    started.append(self)
            try:
                self.process.wait_ready(self.answers, self.ready_seconds, cancelled)
            except StackError:
                if not running:
                    self.process.stop(self.stop_seconds)
                raise
            self.after_ready()
            return not running

    def stop(self) -> str:
        with locked(self.folder / "lock", f"another start or stop of {self.name}"):
            return self.process.stop(self.stop_seconds)

    def kill(self) -> None:
        with locked(self.folder / "lock", f"another start or stop of {self.name}"):
            if not self.process.kill():
                raise StackError(f"{self.name} is not running: nothing to kill")

    def pause(self) -> None:
        """Returns when every thread stands still, not merely when it was asked to."""
        self._signal(signal.SIGSTOP, "pause", lambda: self.process.paused())

    def resume(self) -> None:
        self._signal(signal.SIGCONT, "resume", lambda: not self.process.paused())

    def _signal(self, number: signal.Signals, verb: str, took_effect) -> None:
        if not self.process.send(number):
            raise StackError(f"{self.name} is not running: nothing to {verb}")
        if not wait_until(took_effect, SIGNAL_SECONDS, threading.Event(), self.name):
            raise StackError(f"{self.name} did not {verb} within {SIGNAL_SECONDS} s")

    def ended_by_itself(self) -> bool:
        """Whether it is gone and nobody has stopped or killed it: whoever does removes its pid file."""
        if self.process.identity() is not None:
            return False
        with locked(self.folder / "lock"):
            return self.process.identity() is None and self.process.pid_file.exists()

    def state(self) -> str:
        if self.process.identity() is None:
            return "stopped"
        if self.process.paused():
            return "paused"
        return "ready" if self.answers() else "not answering"

    def _require_free_ports(self) -> None:
        for port in self.ports():
            if not is_free(port):
                raise StackError(f"{self.name}: port {port} of {HOST} is taken by another program; "
                                 "stop that program, or let `stack.py up` choose another port")
