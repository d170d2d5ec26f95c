"""Looking at the running product until something has come to pass; every wait is bounded."""

import http.client
import re
import threading
import urllib.request

from demonstration.http_json import Client
from runtime.errors import StackError
from runtime.waiting import wait_until

WAIT_SECONDS = 90
METRICS_SECONDS = 5
WAITING = re.compile(r"^headgate_consumer_waiting\{.*\} 1$", re.MULTILINE)


class Eyes:
    def __init__(self, variables: dict[str, str], consumers_metrics_url: str):
        self._url = variables["HEADGATE_OPERATOR_URL"]
        self._headers = {"Authorization": f"Bearer {variables['HEADGATE_OPERATOR_TOKEN']}"}
        self._metrics_url = consumers_metrics_url

    def get(self, path: str) -> dict:
        client = Client(self._url, self._headers)
        try:
            return client.get(path)
        finally:
            client.close()

    def lag(self) -> int:
        return sum(group["lag_records"] for group in self.get("/v1/lag")["items"])

    def is_quiet(self) -> bool:
        """Nothing waits in the outbox, and nothing in Kafka."""
        return self.get("/v1/outbox")["pending"] == 0 and self.lag() == 0

    def consumers_wait(self) -> bool:
        """Whether a partition stands still because what it needs is away."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._metrics_url, timeout=METRICS_SECONDS) as answer:
                return a_partition_waits(answer.read().decode())
        except (OSError, http.client.HTTPException) as error:
            raise StackError(f"the consumers' metrics cannot be read: {error!r}") from error

    def open_letters(self, since: str) -> int:
        return self.get(f"/v1/dead-letters?state=open&since={since}&limit=1")["total"]

    def letter_state(self, letter_id: str) -> str:
        return self.get(f"/v1/dead-letters/{letter_id}")["state"]


def a_partition_waits(metrics: str) -> bool:
    return WAITING.search(metrics) is not None


def await_that(what: str, condition) -> None:
    """An answer that does not come is no answer yet: a server may be on its way back."""
    errors = []

    def holds() -> bool:
        try:
            return condition()
        except StackError as error:
            errors[:] = [str(error)]
            return False

    if not wait_until(holds, WAIT_SECONDS, threading.Event(), what):
        raise StackError(f"not within {WAIT_SECONDS} s: {what}", "".join(errors))
