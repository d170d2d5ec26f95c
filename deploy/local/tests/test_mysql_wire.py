"""What the small MySQL client makes of the server's bytes."""

import unittest

from servers.mysql_wire import _number, _row


class Numbers(unittest.TestCase):
    def test_a_number_says_how_long_it_is(self):
        for packet, found in ((b"\xfa", (250, 1)), (b"\xfc\x2c\x01", (300, 3)), (b"\xfd\x00\x00\x01", (65536, 4)),
                              (b"\xfe" + (1 << 40).to_bytes(8, "little"), (1 << 40, 9))):
            self.assertEqual(_number(packet, 0), found)

    def test_a_row_has_nothing_short_and_long_values(self):
        long = b"x" * 300
        self.assertEqual(_row(b"\xfb\x01a\xfc\x2c\x01" + long + b"\x00"), [None, "a", long.decode(), ""])
