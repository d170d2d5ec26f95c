"""Kafka: one node that is broker and controller, everything internal with replication 1."""

import base64
import shutil
import struct
import threading
import uuid

from runtime.files import write_atomic
from runtime.ports import HOST
from runtime.process import server_environment
from runtime.tools import java, run_tool
from servers.base import Server
from servers.kafka_wire import (GROUP_COORDINATOR, TRANSACTION_COORDINATOR, broker_ports,
                                coordinator_available, gives_producer_ids, supports_requests)

FORMAT_SECONDS = 60

CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}

# Topics come from the catalogue, with the partitions it says; a typing error must not make one.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# Groups start at once, and tests may ask for a quick verdict on a dead member.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms={session_timeout_ms}
broker.heartbeat.interval.ms=500

# Bounded disk: a topic's own settings override these.
log.segment.bytes={segment_bytes}
log.retention.bytes={partition_bytes_max}
log.retention.hours=72
# 32 MiB; the default would take a third of this heap.
log.cleaner.dedupe.buffer.size=33554432

num.network.threads=3
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""

LOGGING = """\
<Configuration status="ERROR">
  <Appenders>
    <Console name="console"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaConfig" level="ERROR"/>
    <Logger name="org.apache.kafka.common.config" level="ERROR"/>
    <Root level="WARN"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"""


class Kafka(Server):
    name = "kafka"
    port_names = ("kafka", "kafka_controller")
    ready_seconds = 120.0  # after a kill it checks every unclosed segment
    stop_seconds = 30.0

    def prepare(self, cancelled: threading.Event) -> None:
        port, controller_port = self.ports()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / "log4j2.xml", LOGGING)
        write_atomic(self.folder / "server.properties", CONFIGURATION.format(
            host=HOST, port=port, controller_port=controller_port, data=self.data,
            session_timeout_ms=self.profile.kafka_session_timeout_ms,
            segment_bytes=self.profile.kafka_segment_bytes,
            partition_bytes_max=self.profile.kafka_partition_bytes_max))
        formatted = self.folder / "formatted"
        if not formatted.exists():
            self._format(cancelled)
            write_atomic(formatted, "the data folder is complete\n")

    def command(self) -> list[str]:
        return [*self._java(self.profile.kafka_heap), "kafka.Kafka",
                str(self.folder / "server.properties")]

    def answers(self) -> bool:
        """Registered with its own controller, and able to serve groups, transactions and idempotent producers."""
        try:
            return (supports_requests(self.port)
                    and broker_ports(self.port) == [self.port]
                    and coordinator_available(self.port, GROUP_COORDINATOR)
                    and coordinator_available(self.port, TRANSACTION_COORDINATOR)
                    and gives_producer_ids(self.port))
        except (OSError, struct.error):
            return False

    def environment(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP": f"{HOST}:{self.port}"}

    def _java(self, heap: str) -> list[str]:
        return [java(), "-Xms128m", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError",
                "-XX:MaxDirectMemorySize=256m", "-Djava.awt.headless=true",
                "-Djava.net.preferIPv4Stack=true",
                f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}",
                "-cp", str(self.home / "libs") + "/*"]

    def _format(self, cancelled: threading.Event) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A leading dash would read as an option.
        cluster = "A" + cluster[1:]
        run_tool([*self._java("128m"), "kafka.tools.StorageTool", "format", "-t", cluster,
                  "-c", str(self.folder / "server.properties")],
                 log=self.process.log_file, seconds=FORMAT_SECONDS,
                 what="kafka: formatting the data folder", environment=server_environment(),
                 cwd=self.folder, cancelled=cancelled)
