"""Programs built from crates.io: the test runner, and the check of dependencies."""

import os
import shutil
from pathlib import Path

from install.component import Component, Installed, Workbench
from runtime.errors import StackError
from runtime.tools import output_of

BUILD_SECONDS = 1800
# They run for milliseconds: a quick build matters more than a quick program.
QUICK_BUILD = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
               "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_PROFILE_RELEASE_DEBUG": "0"}


def _tool(name: str, crate: str, version: str, features: str, ask: list[str], used_by: str) -> Component:
    """`ask` are the words that make it say its version."""
    def install(bench: Workbench, target: Path) -> Installed:
        if not shutil.which("cargo"):
            raise StackError(f"{name}: cargo is missing: install Rust")
        environment = {**os.environ, **QUICK_BUILD, "CARGO_TARGET_DIR": str(bench.scratch / f"{name}-target")}
        command = ["cargo", "install", "--locked", "--no-track", "--root", target, "--version", version,
                   "--no-default-features", "--features", features, crate]
        bench.run(command, name, "cargo install", BUILD_SECONDS, environment=environment, cwd=bench.scratch)
        return Installed(version, "crates.io")

    def self_test(bench: Workbench, target: Path) -> None:
        text = output_of([target / "bin" / crate, *ask])
        if version not in text:
            raise StackError(f"{name} does not run: {text.strip()[:200]}")

    return Component(
        name=name, recipe=f"{version}-{features}", lane="cargo", install=install, self_test=self_test,
        remedy=f"Needs the crate {crate} {version}; only `{used_by}` uses it. "
               "Check `cargo --version` and the network, then run `make setup` again.")


NEXTEST = _tool(
    "nextest", "cargo-nextest", "0.9.151",
    # Without the part that would replace itself by a download.
    "default-no-update", ["nextest", "--version"], "make test")

CARGO_DENY = _tool("cargo-deny", "cargo-deny", "0.20.2", "", ["--version"], "make lint")
