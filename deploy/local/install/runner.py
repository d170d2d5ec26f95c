"""Installs components: once each, whole or not at all, in parallel lanes."""

import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from install.component import Component, Workbench
from runtime.errors import Cancelled, StackError
from runtime.files import locked, read_json, write_json
from runtime.layout import stack_home

MANIFEST = "manifest.json"


def say(message: str) -> None:
    # In one piece: several threads speak.
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def install(components: list[Component]) -> None:
    home = stack_home()
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "lock", f"another installation into {home}"):
        missing = [component for component in components if not _is_current(home, component)]
        if missing:
            _install_missing(home, missing)
        for component in components:
            manifest = read_json(home / component.name / MANIFEST)
            if manifest:
                say(f"{component.name:14} {manifest['version']}  ({manifest['source']})")
                if manifest["notice"]:
                    say(f"{'':14} NOTICE: {manifest['notice']}")
    absent = [component for component in components if not _is_current(home, component)]
    if absent:
        raise StackError("not installed: " + ", ".join(component.name for component in absent))


def _is_current(home: Path, component: Component) -> bool:
    manifest = read_json(home / component.name / MANIFEST)
    return bool(manifest) and manifest.get("recipe") == component.recipe


def _install_missing(home: Path, missing: list[Component]) -> None:
    for leftover in home.glob("tmp-*"):  # of a run that was killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=home, prefix="tmp-"))
    bench = Workbench(scratch=scratch, logs=home / "logs", cancelled=threading.Event())
    lanes: dict[str, list[Component]] = {}
    for component in missing:
        lanes.setdefault(component.lane, []).append(component)
    try:
        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            futures = [pool.submit(_install_lane, home, bench, lane) for lane in lanes.values()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                bench.cancelled.set()
                raise
    finally:
        _remove_tree(scratch)


def _install_lane(home: Path, bench: Workbench, lane: list[Component]) -> None:
    for component in lane:
        if bench.cancelled.is_set():
            return
        try:
            _install_one(home, bench, component)
        except Cancelled:
            return
        except StackError as error:
            # The others go on: one missing tool must not cost the user the servers.
            detail = f"\n{error.detail}" if error.detail else ""
            say(f"could not install {component.name}: {error}\n  {component.remedy}{detail}")


def _install_one(home: Path, bench: Workbench, component: Component) -> None:
    begin = time.monotonic()
    say(f"installing {component.name}")
    (bench.logs / f"install-{component.name}.log").unlink(missing_ok=True)
    target = bench.scratch / component.name
    target.mkdir()
    result = component.install(bench, target)
    write_json(target / MANIFEST, {
        "recipe": component.recipe, "version": result.version,
        "source": result.source, "notice": result.notice})
    component.self_test(bench, target)
    final = home / component.name
    if final.exists():
        final.rename(bench.scratch / f"{component.name}-replaced")
    target.rename(final)
    say(f"installed  {component.name} in {time.monotonic() - begin:.0f} s")


def _remove_tree(path: Path) -> None:
    def make_writable(function, failed, _):
        os.chmod(Path(failed).parent, 0o700)
        os.chmod(failed, 0o700)
        function(failed)
    shutil.rmtree(path, onerror=make_writable)
