"""Deployer flagger through the real kubectl and real requests of a Flagger of the tests."""

import contextlib
import copy
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from rollout import flagger_state, permits, webhooks
from rollout.deployers import flagger
from rollout.deployers.port import Observed
from tests.rollout import plans
from tests.rollout.deployers import flagged
from tests.rollout.deployers.flagged import TOKEN, Flagged, post
from tests.rollout.production import until

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
PLAN = plans.made(last_good_revision=None)
FOREIGN = "f" * 40


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Flagged]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Flagged(tmp_path, port).begin()
    yield made
    made.end()


@pytest.fixture
def hosted(cluster: Flagged) -> Iterator[Flagged]:
    """The cluster, and webhooks as the controller hosts them."""
    settings = flagger.Settings.model_validate(cluster.keys())
    flagger.make_ready("checkout", settings, cluster.folder / "halon" / "checkout")
    with webhooks.hosted(settings.listen, cluster.folder / "halon"):
        until(lambda: ask(cluster, "rollback") == 403, 10)
        yield cluster


def deployer(cluster: Flagged, **keys: Any) -> flagger.Flagger:
    settings = flagger.Settings.model_validate({**cluster.keys(), **keys})
    return flagger.Flagger("checkout", settings, cluster.folder / "halon" / "checkout")


def facts(seen: Observed) -> tuple[int, str | None, str | None, bool]:
    return seen.weight, seen.stable_revision, seen.canary_revision, seen.settled


def ask(cluster: Flagged, hook: str, content: object = None) -> int:
    """Ask as Flagger asks, and return the status code."""
    given = flagged.question(cluster.status, {"token": TOKEN}) if content is None else content
    return post(f"http://127.0.0.1:{cluster.port}/checkout/{hook}", given)


def test_a_whole_rollout_step_by_step(hosted: Flagged) -> None:
    made = deployer(hosted)
    assert ["experimental"] == [p.text.split()[3][:-1] for p in made.preflight(PLAN)]
    assert (0, plans.OLD, plans.NEW, True) == facts(made.prepare(PLAN, "1"))
    for percent in (10, 50, 100):
        assert (percent, plans.OLD, plans.NEW, True) == facts(made.set_weight(percent, "1"))
        assert percent == hosted.weight
    assert (0, plans.NEW, None, True) == facts(made.promote("1"))
    # Afterwards the team's own deploys go on as without Halon.
    hosted.deploy(FOREIGN)
    until(lambda: hosted.status["phase"] == "Succeeded" and FOREIGN in hosted.image, 20)


