"""As much of the Redis protocol as starting, checking and snapshotting a server needs."""

import socket

from runtime.ports import HOST

TIMEOUT_SECONDS = 5


class RedisError(Exception):
    """The server's own error answer."""


def call(port: int, *words: str):
    """One command on a connection of its own."""
    request = b"*%d\r\n" % len(words)
    for word in words:
        data = word.encode()
        request += b"$%d\r\n%s\r\n" % (len(data), data)
    with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            return _read(answer)


def info(port: int, section: str) -> dict[str, str]:
    lines = call(port, "INFO", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _read(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise RedisError(rest)
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else stream.read(size + len(b"\r\n"))[:-2].decode()
    if kind == b"*":
        return [_read(stream) for _ in range(int(rest))]
    raise ConnectionError(f"unknown answer {line!r}")
