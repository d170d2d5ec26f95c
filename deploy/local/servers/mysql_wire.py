"""As much of the MySQL protocol as readiness checks and `stack.py sql` need: log in, run one statement.

A client of its own, because the fallback server comes without the `mysql` program, and because
the first login of an account through the unix socket fills the server's password cache: after
it, clients without TLS get in over TCP.
"""

import hashlib
import socket
import struct

TIMEOUT_SECONDS = 5
PACKET_BYTES_MAX = 1 << 24
UTF8MB4 = 45

CLIENT_LONG_PASSWORD = 0x1
CLIENT_CONNECT_WITH_DB = 0x8
CLIENT_PROTOCOL_41 = 0x200
CLIENT_SECURE_CONNECTION = 0x8000
CLIENT_PLUGIN_AUTH = 0x80000

OK, MORE_DATA, EOF, ERROR, NULL = 0x00, 0x01, 0xFE, 0xFF, 0xFB
AUTH_FAST_OK, AUTH_FULL = 0x03, 0x04
COMMAND_QUERY = 0x03
SCRAMBLE_FIRST_BYTES = 8
PLUGIN = b"caching_sha2_password"


class MySqlError(Exception):
    """The server's own error answer."""


class Connection:
    def __init__(self, address, user: str, password: str, database: str = ""):
        """`address` is (host, port), or the path of the unix socket."""
        self._over_socket_file = isinstance(address, str)
        if self._over_socket_file:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(address)
        else:
            self._socket = socket.create_connection(address, timeout=TIMEOUT_SECONDS)
        self._sequence = 0
        # By the last statement that gave no rows.
        self.rows_changed = 0
        try:
            self._log_in(user.encode(), password.encode(), database.encode())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def query(self, statement: str) -> list[list[str | None]]:
        self._sequence = 0
        self._send(bytes([COMMAND_QUERY]) + statement.encode())
        first = self._receive()
        if first[0] == OK:
            self.rows_changed = _number(first, 1)[0]
            return []
        for _ in range(first[0]):  # the columns' descriptions: so few that the count is one byte
            self._receive()
        self._receive()  # the end of the descriptions
        rows = []
        while not _is_eof(packet := self._receive()):
            rows.append(_row(packet))
        return rows

    def _log_in(self, user: bytes, password: bytes, database: bytes) -> None:
        nonce = _nonce(self._receive())
        flags = (CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION
                 | CLIENT_PLUGIN_AUTH | (CLIENT_CONNECT_WITH_DB if database else 0))
        proof = _scramble(password, nonce)
        self._send(struct.pack("<IIB23x", flags, PACKET_BYTES_MAX, UTF8MB4) + user + b"\0"
                   + bytes([len(proof)]) + proof + (database + b"\0" if database else b"")
                   + PLUGIN + b"\0")
        answer = self._receive()
        if _is_eof(answer) or answer[0] == EOF:  # the server names another nonce
            plugin, _, nonce = answer[1:].partition(b"\0")
            if plugin != PLUGIN:
                raise MySqlError(f"unknown authentication {plugin!r}")
            self._send(_scramble(password, nonce.rstrip(b"\0")))
            answer = self._receive()
        if answer[0] == MORE_DATA and answer[1] == AUTH_FULL:
            if not self._over_socket_file:
                raise MySqlError("the password cache is cold: log in through the socket first")
            self._send(password + b"\0")
            answer = self._receive()
        elif answer[0] == MORE_DATA and answer[1] == AUTH_FAST_OK:
            answer = self._receive()
        if answer[0] != OK:
            raise MySqlError(f"unexpected answer {answer[:8]!r}")

    def _send(self, payload: bytes) -> None:
        header = struct.pack("<I", len(payload))[:3] + bytes([self._sequence])
        self._socket.sendall(header + payload)

    def _receive(self) -> bytes:
        header = self._exactly(4)
        self._sequence = (header[3] + 1) % 256
        payload = self._exactly(int.from_bytes(header[:3], "little"))
        if not payload:
            raise ConnectionError("empty answer")
        if payload[0] == ERROR:
            raise MySqlError(payload[3:].decode(errors="replace"))
        return payload

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the server closed the connection")
            data += part
        return data


def _nonce(handshake: bytes) -> bytes:
    after_version = handshake.index(b"\0", 1) + 1
    first_at = after_version + 4  # the connection's number
    first = handshake[first_at:first_at + SCRAMBLE_FIRST_BYTES]
    # one filler, capabilities (2), charset (1), status (2), capabilities (2), length (1), reserved (10)
    second_at = first_at + SCRAMBLE_FIRST_BYTES + 1 + 2 + 1 + 2 + 2 + 1 + 10
    return first + handshake[second_at:handshake.index(b"\0", second_at)]


def _scramble(password: bytes, nonce: bytes) -> bytes:
    if not password:
        return b""
    once = hashlib.sha256(password).digest()
    twice = hashlib.sha256(once).digest()
    mask = hashlib.sha256(twice + nonce).digest()
    return bytes(a ^ b for a, b in zip(once, mask))


def _is_eof(packet: bytes) -> bool:
    return packet[0] == EOF and len(packet) < 9


def _row(packet: bytes) -> list[str | None]:
    values, at = [], 0
    while at < len(packet):
        if packet[at] == NULL:
            values.append(None)
            at += 1
            continue
        size, at = _number(packet, at)
        values.append(packet[at:at + size].decode(errors="replace"))
        at += size
    return values


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A number that says itself how long it is, and where it ends."""
    first, at = packet[at], at + 1
    if first < NULL:
        return first, at
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[at:at + width], "little"), at + width
