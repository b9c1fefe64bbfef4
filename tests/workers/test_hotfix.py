"""`/hotfix` contains on the urgent queue, and ship, verify and drop go on from what it made."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agents import sandbox
from agents.builtin.engine import Builtin
from agents.engine import Engine, Role
from agents.scripted import player
from agents.scripted.server import KEY, Scripted
from incidents import entries, lifecycle, reports
from incidents.models import MACHINE, EntryKind, Incident, Outcome, Severity, Stage, StageRun
from incidents.policy import OPERATOR
from incidents.stages import Claimed
from tests import repositories
from tests.flows import hotfixes
from tests.workers import desks
from workers import cases, engines, hotfix, stages
from workers.office import Office
from workers.settings import WorkerSettings

LEASE = timedelta(seconds=60)


@pytest.fixture
def desk(place: desks.Place) -> Iterator[Office]:
    """An office whose one service is the shop that fails for guests."""
    hotfixes.shop(repositories.new(place.root / "repository"))
    place.write_services(test=f"{sys.executable} -m unittest")
    with place.opened() as office:
        yield office


Choose = Callable[[Claimed], Engine]


def ask(
    desk: Office, incident: Incident, act: str, words: str = "", engine: Choose | None = None
) -> StageRun:
    """Ask as the bot does, and let a worker run what is queued."""
    key = f"{act}-{len(desk.timeline.entries(incident.number))}"
    desk.timeline.append_once(incident.number, entries.hotfix(act, words, key), OPERATOR)
    run = desk.stages.queue_stage(incident.number, Stage.HOTFIX, OPERATOR)
    claimed = desk.stages.claim(run.id, desk.owner, LEASE)
    assert claimed is not None
    builtin = Builtin(sandbox.choose(), desk.folder / "workspaces")
    stages.work(desk, claimed, engine(claimed) if engine else builtin)
    return desk.stages.get(run.id)


def contained(desk: Office) -> Incident:
    incident = desks.open_incident(desk, stage=None)
    assert Outcome.PATCHED is ask(desk, incident, "contain", hotfixes.TRACE).outcome
    return incident


def test_a_hotfix_goes_to_the_urgent_queue() -> None:
    assert all(lifecycle.urgent(severity, Stage.HOTFIX) for severity in Severity)


def test_words_become_a_patch_that_fits_the_deployed_revision(desk: Office) -> None:
    incident = contained(desk)

    report = cases.contained(desk, incident)

    assert report is not None
    assert report.patch is not None
    assert ("Put it in", f"git apply {incident.id}.diff") == report.now[0]
    assert "the deployed revision (checked; it fits main as well)" in report.steps[0]
    told = [one.kind for one in desk.timeline.entries(incident.number)]
    assert EntryKind.REPORT in told
    assert 1 == len(desk.incidents.runs(incident.number))  # it stops there


@pytest.mark.parametrize(
    ("line", "whole"),
    [("def greeting(user):", True), ('    """Return a line for a user."""', False)],
)
def test_a_thread_shows_a_patch_that_applies_or_says_where_one_is(
    desk: Office, place: desks.Place, line: str, whole: bool
) -> None:
    """An address beside the change is no part of it; one next to it is in every diff."""
    code = hotfixes.CART.replace(line, f"# Ask ann@example.org\n{line}")
    if not whole:
        code = hotfixes.CART.replace(line, f"{line}  # ask ann@example.org")
    repository = repositories.Repository(place.root / "repository")
    repository.commit("Say whom to ask", {"app/cart.py": code})
    incident = contained(desk)

    (told,) = [
        one.content["report"]
        for one in desk.timeline.entries(incident.number)
        if one.kind is EntryKind.REPORT
    ]
    made = cases.newest_patch(desk, incident)
    assert made is not None
    assert (whole, "<email-1>" not in told["patch"]["diff"]) == (told["shown_whole"], whole)
    fetched = f"halon incident patch {incident.id} > {incident.id}.diff"
    assert whole is (fetched not in [line for _, line in told["now"]])
    shown = told["patch"]["diff"] if whole else made.diff
    (place.root / "x.diff").write_text(shown)
    repository.git("apply", "--check", str(place.root / "x.diff"))


def test_with_a_key_a_model_contains_and_its_cost_is_booked(desk: Office) -> None:
    """The settings choose, as in a worker; only the model's words are a script's."""
    incident = desks.open_incident(desk, stage=None)
    with Scripted(player.play).serving() as server:
        settings = WorkerSettings(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url)

        def chosen(claimed: Claimed) -> Engine:
            return engines.choose(settings, desk, claimed, sandbox.choose())

        run = ask(desk, incident, "contain", hotfixes.TRACE, chosen)

    report = cases.contained(desk, incident)
    assert report is not None
    assert Outcome.PATCHED is run.outcome
    assert f"claude ({settings.model_strong})" == report.engine
    assert [Role.HOTFIX.value] == [one.role for one in desk.costs.by_role(incident.number)]
    assert report.cost == desk.costs.total(incident.number) > 0
    assert {"hotfix"} == {asked.role for asked in server.asked}


def test_verify_replays_it_and_ship_hands_it_to_deploy(desk: Office) -> None:
    incident = contained(desk)

    assert Outcome.DONE is ask(desk, incident, "verify").outcome
    assert Outcome.APPROVE is ask(desk, incident, "ship").outcome

    assert Stage.DEPLOY is desk.incidents.runs(incident.number)[-1].stage
    fix = cases.fix(desk, incident)
    assert fix is not None
    assert reports.RemedyKind.GUARD is fix.remedy


def test_what_was_dropped_is_not_shipped(desk: Office) -> None:
    incident = contained(desk)

    assert Outcome.DONE is ask(desk, incident, "drop").outcome
    assert Outcome.NOTHING is ask(desk, incident, "ship").outcome

    assert {Stage.HOTFIX} == {run.stage for run in desk.incidents.runs(incident.number)}


def test_what_cannot_be_contained_needs_a_human(desk: Office) -> None:
    incident = desks.open_incident(desk, stage=None)
    words = hotfixes.TRACE.replace("app/cart.py", "mail.py").replace("app/web.py", "smtp.py")

    assert Outcome.NOTHING is ask(desk, incident, "contain", words).outcome

    assert EntryKind.NEEDS_HUMAN in [one.kind for one in desk.timeline.entries(incident.number)]


def test_a_file_that_could_not_be_worked_is_told_in_chat_once(desk: Office) -> None:
    refused = reports.Hotfix(engine="none", contained=False, summary="The file is empty.")
    told = [
        hotfix.record(
            desk,
            desk.service("checkout"),
            refused.model_copy(update={"tracker": f"/srv/shop/tasks/hotfix/{name}"}),
            "",
            MACHINE,
        ).number
        for name in ("HOTFIX-a.md", "HOTFIX-a.md", "HOTFIX-b.md")
    ]

    assert told[0] == told[1] != told[2]
    assert "The file is empty." == desk.incidents.get(told[0]).needs_human
    assert 1 == len(desk.incidents.runs(told[0]))


def test_a_fix_of_a_working_tree_is_shipped_once(
    desk: Office, place: desks.Place, tmp_path: Path
) -> None:
    path = hotfixes.drop(place.root / "repository")
    made = hotfixes.made(tmp_path / "work").work(path)
    assert made.report is not None

    for _ in range(2):
        service = desk.service("checkout")
        incident = hotfix.ship(desk, service, made.report, hotfixes.TRACE, OPERATOR)

    runs = desk.incidents.runs(incident.number)
    assert [Stage.HOTFIX, Stage.HOTFIX] == [run.stage for run in runs]
    assert [Outcome.PATCHED, None] == [run.outcome for run in runs]
