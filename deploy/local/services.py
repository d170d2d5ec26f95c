"""The product's own processes as members of a stack, controlled like its servers.

A service is started from the release build, gets fixed ports from the stack's `ports.json`, its
settings by environment, and counts as up when its health listener says ready. What differs
between services is data: one `Definition` each.
"""

import http.client
import os
import re
import threading
import urllib.request
from dataclasses import dataclass, field

import building
from runtime import envfile
from runtime.errors import StackError
from runtime.layout import RunDir
from runtime.ports import HOST
from servers.base import Server
from servers.profiles import PROFILES

READY_PATH = "/health/ready"
METRICS_PATH = "/metrics"
REQUEST_SECONDS = 5

# What services take from the env file. Not all of it: HEADGATE_... variables are settings to a
# service, and the paths of our tools are none.
SERVER_ADDRESSES = ("MYSQL_URL", "REDIS_URL", "KAFKA_BOOTSTRAP", "SCHEMA_REGISTRY_URL")
# What the caller may set for all of them, e.g. HEADGATE_RELAY__WORKERS=8 make run.
SETTING = re.compile(r"HEADGATE_[A-Z]+__[A-Z_]+|OTEL_EXPORTER_OTLP_ENDPOINT|RUST_LOG|RUST_BACKTRACE")

HTTP_LISTEN = "HEADGATE_HTTP__LISTEN"
HEALTH_LISTEN = "HEADGATE_HEALTH__LISTEN"


@dataclass(frozen=True)
class Definition:
    name: str
    binary: str
    # Under which variable of the env file clients find its public listener, if it has one.
    url_variable: str | None = None
    # What else it takes from the env file.
    secrets: tuple[str, ...] = ()
    # What it is set to here, unless the caller says otherwise.
    settings: tuple[tuple[str, str], ...] = ()
    health_port: str = field(init=False)
    http_port: str | None = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "health_port", f"{self.name}_health")
        object.__setattr__(self, "http_port", self.name if self.url_variable else None)

    @property
    def listeners(self) -> dict[str, str]:
        """The names of its ports -> the settings that carry their addresses; the main one first."""
        public = {self.http_port: HTTP_LISTEN} if self.http_port else {}
        return {**public, self.health_port: HEALTH_LISTEN}


# Stopped in this order, so that nobody takes in work that the next in line no longer carries away.
DEFINITIONS = (
    Definition("api", "headgate-api", url_variable="HEADGATE_API_URL"),
    Definition("relay", "headgate-relay"),
    # Webhooks of whoever tries this out listen on the same machine.
    Definition("consumers", "headgate-consumers",
               settings=(("HEADGATE_NOTIFICATIONS__ALLOW_PRIVATE_ADDRESSES", "true"),)),
    Definition("operator", "headgate-operator", url_variable="HEADGATE_OPERATOR_URL",
               secrets=("HEADGATE_OPERATOR_TOKEN",)),
)
SERVICE_NAMES = tuple(definition.name for definition in DEFINITIONS)


class Service(Server):
    ready_seconds = 60.0
    stop_seconds = 40.0

    def __init__(self, run: RunDir, profile: str, definition: Definition):
        self.name = definition.name
        self.port_names = tuple(definition.listeners)
        self.definition = definition
        super().__init__(run, PROFILES[profile], building.release_folder())

    def require_installed(self) -> None:
        if not self._binary.exists():
            raise StackError(f"{self._binary} is missing: build it with `cargo build --release --workspace --bins`")

    def version(self) -> str:
        return "this checkout"

    def prepare(self, cancelled: threading.Event) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [str(self._binary)]

    def process_variables(self) -> dict[str, str]:
        known = envfile.read(self.run.env_file)
        settings = {key: value for key, value in os.environ.items() if SETTING.fullmatch(key)}
        wanted = (*SERVER_ADDRESSES, *self.definition.secrets)
        addresses = {setting: self._address(port_name)
                     for port_name, setting in self.definition.listeners.items()}
        return {**dict(self.definition.settings), **settings, **{key: known[key] for key in wanted if key in known}, **addresses}

    def runs_older_build(self) -> bool:
        """A build replaces the file; a process goes on with the one that it was started from."""
        identity = self.process.identity()
        if identity is None:
            return False
        try:
            # So the kernel calls a program whose file is gone, also when another has its name.
            return os.readlink(f"/proc/{identity.pid}/exe").endswith(" (deleted)")
        except OSError:
            return False

    def answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._health_url() + READY_PATH, timeout=REQUEST_SECONDS):
                return True
        except (OSError, http.client.HTTPException):  # refused, timed out, cut off, or a 503
            return False

    def environment(self) -> dict[str, str]:
        variable = self.definition.url_variable
        return {variable: f"http://{self._address(self.definition.http_port)}"} if variable else {}

    def metrics_url(self) -> str:
        return self._health_url() + METRICS_PATH

    @property
    def _binary(self):
        return self.home / self.definition.binary

    def _health_url(self) -> str:
        return f"http://{self._address(self.definition.health_port)}"

    def _address(self, port_name: str) -> str:
        return f"{HOST}:{self.ports()[self.port_names.index(port_name)]}"


def service(name: str, run: RunDir, profile: str) -> Service:
    definition = next(each for each in DEFINITIONS if each.name == name)
    return Service(run, profile, definition)
