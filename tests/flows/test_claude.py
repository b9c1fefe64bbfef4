"""One whole incident played by scripted Claude roles: real processes, loop, tools and replays.

Only the model's words are a script's, spoken by a server on loopback to the real SDK.
"""

import json
from pathlib import Path

import pytest

from agents.scripted import player
from agents.scripted.server import KEY, Scripted
from demo.history import Scenario
from tests.flows import system

ROLES = ["bug-diagnostician", "patch-developer", "hotfix-tester", "deployment-coordinator",
         "incident-analyzer"]  # fmt: skip


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_guest_crash_is_played_by_claude_from_the_line_to_the_review(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with Scripted(player.play).serving() as server:
        more = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
        with system.running(tmp_path, Scenario.GUEST_CRASH, more=more) as halon:
            state = halon.live(Scenario.GUEST_CRASH, [])
            halon.settle()
            faults = halon.faults()
            costs = halon.rows(
                "SELECT role, count(*), count(DISTINCT reference), sum(dollars) FROM cost_entry "
                "GROUP BY role ORDER BY min(id)"
            )
            sent = halon.rows("SELECT count(*) FROM sent_request")
            said = halon.rows("SELECT content FROM timeline_entry WHERE kind = 'report'")

    assert ([], "resolved") == (faults, state["status"])
    assert ROLES == [role for role, *_ in costs]
    # Every question is booked once, and none left without being kept.
    assert len(server.asked) == sum(count for _, count, *_ in costs) == sent[0][0]
    assert all(count == distinct for _, count, distinct, _ in costs)
    # The store counts in millionths; a P0 stays far below what one may cost.
    assert 0 < sum(dollars for *_, dollars in costs) < 1_550_000
    told = [json.loads(content)["report"] for (content,) in said]
    spoken = {one["kind"]: one["engine"] for one in told if one["kind"] != "plan"}
    assert {"diagnosis", "patch", "test", "review"} == set(spoken)
    assert all(engine.startswith("claude (claude-") for engine in spoken.values())
