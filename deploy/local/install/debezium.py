"""Debezium's connector for MySQL, which the measurements compare our relay with; Kafka brings Connect."""

import hashlib
from pathlib import Path

from install.component import Component, Installed, Workbench
from install.maven import copy_artifact
from runtime.errors import StackError
from runtime.layout import stack_home
from runtime.tools import java, output_of

VERSION = "3.6.1.Final"
ARTIFACT = f"io.debezium:debezium-connector-mysql:{VERSION}:tar.gz:plugin"
# Made for Kafka 4.3, as ours is.
SHA256 = "1dfd80c86e204406c5d886836da1f022e4955bc3900c0491b892c22c8b901af2"
CONNECTORS = "connectors"
NEEDED = ("io.debezium.connector.mysql.MySqlConnector", "io.debezium.transforms.outbox.EventRouter")


def install_debezium(bench: Workbench, target: Path) -> Installed:
    archive = copy_artifact(bench, "debezium", ARTIFACT, bench.scratch / "debezium-archive")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise StackError(f"debezium: {archive.name} has the checksum {found}, not {SHA256}")
    connectors = target / CONNECTORS
    connectors.mkdir()
    bench.run(["tar", "-xzf", archive, "-C", connectors], "debezium", "unpacking")
    archive.unlink()
    return Installed(f"Debezium {VERSION}", "Maven")


def _connect_finds_it(bench: Workbench, target: Path) -> None:
    """Asks Kafka's own tool, as Connect would look for plugins."""
    libraries = stack_home() / "kafka" / "libs"
    if not libraries.exists():
        raise StackError("debezium: it needs Kafka, which is not installed")
    listing = output_of([java(), "-cp", f"{libraries}/*", "org.apache.kafka.tools.ConnectPluginPath",
                         "list", "--plugin-path", target / CONNECTORS])
    missing = [name for name in NEEDED if name not in listing]
    if missing:
        raise StackError(f"debezium: Connect does not find {', '.join(missing)}", listing[-1000:])


DEBEZIUM = Component(
    name="debezium", recipe=f"maven-{VERSION}-1", lane="maven", install=install_debezium,
    self_test=_connect_finds_it,
    remedy=f"Needs Java 17, Maven and the artifact {ARTIFACT}; only `make bench` uses it. "
           "Check `mvn -v` and the network, then run `stack.py install --for bench` again.")
