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


def rush(url: str, api_key: str, campaign_id: str, users: list[str], twice_every: int) -> Outcome:
    """Every user asks; each `twice_every`-th asks a second time after the first answer."""
    cancelled = threading.Event()
    headers = {"X-API-KEY": api_key}

    def worker(number: int) -> Outcome:
        client = Client(url, headers)
        try:
            outcome = Outcome()
            for place in range(number, len(users), CONNECTIONS):
                for _ in range(2 if place % twice_every == 0 else 1):
                    _claim(client, campaign_id, users[place], outcome, cancelled)
            return outcome
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


def _claim(client: Client, campaign_id: str, user: str, outcome: Outcome, cancelled: threading.Event) -> None:
    for _ in range(ATTEMPTS_MAX):
        if cancelled.is_set():
            raise Cancelled("the demonstration")
        answer = client.post(f"/v1/campaigns/{campaign_id}/claims", {"user_id": user})
        if answer.status != 503:
            break
        outcome.asked_again += 1
        cancelled.wait(min(answer.retry_after_seconds, RETRY_SECONDS_MAX))
    _note(answer, user, outcome)


def _note(answer: Answer, user: str, outcome: Outcome) -> None:
    if answer.status == 202:
        outcome.answers[ADMITTED] += 1
        outcome.tickets[user] = answer.body["ticket"]
        return
    outcome.answers[answer.code() or f"status {answer.status}"] += 1
    if answer.code() == ALREADY_CLAIMED:
        outcome.tickets_repeated[user] = answer.body["claim"]["ticket"]
