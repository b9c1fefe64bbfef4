"""The war room as a program uses it: the same addresses as the page, with the operator's token.

Used by `halon demo`, so that what it does is what a person's click does.
"""

from dataclasses import dataclass, field
from typing import Any

import httpx

from incidents import errors


@dataclass
class WarRoom:
    """A client of one war room; raises `errors.TemporaryFailure` while it does not answer."""

    url: str
    bearer: str
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.bearer}", "Accept": "application/json"},
            timeout=10,
            trust_env=False,
        )

    def say(self, line: str, thread: str | None = None) -> dict[str, Any]:
        """Say a line; the answer has `reply`, `accepted` and `incident`."""
        body = {"line": line} | ({"thread": thread} if thread else {})
        return self._asked("POST", "/say", body)

    def vote(self, approval: str, answer: str) -> dict[str, Any]:
        """Answer a question with "yes" or "no"."""
        return self._asked("POST", "/vote", {"approval": approval, "answer": answer})

    def incident(self, name: str) -> dict[str, Any]:
        """Return an incident with its stages, questions, rollout and cost."""
        return self._asked("GET", f"/api/incidents/{name}")

    def timeline(self, name: str) -> list[dict[str, Any]]:
        """Return its timeline entries in order."""
        answer = self._asked("GET", f"/api/incidents/{name}/timeline")
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _asked(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise errors.TemporaryFailure(f"The war room does not answer: {error}") from error
        if answer.status_code >= 500:
            raise errors.TemporaryFailure(f"The war room answered {answer.status_code} to {path}.")
        content: dict[str, Any] = answer.json()
        return content
