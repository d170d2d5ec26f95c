"""Control of one real server, on the quickest of them; needs `stack.py install --only redis`."""

import tempfile
import threading
import unittest
from pathlib import Path

from runtime.layout import RunDir
from servers import server
from servers.redis_wire import call


class RedisControl(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.redis = server("redis", RunDir(Path(folder.name)), "test")
        self.redis.choose_ports()
        self.addCleanup(self.redis.stop)
        self.redis.start(threading.Event())

    def call(self, *words: str):
        return call(self.redis.port, *words)

    def test_starting_twice_is_starting_once(self):
        before = self.redis.process.identity()
        self.assertFalse(self.redis.start(threading.Event()))
        self.assertEqual(self.redis.process.identity(), before)

    def test_data_survive_a_kill_and_the_port_stays(self):
        self.call("SET", "key", "kept")
        port = self.redis.port
        self.redis.kill()
        self.assertEqual(self.redis.state(), "stopped")
        self.redis.choose_ports()
        self.redis.start(threading.Event())
        self.assertEqual((self.redis.port, self.call("GET", "key")), (port, "kept"))

    def test_pause_and_resume(self):
        self.redis.pause()
        self.assertEqual(self.redis.state(), "paused")
        self.redis.resume()
        self.assertEqual(self.redis.state(), "ready")

    def test_a_snapshot_brings_old_data_back(self):
        self.call("SET", "key", "old")
        self.redis.snapshot_save("before")
        self.call("SET", "key", "new")
        self.call("SET", "other", "1")
        for _ in range(2):
            self.redis.snapshot_restore("before", threading.Event())
            self.assertEqual(self.call("MGET", "key", "other"), ["old", None])
            self.call("SET", "other", "1")
