"""What a message says: the news first, figures compared, and nothing that a foreign text forges."""

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import bot
from bot import render, texts
from bot.port import Message, Tone
from incidents import entries, reports
from incidents.entries import Suggestion
from incidents.models import (
    MACHINE,
    Answer,
    Change,
    ChangeKind,
    EntryKind,
    Outcome,
    ServiceRole,
    Severity,
    Stage,
    Verdict,
)
from incidents.stages import Ending
from incidents.timeline import Draft
from tests.bot.office import (
    APPROVER,
    CULPRIT,
    DIFF,
    FIX,
    RESPONDER,
    STRANGER,
    Office,
    buckets,
    diagnosis,
    patch,
    plan,
    results,
    review,
)

HOSTILE = "x` **b** [l](http://e) <!channel> @all\n# title\r\n- item ```\u202etxt\x07 ![p](http://e/p.png)"


def shown(office: Office, draft: Draft) -> Message:
    """Append an entry and return its message."""
    if not office.bot.room.incidents.list():
        office.open()
    entry = office.bot.room.timeline.append(1, draft, MACHINE)
    return render.message(entry, office.bot.poster.gathering.context(entry))


def reported(office: Office, stage: Stage, report: reports.Report) -> Message:
    return shown(office, entries.report(stage, report.model_dump(mode="json")))


def suggestion(office: Office, **more: object) -> Draft:
    found = Suggestion(Severity.P0, 0.454, 0.002, 1204, 2650, office.clock())
    return entries.suggested(replace(found, **more))  # type: ignore[arg-type]


def a_whole_life(office: Office) -> None:
    """Write an entry of every kind the way the product does."""
    room = office.bot.room
    incident = office.open()
    office.run_stage(incident, Ending(Outcome.DONE, entries=(suggestion(office),)))
    content = diagnosis().model_dump(mode="json")
    ending = Ending(Outcome.CONFIRMED, content, (entries.report(Stage.DIAGNOSE, content),))
    office.run_stage(incident, ending)
    rollout = office.rollout(incident)
    run = room.stages.get(rollout.stage_run)
    room.timeline.append(1, entries.progress(run, "preparing"), MACHINE)
    asked = office.ask(incident)
    room.approvals.decide(asked, STRANGER, Answer.YES, None, "1")
    room.approvals.decide(asked, APPROVER, Answer.YES, None, "2")
    room.approvals.withdraw(asked, APPROVER, "3")
    office.takes(two=True)
    room.approvals.decide(asked, APPROVER, Answer.YES, None, "4")
    office.takes(two=False)
    for draft in (
        entries.phase(rollout, buckets(office.clock()), left=None, gate={}, following="x"),
        entries.held(rollout, "data is missing"),
        entries.taken_back(rollout, FIX, "a gate failed", broken=True),
        entries.delivered("main", FIX, "merged"),
        entries.trouble("the merge failed", "merge by hand"),
        entries.hotfix("contain", "checkout crashes for guests", "k"),
    ):
        room.timeline.append(1, draft, MACHINE)
    room.incidents.acknowledge(1, RESPONDER)
    room.incidents.own(1, RESPONDER)
    room.incidents.change_severity(1, Severity.P1, RESPONDER)
    room.incidents.set_service(1, "search", RESPONDER, ServiceRole.VICTIM)
    room.incidents.note(1, RESPONDER, "cache is cold")
    change = Change("checkout", ChangeKind.FLAG, office.clock(), "web:rita", note="x on")
    room.incidents.record_change(change, RESPONDER, 1)
    room.incidents.needs_human(1, "Decide.")
    undo = "/incident mitigate undo no-cache"
    for state in ("works", "unchecked", "no effect", "failed", "unknown"):
        told = entries.mitigation(f"m-{state}", "no-cache", state, "its check passes", undo)
        room.timeline.append(1, told, MACHINE)
    room.incidents.overdue(1, Stage.DEPLOY, True)
    room.timeline.append(1, Draft(EntryKind.PUBLISHED, {}, "review"), RESPONDER)


def test_every_kind_of_entry_has_its_message(office: Office) -> None:
    a_whole_life(office)
    told = office.bot.room.timeline.entries(1)
    messages = [render.message(one, office.bot.poster.gathering.context(one)) for one in told]

    assert set(EntryKind) == {entry.kind for entry in told}
    for message in messages:
        assert message.headline
        assert "\n" not in message.headline
        most = render.MOST_LINES_ASKED if message.approval else render.MOST_LINES
        assert len(message.lines) <= most
        assert "!" not in message.headline.replace("\\!", "")
        assert "None" not in message.headline + "".join(message.lines)


