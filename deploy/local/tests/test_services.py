"""Services of the product as members of a stack, with a stand-in for the program."""

import json
import os
import shutil
import signal
import tempfile
import threading
import unittest
import urllib.request
from pathlib import Path
from unittest import mock

import control
import run
from runtime import envfile
from runtime.errors import StackError
from runtime.layout import RunDir
from runtime.waiting import wait_until
from services import SERVICE_NAMES, service

READY_SECONDS = 10

# Says that it is ready, and with what environment it was started.
STAND_IN = """\
#!/usr/bin/env python3
import http.server, json, os
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
host, _, port = os.environ["HEADGATE_HEALTH__LISTEN"].rpartition(":")
http.server.HTTPServer((host, int(port)), Health).serve_forever()
"""


class Services(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_dir = RunDir(Path(folder.name) / "run")
        self.release = Path(folder.name) / "target" / "release"
        self.release.mkdir(parents=True)
        patched = mock.patch.dict(os.environ, {"CARGO_TARGET_DIR": str(self.release.parent)})
        patched.start()
        self.addCleanup(patched.stop)
        envfile.update(self.run_dir.env_file, {
            "MYSQL_URL": "mysql://somewhere/headgate", "HEADGATE_STACK_HOME": "/anywhere",
            "HEADGATE_OPERATOR_TOKEN": "secret"})

    def build(self, binary: str, text: str = STAND_IN) -> None:
        """As cargo does it: a new file takes the place of the old one."""
        fresh = self.release / f"{binary}.new"
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(self.release / binary)

    def up(self, *names: str):
        started = control.up(self.run_dir, list(names), "test")
        for each in started:
            self.addCleanup(each.stop)
        return started

    def environment_of(self, each) -> dict[str, str]:
        with urllib.request.urlopen(each.metrics_url(), timeout=5) as answer:
            return json.load(answer)

    def test_it_gets_its_settings_and_nothing_else(self):
        for name in ("relay", "operator"):
            self.build(f"headgate-{name}")
        with mock.patch.dict(os.environ, {"HEADGATE_RELAY__WORKERS": "2", "HEADGATE_STACK_HOME": "/x"}):
            self.up("relay", "operator")
        relay, operator = (service(name, self.run_dir, "test") for name in ("relay", "operator"))
        said = self.environment_of(relay)
        self.assertEqual(said["MYSQL_URL"], "mysql://somewhere/headgate")
        self.assertEqual(said["HEADGATE_RELAY__WORKERS"], "2")
        self.assertNotIn("HEADGATE_STACK_HOME", said)
        self.assertNotIn("HEADGATE_OPERATOR_TOKEN", said)
        self.assertNotIn("HEADGATE_HTTP__LISTEN", said)
        said = self.environment_of(operator)
        self.assertEqual(said["HEADGATE_OPERATOR_TOKEN"], "secret")
        url = envfile.read(self.run_dir.env_file)["HEADGATE_OPERATOR_URL"]
        self.assertEqual(url, f"http://{said['HEADGATE_HTTP__LISTEN']}")

    def test_what_runs_goes_on_and_keeps_its_address(self):
        self.build("headgate-api")
        api = self.up("api")[0]
        before, url = api.process.identity(), envfile.read(self.run_dir.env_file)["HEADGATE_API_URL"]
        self.assertEqual(self.up("api"), [])
        self.assertEqual(api.process.identity(), before)
        api.kill()
        self.up("api")
        self.assertEqual(envfile.read(self.run_dir.env_file)["HEADGATE_API_URL"], url)

    def test_a_new_build_is_started(self):
        # A program by itself, since a script's process runs its interpreter.
        shutil.copy2("/bin/sleep", self.release / "headgate-relay")
        relay = service("relay", self.run_dir, "test")
        self.addCleanup(relay.process.kill)
        relay.process.launch([str(self.release / "headgate-relay"), "60"], {})
        self.assertFalse(relay.runs_older_build())
        shutil.copy2("/bin/sleep", self.release / "new")
        (self.release / "new").replace(self.release / "headgate-relay")
        self.assertTrue(relay.runs_older_build())

    def test_one_that_cannot_start_says_why_and_leaves_nothing_behind(self):
        self.build("headgate-api")
        self.build("headgate-relay", "#!/bin/sh\necho the reason >&2\nexit 1\n")
        with self.assertRaises(StackError) as caught:
            self.up("api", "relay")
        self.assertIn("the reason", caught.exception.detail)
        for name in ("api", "relay"):
            self.assertIsNone(service(name, self.run_dir, "test").process.identity())

    def test_a_missing_build_is_named(self):
        with self.assertRaises(StackError) as caught:
            self.up("api")
        self.assertIn("cargo build --release", str(caught.exception))

    def test_the_run_ends_with_one_that_died_and_not_with_one_that_somebody_stopped(self):
        self.build("headgate-api")
        api = self.up("api")
        run._watch(api, 0)
        again = service("api", self.run_dir, "test")
        again.kill()
        run._watch(api, 0)
        again.start(threading.Event())
        os.kill(again.process.identity().pid, signal.SIGKILL)
        # Its parent first, who has to collect it.
        self.assertTrue(wait_until(again.ended_by_itself, READY_SECONDS, threading.Event(), "api"))
        with self.assertRaises(StackError) as caught:
            run._watch(api, 0)
        self.assertIn("api has ended by itself", str(caught.exception))

    def test_they_stop_in_the_order_of_the_data_s_path(self):
        for name in SERVICE_NAMES:
            self.build(f"headgate-{name}")
        started = self.up(*SERVICE_NAMES)
        stopped = []
        with mock.patch.object(type(started[0]), "stop", lambda each: stopped.append(each.name) or "stopped"):
            control.stop_together(list(reversed(started)))
        self.assertEqual(stopped, list(SERVICE_NAMES))
