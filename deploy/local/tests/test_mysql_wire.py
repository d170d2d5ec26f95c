"""What the small MySQL client makes of the server's bytes."""

import socket
import unittest

from servers.mysql_wire import Connection, _number, _row


class Numbers(unittest.TestCase):
    def test_a_number_says_how_long_it_is(self):
        for packet, found in ((b"\xfa", (250, 1)), (b"\xfc\x2c\x01", (300, 3)), (b"\xfd\x00\x00\x01", (65536, 4)),
                              (b"\xfe" + (1 << 40).to_bytes(8, "little"), (1 << 40, 9))):
            self.assertEqual(_number(packet, 0), found)

    def test_a_row_has_nothing_short_and_long_values(self):
        long = b"x" * 300
        self.assertEqual(_row(b"\xfb\x01a\xfc\x2c\x01" + long + b"\x00"), [None, "a", long.decode(), ""])

    def test_a_statement_without_rows_says_how_many_it_changed(self):
        ours, servers = socket.socketpair()
        connection = Connection.__new__(Connection)  # logged in
        connection._socket = ours
        with ours, servers:
            changed = b"\x00\xfc\x2c\x01\x00\x02\x00\x00\x00"
            servers.sendall(len(changed).to_bytes(3, "little") + b"\x01" + changed)
            self.assertEqual(connection.query("UPDATE t SET a = 1"), [])
        self.assertEqual(connection.rows_changed, 300)
