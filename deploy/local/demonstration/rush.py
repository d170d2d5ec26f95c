"""Users who all ask for a coupon at once, some of them twice."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from demonstration.http_json import Answer, Client
from runtime.errors import Cancelled

CONNECTIONS = 32
# Whoever hears 503 asks again, as its Retry-After says.
ATTEMPTS_MAX = 10
RETRY_SECONDS_MAX = 2.0

ADMITTED = "admitted"
SOLD_OUT = "coupon-sold-out"
ALREADY_CLAIMED = "coupon-already-claimed"


@dataclass
class Outcome:
    """What the users heard."""

    answers: Counter = field(default_factory=Counter)
    tickets: dict[str, int] = field(default_factory=dict)
    # Of users who were told of their earlier claim.
    tickets_repeated: dict[str, int] = field(default_factory=dict)
    asked_again: int = 0
    seconds: float = 0.0

    def requests(self) -> int:
        return sum(self.answers.values())

    def add(self, other: "Outcome") -> None:
        self.answers += other.answers
        self.tickets.update(other.tickets)
        self.tickets_repeated.update(other.tickets_repeated)
        self.asked_again += other.asked_again


class Asker:
    """One connection, on which users ask one after the other."""

    def __init__(self, client: Client, campaign_id: str, cancelled: threading.Event):
        self._client = client
        self._path = f"/v1/campaigns/{campaign_id}/claims"
        self._cancelled = cancelled
        self.outcome = Outcome()

    def ask(self, user: str) -> None:
        for attempt in range(ATTEMPTS_MAX):
            if self._cancelled.is_set():
                raise Cancelled("the demonstration")
            answer = self._client.post(self._path, {"user_id": user})
            if answer.status != 503:
                break
            self.outcome.asked_again += 1
            self._cancelled.wait(min(answer.retry_after_seconds, RETRY_SECONDS_MAX))
        self._note(answer, user, repeated=attempt > 0)

    def _note(self, answer: Answer, user: str, repeated: bool) -> None:
        outcome = self.outcome
        if answer.code() == ALREADY_CLAIMED and repeated and user not in outcome.tickets:
            # The claim behind his 503 was written down after all: this is how he hears of it.
            outcome.answers[ADMITTED] += 1
            outcome.tickets[user] = answer.body["claim"]["ticket"]
        elif answer.code() == ALREADY_CLAIMED:
            outcome.answers[ALREADY_CLAIMED] += 1
            outcome.tickets_repeated[user] = answer.body["claim"]["ticket"]
        elif answer.status == 202:
            outcome.answers[ADMITTED] += 1
            outcome.tickets[user] = answer.body["ticket"]
        else:
            outcome.answers[answer.code() or f"status {answer.status}"] += 1


def rush(url: str, api_key: str, campaign_id: str, users: list[str], twice_every: int) -> Outcome:
    """Every user asks; each `twice_every`-th asks a second time after the first answer."""
    cancelled = threading.Event()

    def worker(number: int) -> Outcome:
        client = Client(url, {"X-API-KEY": api_key})
        asker = Asker(client, campaign_id, cancelled)
        try:
            for place in range(number, len(users), CONNECTIONS):
                for _ in range(2 if place % twice_every == 0 else 1):
                    asker.ask(users[place])
            return asker.outcome
        finally:
            client.close()

    begin = time.monotonic()
    total = Outcome()
    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        try:
            for outcome in pool.map(worker, range(CONNECTIONS)):
                total.add(outcome)
        except BaseException:
            cancelled.set()
            raise
    total.seconds = time.monotonic() - begin
    return total


def ask_for_returned(client: Client, campaign_id: str, users: list[str], coupons: int, total: Outcome,
                     seconds: float) -> int:
    """Losers ask again while tickets are out that nobody got; returns how many asked.

    A ticket whose claim could not be written down goes to the next asker, some seconds later.
    """
    cancelled = threading.Event()
    asker = Asker(client, campaign_id, cancelled)
    losers = [user for user in users if user not in total.tickets]
    deadline = time.monotonic() + seconds
    asked = 0
    while len(total.tickets) + len(asker.outcome.tickets) < coupons and time.monotonic() < deadline:
        asker.ask(losers[asked % len(losers)])
        asked += 1
        cancelled.wait(seconds / len(losers))
    total.add(asker.outcome)
    return asked
