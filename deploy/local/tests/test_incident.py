"""The incident's own parts that need no servers: what it shows, what it writes, what it concludes."""

import json
import re
import shlex
import sqlite3
import tempfile
import unittest
from pathlib import Path

from demonstration.incident import mending, planting
from demonstration.incident.eyes import a_partition_waits
from demonstration.incident.shell import COLUMNS_MAX, Shell, first_id, shortened
from demonstration.incident.story import verdict
from runtime.errors import StackError
from runtime.layout import REPOSITORY, RunDir

CLAIM = "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77"
ADMITTED_SCHEMA = REPOSITORY / "schemas/avro/coupons/claim-admitted.avsc"


def reconciled(claimed: int = 3, issued: int = 3, elsewhere: int = 1, differences: int = 0) -> dict:
    counts = {"quota": 3, "claimed": claimed, "issued": issued, "dead_letters": 0, "in_flight": 0}
    other = {"quota": 9, "claimed": 5, "issued": 4, "dead_letters": elsewhere, "in_flight": 0}
    return {"items": [{"campaign_id": "other", "counts": other}, {"campaign_id": CLAIM, "counts": counts}],
            "differences": differences, "pipe": {}}


class Shown(unittest.TestCase):
    def test_long_output_is_cut_and_says_so(self):
        self.assertEqual(shortened("a\nb\nc\nd\n", 2), "a\nb\n... 2 more lines")
        self.assertEqual(shortened("a\nb\nc\n", 2), "a\nb\nc")
        line = shortened("x" * (COLUMNS_MAX + 1), 1)
        self.assertEqual((len(line), line[-3:]), (COLUMNS_MAX, "..."))

    def test_an_id_is_found_in_a_table(self):
        self.assertEqual(first_id(f" replay   {CLAIM} \n state  planned"), CLAIM)
        with self.assertRaises(StackError):
            first_id("no replay")

    def test_a_waiting_partition_is_told_from_one_that_goes_on(self):
        metric = 'headgate_consumer_waiting{group="g",partition="0"} '
        self.assertFalse(a_partition_waits(f"{metric}0\nother 1\n"))
        self.assertTrue(a_partition_waits(f"other 0\n{metric}1\n"))


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.shell = Shell(RunDir(Path(folder.name)), {"KNOWN": "known"})

    def test_a_command_sees_the_stack_s_variables_and_stderr_is_shown(self):
        said = self.shell.run('echo "$KNOWN" in "$HEADGATE_RUN_DIR"; echo aside >&2')
        self.assertRegex(said, r"^known in /.*\naside\n$")

    def test_a_command_that_fails_ends_the_story(self):
        with self.assertRaises(StackError) as caught:
            self.shell.run("exit 3")
        self.assertIn("exit code 3", str(caught.exception))

    def test_a_statement_reaches_the_command_as_one_word(self):
        statement = planting.change(f'campaign_id = "{CLAIM}"')
        self.assertEqual(shlex.split(planting.sql(statement))[-2:], ["sql", statement])


class Statements(unittest.TestCase):
    def test_what_is_changed_is_changed_back_and_nothing_else(self):
        rows = [("changed-1",), ("changed-12",), ("unharmed-1",), ("cut-1",)]
        with sqlite3.connect(":memory:") as database:
            database.create_function("CONCAT", 2, lambda one, two: one + two)
            database.execute("CREATE TABLE claims (user_id TEXT)")
            database.executemany("INSERT INTO claims VALUES (?)", rows)
            database.execute(planting.change("1 = 1").replace('"', "'"))
            changed = database.execute("SELECT user_id FROM claims").fetchall()
            self.assertEqual(changed, [("changed-1-changed",), ("changed-12-changed",), *rows[2:]])
            for _ in range(2):
                database.execute(planting.change_back("1 = 1").replace('"', "'"))
                self.assertEqual(database.execute("SELECT user_id FROM claims").fetchall(), rows)

    def test_what_is_left_of_the_bytes_ends_behind_the_first_field(self):
        wire_format, length = 5, 1
        self.assertEqual(planting.BYTES_LEFT, wire_format + length + len(CLAIM))
        self.assertEqual(json.loads(ADMITTED_SCHEMA.read_text())["fields"][0]["name"], "claim_id")

    def test_the_event_is_told_again_with_every_field_of_its_schema(self):
        fields = [field["name"] for field in json.loads(ADMITTED_SCHEMA.read_text())["fields"]]
        self.assertEqual(re.findall(r'"([a-z_]+)", ', mending.told_by_row(CLAIM)), fields)


class Verdict(unittest.TestCase):
    def test_it_names_the_sums(self):
        self.assertEqual(verdict(reconciled(), CLAIM), [
            "of this sale:      claimed 3 = issued 3",
            "of all campaigns:  claimed 8 = issued 7 + dead letters 1 + in flight 0", "differences = 0"])

    def test_what_does_not_add_up_ends_the_story(self):
        not_followed = {**reconciled(), "pipe": None}
        missing = (reconciled(issued=2), reconciled(claimed=2, issued=2), reconciled(elsewhere=0))
        for wrong in (*missing, reconciled(differences=1), not_followed):
            with self.assertRaises(StackError):
                verdict(wrong, CLAIM)
