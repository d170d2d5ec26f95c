"""The sale from its registration to the last coupon, told on stdout."""

import random
import threading
import time
from datetime import datetime, timedelta, timezone

from demonstration.http_json import Client
from demonstration.rush import (ADMITTED, ALREADY_CLAIMED, CONNECTIONS, SOLD_OUT, Outcome,
                                ask_for_returned, rush)
from runtime.errors import StackError
from runtime.waiting import wait_until

COUPONS = 100
USERS = 3000
TWICE_EVERY = 10
# Within this time a ticket that nobody got can be claimed again.
RETURNED_SECONDS = 30
ISSUED_SECONDS = 60
LAG_SECONDS = 60
OPEN_FOR = timedelta(days=1)


class Sale:
    def __init__(self, variables: dict[str, str]):
        self._api_key = variables["HEADGATE_API_KEY"]
        self.api = Client(variables["HEADGATE_API_URL"], {"X-API-KEY": self._api_key})
        self.operator = Client(variables["HEADGATE_OPERATOR_URL"],
                               {"Authorization": f"Bearer {variables['HEADGATE_OPERATOR_TOKEN']}"})
        self.campaign_id = ""
        self.winner = ""

    def hold(self) -> None:
        """Raises StackError if anything is not as it must be."""
        self.campaign_id = self._register()
        users = [f"user-{number}" for number in range(1, USERS + 1)]
        random.shuffle(users)
        asking = USERS + (USERS + TWICE_EVERY - 1) // TWICE_EVERY
        _say(f"{USERS:,} users want one of {COUPONS} coupons; every {TWICE_EVERY}th asks twice")
        outcome = rush(self.api.url, self._api_key, self.campaign_id, users, TWICE_EVERY)
        asked_later = ask_for_returned(self.api, self.campaign_id, users, COUPONS, outcome, RETURNED_SECONDS)
        answered = time.monotonic()
        _figure("requests", outcome.requests(),
                f"over {CONNECTIONS} connections in {outcome.seconds:.1f} s")
        _figure("admitted", outcome.answers[ADMITTED], "first come, first served")
        _figure("sold out", outcome.answers[SOLD_OUT], "an answer, not a failure")
        _figure("already claimed", outcome.answers[ALREADY_CLAIMED], "winners who asked twice: the same ticket")
        if outcome.asked_again:
            _figure("asked again", outcome.asked_again, "after a 503 with Retry-After")
        if asked_later:
            _figure("asked later", asked_later, "losers, for tickets that were returned")
        _require_fair(outcome, asking + asked_later)
        self.winner = min(outcome.tickets, key=outcome.tickets.get)
        issued = self._wait_issued()
        _figure("issued", issued, f"{time.monotonic() - answered:.1f} s after the last answer")
        _figure("consumer lag", self._wait_no_lag(), "records that no consumer has taken")
        self._require_no_differences()

    def close(self) -> None:
        self.api.close()
        self.operator.close()

    def _register(self) -> str:
        now = datetime.now(timezone.utc)
        campaign = self.api.create("/v1/campaigns", {
            "name": f"demonstration of {now:%Y-%m-%d %H:%M:%S}", "quota": COUPONS,
            "opens_at": (now - timedelta(minutes=1)).isoformat(),
            "closes_at": (now + OPEN_FOR).isoformat(),
            "discount": {"type": "fixed", "amount": 1000}})
        return campaign["campaign_id"]

    def _counts(self) -> dict:
        return self._shown()["counts"]

    def _shown(self) -> dict:
        return self.operator.get(f"/v1/campaigns/{self.campaign_id}")

    def _wait_issued(self) -> int:
        if not wait_until(lambda: self._counts()["issued"] == COUPONS, ISSUED_SECONDS,
                          threading.Event(), "the demonstration"):
            raise StackError(f"not all coupons were issued within {ISSUED_SECONDS} s: {self._counts()}")
        return self._counts()["issued"]

    def _lag(self) -> int:
        return sum(group["lag_records"] for group in self.operator.get("/v1/lag")["items"])

    def _wait_no_lag(self) -> int:
        """Offsets are committed a moment after the rows they stand for."""
        if not wait_until(lambda: self._lag() == 0, LAG_SECONDS, threading.Event(), "the demonstration"):
            raise StackError(f"the consumers are {self._lag()} records behind after {LAG_SECONDS} s")
        return self._lag()

    def _require_no_differences(self) -> None:
        differences = self._shown()["differences"]
        _figure("differences", len(differences), "between claims, coupons and stock")
        if differences:
            lines = [f"{each['kind']}: {each['found']} instead of {each['expected']}" for each in differences]
            raise StackError("the campaign does not add up", "\n".join(lines))


def _require_fair(outcome: Outcome, asking: int) -> None:
    faults = []
    expected = {ADMITTED, SOLD_OUT, ALREADY_CLAIMED}
    others = {answer: count for answer, count in outcome.answers.items() if answer not in expected}
    if others:
        faults.append(f"answers that nobody should have heard: {others}")
    if outcome.requests() != asking:
        faults.append(f"{outcome.requests()} answers to {asking} requests")
    if sorted(outcome.tickets.values()) != list(range(1, COUPONS + 1)):
        faults.append(f"tickets are not 1 to {COUPONS}, each once: {sorted(outcome.tickets.values())}")
    for user, ticket in outcome.tickets_repeated.items():
        if outcome.tickets.get(user) != ticket:
            faults.append(f"{user} was told of ticket {ticket}, but got {outcome.tickets.get(user)}")
    if faults:
        raise StackError("the sale was not fair", "\n".join(faults))


def _say(text: str) -> None:
    print(text, flush=True)


def _figure(name: str, value: int, remark: str) -> None:
    _say(f"  {name:16} {value:>6,}   {remark}")
