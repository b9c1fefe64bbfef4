"""`/hotfix` in a running Halon becomes a patch in the thread, and `ship` brings it out; so a file.

Everything is real: production, users, Redis, workers, sandbox, canary. Run alone, as the other
whole systems are.
"""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.history import Scenario
from incidents import errors
from incidents.models import Outcome
from tests.flows import hotfixes, proc, system
from tests.flows.system import System
from tests.repositories import Repository

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(240)]
THREAD = "INC-1"
PATIENCE = 100.0


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, since sockets do not take long ones."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)
        assert [] == proc.mentioning(folder)


def pasted(seen: System) -> str:
    """Return what a person would paste: the newest traceback of the service's log."""
    lines = seen.production.place.error_log.read_text("utf-8").splitlines()
    found = [json.loads(line).get("traceback", "") for line in lines[-50:]]
    return str([one for one in found if "checkout/" in one][-1])


def cloned(seen: System, to: Path) -> Repository:
    """Clone the service's repository at what is deployed."""
    source = Repository(seen.production.history.repository)
    source.git("clone", "--quiet", str(source.path), str(to))
    clone = Repository(to)
    clone.git("checkout", "--quiet", seen.production.history.newest)
    return clone


def until(
    seen: System, so: Callable[[dict[str, Any]], object], name: str = THREAD
) -> dict[str, Any]:
    """Follow the incident until something is so, and say yes to what is asked."""
    deadline, state = time.monotonic() + PATIENCE, dict[str, Any]()
    while time.monotonic() < deadline:
        seen.plant.supervisor.look()
        try:
            state = seen.room.incident(name)
        except errors.TemporaryFailure:
            continue
        if "status" in state and so(state):
            return state
        for asked in state.get("approvals", []):
            seen.room.vote(asked["id"], "yes")
        time.sleep(system.LOOK_SECONDS)
    raise AssertionError(f"it does not come: {state}")


def contained(state: dict[str, Any]) -> bool:
    """Tell whether the hotfix stage has ended."""
    return any(run["stage"] == "hotfix" and run["outcome"] for run in state["runs"])


def page(seen: System, path: str) -> str:
    """Return what a browser gets."""
    headers = {"Authorization": f"Bearer {seen.bearer}", "Accept": "text/html"}
    answer = httpx.get(f"{seen.room.url}{path}", headers=headers, trust_env=False)
    assert 200 == answer.status_code, path
    return answer.text


def test_words_become_a_patch_that_is_shipped_and_a_file_becomes_the_same(
    short_folder: Path,
) -> None:
    inbox = short_folder / "inbox"
    settings = f'inbox = "{inbox}"\n'
    with system.running(short_folder, Scenario.GUEST_CRASH, people=settings) as seen:
        seen.production.break_it()
        assert seen.room.say(f"/hotfix {pasted(seen)}")["accepted"]
        state = until(seen, contained)
        assert [Outcome.PATCHED] == [run["outcome"] for run in state["runs"]], state["needs_human"]
        seen.settle()

        thread = page(seen, f"/{THREAD}")
        assert f"git apply {THREAD}.diff" in thread
        (place,) = set(re.findall(rf'href="(/files/\d+/\d+)" download="{THREAD}\.diff"', thread))
        mine = cloned(seen, short_folder / "clone")
        (mine.path / f"{THREAD}.diff").write_text(page(seen, place), "utf-8")
        mine.git("apply", f"{THREAD}.diff")  # the line of the thread, as it stands there
        assert [] == seen.deploys(), "nothing moves before it is asked for"

        seen.room.say("/incident own", THREAD)  # no diagnosis: its commander alone may say yes
        assert seen.room.say("/hotfix ship", THREAD)["accepted"]
        until(seen, lambda state: state["status"] == "mitigated")

        answers = seen.production.ask()
        (shipped,) = answers.revisions  # every user is on it
        assert 0.0 == answers.error_rate
        mine.git("fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*")
        assert "" == mine.git("diff", shipped), "what serves is the patch of the thread"

        tree = cloned(seen, inbox)
        path = hotfixes.drop(tree.path, pasted(seen))
        state = until(seen, contained, "INC-2")
        said = path.read_text("utf-8")
        assert [Outcome.PATCHED] == [run["outcome"] for run in state["runs"]], said
        assert "Contained by" in said
        assert "" == tree.git("diff", "--cached")
        assert mine.git("diff") == tree.git("diff"), "the same fix, uncommitted"

        until(seen, lambda state: state["status"] == "resolved")
        assert ("stable", shipped) == seen.deploys()[-1]
        assert 0 == seen.production.users().lost
