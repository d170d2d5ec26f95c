"""The four servers of the stack, each in its own module, behind one interface."""

from pathlib import Path

from runtime.errors import StackError
from runtime.layout import RunDir, stack_home
from servers.base import Server
from servers.kafka import Kafka
from servers.mysql import MySql
from servers.profiles import PROFILES
from servers.redis import Redis
from servers.registry import Registry

SERVER_CLASSES = {server.name: server for server in (MySql, Redis, Kafka, Registry)}
NAMES = tuple(SERVER_CLASSES)


def server(name: str, run: RunDir, profile: str, home: Path | None = None) -> Server:
    if name not in SERVER_CLASSES:
        raise StackError(f"no component {name!r}: there are {', '.join(NAMES)}")
    return SERVER_CLASSES[name](run, PROFILES[profile], (home or stack_home()) / name)
