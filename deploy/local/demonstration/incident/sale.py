"""The sale that the incident befalls: its users, what each was promised, and whether he got it."""

import threading
import time
from datetime import datetime, timedelta, timezone

from demonstration.http_json import Answer, Client
from demonstration.incident.shell import Shell, first_id, require

OPEN_FOR = timedelta(days=1)
# Whoever hears 503 asks again, as its Retry-After says, for so long.
PROMISE_SECONDS = 90
RETRY_SECONDS_MAX = 2.0
ADMITTED = 202
UNAVAILABLE = 503


class Sale:
    def __init__(self, shell: Shell, variables: dict[str, str]):
        self._shell = shell
        self._url = variables["HEADGATE_API_URL"]
        self._headers = {"X-API-KEY": variables["HEADGATE_API_KEY"]}
        self.campaign_id = ""
        # User -> claim.
        self.promised: dict[str, str] = {}

    def open(self, quota: int) -> None:
        closes_at = datetime.now(timezone.utc) + OPEN_FOR
        said = self._shell.run(f"headgate campaign create incident --quota {quota} --fixed 1000 "
                               f"--closes-at {closes_at:%Y-%m-%dT%H:%M:%SZ}")
        self.campaign_id = first_id(said)

    def claim(self, users: list[str]) -> None:
        """Each of them asks until he is promised a coupon."""
        print(f"\n  POST /v1/campaigns/{self.campaign_id}/claims", flush=True)
        for user in users:
            deadline = time.monotonic() + PROMISE_SECONDS
            while (answer := self.ask(user)).status == UNAVAILABLE and time.monotonic() < deadline:
                threading.Event().wait(min(answer.retry_after_seconds, RETRY_SECONDS_MAX))
            require(answer.status == ADMITTED, f"{user} is admitted", answer)
            self.promised[user] = answer.body["claim_id"]
        names = users[0] if len(users) == 1 else f"{users[0]} to {users[-1]}"
        print(f"  {len(users)} x {ADMITTED}: {names}", flush=True)

    def ask(self, user: str) -> Answer:
        client = Client(self._url, self._headers)
        try:
            return client.post(f"/v1/campaigns/{self.campaign_id}/claims", {"user_id": user})
        finally:
            client.close()

    def issued(self) -> int:
        """How many of those who were promised a coupon have one."""
        client = Client(self._url, self._headers)
        try:
            states = [client.get(f"/v1/claims/{claim}")["state"] for claim in self.promised.values()]
            return states.count("issued")
        finally:
            client.close()

    def rows(self) -> str:
        """Its claims, as SQL finds them."""
        return ('campaign_no = (SELECT campaign_no FROM campaigns '
                f'WHERE campaign_id = UUID_TO_BIN("{self.campaign_id}"))')


def named(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(1, count + 1)]
