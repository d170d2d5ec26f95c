"""Python environments of our own: Confluent's client, which an outsider would use to read our topics,
and what `make lint` needs."""

import os
import sys
from pathlib import Path

from install.apt import machine_apt
from install.component import Component, Installed, Workbench
from runtime.errors import StackError
from runtime.tools import output_of

PIP_PACKAGE = "python3-pip-whl"


def _environment(name: str, package: str, module: str, use: str, remedy: str) -> Component:
    """`package` is the one whose version is shown, `use` a program that shows that it works."""
    requirements = Path(__file__).with_name(f"{name}.txt")

    def install(bench: Workbench, target: Path) -> Installed:
        # Without pip in it: Debian's python3 alone lacks the module that would put it there.
        bench.run([sys.executable, "-m", "venv", "--without-pip", target], name, "making the environment")
        pip = _pip_wheel(bench, name)
        bench.run([target / "bin" / "python", pip / "pip", "install", "--disable-pip-version-check",
                   "--only-binary", ":all:", "-r", requirements], name, "pip install",
                  environment=dict(os.environ))
        version = f"from importlib.metadata import version; print(version({package!r}))"
        return Installed(f"{package} {output_of([target / 'bin' / 'python', '-c', version]).strip()}", "PyPI")

    def self_test(bench: Workbench, target: Path) -> None:
        bench.run([target / "bin" / "python", "-c", f"import {module}; {use}"], name, "self-test")

    return Component(
        name=name, recipe=requirements.read_text(), lane="pip", install=install, self_test=self_test,
        remedy=f"Needs PyPI for the packages of {requirements.name}; {remedy} "
               f"Check `pip download {package}`, then run `make setup` again.")


def _pip_wheel(bench: Workbench, component: str) -> Path:
    """A wheel is a zip archive that Python runs from where it lies."""
    try:
        import ensurepip
        bundled = list((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        if bundled:
            return bundled[0]
    except ImportError:
        pass
    found = list(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not found:
        tree = bench.scratch / f"pip-tree-{component}"
        machine_apt(bench, component).unpack([PIP_PACKAGE], tree)
        found = list(tree.glob("usr/share/python-wheels/pip-*.whl"))
        if not found:
            raise StackError(f"{component}: the package {PIP_PACKAGE} holds no pip")
    return found[0]


PYTHON_CLIENT = _environment(
    "python-client", "confluent-kafka", "confluent_kafka",
    "from confluent_kafka.schema_registry import SchemaRegistryClient; "
    "from confluent_kafka.schema_registry.avro import AvroSerializer",
    "only the tests and the examples use it.")

PYTHON_LINT = _environment(
    "python-lint", "PyYAML", "yaml", "import pyflakes.api", "only `make lint` uses it.")
