"""The loop: what it spends, when it ends, and what survives of a run that is killed anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents import transcript
from agents.allowance import Allowance, Meter
from agents.loop import Again, Stop
from agents.model import Billed, ModelFailed, Reply, Trouble, Usage
from agents.outgoing import Leaving
from agents.prices import Prices
from agents.transcript import Kind
from incidents import crash, reports
from tests.agents import loops
from tests.agents.loops import ENOUGH, MODEL, REPORT

USAGE = Usage(fresh=1000, cache_read=500, output=100)
Said = Reply | ModelFailed


@dataclass
class Talker:
    """A model in process: answers by the number of replies that the conversation holds."""

    script: Callable[[int], Said]
    bodies: list[Any] = field(default_factory=list)
    name: str = MODEL

    def ask(self, leaving: Leaving, left: Callable[[], float]) -> Reply:
        self.bodies.append(leaving.body)
        spoken = sum(m["role"] == "assistant" for m in leaving.body["messages"])
        said = self.script(spoken)
        if isinstance(said, ModelFailed):
            raise said
        return said


class Scene(loops.Scene):
    """A scene whose model answers by a script in process."""

    def __init__(
        self, folder: Path, script: Callable[[int], Said], allowance: Allowance = ENOUGH
    ) -> None:
        self.talker = Talker(script)
        super().__init__(folder, self.talker, allowance)


def reply(*used: tuple[str, Any], text: str = "", stop: str = "tool_use") -> Reply:
    reply.number += 1  # type: ignore[attr-defined]
    name = f"toolu_{reply.number}"  # type: ignore[attr-defined]
    content = [{"type": "text", "text": text}] if text else []
    content += [
        {"type": "tool_use", "id": f"{name}_{at}", "name": tool, "input": given}
        for at, (tool, given) in enumerate(used)
    ]
    return Reply(f"msg_{name}", MODEL, tuple(content), stop, USAGE)


reply.number = 0  # type: ignore[attr-defined]


def counting(turns: int) -> Callable[[int], Said]:
    """Return a script that calls two tools per turn and then hands in."""

    def script(turn: int) -> Said:
        if turn == turns:
            return reply(("Submit", {}))
        return reply(("Count", {"number": 2 * turn}), ("Count", {"number": 2 * turn + 1}))

    return script


def test_a_run_asks_runs_and_hands_in(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(2))

    ended = scene.life()

    assert (Stop.DONE, REPORT) == (ended.stop, ended.report)
    assert [0, 1, 2, 3] == scene.ran
    assert 3 == len(scene.booked)
    assert Prices().cost(MODEL, USAGE) * 3 == scene.dollars


def test_parallel_results_go_back_in_one_message(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(1))
    scene.life()

    last = scene.talker.bodies[-1]["messages"]

    assert ["user", "assistant", "user"] == [message["role"] for message in last]
    assert ["tool_result", "tool_result"] == [block["type"] for block in last[-1]["content"]]


def test_a_run_that_ended_is_not_run_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(1))
    first = scene.life()

    again = scene.life()

    assert first == again
    assert (2, [0, 1]) == (len(scene.talker.bodies), scene.ran)


def records_of_a_whole_run(tmp_path: Path) -> int:
    scene = Scene(tmp_path / "whole", counting(3))
    scene.life()
    return len(scene.records)


def test_killed_at_every_record_it_goes_on(tmp_path: Path) -> None:
    """No tool runs twice, no dollar is counted twice, and it ends as it would have ended."""
    count = records_of_a_whole_run(tmp_path)
    assert count == 1 + 3 * (1 + 2 * 2) + 2
    for at in range(1, count + 1):
        scene = Scene(tmp_path / str(at), counting(3))
        crash.arm(f"{transcript.RECORDED}/run:{at}", crash.raise_crash)
        try:
            with pytest.raises(crash.Crash):
                scene.life()
        finally:
            crash.disarm()

        ended = scene.life()

        assert (Stop.DONE, REPORT) == (ended.stop, ended.report), at
        assert len(scene.ran) == len(set(scene.ran)), at
        # A call that had begun when it was killed is told to be torn; it may not run again.
        assert set(scene.ran) >= set(range(6)) - {scene.torn()}, at
        assert 4 == len(scene.booked), at
        assert Prices().cost(MODEL, USAGE) * 4 == scene.dollars, at
        assert 4 == len(scene.talker.bodies), at


def test_a_call_of_an_earlier_life_is_answered_from_its_first_answer(tmp_path: Path) -> None:
    def script(turn: int) -> Said:
        return reply(("Submit", {})) if turn == 2 else reply(("Count", {"number": 1}))

    scene = Scene(tmp_path, script)
    crash.arm(f"{transcript.RECORDED}/run:4", crash.raise_crash)
    try:
        with pytest.raises(crash.Crash):
            scene.life()
    finally:
        crash.disarm()

    assert Stop.DONE is scene.life().stop
    assert [1] == scene.ran
    assert "as answered before" in results(scene)[1][1]


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(2))
    crash.arm(f"{transcript.RECORDED}/run:4", crash.raise_crash)
    try:
        with pytest.raises(crash.Crash):
            scene.life()
    finally:
        crash.disarm()
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(b'{"kind":"assist')

    assert Stop.DONE is scene.life().stop
    assert 3 == len(scene.booked)


# --- budgets


@pytest.mark.parametrize(
    ("allowance", "what"),
    [
        (Allowance(600, 3, 1_000_000, Decimal(1)), "turns"),
        (Allowance(600, 30, 5_000, Decimal(1)), "tokens"),
        (Allowance(600, 30, 1_000_000, Decimal("0.04")), "dollars"),
    ],
)
def test_every_budget_ends_a_run_after_it_was_told_to_come_to_an_end(
    tmp_path: Path, allowance: Allowance, what: str
) -> None:
    scene = Scene(tmp_path, counting(1000), allowance)

    ended = scene.life()

    assert (Stop.BUDGET, what) == (ended.stop, ended.detail)
    assert "wrap up" in [record.get("why") for record in scene.records]
    assert scene.dollars <= allowance.dollars


def test_seconds_end_a_run(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(1000), Allowance(100, 1000, 10**9, Decimal(100)))
    spoken = counting(1000)

    def slow(turn: int) -> Said:
        scene.time.at += 15
        return spoken(turn)

    scene.talker.script = slow

    assert (Stop.BUDGET, "seconds") == (scene.life().stop, scene.life().detail)
    assert scene.time.at <= 120


def test_after_the_word_to_end_only_the_result_counts(tmp_path: Path) -> None:
    def script(turn: int) -> Said:
        return reply(("Submit", {})) if turn == 3 else reply(("Count", {"number": turn}))

    scene = Scene(tmp_path, script, Allowance(600, 4, 1_000_000, Decimal(1)))

    assert Stop.DONE is scene.life().stop
    assert [0, 1] == scene.ran
    refused = [r["text"] for r in scene.records if r["kind"] == Kind.RESULT][-1]
    assert "no budget left" in refused


def test_a_restart_refills_no_budget(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(1000), Allowance(600, 6, 1_000_000, Decimal(1)))
    crash.arm(f"{transcript.RECORDED}/run:12", crash.raise_crash)
    try:
        with pytest.raises(crash.Crash):
            scene.life()
    finally:
        crash.disarm()

    assert (Stop.BUDGET, "turns") == (scene.life().stop, scene.life().detail)
    assert 6 == len(scene.talker.bodies)


def test_a_model_without_a_price_is_never_asked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, counting(1))
    scene.talker.name = "nobody-knows"
    kept = transcript.opened(tmp_path / "run.jsonl")

    with pytest.raises(Exception, match="HALON_MODEL_PRICES"):
        Meter(scene.allowance, kept, Prices(), "nobody-knows").reply_tokens(1000, 8000)


# --- asking again


def failing(*errors: ModelFailed) -> Callable[[int], Said]:
    left: Iterator[ModelFailed] = iter(errors)

    def script(turn: int) -> Said:
        return next(left, None) or reply(("Submit", {}))

    return script


def busy(retry_after: float | None = None, usage: Usage | None = None) -> ModelFailed:
    billed = Billed("msg_cut", usage or Usage())
    return ModelFailed(Trouble.BUSY, "busy", retry_after=retry_after, billed=billed)


def test_an_overloaded_minute_is_waited_out(tmp_path: Path) -> None:
    """529 for a minute: the waits grow, and the seventh question is answered."""
    scene = Scene(tmp_path, failing(*[busy() for _ in range(6)]))

    assert Stop.DONE is scene.life().stop
    assert 6 == len(scene.time.waits)
    assert scene.time.waits == sorted(scene.time.waits)
    assert sum(scene.time.waits) > 20


def test_an_hour_of_waiting_is_not_waited(tmp_path: Path) -> None:
    scene = Scene(tmp_path, failing(busy(retry_after=3600)))

    ended = scene.life()

    assert (Stop.MODEL, Trouble.BUSY) == (ended.stop, ended.trouble)
    assert [] == scene.time.waits


def test_the_servers_own_wait_is_obeyed_while_there_is_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, failing(busy(retry_after=7)))

    assert Stop.DONE is scene.life().stop
    assert [7] == scene.time.waits


def test_what_a_broken_stream_cost_is_booked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, failing(busy(usage=Usage(fresh=5000))))
    scene.life()

    whole = Prices().cost(MODEL, USAGE) + Prices().cost(MODEL, Usage(fresh=5000))
    assert whole == scene.dollars


@pytest.mark.parametrize("trouble", [Trouble.KEY, Trouble.UNKNOWN_MODEL, Trouble.BAD_REQUEST])
def test_what_no_repetition_mends_is_not_repeated(tmp_path: Path, trouble: Trouble) -> None:
    scene = Scene(tmp_path, failing(ModelFailed(trouble, "no")))

    assert (Stop.MODEL, trouble) == (scene.life().stop, scene.life().trouble)
    assert 1 == len(scene.talker.bodies)


# --- how else it ends


def test_a_refusal_ends_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lambda turn: reply(text="no", stop="refusal"))

    assert (Stop.REFUSAL, 1) == (scene.life().stop, len(scene.talker.bodies))


def test_a_result_that_breaks_the_schema_three_times_ends_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lambda turn: reply(("Submit", {"turn": turn})))
    scene.accept = lambda given: Again("summary: Field required", broken=True)

    ended = scene.life()

    assert Stop.SCHEMA is ended.stop
    assert "summary: Field required" in ended.detail
    assert 3 == len(scene.talker.bodies)


def test_a_result_that_does_not_hold_may_be_mended(tmp_path: Path) -> None:
    answers: list[reports.Report | Again] = [Again("it does not hold"), REPORT]
    scene = Scene(tmp_path, lambda turn: reply(("Submit", {"turn": turn})))
    scene.accept = lambda given: answers.pop(0)

    assert Stop.DONE is scene.life().stop


def test_words_without_a_call_are_nudged_and_then_end_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lambda turn: reply(text=f"hm {turn}", stop="end_turn"))

    assert Stop.STUCK is scene.life().stop
    assert 6 == len(scene.talker.bodies)


def test_the_same_call_over_and_over_is_nudged_and_then_ends_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lambda turn: reply(("Count", {"number": 1})))

    ended = scene.life()

    assert Stop.STUCK is ended.stop
    assert [1] == scene.ran  # answered from the first
    assert 8 == len(scene.talker.bodies)


def test_replies_that_are_cut_twice_end_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lambda turn: reply(text="long", stop="max_tokens"))

    assert (Stop.LENGTH, 2) == (scene.life().stop, len(scene.talker.bodies))


# --- tools


def results(scene: Scene) -> list[tuple[bool, str]]:
    return [(r["error"], r["text"]) for r in scene.records if r["kind"] == Kind.RESULT]


def test_a_tool_that_is_not_the_roles_is_refused_in_words(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path, lambda t: reply(("Submit", {})) if t else reply(("Bash", {"command": "rm -rf /"}))
    )
    scene.life()

    ((error, text),) = results(scene)
    assert error
    assert "the role tester has no tool 'Bash'. It has: Count, Change" in text


@pytest.mark.parametrize("given", [{}, {"number": "x"}, {"number": 1, "more": 2}, [], "text", None])
def test_impossible_arguments_are_told_and_not_run(tmp_path: Path, given: Any) -> None:
    scene = Scene(tmp_path, lambda turn: reply(("Submit", {})) if turn else reply(("Count", given)))
    scene.life()

    ((error, text),) = results(scene)
    assert (True, []) == (error, scene.ran)
    assert "Count cannot be called like this" in text


def test_a_tool_that_writes_runs_each_time(tmp_path: Path) -> None:
    def script(turn: int) -> Said:
        return reply(("Submit", {})) if turn == 2 else reply(("Change", {"number": 1}))

    scene = Scene(tmp_path, script)
    scene.life()

    assert [1, 1] == scene.ran
