"""The product's own processes as members of a stack, controlled like its servers.

A service is started from `target/release`, gets fixed ports from the stack's `ports.json`, its
settings by environment, and counts as up when its health listener says ready. What differs
between services is data: one `Definition` each.
"""

import threading
import urllib.request
from dataclasses import dataclass, field

from runtime import envfile
from runtime.errors import StackError
from runtime.layout import REPOSITORY, RunDir
from runtime.ports import HOST
from servers.base import Server
from servers.profiles import PROFILES

RELEASE = REPOSITORY / "target" / "release"
READY_PATH = "/health/ready"
REQUEST_SECONDS = 5

# The settings that services share. No others of the env file: HEADGATE_... variables are
# settings to a service, and paths of our tools are none.
SHARED_VARIABLES = ("MYSQL_URL", "REDIS_URL", "KAFKA_BOOTSTRAP", "SCHEMA_REGISTRY_URL",
                    "OTEL_EXPORTER_OTLP_ENDPOINT", "RUST_LOG")


@dataclass(frozen=True)
class Definition:
    """`listeners` maps the name of a port to the setting that carries its address."""

    name: str
    binary: str
    health_port: str
    listeners: dict[str, str]
    # The name of a port -> the variable of the env file under which clients find its URL.
    published: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


# In the order of starting; stopped in the opposite one, so that nobody takes in work that the
# next in line no longer carries away.
DEFINITIONS: tuple[Definition, ...] = ()


class Service(Server):
    ready_seconds = 60.0
    stop_seconds = 40.0

    def __init__(self, run: RunDir, profile: str, definition: Definition):
        self.name = definition.name
        self.port_names = tuple(definition.listeners)
        self.definition = definition
        super().__init__(run, PROFILES[profile], RELEASE)

    def require_installed(self) -> None:
        if not (RELEASE / self.definition.binary).exists():
            raise StackError(f"{self.definition.binary} is not built: run "
                             f"`cargo build --release --bin {self.definition.binary}`")

    def version(self) -> str:
        return "this checkout's build"

    def prepare(self, cancelled: threading.Event) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [str(RELEASE / self.definition.binary)]

    def process_variables(self) -> dict[str, str]:
        known = envfile.read(self.run.env_file)
        shared = {key: known[key] for key in SHARED_VARIABLES if key in known}
        addresses = {setting: self._address(port_name)
                     for port_name, setting in self.definition.listeners.items()}
        return {**shared, **addresses, **self.definition.settings}

    def answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://{self._address(self.definition.health_port)}{READY_PATH}"
        try:
            with opener.open(url, timeout=REQUEST_SECONDS):
                return True
        except OSError:  # refused, timed out, or an answer such as 503
            return False

    def environment(self) -> dict[str, str]:
        return {variable: f"http://{self._address(port_name)}"
                for port_name, variable in self.definition.published.items()}

    def _address(self, port_name: str) -> str:
        return f"{HOST}:{self.ports()[self.port_names.index(port_name)]}"


def services(run: RunDir, profile: str) -> list[Service]:
    return [Service(run, profile, definition) for definition in DEFINITIONS]
