"""k6 and toxiproxy, built by Go; a recent Go is fetched when the machine has none."""

import os
import re
import shutil
from pathlib import Path

from install.apt import suite_apt
from install.component import Component, Installed, Workbench
from runtime.errors import StackError
from runtime.tools import output_of

K6 = "go.k6.io/k6@v1.8.1"
TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
GO_MINIMUM = (1, 24)
GO_SUITE = "sid"
GO_PACKAGE = "golang-go"


def install_k6(bench: Workbench, target: Path) -> Installed:
    _go_install(bench, target, "k6", K6, "k6")
    return Installed(K6.partition("@")[2], "Go")


def install_toxiproxy(bench: Workbench, target: Path) -> Installed:
    _go_install(bench, target, "toxiproxy", TOXIPROXY, "server")
    (target / "bin" / "server").rename(target / "bin" / "toxiproxy-server")
    return Installed(TOXIPROXY.partition("@")[2], "Go")


def _go_install(bench: Workbench, target: Path, component: str, module: str, program: str) -> None:
    go = _go(bench, component)
    cache = bench.scratch / "go-cache"
    environment = {
        **os.environ, "GOBIN": str(target / "bin"), "GOPATH": str(cache / "path"),
        "GOCACHE": str(cache / "build"), "CGO_ENABLED": "0",
        # Half the cores: the machine is somebody's workplace.
        "GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 2)),
        # Else the cache could not be removed afterwards.
        "GOFLAGS": (os.environ.get("GOFLAGS", "") + " -modcacherw").strip(),
    }
    bench.run([go, "install", module], component, f"go install {module}", environment=environment)
    if not (target / "bin" / program).exists():
        raise StackError(f"{component}: {module} brought no program {program}")


def _go(bench: Workbench, component: str) -> str:
    found = shutil.which("go")
    if found and _go_version(found) >= GO_MINIMUM:
        return found
    with bench.shared_lock:
        tree = bench.shared.get("go-tree")
    if tree is None:
        tree = bench.scratch / "go-tree"
        suite_apt(bench, component, GO_SUITE).unpack([GO_PACKAGE], tree)
        with bench.shared_lock:
            bench.shared["go-tree"] = tree
    for candidate in sorted(tree.glob("usr/lib/go-*/bin/go")):
        if _go_version(str(candidate)) >= GO_MINIMUM:
            return str(candidate)
    raise StackError(f"{component}: no Go {'.'.join(map(str, GO_MINIMUM))} or newer: neither on PATH "
                     f"nor in the Debian package {GO_PACKAGE} of {GO_SUITE}")


def _go_version(go: str) -> tuple[int, int]:
    found = re.search(r"go(\d+)\.(\d+)", output_of([go, "version"]))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _runs(program: str, flag: str):
    def self_test(bench: Workbench, target: Path) -> None:
        bench.run([target / "bin" / program, flag], target.name, "self-test")
    return self_test


K6_COMPONENT = Component(
    name="k6", recipe=K6, lane="go", install=install_k6, self_test=_runs("k6", "version"),
    remedy=f"Needs Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer and the module {K6}; only the load "
           "tests use it. Check `go version` and the network, then run `make setup` again.")

TOXIPROXY_COMPONENT = Component(
    name="toxiproxy", recipe=TOXIPROXY, lane="go", install=install_toxiproxy,
    self_test=_runs("toxiproxy-server", "-version"),
    remedy=f"Needs Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer and the module {TOXIPROXY}; only the "
           "fault tests use it. Check `go version` and the network, then run `make setup` again.")
