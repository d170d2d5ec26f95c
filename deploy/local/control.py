"""What can be done with a stack: up, down, status, and single servers for fault tests."""

import os
import shutil
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from install.catalogue import tool_environment
from members import MEMBER_NAMES, member
from runtime import envfile
from runtime.errors import Cancelled, StackError
from runtime.layout import RunDir, stack_home
from runtime.signals import uninterrupted
from servers import Server
from services import SERVICE_NAMES, Service

MEBIBYTE = 1024 * 1024


def say(message: str) -> None:
    # In one piece: several threads speak.
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def up(run: RunDir, names: list[str], profile: str | None) -> list[Server]:
    """Starts what is not running, all at once, and returns that.

    What it started it stops again on failure or Ctrl-C.
    """
    begin = time.monotonic()
    run.path.mkdir(parents=True, exist_ok=True)
    profile = profile or run.profile_name()
    servers = [member(name, run, profile) for name in names]
    for each in servers:
        for port_name in each.choose_ports():
            say(f"{each.name}: another program has taken port {port_name}; it gets a new one")
        if isinstance(each, Service) and each.runs_older_build():
            say(f"{each.name:9} runs an older build: {each.stop()}")
    run.remember_profile(profile)
    started: list[Server] = []
    try:
        _start_together(servers, started)
        _write_env(run, servers)
    except BaseException:
        with uninterrupted():
            stop_together(started)
        raise
    say(f"{_list(names)} up in {time.monotonic() - begin:.1f} s; addresses in {run.env_file}")
    return started


def _list(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _start_together(servers: list[Server], started: list[Server]) -> None:
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        futures = [pool.submit(_start_one, each, cancelled, started) for each in servers]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # No effect when all is well; else those still starting give up.
            if not all(future.done() and not future.exception() for future in futures):
                cancelled.set()
                with uninterrupted():
                    wait(futures)
    if any(future.exception() for future in futures):
        raise _first_cause(futures)


def _first_cause(futures) -> BaseException:
    errors = [future.exception() for future in futures if future.exception()]
    return next((error for error in errors if not isinstance(error, Cancelled)), errors[0])


def _start_one(each: Server, cancelled: threading.Event, started: list[Server]) -> None:
    begin = time.monotonic()
    fresh = each.start(cancelled, started)
    how = f"ready in {time.monotonic() - begin:.1f} s" if fresh else "was running"
    say(f"{each.name:9} {how}, port {each.port}, {each.version()}")


def stop_together(members: list[Server]) -> None:
    """Services one by one in their order, then all servers at once: nobody stops before his callers."""
    services = [each for each in members if each.name in SERVICE_NAMES]
    for each in sorted(services, key=lambda one: SERVICE_NAMES.index(one.name)):
        say(f"{each.name:9} {each.stop()}")
    servers = [each for each in members if each not in services]
    if servers:
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            for each, how in zip(servers, pool.map(lambda one: one.stop(), servers)):
                say(f"{each.name:9} {how}")


def _write_env(run: RunDir, servers: list[Server]) -> None:
    values: dict[str, str | None] = {"HEADGATE_STACK_HOME": str(stack_home())}
    values.update(tool_environment(stack_home()))
    for each in servers:
        values.update(each.environment())
    envfile.update(run.env_file, values)


def down(run: RunDir, wipe: bool) -> None:
    stop_together(_existing(run))
    if wipe and run.path.exists():
        _require_stack_folder(run)
        shutil.rmtree(run.path)
        say(f"removed {run.path}")


def _require_stack_folder(run: RunDir) -> None:
    """--wipe with a mistyped --dir must not remove somebody's home."""
    if not run.exists():
        raise StackError(f"{run.path} is not the folder of a stack (no {run.ports_file.name}): not removed")


def _existing(run: RunDir) -> list[Server]:
    return [member(name, run, run.profile_name()) for name in MEMBER_NAMES
            if run.component(name).is_dir()]


def one(run: RunDir, name: str) -> Server:
    """A member of a stack that exists, running or not."""
    if not run.exists():
        raise StackError(f"there is no stack in {run.path}: run `stack.py up --dir {run.path}`")
    return member(name, run, run.profile_name())


def start(run: RunDir, name: str) -> None:
    _start_one(one(run, name), threading.Event(), [])


def stop(run: RunDir, name: str) -> None:
    say(f"{name:9} {one(run, name).stop()}")


def kill(run: RunDir, name: str) -> None:
    one(run, name).kill()
    say(f"{name:9} killed")


def pause(run: RunDir, name: str) -> None:
    one(run, name).pause()
    say(f"{name:9} paused")


def resume(run: RunDir, name: str) -> None:
    one(run, name).resume()
    say(f"{name:9} resumed")


def status(run: RunDir) -> int:
    """0 only if every member of the stack answers."""
    if not run.exists():
        raise StackError(f"there is no stack in {run.path}")
    servers = _existing(run)
    with ThreadPoolExecutor(max_workers=len(MEMBER_NAMES)) as pool:
        states = list(pool.map(lambda each: each.state(), servers))
    print(f"{'component':10} {'state':14} {'pid':>8} {'port':>6} {'MiB':>6}")
    for each, state in zip(servers, states):
        identity = each.process.identity()
        print(f"{each.name:10} {state:14} {identity.pid if identity else '-':>8} {each.port:>6} "
              f"{each.process.resident_bytes() // MEBIBYTE:>6}")
    return 0 if servers and all(state == "ready" for state in states) else 1


def logs(run: RunDir, name: str | None, lines: int, follow: bool) -> None:
    files = sorted(run.path.glob("*/server.log"))
    if name:
        files = [file for file in files if file.parent.name == name]
    if not files:
        raise StackError(f"no log of {name or 'any server'} in {run.path}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, files)]
    sys.stdout.flush()
    os.execvp(command[0], command)


def env(run: RunDir, action: str, assignments: list[str]) -> None:
    if action == "show":
        for key, value in envfile.read(run.env_file).items():
            print(f"{key}={value}")
        return
    changes: dict[str, str | None] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if action == "set" and not equals:
            raise StackError(f"{assignment!r} is not KEY=VALUE")
        changes[key] = value if action == "set" else None
    envfile.update(run.env_file, changes)
