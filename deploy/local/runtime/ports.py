"""Ports on the loopback interface: chosen once for a stack, kept over restarts."""

import os
import random
import socket
import tempfile
from pathlib import Path

from runtime.errors import StackError
from runtime.files import locked, read_json, write_json

HOST = "127.0.0.1"

# Below the kernel's ephemeral range: while a server is down, no outgoing
# connection of some program may sit on the port it wants back.
LOWEST_PORT = 20_000
EPHEMERAL_START_DEFAULT = 32_768


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT do not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def allocate(ports_file: Path, names: list[str], replace: set[str] = frozenset()) -> dict[str, int]:
    """Completes `ports_file` with a port for each name; those in `replace` get a new one."""
    with locked(_registry("lock")):
        ports = read_json(ports_file) or {}
        reserved = _reservations()
        for name in names:
            if name in ports and name not in replace:
                continue
            ports[name] = _choose(set(reserved) | {str(port) for port in ports.values()})
            reserved[str(ports[name])] = str(ports_file)
        write_json(ports_file, ports)
        # A stack from elsewhere (restored, copied) announces its kept ports too.
        reserved.update({str(port): str(ports_file) for port in ports.values()})
        write_json(_registry("json"), reserved)
    return ports


def _choose(taken: set[str]) -> int:
    candidates = list(range(LOWEST_PORT, _ephemeral_start()))
    random.shuffle(candidates)
    for port in candidates:
        if str(port) not in taken and is_free(port):
            return port
    raise StackError("no free port below the ephemeral range: stop other programs and try again")


def _ephemeral_start() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        start = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_START_DEFAULT
    return start if start > LOWEST_PORT + 1000 else EPHEMERAL_START_DEFAULT


def _registry(extension: str) -> Path:
    """Which stack holds which port, also while its servers are down. Per user, per machine."""
    return Path(tempfile.gettempdir()) / f"headgate-ports-{os.getuid()}.{extension}"


def _reservations() -> dict[str, str]:
    """Without those of stacks that were removed."""
    held = {}
    for port, owner in (read_json(_registry("json")) or {}).items():
        if int(port) in (read_json(Path(owner)) or {}).values():
            held[port] = owner
    return held
