"""Debian packages without installing them: a private apt root, unpacked into a folder.

The machine's own package database is neither read nor changed, and no root rights are needed.
"""

import os
import shutil
import threading
from pathlib import Path

from install.component import Workbench
from runtime.errors import StackError
from runtime.process import PASSED_ON
from runtime.tools import output_of

UPDATE_SECONDS = 300
DOWNLOAD_SECONDS = 900
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LABEL_AND_MIRROR = "$(LABEL)|$(REPO_URI)"

CONFIGURATION = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""

OWN_SOURCES = """\
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


class PrivateApt:
    def __init__(self, root: Path, bench: Workbench, component: str, source_line: str = ""):
        """Without `source_line` it reads the sources that the machine has configured."""
        self.root = root
        self._bench = bench
        self._component = component
        # Components that are installed at the same time share this root, and apt wants it
        # for itself.
        self._alone = threading.Lock()
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True)
        # An empty status file: apt believes nothing is installed and fetches every library.
        (root / "status").write_text("")
        text = CONFIGURATION.format(root=root)
        if source_line:
            (root / "sources.list").write_text(source_line + "\n")
            text += OWN_SOURCES.format(root=root)
        (root / "apt.conf").write_text(text)
        self._run(["apt-get", "update"], "reading the package lists", UPDATE_SECONDS)

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items()
                if key in PASSED_ON or key.lower().endswith("_proxy")}
        return {**kept, "APT_CONFIG": str(self.root / "apt.conf"),
                "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}

    def unpack(self, packages: list[str], tree: Path) -> None:
        """The packages with everything they depend on."""
        with self._alone:
            archives = self.root / "cache" / "archives"
            for old in archives.glob("*.deb"):
                old.unlink()
            self._run(["apt-get", "-y", "--download-only", "install", *packages],
                      f"downloading {' '.join(packages)}", DOWNLOAD_SECONDS)
            tree.mkdir(parents=True, exist_ok=True)
            for archive in sorted(archives.glob("*.deb")):
                self._run(["dpkg-deb", "-x", archive, tree], f"unpacking {archive.name}", UPDATE_SECONDS)
                archive.unlink()

    def version(self, package: str) -> str:
        text = output_of(["apt-cache", "policy", package], self.environment())
        for line in text.splitlines():
            if "Candidate:" in line:
                return line.split()[1]
        return "unknown"

    def mirror(self) -> str:
        """Where this machine gets Debian from; asked of apt, never written down."""
        text = output_of(["apt-get", "indextargets", "--format", LABEL_AND_MIRROR,
                          "Created-By: Packages"], self.environment())
        for line in text.splitlines():
            label, _, address = line.partition("|")
            if label == "Debian":
                return address
        raise StackError("apt knows no Debian mirror: this needs a Debian machine with package sources")

    def _run(self, command: list, what: str, seconds: float) -> None:
        self._bench.run(command, self._component, what, seconds, environment=self.environment())


def machine_apt(bench: Workbench, component: str) -> PrivateApt:
    """The machine's own release."""
    return _shared(bench, "machine", lambda root: PrivateApt(root, bench, component))


def suite_apt(bench: Workbench, component: str, suite: str) -> PrivateApt:
    """Another release from the machine's own mirror."""
    def make(root: Path) -> PrivateApt:
        if not KEYRING.exists():
            raise StackError(f"{KEYRING} is missing: install the package debian-archive-keyring")
        mirror = machine_apt(bench, component).mirror()
        # A mirror that lags behind is signed all the same: better an older server than none.
        options = f"signed-by={KEYRING} check-valid-until=no"
        return PrivateApt(root, bench, component, f"deb [{options}] {mirror} {suite} main")
    return _shared(bench, suite, make)


def _shared(bench: Workbench, suite: str, make) -> PrivateApt:
    key = f"apt-{suite}"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise StackError("apt-get and dpkg-deb are missing: this needs a Debian machine")
    with bench.shared_lock:
        if key not in bench.shared:
            root = bench.scratch / key
            shutil.rmtree(root, ignore_errors=True)
            bench.shared[key] = make(root)
        return bench.shared[key]