def test_without_an_approval_no_step_is_taken_and_each_only_once(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    assert 403 == ask(hosted, "confirm-traffic-increase")
    assert 403 == ask(hosted, "confirm-promotion")
    assert 403 == ask(hosted, "rollback")
    made.set_weight(10, "1")
    before = len(hosted.asked)
    until(lambda: len(hosted.asked) > before + 6, 20)
    assert 10 == hosted.weight  # it went on asking, and was told no
    assert {("confirm-traffic-increase", 403), ("rollback", 403)} == {*hosted.asked[before:]}


def test_taking_back_is_a_yes_to_rollback_and_asks_for_the_old_revision(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    made.set_weight(50, "1")
    assert (0, plans.OLD, None, True) == facts(made.take_back(plans.OLD, "1"))
    assert (0, "Failed") == (hosted.weight, hosted.status["phase"])
    assert plans.OLD in hosted.image
    # What failed can be prepared again: Flagger has to see something else in between.
    assert (0, plans.OLD, plans.NEW, True) == facts(made.prepare(PLAN, "1"))


def test_going_to_the_last_good_revision_takes_no_steps(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    assert (0, plans.GOOD, None, True) == facts(made.take_back(plans.GOOD, "1"))
    assert not hosted.objects[flagged.CANARY]["spec"]["skipAnalysis"]


def test_the_way_back_answers_flagger_itself_with_nothing_of_halon_alive(
    cluster: Flagged,
) -> None:
    made = deployer(cluster)
    settings = flagger.Settings.model_validate(cluster.keys())
    with webhooks.hosted(settings.listen, cluster.folder / "halon"):
        made.prepare(PLAN, "1")
        made.set_weight(10, "1")
        argv = made.take_back_argv(plans.OLD, "newest")
    until(lambda: cluster.asked[-1][1] == 0, 10)  # nobody answers any more: it stays at 10 %
    assert 10 == cluster.weight
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert (0, plans.OLD, None, True) == facts(made.observe())


def test_a_second_host_waits_and_takes_over_when_the_first_is_gone(cluster: Flagged) -> None:
    settings = flagger.Settings.model_validate(cluster.keys())
    flagger.make_ready("checkout", settings, cluster.folder / "halon" / "checkout")
    with contextlib.ExitStack() as first:
        first.enter_context(webhooks.hosted(settings.listen, cluster.folder / "elsewhere"))
        until(lambda: ask(cluster, "confirm-rollout") == 404, 10)
        with webhooks.hosted(settings.listen, cluster.folder / "halon"):
            assert 404 == ask(cluster, "confirm-rollout")
            first.close()
            until(lambda: ask(cluster, "confirm-rollout") == 200, 10)


def test_all_traffic_on_the_canary_is_not_read_as_zero(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    made.set_weight(100, "1")
    hosted.say(phase="WaitingPromotion", canaryWeight=0)  # what Flagger writes there
    assert 100 == made.observe().weight
    assert 0 == made.take_back(plans.OLD, "1").weight


def test_somebody_elses_revision_is_seen_and_never_steered(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    hosted.deploy(FOREIGN)
    until(lambda: hosted.weight == 0, 20)
    assert FOREIGN == made.observe().canary_revision
    with pytest.raises(errors.TemporaryFailure, match="Somebody else"):
        made.set_weight(50, "1")
    with pytest.raises(errors.TemporaryFailure, match="Somebody else"):
        made.take_back(plans.OLD, "1")
    assert FOREIGN in hosted.image
    assert 403 == ask(hosted, "confirm-traffic-increase")


def test_a_rollback_of_flaggers_own_is_seen_as_one(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    hosted.weight = 0
    hosted.say(phase="Failed", canaryWeight=0)
    seen = made.observe()
    assert (0, plans.OLD, None, False) == facts(seen)  # not what was commanded
    assert f"Flagger has taken {plans.NEW} back." == seen.trouble
    assert "which Flagger took back" in fatal(made)


def test_a_flagger_that_asks_nobody_is_told_apart_from_one_that_waits(cluster: Flagged) -> None:
    cluster.objects[flagged.CANARY]["spec"]["analysis"]["webhooks"] = []
    cluster.paused = True
    made = deployer(cluster)
    made._hooks.seconds.update(prepare=2.0)  # type: ignore[attr-defined]
    with pytest.raises(errors.TemporaryFailure):
        made.prepare(PLAN, "1")
    assert "it has asked nothing yet" in (made.observe().trouble or "")


def test_an_api_server_in_trouble_is_out_of_sight_and_never_zero(hosted: Flagged) -> None:
    made = deployer(hosted)
    made.prepare(PLAN, "1")
    hosted.failing = 1
    with pytest.raises(errors.TemporaryFailure, match="leader changed"):
        made.observe()
    hosted.failing = 0
    assert plans.NEW == made.observe().canary_revision


def test_without_its_token_nothing_is_prepared(cluster: Flagged) -> None:
    made = deployer(cluster, token_file=str(cluster.folder / "gone"))
    assert plans.OLD == made.observe().stable_revision  # who plans may look
    with pytest.raises(errors.PermanentFailure, match="token_file"):
        made.prepare(PLAN, "1")


# --- the questions themselves


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda asked: asked, 403),
        (lambda asked: asked.pop("metadata") and asked, 401),
        (lambda asked: asked | {"metadata": {"token": "guessed"}}, 401),
        (lambda asked: asked | {"metadata": {"token": None}}, 401),
        (lambda asked: asked | {"name": "other"}, 404),
        (lambda asked: asked | {"namespace": "other"}, 404),
        (lambda asked: [asked], 400),
        (lambda asked: b"{", 400),
        (lambda asked: b"x" * 70_000, 400),
        (lambda asked: b"", 400),
    ],
)
def test_strangers_and_nonsense_get_no_yes(
    hosted: Flagged, change: Callable[[dict[str, Any]], object], code: int
) -> None:
    asked = flagged.question(hosted.status, {"token": TOKEN})
    assert code == ask(hosted, "rollback", change(asked))


@pytest.mark.parametrize(
    ("path", "code"),
    [("other/rollback", 404), ("checkout/delete", 404), ("checkout", 404), ("../halon", 400)],
)
def test_unknown_places_are_no_yes(hosted: Flagged, path: str, code: int) -> None:
    asked = flagged.question(hosted.status, {"token": TOKEN})
    assert code == post(f"http://127.0.0.1:{hosted.port}/{path}", asked)


def test_a_step_is_allowed_once_however_many_ask_at_once(hosted: Flagged) -> None:
    folder = hosted.folder / "halon" / "checkout"
    permit = permits.read(folder)
    assert permit is not None
    open_one = {"open": True, "may": (permits.RAISE,), "once": "n1", "until": 9e12}
    permits.write(folder, permits.Permit(**{**vars(permit), **open_one}))
    codes: list[int] = []
    asking = [
        threading.Thread(target=lambda: codes.append(ask(hosted, permits.RAISE))) for _ in range(8)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert [200] + 7 * [403] == sorted(codes)


MINE = permits.Permit("shop", "shop", permits.digest(TOKEN), open=True, rollout="r1")
ASKED = {"name": "shop", "namespace": "shop", "checksum": "c1", "metadata": {"token": TOKEN}}


def answered(hook: str, permit: permits.Permit | None, checksum: str = "c1", now: float = 0) -> int:
    memory = permits.Memory(rollout="r1", checksum="c1")
    return permits.answer(hook, ASKED | {"checksum": checksum}, permit, memory, now).code


def test_a_missing_permit_is_no_yes_and_a_closed_one_stands_aside() -> None:
    assert [404] * 4 == [answered(hook, None) for hook in permits.HOOKS]
    closed = permits.Permit(**{**vars(MINE), "open": False})
    assert [200, 200, 200, 403] == [answered(hook, closed) for hook in permits.HOOKS]


def test_a_permit_is_for_one_checksum_and_ends_by_itself() -> None:
    permit = permits.Permit(**{**vars(MINE), "may": (permits.RAISE,), "once": "n", "until": 50.0})
    assert 200 == answered(permits.RAISE, permit, now=49)
    assert 403 == answered(permits.RAISE, permit, now=50)
    assert 403 == answered(permits.RAISE, permit, checksum="c2", now=49)


# --- preflight


def fatal(made: flagger.Flagger) -> str:
    return " ".join(problem.text for problem in made.preflight(PLAN) if problem.fatal)


def analysed(**changed: Any) -> dict[str, Any]:
    found = flagged.canary(8484)["spec"]
    return {**found, "analysis": {**found["analysis"], **changed}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (analysed(), ""),
        (analysed(interval="30s"), ""),
        (analysed(interval="1m"), "at most 30s"),
        (analysed(interval="soon"), "interval is soon"),
        (analysed(stepWeights=[20, 50, 100]), "not [20, 50, 100]"),
        (analysed(stepWeights=[10, 50]), "not [10, 50]"),
        (analysed(stepWeights=[], stepWeight=5, maxWeight=50), "stepWeights alone"),
        (analysed(iterations=10), "Blue/green"),
        (analysed(match=[{"headers": {}}]), "A/B"),
        (analysed(mirror=True), "Mirrored"),
        (analysed(webhooks=[]), "one webhook confirm-rollout"),
        (analysed(webhooks=flagged.canary(1)["spec"]["analysis"]["webhooks"] * 2), "not 2"),
        ({**analysed(), "skipAnalysis": True}, "skipAnalysis"),
        ({**analysed(), "suspend": True}, "suspended"),
        ({**analysed(), "provider": "kubernetes"}, "no weights"),
        ({**analysed(), "targetRef": {"kind": "DaemonSet", "name": "shop"}}, "Deployment"),
        ({**analysed(), "targetRef": {"kind": "Deployment", "name": "x"}}, "target is 'x'"),
    ],
)
def test_a_canary_that_cannot_be_steered_is_refused(spec: dict[str, Any], said: str) -> None:
    target = flagger_state.Target("checkout", "shop", "shop", "i:{revision}", "h:1", "/", "")
    found = flagger_state.problems({"spec": copy.deepcopy(spec)}, target, (10, 50, 100))
    assert bool(said) == any(problem.fatal for problem in found)
    assert said in " ".join(problem.text for problem in found)


def test_other_judges_are_named_and_a_wrong_token_is_refused() -> None:
    target = flagger_state.Target("checkout", "shop", "shop", "i:{revision}", "h:1", "/", "wrong")
    other = {"type": "rollback", "url": "http://gate.test/rollback/check"}
    hooks = [*flagged.canary(8484)["spec"]["analysis"]["webhooks"], other]
    spec = analysed(webhooks=hooks, metrics=[{"name": "request-success-rate"}])
    found = flagger_state.problems({"spec": spec}, target, (10, 50, 100))
    assert [(True, "token_file"), (False, "metrics"), (False, "gate.test")] == [
        (
            problem.fatal,
            next(w for w in ("token_file", "metrics", "gate.test") if w in problem.text),
        )
        for problem in found
    ]


def test_preflight_says_what_the_cluster_does_not_show(cluster: Flagged) -> None:
    cluster.objects.pop(f"{flagged.DEPLOYMENT}-primary")
    made = deployer(cluster)
    assert "cannot be seen" in fatal(made)


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"image": "registry.test/shop:latest"}, "revision"),
        ({"canary": "--all"}, "canary"),
        ({"listen": "8484"}, "HOST:PORT"),
        ({"listen": "0.0.0.0:http"}, "HOST:PORT"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    cluster: Flagged, keys: dict[str, str], mistake: str
) -> None:
    with pytest.raises(ValidationError, match=mistake):
        flagger.Settings.model_validate({**cluster.keys(), **keys})


def test_a_permit_on_disk_that_is_garbage_is_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"canary": "shop"}', json.dumps({"may": 3})):
        (tmp_path / "permit.json").write_text(text, encoding="utf-8")
        assert permits.read(tmp_path) is None
