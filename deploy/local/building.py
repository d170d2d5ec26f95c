"""The release build of the product's programs."""

import os
from pathlib import Path

from runtime.layout import REPOSITORY
from runtime.tools import run_visibly

BUILD = ["cargo", "build", "--release", "--locked", "--workspace", "--bins"]
# The SQL is checked against the committed metadata, whatever database some shell may know.
ENVIRONMENT = {"SQLX_OFFLINE": "true"}


def release_folder() -> Path:
    return (REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release").resolve()


def build() -> None:
    run_visibly(BUILD, "building the product", environment={**os.environ, **ENVIRONMENT}, cwd=REPOSITORY)


def program(name: str) -> Path:
    return release_folder() / name
