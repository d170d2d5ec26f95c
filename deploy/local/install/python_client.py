"""A Python environment with Confluent's client: what an outsider would use to read our topics."""

import os
import sys
from pathlib import Path

from install.apt import machine_apt
from install.component import Component, Installed, Workbench
from runtime.errors import StackError
from runtime.tools import output_of

REQUIREMENTS = Path(__file__).with_name("python-client.txt")
PIP_PACKAGE = "python3-pip-whl"
PRINT_VERSION = "import confluent_kafka; print(confluent_kafka.version())"
USE_EXTRAS = ("from confluent_kafka.schema_registry import SchemaRegistryClient; "
              "from confluent_kafka.schema_registry.avro import AvroSerializer")


def install(bench: Workbench, target: Path) -> Installed:
    # Without pip in it: Debian's python3 alone lacks the module that would put it there.
    bench.run([sys.executable, "-m", "venv", "--without-pip", target], "python-client",
              "making the environment")
    pip = _pip_wheel(bench)
    bench.run([target / "bin" / "python", pip / "pip", "install", "--disable-pip-version-check",
               "--only-binary", ":all:", "-r", REQUIREMENTS], "python-client", "pip install",
              environment=dict(os.environ))
    version = output_of([target / "bin" / "python", "-c", PRINT_VERSION]).strip()
    return Installed(version, "PyPI")


def _pip_wheel(bench: Workbench) -> Path:
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
        tree = bench.scratch / "pip-tree"
        machine_apt(bench, "python-client").unpack([PIP_PACKAGE], tree)
        found = list(tree.glob("usr/share/python-wheels/pip-*.whl"))
        if not found:
            raise StackError(f"python-client: the package {PIP_PACKAGE} holds no pip")
    return found[0]


def _self_test(bench: Workbench, target: Path) -> None:
    bench.run([target / "bin" / "python", "-c", USE_EXTRAS], "python-client", "self-test")


PYTHON_CLIENT = Component(
    name="python-client", recipe=REQUIREMENTS.read_text(), lane="pip", install=install,
    self_test=_self_test,
    remedy=f"Needs PyPI for the packages of {REQUIREMENTS.name}; only the tests and the examples use "
           "it. Check `pip download confluent-kafka`, then run `make setup` again.")
