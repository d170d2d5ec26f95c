"""Redis: append-only file synced every second, nothing evicted."""

import shutil
import threading
from pathlib import Path

from runtime.errors import StackError
from runtime.files import locked, write_atomic
from runtime.ports import HOST
from runtime.waiting import wait_until
from servers.base import Server
from servers.redis_wire import RedisError, call, info

REWRITE_SECONDS = 30

CONFIGURATION = """\
bind {host}
protected-mode yes
port {port}
dir {data}
daemonize no
appendonly yes
appendfsync everysec
auto-aof-rewrite-percentage {rewrite_percentage}
auto-aof-rewrite-min-size 64mb
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
enable-debug-command {debug_command}
"""
REWRITE_PERCENTAGE = "100"


class Redis(Server):
    name = "redis"
    port_names = ("redis",)

    def prepare(self, cancelled: threading.Event) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / "redis.conf", CONFIGURATION.format(
            host=HOST, port=self.port, data=self.data, rewrite_percentage=REWRITE_PERCENTAGE,
            maxmemory=self.profile.redis_maxmemory,
            debug_command=self.profile.redis_debug_command))

    def command(self) -> list[str]:
        return [str(self.home / "bin" / "redis-server"), str(self.folder / "redis.conf")]

    def answers(self) -> bool:
        try:
            return call(self.port, "PING") == "PONG"
        except (OSError, RedisError):  # LOADING is an error answer
            return False

    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://{HOST}:{self.port}/",
                "HEADGATE_REDIS_SERVER": str(self.home / "bin" / "redis-server")}

    def snapshot_save(self, name: str) -> Path:
        """Copies the append-only files while the server runs; it answers nothing meanwhile lost:
        every answered command is in the file before its answer is sent."""
        kept = self._snapshot(name)
        with locked(self.folder / "lock"):
            # A rewrite would remove files under the copy's feet.
            call(self.port, "CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
            try:
                if not wait_until(self._no_rewrite, REWRITE_SECONDS, threading.Event(), self.name):
                    raise StackError(f"redis is still rewriting after {REWRITE_SECONDS} s: try again")
                fresh = kept.with_name(kept.name + ".new")
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.copytree(self.data, fresh)
                shutil.rmtree(kept, ignore_errors=True)
                fresh.rename(kept)
            finally:
                call(self.port, "CONFIG", "SET", "auto-aof-rewrite-percentage", REWRITE_PERCENTAGE)
        return kept

    def snapshot_restore(self, name: str, cancelled: threading.Event) -> None:
        """The server comes back with the data of the snapshot, as after a lost disk."""
        kept = self._snapshot(name)
        if not kept.exists():
            raise StackError(f"there is no redis snapshot {name!r}: `redis-snapshot save` makes one")
        self.stop()
        with locked(self.folder / "lock"):
            shutil.rmtree(self.data, ignore_errors=True)
            shutil.copytree(kept, self.data)
        self.start(cancelled)

    def _no_rewrite(self) -> bool:
        state = info(self.port, "persistence")
        return state["aof_rewrite_in_progress"] == "0" and state["aof_rewrite_scheduled"] == "0"

    def _snapshot(self, name: str) -> Path:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise StackError(f"{name!r} cannot name a snapshot: use letters, digits, - and _")
        return self.folder / "snapshots" / name
