"""A client of one listener: JSON over one kept connection, for one thread."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.errors import StackError

REQUEST_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict
    retry_after_seconds: float

    def code(self) -> str:
        """Of a problem; empty otherwise."""
        return self.body.get("code", "")


class Client:
    def __init__(self, url: str, headers: dict[str, str]):
        self.url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=REQUEST_SECONDS)

    def get(self, path: str) -> dict:
        return self._wanted("GET", path, None, 200)

    def create(self, path: str, body: dict) -> dict:
        return self._wanted("POST", path, body, 201)

    def post(self, path: str, body: dict) -> Answer:
        return self._request("POST", path, body)

    def close(self) -> None:
        self._connection.close()

    def _wanted(self, method: str, path: str, body: dict | None, status: int) -> dict:
        answer = self._request(method, path, body)
        if answer.status != status:
            raise StackError(f"{method} {self.url}{path}: {answer.status} instead of {status}",
                             json.dumps(answer.body, indent=2))
        return answer.body

    def _request(self, method: str, path: str, body: dict | None) -> Answer:
        try:
            self._connection.request(method, path, body=None if body is None else json.dumps(body),
                                     headers=self._headers)
            response = self._connection.getresponse()
            text = response.read()
            return Answer(response.status, json.loads(text) if text else {},
                          float(response.headers.get("Retry-After", 0)))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()
            raise StackError(f"{method} {self.url}{path}: {error!r}") from error
