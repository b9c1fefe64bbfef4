"""A whole incident in Slack: opened, approved and told there, by the whole real system.

Behind it are the two doubles of the test tree: the socket server that carries what people do, and
the server of the Web API behind our faults. Once in peace, once with one call in ten failing.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import demo_outcome
from demo.history import Scenario
from tests import slack_double, slack_workspace
from tests.flows import proc, system
from tests.flows.system import System
from tests.slack_double import APP_TOKEN, BOT_TOKEN, SlackDouble
from tests.slack_faults import some
from tests.slack_workspace import Workspace

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.service,
    pytest.mark.timeout(400),
]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, since sockets do not take long ones."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        yield Path(folder)
        assert [] == proc.mentioning(folder)


def settings(double: SlackDouble, channel: str) -> dict[str, str]:
    """What points the real bot at the doubles."""
    return {
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "SLACK_API_BASE_URL": double.base_url,
        "HALON_SLACK_CHANNEL": channel,
    }


def live(seen: System, double: SlackDouble, workspace: Workspace, channel: str, ada: str) -> None:
    """Type the incident in Slack and answer there, each question once, until it is over."""
    sam = workspace.users()["sam"]
    answered: set[str] = set()

    def answer() -> None:
        for message in questions(seen, workspace):
            if message["ts"] not in answered:
                # An older release would end the road to the fix.
                emoji = "x" if "Redeploy" in message["text"] else "white_check_mark"
                double.event(reaction(emoji, ada, place(seen), message["ts"]))
                answered.add(message["ts"])

    seen.live_in_chat(lambda: double.slash(system.LINE, sam, channel=channel), answer)


def reaction(emoji: str, user: str, channel: str, ts: str) -> dict[str, Any]:
    """Somebody's reaction to a message, as Slack sends it."""
    item = {"type": "message", "channel": channel, "ts": ts}
    at = f"{time.time():.6f}"
    return {"type": "reaction_added", "user": user, "reaction": emoji, "item": item, "event_ts": at}


def place(seen: System) -> str:
    """The incident's own channel, empty before it has one."""
    found = seen.rows("SELECT thread FROM conversation WHERE name LIKE 'slack:%'")
    return str(found[0][0] or "") if found else ""


def told(seen: System, workspace: Workspace) -> list[dict[str, Any]]:
    """Our messages below the card, in the order in which Slack shows them."""
    channel = place(seen)
    found = workspace.thread(channel) if channel else []
    return [one for one in found if key_of(one).startswith("delivery-")]


def key_of(message: dict[str, Any]) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("key", ""))


def questions(seen: System, workspace: Workspace) -> list[dict[str, Any]]:
    """The messages with a button that says yes."""
    return [one for one in told(seen, workspace) if "halon:approve" in json.dumps(one["blocks"])]


def in_war_room(seen: System) -> list[str]:
    """The news of the war room's thread, as plain words."""
    posts = seen.rows("SELECT message FROM web_post WHERE NOT pinned ORDER BY id")
    return [plain(json.loads(message)["headline"]) for (message,) in posts]


def plain(text: str) -> str:
    return text.translate(str.maketrans("", "", "`*_\\"))


def headline(message: dict[str, Any]) -> str:
    first = str(message["blocks"][0]["text"]["text"]).split("\n")[0]
    for sign in (":red_circle: ", ":large_green_circle: ", ":raised_hand: "):
        first = first.removeprefix(sign)
    return plain(first.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_an_incident_lives_in_slack_from_the_first_line_to_the_review(
    short_folder: Path, rate: float
) -> None:
    with (
        slack_workspace.running(short_folder) as workspace,
        slack_double.running() as double,
    ):
        double.forward = workspace.base_url
        channel = workspace.channel("incidents")
        ada = workspace.users()["ada"]
        people = f'approvers = {{slack = ["{ada}"]}}'
        more = settings(double, channel)
        with system.running(short_folder, Scenario.GUEST_CRASH, more=more, people=people) as seen:
            if rate:
                workspace.faults.plan = some(rate, seed=20261121)
            live(seen, double, workspace, channel, ada)
            seen.settle(120)  # a failed call is waited out before the next
            workspace.faults.plan = lambda method: None
            outcome = demo_outcome.judge(seen.production, seen.state, seen.room.timeline("INC-1"))
            messages = told(seen, workspace)
            pinned = workspace.asks().pins_list(channel=place(seen))["items"]
            names = [file["name"] for one in workspace.thread(place(seen))
                     for file in one.get("files", ())]  # fmt: skip

            assert outcome.right, "\n".join(outcome.lines)
            assert [] == [one for one in seen.faults() if "belong to no entry" not in one]
            assert in_war_room(seen) == [headline(one) for one in messages]
            assert 1 == len(pinned)
            decided = [one for one in seen.room.timeline("INC-1") if one["kind"] == "approved"]
            assert {f"slack:{ada}"} == {one["actor"] for one in decided}
            assert {"INC-1-diagnosis.md", "INC-1-patch.md", "INC-1.diff", "INC-1-review.md"} <= set(
                names
            )
            assert (rate > 0) == any(one.fault for one in workspace.faults.calls)
