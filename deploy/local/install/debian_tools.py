"""Redis, kcat and shellcheck from the machine's own Debian release."""

from pathlib import Path

from install.apt import machine_apt
from install.component import Component, Installed, Workbench
from install.private_programs import install_programs
from install.servers import start_and_ask
from runtime.errors import StackError
from runtime.tools import output_of


def install_redis(bench: Workbench, target: Path) -> Installed:
    programs = ["usr/bin/redis-server", "usr/bin/redis-cli"]
    return Installed(_install(bench, target, "redis", "redis-server", programs), "Debian")


def install_kcat(bench: Workbench, target: Path) -> Installed:
    return Installed(_install(bench, target, "kcat", "kcat", ["usr/bin/kcat"]), "Debian")


def install_shellcheck(bench: Workbench, target: Path) -> Installed:
    return Installed(_install(bench, target, "shellcheck", "shellcheck", ["usr/bin/shellcheck"]), "Debian")


def _install(bench: Workbench, target: Path, component: str, package: str, programs: list[str]) -> str:
    apt = machine_apt(bench, component)
    tree = bench.scratch / f"{component}-tree"
    apt.unpack([package], tree)
    install_programs(tree, target, programs)
    # Without the epoch, which only orders Debian's own versions.
    return apt.version(package).rpartition(":")[2]


def _kcat_runs(bench: Workbench, target: Path) -> None:
    text = output_of([target / "bin" / "kcat", "-V"])
    if "librdkafka" not in text:
        raise StackError(f"kcat does not run: {text.strip()[:200]}")


def _shellcheck_runs(bench: Workbench, target: Path) -> None:
    bench.run([target / "bin" / "shellcheck", "--version"], "shellcheck", "self-test")


REDIS = Component(
    name="redis", recipe="debian-1", lane="apt", install=install_redis,
    self_test=start_and_ask("redis"),
    remedy="Needs the Debian package redis-server from the machine's own sources. "
           "Check `apt-get update`, then run `make setup` again.")

KCAT = Component(
    name="kcat", recipe="debian-1", lane="apt", install=install_kcat, self_test=_kcat_runs,
    remedy="Needs the Debian package kcat from the machine's own sources; only the tests and the "
           "examples use it. Check `apt-get update`, then run `make setup` again.")

SHELLCHECK = Component(
    name="shellcheck", recipe="debian-1", lane="apt", install=install_shellcheck,
    self_test=_shellcheck_runs,
    remedy="Needs the Debian package shellcheck from the machine's own sources; only `make lint` uses "
           "it. Check `apt-get update`, then run `make setup` again.")
