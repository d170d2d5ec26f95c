"""Processes are found by pid and start time, and never mistaken for others."""

import os
import signal
import subprocess
import tempfile
import threading
import unittest
from dataclasses import asdict, replace
from pathlib import Path

from runtime.errors import StackError
from runtime.files import write_json
from runtime.process import BackgroundProcess, Identity, server_environment

GRACE_SECONDS = 5
READY_SECONDS = 10


class Processes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.process = BackgroundProcess("sample", Path(folder.name))
        self.addCleanup(self.process.kill)

    def launch(self, script: str) -> None:
        self.process.launch(["sh", "-c", script], server_environment())

    def test_a_process_is_found_again_by_another_run(self):
        self.launch("sleep 60")
        again = BackgroundProcess("sample", self.process.folder)
        self.assertEqual(again.identity(), self.process.identity())
        self.assertEqual(again.stop(GRACE_SECONDS), "stopped")
        self.assertIsNone(self.process.identity())

    def test_a_reused_pid_is_left_alone(self):
        with subprocess.Popen(["sleep", "60"]) as foreign:
            self.addCleanup(foreign.kill)
            earlier = replace(Identity.of(foreign.pid), started_ticks=1)
            write_json(self.process.pid_file, asdict(earlier))
            self.assertIsNone(self.process.identity())
            self.assertEqual(self.process.stop(GRACE_SECONDS), "was not running")
            self.assertFalse(self.process.kill())
            self.assertIsNone(foreign.poll())
            foreign.kill()

    def test_a_pid_file_of_an_earlier_boot_is_stale(self):
        write_json(self.process.pid_file, asdict(replace(Identity.of(os.getpid()), boot="earlier")))
        self.assertIsNone(self.process.identity())

    def test_a_damaged_pid_file_is_stale(self):
        self.process.pid_file.write_text("{")
        self.assertIsNone(self.process.identity())

    def test_a_paused_process_can_be_stopped(self):
        self.launch("sleep 60")
        self.assertTrue(self.process.send(signal.SIGSTOP))
        self.assertEqual(self.process.stop(GRACE_SECONDS), "stopped")

    def test_one_that_does_not_listen_is_killed(self):
        self.launch("trap '' TERM; echo ready; while :; do sleep 0.05; done")
        self.process.wait_ready(lambda: "ready" in self.process.log_file.read_text(),
                                READY_SECONDS, threading.Event())
        self.assertIn("killed", self.process.stop(0.2))
        self.assertIsNone(self.process.identity())

    def test_a_failed_start_shows_the_log(self):
        self.launch("echo the reason; exit 3")
        with self.assertRaises(StackError) as caught:
            self.process.wait_ready(lambda: False, READY_SECONDS, threading.Event())
        self.assertIn("the reason", caught.exception.detail)
