"""The incident from a sale that is well to the proof that nothing is missing."""

import contextlib
from datetime import datetime, timezone

import contents
import control
from demonstration.incident.eyes import Eyes, await_that
from demonstration.incident.mending import Mending
from demonstration.incident.outage import ON_THEIR_WAY, Outage
from demonstration.incident.planting import LETTERS, UNHARMED, Planting, change_back
from demonstration.incident.sale import Sale, named
from demonstration.incident.shell import Shell, require, step, tell
from runtime import envfile
from runtime.errors import StackError
from runtime.layout import RunDir
from runtime.signals import uninterrupted
from servers.mysql_wire import MySqlError
from services import service

WELL = 30
QUOTA = WELL + LETTERS + UNHARMED + ON_THEIR_WAY + 1
# What the story stops, in the order in which it has to be back.
TAKEN_DOWN = ("mysql", "relay", "consumers")
VALUE_FILE = "incident-value.json"

BEGIN = """\
Each command below can be typed as it stands, from the checkout, after
  . {env} && PATH="{programs}:$PATH\""""


class Incident:
    def __init__(self, run: RunDir, programs: str):
        variables = envfile.read(run.env_file)
        self._run, self._programs = run, programs
        self._shell = Shell(run, variables)
        self._eyes = Eyes(variables, service("consumers", run, run.profile_name()).metrics_url())
        self._sale = Sale(self._shell, variables)

    def tell(self) -> None:
        """Raises StackError where something does not come out as told; puts back what it took away."""
        tell(BEGIN.format(env=self._run.env_file, programs=self._programs))
        with contextlib.ExitStack() as taken_away:
            taken_away.callback(self._put_back)
            self._sell_well()
            since = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"
            Planting(self._shell, self._eyes, self._sale).plant(since)
            Outage(self._shell, self._eyes, self._sale).survive(since)
            Mending(self._shell, self._eyes, self._sale, self._run.path / VALUE_FILE).mend(since)
            self._reconcile(since)
            taken_away.pop_all()

    def _sell_well(self) -> None:
        step(f"1. A sale of {QUOTA} coupons, and all is well")
        self._shell.run("headgate reconcile")
        self._sale.open(QUOTA)
        self._sale.claim(named("well", WELL))
        await_that("every coupon to be issued", lambda: self._sale.issued() == WELL and self._eyes.is_quiet())
        self._shell.run(f"headgate campaign show {self._sale.campaign_id}")

    def _reconcile(self, since: str) -> None:
        step("9. Nothing is missing")
        await_that("the pipe to be empty", self._eyes.is_quiet)
        self._shell.run(f"headgate dlq groups --since {since}")
        self._shell.run("headgate lag")
        self._shell.run("headgate reconcile pipe --deep")
        self._shell.run("headgate reconcile")
        promised, issued = len(self._sale.promised), self._sale.issued()
        require(issued == promised == QUOTA, f"{QUOTA} coupons promised and issued", (promised, issued))
        said = self._shell.ask("reconcile")
        print("\n" + "\n".join(verdict(said, self._sale.campaign_id)), flush=True)

    def _put_back(self) -> None:
        """What was stopped runs again and the rows are as they were, also when the story ends early."""
        with uninterrupted(), contextlib.suppress(StackError, MySqlError, OSError):
            for name in TAKEN_DOWN:
                control.start(self._run, name)
            if self._sale.campaign_id:
                contents.sql(self._run, change_back(self._sale.rows()))


def verdict(reconciled: dict, campaign_id: str) -> list[str]:
    """The figures that the story ends with; StackError if they are not as they must be."""
    campaigns = reconciled["items"]
    ours = next(each["counts"] for each in campaigns if each["campaign_id"] == campaign_id)
    require(ours["claimed"] == ours["issued"] == ours["quota"], "claimed = issued = quota", ours)
    # Others may have letters of their own, which are not ours to settle.
    claimed, issued, dead, in_flight = (
        sum(each["counts"][name] for each in campaigns) for name in ("claimed", "issued", "dead_letters", "in_flight"))
    require(claimed == issued + dead + in_flight, "every claim is somewhere", (claimed, issued, dead, in_flight))
    require(reconciled["pipe"] is not None, "the pipe is reconciled")
    differences = reconciled["differences"]
    require(differences == 0, "differences = 0", reconciled)
    return [f"of this sale:      claimed {ours['claimed']} = issued {ours['issued']}",
            f"of all campaigns:  claimed {claimed} = issued {issued} + dead letters {dead} + in flight {in_flight}",
            f"differences = {differences}"]
