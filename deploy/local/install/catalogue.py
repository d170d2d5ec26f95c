"""All that can be installed, and where clients find the tools."""

from pathlib import Path

from install.cargo_tools import CARGO_DENY, NEXTEST
from install.component import Component
from install.debezium import DEBEZIUM
from install.debian_tools import KCAT, REDIS, SHELLCHECK
from install.go_tools import K6_COMPONENT, TOXIPROXY_COMPONENT
from install.maven import KAFKA, REGISTRY
from install.mysql import MYSQL
from install.python_environments import PYTHON_CLIENT, PYTHON_LINT
from runtime.errors import StackError

COMPONENTS = {component.name: component for component in (
    MYSQL, REDIS, KAFKA, REGISTRY, PYTHON_CLIENT, PYTHON_LINT, KCAT, SHELLCHECK, TOXIPROXY_COMPONENT,
    K6_COMPONENT, NEXTEST, CARGO_DENY, DEBEZIUM)}

SERVERS = ("mysql", "redis", "kafka", "registry")

# What each kind of work needs; all together make a workplace.
PURPOSES = {
    "run": SERVERS,
    "tests": (*SERVERS, "python-client", "kcat", "toxiproxy", "k6", "nextest"),
    "bench": (*SERVERS, "debezium"),
    "lint": ("mysql", "redis", "python-lint", "shellcheck", "cargo-deny"),
}

TOOLS = {
    "HEADGATE_PYTHON": "python-client/bin/python",
    "HEADGATE_KCAT": "kcat/bin/kcat",
    "HEADGATE_TOXIPROXY": "toxiproxy/bin/toxiproxy-server",
    "HEADGATE_K6": "k6/bin/k6",
}


def chosen(names: list[str] | None) -> list[Component]:
    unknown = [name for name in names or [] if name not in COMPONENTS]
    if unknown:
        raise StackError(f"nothing called {', '.join(unknown)}: there are {', '.join(COMPONENTS)}")
    return [COMPONENTS[name] for name in names] if names else list(COMPONENTS.values())


def tool_environment(home: Path) -> dict[str, str | None]:
    """A tool that is not installed has no variable, not one that leads nowhere."""
    return {key: str(home / path) if (home / path).exists() else None
            for key, path in TOOLS.items()}
