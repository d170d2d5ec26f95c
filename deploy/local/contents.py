"""What the servers of a stack hold: one statement in MySQL; Redis' data, kept and put back."""

import threading

from control import one, say
from runtime.layout import RunDir


def sql(run: RunDir, statement: str) -> None:
    rows, changed = one(run, "mysql").execute(statement)
    for row in rows:
        print("\t".join("NULL" if value is None else value for value in row))
    if not rows:
        say(f"mysql     {changed} rows changed")


def redis_snapshot(run: RunDir, action: str, name: str) -> None:
    redis = one(run, "redis")
    if action == "save":
        say(f"redis     saved to {redis.snapshot_save(name)}")
    else:
        redis.snapshot_restore(name, threading.Event())
        say(f"redis     restored from {name!r}, port {redis.port}")
