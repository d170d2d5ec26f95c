"""The schema registry: Apicurio behind the Confluent API, kept in a file database.

Kept, because Kafka's records name schemas by id: an emptied registry would give old ids to
other schemas, and yesterday's records could not be read.
"""

import http.client
import json
import threading
import urllib.request

from runtime.ports import HOST
from runtime.tools import java
from servers.base import Server

API_PATH = "/apis/ccompat/v7"
COMPATIBILITY = "BACKWARD_TRANSITIVE"
REQUEST_SECONDS = 10


class Registry(Server):
    name = "registry"
    port_names = ("registry",)
    ready_seconds = 90.0
    stop_seconds = 15.0

    def prepare(self, cancelled: threading.Event) -> None:
        self.data.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        # WRITE_DELAY=0: an id that was answered must survive a kill.
        database = f"jdbc:h2:file:{self.data / 'registry'};WRITE_DELAY=0"
        return [java(), "-Xms64m", f"-Xmx{self.profile.registry_heap}", "-XX:+UseSerialGC",
                "-XX:+ExitOnOutOfMemoryError", "-Djava.net.preferIPv4Stack=true",
                f"-Dquarkus.http.host={HOST}", f"-Dquarkus.http.port={self.port}",
                "-Dquarkus.log.level=WARN", "-Dquarkus.banner.enabled=false",
                f"-Dquarkus.datasource.jdbc.url={database}",
                "-Dquarkus.datasource.jdbc.min-size=2", "-Dquarkus.datasource.jdbc.max-size=10",
                "-jar", str(self.home / "app" / "registry.jar")]

    def answers(self) -> bool:
        try:
            self._request("GET", "/subjects")
            return True
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def after_ready(self) -> None:
        if self._request("GET", "/config").get("compatibilityLevel") != COMPATIBILITY:
            self._request("PUT", "/config", {"compatibility": COMPATIBILITY})

    def environment(self) -> dict[str, str]:
        return {"SCHEMA_REGISTRY_URL": self._url()}

    def _url(self) -> str:
        return f"http://{HOST}:{self.port}{API_PATH}"

    def _request(self, method: str, path: str, body=None):
        request = urllib.request.Request(
            self._url() + path, method=method, headers={"Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode())
        # A proxy that the environment names must not see requests to the loopback interface.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            return json.loads(answer.read())
