"""The faults that are planted in rows: behind the product's back, before its events are published."""

import shlex

from demonstration.incident.eyes import Eyes, await_that
from demonstration.incident.sale import Sale, named
from demonstration.incident.shell import Shell, require, step, tell

CUT = 1
CHANGED = 12
UNHARMED = 17
LETTERS = CUT + CHANGED
# Magic byte, schema id and the claim's id stay: the relay lets it pass, no schema can read it.
BYTES_LEFT = 42

STACK = "python3 deploy/local/stack.py"
MARK = "-changed"
CHANGED_USERS = 'user_id LIKE "changed-%"'


class Planting:
    def __init__(self, shell: Shell, eyes: Eyes, sale: Sale):
        self._shell, self._eyes, self._sale = shell, eyes, sale

    def plant(self, since: str) -> None:
        """Leaves the relay running, and the letters that follow open."""
        step("2. Two faults are planted in rows: bytes that cannot be read, and a rule that rejects")
        tell("The relay is stopped, so that what is sold now waits in the outbox with its event.")
        self._shell.run(f"{STACK} stop relay")
        self._sale.claim(named("cut", CUT))
        self._sale.claim(named("changed", CHANGED))
        self._sale.claim(named("unharmed", UNHARMED))
        self._shell.run("headgate outbox status")
        tell("(a) A writer's fault: the event of one claim is cut short.")
        write(self._shell, cut_short(self._sale.promised["cut-1"]), CUT)
        tell(f"(b) A script that should not have been run: it renames the users of {CHANGED} claims, so that\n"
             "    their events say something else than their rows.")
        write(self._shell, change(self._sale.rows()), CHANGED)
        tell("Now they are published, and the consumers meet them.")
        self._shell.run(f"{STACK} start relay")
        await_that(f"{LETTERS} dead letters", lambda: self._eyes.open_letters(since) == LETTERS)
        await_that("the other events to be applied", self._eyes.is_quiet)
        self._shell.run(f"headgate campaign show {self._sale.campaign_id}")
        letters = self._eyes.open_letters(since)
        require(letters == LETTERS, f"{LETTERS} letters, and no other", letters)
        tell(f"{LETTERS} events are dead letters; the {UNHARMED} others went on past them.")


def sql(statement: str) -> str:
    """The command that runs it."""
    return f"{STACK} sql {shlex.quote(statement)}"


def write(shell: Shell, statement: str, rows: int) -> None:
    said = shell.run(sql(statement))
    require(f" {rows} rows changed" in said, f"{rows} rows changed", said)


def cut_short(claim_id: str) -> str:
    return (f'UPDATE outbox SET payload = LEFT(payload, {BYTES_LEFT}) '
            f'WHERE aggregate_id = "{claim_id}" AND event_type LIKE "%ClaimAdmitted"')


def change(rows: str) -> str:
    return f'UPDATE claims SET user_id = CONCAT(user_id, "{MARK}") WHERE {CHANGED_USERS} AND {rows}'


def change_back(rows: str) -> str:
    """Harmless where nothing was changed."""
    return f'UPDATE claims SET user_id = REPLACE(user_id, "{MARK}", "") WHERE {CHANGED_USERS} AND {rows}'