def test_every_template_is_used() -> None:
    """Each file of templates/chat is an entry's kind, a report's, or named in the code."""
    code = [path.read_text("utf-8") for path in Path(bot.__file__).parent.rglob("*.py")]
    named = {
        node.value
        for source in code
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    kinds = {kind.value for kind in EntryKind}
    of_reports = {
        f"report_{kind.replace(' ', '_')}"
        for kind in (
            "diagnosis",
            "patch",
            "no patch",
            "test",
            "plan",
            "review",
            "hotfix",
            "escalation",
        )
    }
    templates = {path.name.removesuffix(".md.j2") for path in texts.FOLDER.glob("*.md.j2")}
    imported = {path.name for path in texts.FOLDER.glob("*.j2")} - {f"{t}.md.j2" for t in templates}
    said = "".join(path.read_text("utf-8") for path in texts.FOLDER.glob("*.j2"))

    assert set() == templates - named - kinds - of_reports
    assert set() == (kinds | of_reports) - templates
    used = set(re.findall(r'{% (?:from|include) "([^"]+)"', said))
    assert imported == used


def test_a_confirmed_cause_says_what_when_and_how_it_was_proved(office: Office) -> None:
    message = reported(office, Stage.DIAGNOSE, diagnosis())

    assert (
        "Cause CONFIRMED: commit `3f2a91c` (*saved cards*) brought AttributeError"
        == message.headline
    )
    assert (
        "The place: `shop/checkout.py:12`.",
        "Reproduced: fails 3 of 3 with it, 0 of 3 without.",
        "1,204 of 2,650 requests failed; before, 0.2 %.",
    ) == message.lines
    assert Tone.PASSING is message.tone
    assert ["INC-1-diagnosis.md"] == [file.name for file in message.files]
    assert message.markdown == message.files[0].content.decode("utf-8")


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [
        (Verdict.LIKELY, "Cause LIKELY: commit `3f2a91c`"),
        (Verdict.INCONCLUSIVE, "Cause INCONCLUSIVE: Guests cannot pay."),
        (Verdict.NO_CODE_CAUSE, "No code cause: look at payment"),
    ],
)
def test_other_verdicts_never_sound_confirmed(
    office: Office, verdict: Verdict, headline: str
) -> None:
    message = reported(office, Stage.DIAGNOSE, diagnosis(verdict))

    assert message.headline.startswith(headline)
    assert Tone.NEUTRAL is message.tone
    if verdict is not Verdict.LIKELY:
        assert "The failure was not reproduced." in message.lines
        assert CULPRIT[:7] not in message.headline


def test_a_patch_is_shown_as_a_diff_and_kept_as_a_file(office: Office) -> None:
    message = reported(office, Stage.PATCH, patch())

    assert DIFF == message.diff
    assert "Patch ready (revert): Take back saved cards" == message.headline
    assert ["INC-1-patch.md", "INC-1.diff"] == [file.name for file in message.files]
    assert DIFF.encode() == message.files[1].content


def test_a_long_diff_is_shown_by_its_heart_without_the_tests_first() -> None:
    test_part = "diff --git a/tests/t.py b/tests/t.py\n" + "+x\n" * 60
    heart = render.heart(test_part + DIFF)

    assert heart.startswith("diff --git a/shop/checkout.py")
    assert render.DIFF_LINES + 1 == len(heart.splitlines())
    assert heart.endswith("\\ 28 more lines are in the file\n")


def test_tests_say_what_was_not_run(office: Office) -> None:
    good = reported(office, Stage.TEST, results())
    bad = reported(office, Stage.TEST, results(approve=False))

    assert "Tests approve the patch: 4 of 5 categories passed" == good.headline
    assert "Not run: performance." == good.lines[-1]
    assert "Tests reject the patch: test\\_guest fails" == bad.headline
    assert (Tone.PASSING, Tone.FAILING) == (good.tone, bad.tone)


def test_the_plan_says_where_back_is(office: Office) -> None:
    message = reported(office, Stage.DEPLOY, plan())

    assert "Rollout planned: 10 → 50 → 100 % of the traffic to `ccccccc`" == message.headline
    assert message.lines[0].startswith("Taking back means the last good version:")


