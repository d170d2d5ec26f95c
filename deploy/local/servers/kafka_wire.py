"""As much of the Kafka protocol as a readiness check needs."""

import socket
import struct

from runtime.ports import HOST

TIMEOUT_SECONDS = 5
CORRELATION = 1
CLIENT = b"headgate-stack"

API_METADATA = (3, 4)
API_FIND_COORDINATOR = (10, 1)
API_VERSIONS = (18, 0)
API_PRODUCER_ID = (22, 1)

GROUP_COORDINATOR, TRANSACTION_COORDINATOR = 0, 1


def supports_requests(port: int) -> bool:
    """ApiVersions: the listener speaks Kafka."""
    return struct.unpack_from(">h", _call(port, API_VERSIONS, b""))[0] == 0


def broker_ports(port: int) -> list[int]:
    """Metadata: the brokers that are registered and not fenced."""
    no_topics, no_creation = struct.pack(">i", 0), b"\0"
    answer = _call(port, API_METADATA, no_topics + no_creation)
    at = 4  # the throttle time
    (count,) = struct.unpack_from(">i", answer, at)
    at += 4
    ports = []
    for _ in range(count):
        at += 4  # the node's number
        _, at = _string(answer, at)
        ports.append(struct.unpack_from(">i", answer, at)[0])
        _, at = _string(answer, at + 4)  # the rack
    return ports


def coordinator_available(port: int, kind: int) -> bool:
    """FindCoordinator: also creates the internal topic, so the first client need not wait for it."""
    answer = _call(port, API_FIND_COORDINATOR,
                   struct.pack(">h", len(CLIENT)) + CLIENT + struct.pack(">b", kind))
    return struct.unpack_from(">h", answer, 4)[0] == 0


def gives_producer_ids(port: int) -> bool:
    """InitProducerId: what an idempotent producer asks first; a fresh broker is not ready for it."""
    no_transaction, timeout_ms = struct.pack(">h", -1), struct.pack(">i", 1)
    answer = _call(port, API_PRODUCER_ID, no_transaction + timeout_ms)
    return struct.unpack_from(">h", answer, 4)[0] == 0


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">h", data, at)
    at += 2
    return data[at:at + max(size, 0)], at + max(size, 0)


def _call(port: int, api: tuple[int, int], body: bytes) -> bytes:
    header = struct.pack(">hhih", *api, CORRELATION, len(CLIENT)) + CLIENT
    request = header + body
    with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            size = stream.read(4)
            if len(size) < 4:
                raise ConnectionError("the broker closed the connection")
            answer = stream.read(struct.unpack(">i", size)[0])
    return answer[4:]  # after the correlation number
