"""What an operator does: find, look, plan, rehearse, mend, rehearse, edit, replay, see the outcome."""

import json
import shlex
from pathlib import Path

from demonstration.incident.eyes import Eyes, await_that
from demonstration.incident.planting import CHANGED, CUT, change_back, sql, write
from demonstration.incident.sale import Sale
from demonstration.incident.shell import Shell, first_id, require, step, tell

CANARY = 3
POISON, REJECTED = "poison", "rejected"


class Mending:
    def __init__(self, shell: Shell, eyes: Eyes, sale: Sale, value_file: Path):
        self._shell, self._eyes, self._sale = shell, eyes, sale
        self._value_file = value_file

    def mend(self, since: str) -> None:
        causes = self._find(since)
        replay_id = self._plan(causes[REJECTED], since)
        self._mend_rows(replay_id)
        self._edit(causes[POISON]["example"])
        self._replay(replay_id)

    def _find(self, since: str) -> dict[str, dict]:
        step("4. Find: which causes, how many letters of each, and what is in them")
        self._shell.run(f"headgate dlq groups --since {since}")
        groups = self._shell.ask(f"dlq groups --since {since}")["items"]
        causes = {group["disposition"]: group for group in groups}
        found = sorted((group["disposition"], group["letters"]) for group in groups)
        require(found == [(POISON, CUT), (REJECTED, CHANGED)], "two causes", json.dumps(groups, indent=2))
        self._shell.run(f"headgate dlq show {causes[REJECTED]['example']}", lines_max=34)
        self._shell.run(f"headgate dlq show {causes[POISON]['example']}", lines_max=34)
        return causes

    def _plan(self, cause: dict, since: str) -> str:
        step("5. Plan the replay of what was rejected, and rehearse it before anything is mended")
        plan = f"headgate dlq plan --fingerprint {cause['fingerprint']} --since {since} --canary {CANARY}"
        replay_id = first_id(self._shell.run(plan))
        self._shell.run(f"headgate dlq rehearse --plan {replay_id} --all")
        self._require_rehearsed(f"--plan {replay_id} --all", "fail", CHANGED)
        tell("Nothing was sent: a replay now would only fail again.")
        return replay_id

    def _mend_rows(self, replay_id: str) -> None:
        step("6. Mend the rows, and rehearse again")
        write(self._shell, change_back(self._sale.rows()), CHANGED)
        self._shell.run(f"headgate dlq rehearse --plan {replay_id} --all")
        self._require_rehearsed(f"--plan {replay_id} --all", "apply", CHANGED)

    def _edit(self, letter_id: str) -> None:
        step("7. Edit the letter whose bytes cannot be read, and send it")
        tell("What was promised is in MySQL: the claim's row has all that its event had to say.")
        file = shlex.quote(str(self._value_file))
        self._shell.run(f"{sql(told_by_row(self._sale.promised['cut-1']))} > {file}")
        self._shell.run(f"python3 -m json.tool {file}")
        self._shell.run(f"headgate dlq edit {letter_id} --file {file} --yes "
                        "--reason 'cut short by its writer; told again from the row of the claim'")
        self._shell.run(f"headgate dlq rehearse {letter_id}")
        self._require_rehearsed(letter_id, "apply", 1)
        self._shell.run(f"headgate dlq replay {letter_id}")
        await_that("the edited letter to be resolved", lambda: self._eyes.letter_state(letter_id) == "resolved")
        self._shell.run(f"headgate dlq list --state resolved --key {self._sale.promised['cut-1']}")

    def _replay(self, replay_id: str) -> None:
        step("8. Replay what was rejected: a canary first, then the rest")
        self._shell.run(f"headgate dlq replay --plan {replay_id} --yes --detach")
        self._shell.run(f"headgate dlq watch {replay_id}")
        replay = self._shell.ask(f"dlq watch {replay_id}")
        require((replay["pause_reason"], replay["progress"]["resolved"]) == ("canary", CANARY),
                f"paused after {CANARY} letters", json.dumps(replay, indent=2))
        self._shell.run(f"headgate dlq outcome {replay_id} --outcome resolved")
        tell("The canary is well. The rest goes:")
        self._shell.run(f"headgate dlq resume {replay_id} --yes")
        self._shell.run(f"headgate dlq outcome {replay_id}")
        outcomes = [letter["outcome"] for letter in self._shell.ask(f"dlq outcome {replay_id}")["items"]]
        require(outcomes == ["resolved"] * CHANGED, "every letter resolved", outcomes)

    def _require_rehearsed(self, which: str, would: str, letters: int) -> None:
        rehearsed = [letter["would"] for letter in self._shell.ask(f"dlq rehearse {which}")]
        require(rehearsed == [would] * letters, f"{letters} letters that would {would}", rehearsed)


def told_by_row(claim_id: str) -> str:
    """The claim's event, from the rows of the claim, its campaign and its partner."""
    return ('SELECT JSON_OBJECT('
            '"claim_id", BIN_TO_UUID(c.claim_id), "campaign_id", BIN_TO_UUID(p.campaign_id), '
            '"partner_id", BIN_TO_UUID(r.partner_id), "user_id", CONVERT(c.user_id USING utf8mb4), '
            '"ticket", c.ticket, "admission_epoch", c.admission_epoch, "sequence", c.sequence, '
            '"quota", p.quota, "stock_left", p.quota - c.ticket, '
            '"admitted_at", TIMESTAMPDIFF(MICROSECOND, "1970-01-01", c.admitted_at)) '
            'FROM claims c JOIN campaigns p USING (campaign_no) JOIN partners r USING (partner_no) '
            f'WHERE c.claim_id = UUID_TO_BIN("{claim_id}")')
