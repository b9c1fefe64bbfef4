"""A workspace of Slack for tests: the real client speaks to a real server, through our faults.

The server is the npm package `emulate`, installed by `.ci/doubles`; `tests.slack_faults` stands
before it. Started once per session; each test takes channels of its own. Read back with `thread`,
as a person would read it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from slack_sdk.web import WebClient

from tests import doubles
from tests.slack_faults import PAST, Faults

Json = dict[str, Any]
TOKEN = "xoxb-test"
PEOPLE = ("rita", "ada", "sam")


@dataclass
class Workspace:
    """The server, and the proxy that clients are pointed at."""

    server: str
    faults: Faults

    @property
    def base_url(self) -> str:
        """What `SLACK_API_BASE_URL` is set to."""
        return f"{self.faults.url}/api/"

    def asks(self) -> WebClient:
        """Return a client of the test's own, past the faults."""
        return WebClient(TOKEN, base_url=self.base_url, retry_handlers=[], headers={PAST: "yes"})

    def channel(self, name: str) -> str:
        """Make a channel and return its id."""
        made = self.asks().conversations_create(name=name)
        return str(made["channel"]["id"])

    def channels(self) -> dict[str, str]:
        """Return the ids of all channels by name."""
        found = self.asks().conversations_list(limit=1000, types="public_channel,private_channel")
        return {str(one["name"]): str(one["id"]) for one in found["channels"]}

    def thread(self, channel: str, ts: str | None = None) -> list[Json]:
        """Return the messages of a thread, or of a channel, oldest first, with metadata."""
        client = self.asks()
        if ts is None:
            found = client.conversations_history(
                channel=channel, limit=999, include_all_metadata=True
            )
            return sorted(found["messages"], key=lambda one: str(one["ts"]))
        told = client.conversations_replies(
            channel=channel, ts=ts, limit=999, include_all_metadata=True
        )
        return list(told["messages"])

    def file(self, file: Json) -> bytes:
        """Return what an uploaded file holds."""
        headers = {"Authorization": f"Bearer {TOKEN}", PAST: "yes"}
        answer = httpx.get(str(file["url_private"]), headers=headers, timeout=20)
        return answer.raise_for_status().content

    def users(self) -> dict[str, str]:
        """Return the ids of people by name."""
        return {str(one["name"]): str(one["id"]) for one in self.asks().users_list()["members"]}


@contextmanager
def running(folder: Path) -> Iterator[Workspace]:
    """Start the server and its proxy; without the package, skip at home and fail in CI."""
    command = doubles.argv("emulate/dist/index.js", "emulate")
    seed = folder / "slack.json"
    people = [{"name": one, "real_name": one.capitalize(), "email": f"{one}@example.com"}
              for one in PEOPLE]  # fmt: skip
    seed.write_text(
        json.dumps({"slack": {"team": {"name": "T", "domain": "t"}, "users": people}}),
        encoding="utf-8",
    )
    port = doubles.free_port()
    probe = httpx.Request(
        "GET",
        f"http://127.0.0.1:{port}/api/auth.test",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with Faults(f"http://127.0.0.1:{port}") as faults:
        command += ["start", "--service", "slack", "--port", str(port), "--seed", str(seed),
                    "--base-url", faults.url]  # fmt: skip
        with doubles.started(command, folder, probe):
            yield Workspace(f"http://127.0.0.1:{port}", faults)
