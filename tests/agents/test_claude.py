"""The claude engine on a real broken shop: the model's words are scripted, all else is real."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents import rolefiles, sandbox
from agents.engine import Budget, Role
from agents.prices import Prices
from agents.purse import Pocket
from agents.scripted import player
from agents.scripted.server import Asked, Failure, Script, Turn, calls, says
from incidents import crash, reports
from incidents.models import Verdict
from tests.agents import stage
from tests.agents.stage import Stage

SET = Callable[[Script], Stage]
TRACE = """\
Traceback (most recent call last):
  File "shop.py", line 5, in greeting
    return "Hello, " + customer["name"]
TypeError: 'NoneType' object is not subscriptable
"""
# Without a command there is nothing to replay, and the builtin engine is done at once.
QUICK: dict[str, Any] = {"test": None, "traces": (TRACE,)}


@pytest.fixture
def play(tmp_path: Path, walls: sandbox.Sandbox) -> Iterator[SET]:
    """Open a stage with a script."""
    tmp_path.chmod(0o755)
    opened: list[AbstractContextManager[Stage]] = []

    def begin(script: Script) -> Stage:
        opened.append(stage.opened(tmp_path, walls, script))
        return opened[-1].__enter__()

    yield begin
    for one in opened:
        one.__exit__(None, None, None)


def submission(**more: Any) -> dict[str, Any]:
    return {"summary": "A summary of it.", "cause": {"text": "because of it"}, **more}


def test_diagnosis_patch_and_test_are_played_and_proved(play: SET) -> None:
    on = play(player.play)

    found, mended, tested = on.engine().fix(on.case(), Budget(stage.SECONDS))

    assert isinstance(found, reports.Diagnosis)
    assert isinstance(mended, reports.Patch)
    assert isinstance(tested, reports.TestReport)
    assert (Verdict.CONFIRMED, on.culprit) == (found.verdict, found.culprit)
    assert f"claude ({stage.STRONG})" == found.engine == mended.engine == tested.engine
    assert on.repository.git("rev-parse", "HEAD^{tree}") != mended.tree
    assert tested.approve
    assert found.cost + mended.cost + tested.cost == on.pocket.spent > 0
    assert not on.repository.git("status", "--porcelain")


def test_the_skills_are_read_before_the_first_act(play: SET) -> None:
    """They stand in what is sent with the first question, word for word."""
    on = play(player.play)
    on.diagnose(**QUICK)

    skill = (Path(rolefiles.__file__).parent / "skills/bug-diagnosis/SKILL.md").read_text("utf-8")
    assert skill.partition("---\n")[2].partition("---\n")[2].strip() in on.server.asked[0].system


def test_a_claim_without_evidence_goes_out_as_a_hypothesis(play: SET) -> None:
    """The second claim cites a fact that does not exist."""
    symptoms = [{"text": "it is the moon"}, {"text": "it is the tide", "evidence": ["E999"]},
                {"text": "it fails", "evidence": ["E1"]}]  # fmt: skip
    on = play(lambda _: calls(("Submit", submission(symptoms=symptoms))))

    found = on.diagnose(**QUICK)

    assert [("it fails", ("E1",))] == [(one.text, one.evidence) for one in found.symptoms]
    guessed = [one.statement for one in found.hypotheses]
    assert {"it is the moon", "it is the tide", "because of it"} <= set(guessed)


def test_a_model_convicts_nobody_whom_the_replay_clears(play: SET) -> None:
    on = play(lambda _: calls(("Submit", submission(culprit=stage_good[0]))))
    stage_good = [on.good]

    found = on.diagnose()

    assert (Verdict.CONFIRMED, on.culprit) == (found.verdict, found.culprit)


def test_what_the_builtin_could_not_see_is_tried_when_a_model_names_it(play: SET) -> None:
    """The search finds nothing in a window that begins too late; the named commit is replayed."""
    on = play(lambda asked: calls(("Submit", submission(culprit=named[0]))))
    named = [on.culprit]

    found = on.diagnose(good=None)

    assert on.culprit == found.culprit
    assert found.verdict in (Verdict.CONFIRMED, Verdict.LIKELY)


def test_a_named_commit_that_does_not_exist_is_sent_back(play: SET) -> None:
    def script(asked: Asked) -> Turn:
        return calls(("Submit", submission(culprit=None if asked.turn else "f" * 40)))

    on = play(script)
    on.diagnose(**QUICK)

    assert "no revision" in on.server.asked[1].told()


def test_a_patch_that_mends_nothing_is_sent_back(play: SET) -> None:
    def script(asked: Asked) -> Turn | Failure:
        if asked.role != "patch-developer" or asked.turn > 1:
            return player.play(asked)
        if asked.turn == 0:
            return calls(("Write", {"path": "notes.txt", "content": "hi\n"}))
        return calls(("Submit", player.handed_in("my edits")))

    on = play(script)
    on.engine().fix(on.case(), Budget(stage.SECONDS))

    sent = [asked.told() for asked in on.server.asked if asked.role == "patch-developer"]
    assert any("was tried and does not hold" in text for text in sent)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda _: Failure(401, "authentication_error", "bad key"), "ANTHROPIC_API_KEY"),
        (lambda _: Failure(429, "rate_limit_error", retry_after="3600"), "answered 429"),
        (lambda _: says("no", "refusal"), "the model refused"),
        (lambda _: calls(("Submit", {"nonsense": 1})), "had not the right shape three times"),
    ],
    ids=["key", "an hour", "refusal", "schema"],
)
def test_where_the_model_cannot_the_builtin_speaks_and_says_so(
    play: SET, script: Script, words: str
) -> None:
    on = play(script)

    found = on.diagnose(**QUICK)

    assert ("builtin", on.culprit) == (found.engine, found.suspects[0].commit)
    assert words in found.gaps[0]
    assert on.pocket.spent == found.cost


def test_an_unknown_model_lets_the_other_tier_speak_and_says_so(play: SET) -> None:
    on = play(player.play)
    on.server.known_models = frozenset({stage.FAST})

    found = on.diagnose(**QUICK)

    assert f"claude ({stage.FAST})" == found.engine
    assert "HALON_MODEL_STRONG" in found.gaps[0]


def test_no_money_asks_nobody(play: SET) -> None:
    on = play(player.play)
    on.pocket = Pocket(Decimal(0), "HALON_MONTHLY_DOLLARS=0")

    found = on.diagnose(**QUICK)

    assert ("builtin", []) == (found.engine, on.server.asked)
    assert "HALON_MONTHLY_DOLLARS=0" in found.gaps[0]


def test_a_private_service_is_shown_to_no_model(play: SET) -> None:
    on = play(player.play)

    found = on.diagnose(model=False, **QUICK)

    assert ("builtin", []) == (found.engine, on.server.asked)
    assert "model = false" in found.gaps[0]


def test_a_price_of_the_settings_pays_for_a_model_of_ones_own(play: SET) -> None:
    on = play(player.play)
    named = '{"claude-opus-5-5": {"input": 1000, "output": 0}}'
    on.prices, on.pocket = Prices(named), Pocket(Decimal(100))

    assert on.diagnose(**QUICK).cost > 1


def test_a_killed_diagnosis_goes_on_with_the_same_facts(play: SET) -> None:
    on = play(player.play)
    crash.arm(f"transcript.recorded/{on.transcript(Role.BUG_DIAGNOSTICIAN).stem}:6",
              crash.raise_crash)  # fmt: skip
    try:
        with pytest.raises(crash.Crash):
            on.diagnose()
    finally:
        crash.disarm()
    asked = len(on.server.asked)

    found = on.diagnose()

    assert (Verdict.CONFIRMED, on.culprit) == (found.verdict, found.culprit)
    assert asked + 2 == len(on.server.asked)
    assert len(on.server.asked) == len(on.pocket.booked)
    assert found.cost == on.pocket.spent
