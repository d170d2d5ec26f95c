"""The env file and the choice of ports."""

import shlex
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from runtime import envfile
from runtime.errors import StackError
from runtime.ports import HOST, allocate, is_free


class EnvFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "env"

    def test_a_shell_reads_what_was_written(self):
        value = "two words, a 'quote', a $dollar and a \"double\""
        envfile.update(self.path, {"ODD": value, "PLAIN": "1"})
        command = f". {shlex.quote(str(self.path))}; printf %s \"$ODD\""
        said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        self.assertEqual(said.stdout, value)
        self.assertEqual(envfile.read(self.path), {"ODD": value, "PLAIN": "1"})

    def test_other_keys_stay(self):
        envfile.update(self.path, {"A": "1", "B": "2"})
        envfile.update(self.path, {"B": None, "C": "3"})
        self.assertEqual(envfile.read(self.path), {"A": "1", "C": "3"})

    def test_what_a_shell_could_not_hold_is_refused(self):
        for key, value in (("lower", "1"), ("A B", "1"), ("A", "1\n2")):
            with self.assertRaises(StackError):
                envfile.update(self.path, {key: value})
        self.assertFalse(self.path.exists())


class Ports(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_stack_keeps_its_ports(self):
        first = allocate(self.folder / "ports.json", ["a"])
        second = allocate(self.folder / "ports.json", ["a", "b"])
        self.assertEqual(first["a"], second["a"])
        self.assertNotEqual(second["a"], second["b"])

    def test_a_port_can_be_replaced(self):
        first = allocate(self.folder / "ports.json", ["a"])
        second = allocate(self.folder / "ports.json", ["a"], replace={"a"})
        self.assertNotEqual(first["a"], second["a"])

    def test_stacks_never_share_a_port(self):
        names = [f"server-{number}" for number in range(50)]
        ports = [port for stack in range(4) for port in
                 allocate(self.folder / str(stack) / "ports.json", names).values()]
        self.assertEqual(len(ports), len(set(ports)))

    def test_a_listener_occupies_its_port(self):
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
            self.assertFalse(is_free(port))
        self.assertTrue(is_free(port))