def test_no_patch_and_a_review_have_their_hearts(office: Office) -> None:
    none = reports.NoPatch(engine="builtin", tried=("revert: conflicts",), reason="no clean revert")

    assert "No patch is safe: no clean revert" == reported(office, Stage.PATCH, none).headline
    assert "1 action item" in reported(office, Stage.REVIEW, review()).lines[1]


def test_a_report_of_another_version_says_where_it_is(office: Office) -> None:
    message = shown(office, entries.report(Stage.TEST, {"kind": "test", "of": "tomorrow"}))

    assert "Tests ended with a report that this version cannot show" == message.headline
    assert "entry 2" in message.lines[0]


def test_triage_compares_and_names_the_command_that_follows_it(office: Office) -> None:
    office.open(severity=Severity.P2)
    message = shown(office, suggestion(office, changes=("14:20:02 UTC deploy 3f2a91c",)))

    assert "45 % of requests fail, 0.2 % before: that is a P0" == message.headline
    assert "`/incident severity P0` changes that" in message.lines[0]
    assert "Changed before: 14:20:02 UTC deploy 3f2a91c." == message.lines[1]


def test_an_unknown_share_is_unknown_never_zero(office: Office) -> None:
    nothing = {"severity": None, "share": None, "baseline": None, "failed": None, "requests": None}
    message = shown(office, suggestion(office, **nothing, since=None, gaps=("no logs",)))

    assert "How bad it is could not be measured" == message.headline
    assert "Not seen: no logs." == message.lines[-1]
    assert "0" not in message.headline + "".join(message.lines)


def test_a_question_says_yes_no_silence_basis_and_who(office: Office) -> None:
    incident = office.open()
    rollout = office.rollout(incident)
    phase = entries.phase(rollout, buckets(office.clock()), left=None, gate={}, following="x")
    shown(office, phase)
    office.ask(incident, rollout)
    entry = office.bot.room.timeline.entries(1)[-1]
    message = render.message(entry, office.bot.poster.gathering.context(entry))

    *consequences, basis, who = message.lines
    assert "Grow to 50 %?" == message.headline
    assert [
        "**Yes:** 50 % of the traffic goes to `ccccccc`, for at most 10 min, watched by the gates.",
        "**No:** back to the last good version.",
        "**No answer by 15:00 UTC:** back too, or held if the new version has proved better.",
    ] == consequences
    assert (
        "Based on: cause CONFIRMED, gate PASS; 0 of 288 failed on the new version, "
        "1,080 of 2,400 on the old." == basis
    )
    assert "May answer: web:ada." == who
    assert ["Grow to 50 %", "Take back"] == [button.label for button in message.buttons]
    assert {entry.content["approval"]} == {button.ref for button in message.buttons}
    assert Tone.WAITING is message.tone


def test_a_question_names_the_protected_paths_that_the_patch_changes(office: Office) -> None:
    """In chat, before the yes: five of them with the reason, and how many more there are."""
    paths = tuple(f".github/workflows/{n}.yml (the team's checks)" for n in range(7))
    changed = plan().model_copy(update={"protected": paths})
    rollout = office.rollout(office.open(), plan=changed.model_dump(mode="json"))
    office.ask(office.bot.room.incidents.get(1), rollout)
    entry = office.bot.room.timeline.entries(1)[-1]
    message = render.message(entry, office.bot.poster.gathering.context(entry))

    (named,) = (line for line in message.lines if "steers more than the service" in line)
    assert all(f"`{path}`" in named for path in paths[:5])
    assert "and 2 more" in named
    assert paths[5] not in named


def test_a_diff_hides_nothing_from_the_one_who_approves_it(office: Office) -> None:
    """The file beside it is as it is, since it has to apply."""
    office.open()
    made = patch(DIFF.replace("+", "+\u202e", 1).replace("\n", "\r\n"))

    message = reported(office, Stage.PATCH, made)

    assert message.diff is not None
    assert not {"\u202e", "\r"} & set(message.diff)
    assert made.diff.encode() in [file.content for file in message.files]


def test_a_likely_cause_says_so_on_the_button(office: Office) -> None:
    office.ask(office.open(), verdict=Verdict.LIKELY)
    entry = office.bot.room.timeline.entries(1)[-1]
    message = render.message(entry, office.bot.poster.gathering.context(entry))

    assert "Start the canary at 10 % (cause LIKELY)" == message.buttons[0].label


