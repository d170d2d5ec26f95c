"""Where things lie: the repository, the installed programs, one running stack."""

import hashlib
import os
import tempfile
from pathlib import Path

from runtime.files import read_json, write_json

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_RUN_DIR = REPOSITORY / ".run"

# A unix socket's path must fit sockaddr_un (108 bytes with its end).
SOCKET_PATH_MAX = 100


def stack_home() -> Path:
    """The folder of installed programs, shared by all stacks of this checkout."""
    return Path(os.environ.get("HEADGATE_STACK_HOME") or REPOSITORY / ".stack").resolve()


def chosen_run_dir() -> Path:
    """The folder of this checkout's stack, unless the caller names another."""
    return Path(os.environ.get("HEADGATE_RUN_DIR") or DEFAULT_RUN_DIR)


class RunDir:
    """One stack's own data, logs, ports and pid files."""

    def __init__(self, path: Path):
        self.path = Path(path).resolve()

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def env_file(self) -> Path:
        return self.path / "env"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def component(self, name: str) -> Path:
        return self.path / name

    def exists(self) -> bool:
        return self.ports_file.exists()

    def profile_name(self) -> str:
        return (read_json(self.path / "profile.json") or {}).get("profile", "run")

    def remember_profile(self, name: str) -> None:
        write_json(self.path / "profile.json", {"profile": name})

    def socket(self, name: str) -> Path:
        preferred = self.path / name / f"{name}.sock"
        if len(str(preferred)) <= SOCKET_PATH_MAX:
            return preferred
        digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"headgate-{digest}.sock"
