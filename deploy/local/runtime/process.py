"""Background processes that are found again by pid and start time, never by name."""

import contextlib
import os
import select
import signal
import subprocess
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import StackError
from runtime.files import read_json, tail, write_json
from runtime.waiting import wait_until

LOG_BYTES_MAX = 20 * 1024 * 1024
KILL_WAIT_SECONDS = 10
ERROR_LOG_LINES = 25
MILLISECONDS = 1000

# Servers get this much of the caller's environment: a forgotten variable of
# some shell must not change how a database behaves.
PASSED_ON = ("PATH", "HOME", "LANG", "JAVA_HOME", "TMPDIR", "USER", "LOGNAME")


@dataclass(frozen=True)
class Identity:
    """A pid alone may be given to another process; with its start and the boot it may not."""

    pid: int
    started_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        fields = _stat(pid)
        return cls(pid, int(fields[19]), _boot_id()) if fields else None


def _stat(pid: int, process: int | None = None) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before it may hold anything.

    With `process`, `pid` is one of its threads.
    """
    path = f"/proc/{process}/task/{pid}/stat" if process else f"/proc/{pid}/stat"
    try:
        return Path(path).read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def server_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return {**kept, "TZ": "UTC", **(extra or {})}


class BackgroundProcess:
    """One server of a stack: `pid.json` and `server.log` in its folder."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.folder = folder
        self.pid_file = folder / "pid.json"
        self.log_file = folder / "server.log"
        self._child: subprocess.Popen | None = None

    def launch(self, command: list[str], environment: dict[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with open(self.log_file, "ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches us, not the server.
            self._child = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        identity = Identity.of(self._child.pid)
        if identity:
            write_json(self.pid_file, asdict(identity))

    def identity(self) -> Identity | None:
        """Of the running process, or None: stale files and reused pids do not count."""
        if self._child:
            self._child.poll()  # a dead child of ours must not linger as a zombie
        recorded = read_json(self.pid_file)
        if not recorded:
            return None
        identity = Identity(**recorded)
        fields = _stat(identity.pid)
        if Identity.of(identity.pid) != identity or not fields or fields[0] in "ZX":
            return None
        return identity

    def paused(self) -> bool:
        """Whether all of its threads stand still."""
        identity = self.identity()
        if not identity:
            return False
        threads = [_stat(int(task.name), identity.pid)
                   for task in Path(f"/proc/{identity.pid}/task").glob("*")]
        # A thread that ended between the listing and the reading does not run either.
        return all(fields is None or fields[0] == "T" for fields in threads)

    def resident_bytes(self) -> int:
        identity = self.identity()
        fields = _stat(identity.pid) if identity else None
        return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0

    def send(self, number: signal.Signals) -> bool:
        """False when the process is gone already."""
        with self._handle() as handle:
            if handle is None:
                return False
            signal.pidfd_send_signal(handle, number)
            return True

    def stop(self, grace_seconds: float) -> str:
        """Asks, waits, and kills what does not listen. Says how it ended."""
        with self._handle() as handle:
            if handle is None:
                self.pid_file.unlink(missing_ok=True)
                return "was not running"
            # A paused process would answer the request only after being resumed.
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            signal.pidfd_send_signal(handle, signal.SIGCONT)
            how = "stopped"
            if not self._ended(handle, grace_seconds):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                how = f"killed, did not stop within {grace_seconds:.0f} s"
                self._require_end(handle)
        self.pid_file.unlink(missing_ok=True)
        return how

    def kill(self) -> bool:
        with self._handle() as handle:
            if handle is None:
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            self._require_end(handle)
        self.pid_file.unlink(missing_ok=True)
        return True

    def wait_ready(self, probe, seconds: float, cancelled: threading.Event) -> None:
        """Until the server itself answers `probe`; its death or the deadline is an error."""
        def answered_or_died():
            return self.identity() is None or probe()

        if not wait_until(answered_or_died, seconds, cancelled, self.name):
            raise StackError(f"{self.name} did not answer within {seconds:.0f} s: see {self.log_file}",
                             tail(self.log_file, ERROR_LOG_LINES))
        if self.identity() is None:
            raise StackError(f"{self.name} ended during its start: see {self.log_file}",
                             tail(self.log_file, ERROR_LOG_LINES))

    @contextlib.contextmanager
    def _handle(self):
        """A pidfd: a signal sent through it cannot hit a later process with the same pid."""
        identity = self.identity()
        handle = None
        if identity:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(identity.pid)
        # Opened first, compared after: now the pid cannot change hands unnoticed.
        if handle is not None and Identity.of(identity.pid) != identity:
            os.close(handle)
            handle = None
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _ended(self, handle: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        ended = bool(poll.poll(seconds * MILLISECONDS))
        if ended and self._child:
            self._child.poll()
        return ended

    def _require_end(self, handle: int) -> None:
        if not self._ended(handle, KILL_WAIT_SECONDS):
            raise StackError(f"{self.name} survives SIGKILL: it hangs in the kernel (disk?)")
