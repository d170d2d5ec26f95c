"""The test runner, built from crates.io."""

import os
import shutil
from pathlib import Path

from install.component import Component, Installed, Workbench
from runtime.errors import StackError
from runtime.tools import output_of

NEXTEST_VERSION = "0.9.151"
BUILD_SECONDS = 1800
# Without the part that would replace itself by a download.
FEATURES = "default-no-update"
# It runs for milliseconds: a quick build matters more than a quick program.
QUICK_BUILD = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
               "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_PROFILE_RELEASE_DEBUG": "0"}


def install_nextest(bench: Workbench, target: Path) -> Installed:
    if not shutil.which("cargo"):
        raise StackError("nextest: cargo is missing: install Rust")
    environment = {**os.environ, **QUICK_BUILD,
                   "CARGO_TARGET_DIR": str(bench.scratch / "nextest-target")}
    bench.run(["cargo", "install", "--locked", "--no-track", "--root", target,
               "--version", NEXTEST_VERSION, "--no-default-features", "--features", FEATURES,
               "cargo-nextest"],
              "nextest", "cargo install", BUILD_SECONDS, environment=environment, cwd=bench.scratch)
    return Installed(NEXTEST_VERSION, "crates.io")


def _self_test(bench: Workbench, target: Path) -> None:
    text = output_of([target / "bin" / "cargo-nextest", "nextest", "--version"])
    if NEXTEST_VERSION not in text:
        raise StackError(f"nextest does not run: {text.strip()[:200]}")


NEXTEST = Component(
    name="nextest", recipe=f"{NEXTEST_VERSION}-{FEATURES}", lane="cargo", install=install_nextest,
    self_test=_self_test,
    remedy=f"Needs the crate cargo-nextest {NEXTEST_VERSION}; only `make test` uses it. "
           "Check `cargo --version` and the network, then run `make setup` again.")
