"""All that can be a member of a stack: the four servers, and the product's services."""

from runtime.layout import RunDir
from servers import NAMES, server
from servers.base import Server
from services import SERVICE_NAMES, service

MEMBER_NAMES = (*NAMES, *SERVICE_NAMES)


def member(name: str, run: RunDir, profile: str) -> Server:
    return service(name, run, profile) if name in SERVICE_NAMES else server(name, run, profile)