def test_another_plan_can_be_pressed_until_the_start(office: Office) -> None:
    office.thin()
    entry = office.bot.room.timeline.entries(1)[-1]
    message = render.message(entry, office.bot.poster.gathering.context(entry))

    assert [
        ("approve", "Start the canary at 10 %"),
        ("approve longer", "Instead: 10 % for 21 minutes"),
        ("refuse", "Do not deploy"),
    ] == [(one.command, one.label) for one in message.buttons]


def test_figures_of_a_phase_are_compared(office: Office) -> None:
    rollout = office.rollout(office.open())
    gate = {"result": "INCONCLUSIVE", "missing_requests": 300, "better": False}
    left = timedelta(minutes=5)
    message = shown(
        office, entries.phase(rollout, buckets(office.clock()), left=left, gate=gate, following="x")
    )

    assert (
        "0 of 288 failed on the new version, 1,080 of 2,400 on the old.",
        "Gate: INCONCLUSIVE, 300 more requests needed.",
        "At most 5 min left, as of 14:30 UTC.",
    ) == message.lines


def test_a_phase_without_data_says_so(office: Office) -> None:
    rollout = office.rollout(office.open())
    message = shown(office, entries.phase(rollout, (), left=None, gate={}, following="x"))

    assert "No requests were measured." == message.lines[0]


def test_going_back_to_the_broken_version_is_said(office: Office) -> None:
    rollout = office.rollout(office.open())
    broken, safe = (
        shown(office, entries.taken_back(rollout, FIX, "a gate failed", broken=one))
        for one in (True, False)
    )

    assert "That is the version with the incident" in broken.lines[-1]
    assert not any("version with the incident" in line for line in safe.lines)


@pytest.mark.parametrize(
    "draft",
    [
        Draft(EntryKind.NOTE, {"text": HOSTILE}),
        entries.trouble(HOSTILE, HOSTILE),
        Draft(EntryKind.NEEDS_HUMAN, {"sentence": HOSTILE}),
        entries.delivered(HOSTILE, HOSTILE, HOSTILE),
        Draft(EntryKind.STATUS, {"from": "open", "to": "mitigated", "what": HOSTILE}),
    ],
)
def test_a_foreign_text_forges_nothing(office: Office, draft: Draft) -> None:
    message = shown(office, draft)

    for line in (message.headline, *message.lines):
        assert "\n" not in line
        assert "\u202e" not in line
        assert "\x07" not in line
        bare = re.sub(r"(`+).+?\1(?!`)", "", re.sub(r"\\.", "", line))
        assert not re.search(r"[`*\[\]<>!]", bare), line


@pytest.mark.parametrize(
    "make",
    [
        lambda text: diagnosis().model_copy(
            update={
                "summary": text,
                "exception": text,
                "root_cause": reports.RootCause(statement=text, subject=text, path=text),
            }
        ),
        lambda text: patch().model_copy(update={"title": text, "why_minimal": text, "risk": text}),
    ],
)
def test_a_hostile_report_forges_nothing(
    office: Office, make: Callable[[str], reports.Report]
) -> None:
    message = reported(office, Stage.DIAGNOSE, make(HOSTILE))

    for line in (message.headline, *message.lines):
        bare = re.sub(r"(`+).+?\1(?!`)", "", line)
        assert "<!channel>" not in bare
        assert not re.search(r"(?<!\\)!\[", bare)
        assert "\n" not in line


def test_purged_content_leaves_its_place(office: Office) -> None:
    office.open()
    entry = office.bot.room.timeline.append(1, Draft(EntryKind.NOTE, {"text": "x"}), RESPONDER)
    office.bot.room.timeline.purge(entry.id)
    purged = office.bot.room.timeline.entry(entry.id)
    message = render.message(purged, office.bot.poster.gathering.context(purged))

    assert "The content of this entry was removed" == message.headline


def test_our_own_commands_stay_code_in_a_sentence() -> None:
    assert "Say `/incident own`, not \\*this\\*." == texts.sentence(
        "say `/incident own`, not *this*"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5340, "89 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
    ],
)
def test_durations_are_said_as_people_think(seconds: float, said: str) -> None:
    assert said == texts.lasts(seconds)


@pytest.mark.parametrize(
    ("share", "said"),
    [(None, "unknown"), (0.0, "0 %"), (0.002, "0.2 %"), (0.454, "45 %"), (1.0, "100 %")],
)
def test_shares_are_said_with_the_digits_that_count(share: float | None, said: str) -> None:
    assert said == texts.rate(share)
