"""The Debian packages that building the Rust workspace needs from the machine itself."""

import os
import shutil
import subprocess
import sys

from runtime.errors import StackError
from runtime.tools import output_of

# Why each: gcc and g++ compile librdkafka, make runs its build, pkg-config finds OpenSSL and zlib,
# which librdkafka links; git and ca-certificates are what cargo and the scripts call.
BUILD_PACKAGES = ["gcc", "g++", "make", "pkg-config", "libssl-dev", "zlib1g-dev", "ca-certificates",
                  "git"]
PROGRAMS = {"cargo": "Rust (rustup, or your distribution's package)",
            "java": "Java 17 (Debian: openjdk-17-jre-headless)",
            "mvn": "Maven (Debian: maven)"}
INSTALLED = "install ok installed"


def ensure() -> None:
    _require_programs()
    missing = [package for package in BUILD_PACKAGES if not _is_installed(package)]
    if not missing:
        print(f"system packages are complete: {' '.join(BUILD_PACKAGES)}", file=sys.stderr)
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.getuid() != 0:
        raise StackError(f"Debian packages are missing: {' '.join(missing)}; install them with: "
                         f"sudo {' '.join(command)}")
    print(f"installing Debian packages: {' '.join(missing)}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], command):
        # Its talk goes to stderr: stdout is for data.
        if subprocess.run(step, env=environment, stdout=sys.stderr).returncode != 0:
            raise StackError(f"`{' '.join(step)}` failed; needed: {' '.join(missing)}")


def _require_programs() -> None:
    absent = [hint for program, hint in PROGRAMS.items() if not shutil.which(program)]
    if absent:
        raise StackError("please install first: " + "; ".join(absent))


def _is_installed(package: str) -> bool:
    if not shutil.which("dpkg-query"):
        raise StackError("this is not a Debian machine; needed are the equivalents of: "
                         + " ".join(BUILD_PACKAGES))
    return INSTALLED in output_of(["dpkg-query", "-W", "-f", "${Status}", package])
