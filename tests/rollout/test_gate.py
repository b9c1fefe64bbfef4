"""The gate: what passes, what fails, and what is honestly not known."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from incidents.models import Bucket, Result, Version
from rollout import gate
from rollout.gate import Gates, Look, Reason
from tests.rollout.buckets import SECONDS, START, both, row

ERRORS = Gates(max_latency_ratio=None, new_errors=False)
HEALTHY = both([(10, 0)] * 10, [(90, 1)] * 10)


def verdict(
    buckets: list[Bucket], gates: Gates = ERRORS, planned: int = 100, look: Look | None = None
) -> tuple[Result, Reason]:
    report = gate.judge(buckets, gates, planned, look)
    return report.result, report.reason


def test_enough_good_requests_pass() -> None:
    assert (Result.PASS, Reason.PASSED) == verdict(HEALTHY, look=Look(weight=10))


def test_66_requests_are_the_least() -> None:
    short = gate.judge(both([(13, 0)] * 5, [(117, 0)] * 5), ERRORS, 100)
    assert (Result.INCONCLUSIVE, Reason.LOW_TRAFFIC, 1) == (
        short.result, short.reason, short.missing_requests,
    )  # fmt: skip
    assert Result.PASS is verdict(both([(11, 0)] * 6, [(99, 0)] * 6))[0]


def test_no_pass_before_the_third_bucket() -> None:
    assert (Result.INCONCLUSIVE, Reason.LOW_TRAFFIC) == verdict(both([(500, 0)] * 2, [(90, 0)] * 2))


def test_a_minimum_of_requests_is_kept() -> None:
    report = gate.judge(HEALTHY, replace(ERRORS, min_requests=250), 100)
    assert (Reason.LOW_TRAFFIC, 150) == (report.reason, report.missing_requests)


def test_half_the_requests_failing_is_caught_by_the_breaker_in_four_buckets() -> None:
    assert Result.INCONCLUSIVE is verdict(both([(10, 5)] * 3, [(90, 0)] * 3))[0]
    assert (Result.FAIL, Reason.ERROR_RATE) == verdict(both([(10, 5)] * 4, [(90, 0)] * 4))


def test_a_canary_that_has_shown_itself_is_not_taken_back_for_one_burst() -> None:
    canary = [(10, 0)] * 40 + [(50, 25)] * 4
    look = Look(since=START + timedelta(seconds=40 * SECONDS))
    assert Result.INCONCLUSIVE is verdict(both(canary, [(50, 0)] * 44), look=look)[0]
    lasting = [*canary, *[(50, 25)] * 4]
    assert Result.FAIL is verdict(both(lasting, [(50, 0)] * 48), look=look)[0]


@pytest.mark.parametrize(
    ("stable_errors", "result"), [(0, Result.FAIL), (400, Result.INCONCLUSIVE)]
)
def test_a_collapse_late_in_a_healthy_phase_is_a_fail_after_a_minute_unless_stable_shares_it(
    stable_errors: int, result: Result
) -> None:
    rows = both([(500, 0)] * 20 + [(50, 45)] * 2, [(500, 0)] * 20 + [(500, stable_errors)] * 2)
    long = [replace(b, seconds=30.0, start=START + (b.start - START) * 30 / SECONDS) for b in rows]

    assert result is verdict(long)[0]


def test_one_terrible_bucket_is_not_enough_for_the_breaker() -> None:
    assert Result.INCONCLUSIVE is verdict(both([(10, 10)], [(90, 0)]))[0]


def test_a_fail_is_found_again_however_good_later_buckets_are() -> None:
    bad = [(10, 0)] * 3 + [(10, 6)] * 6
    later = bad + [(10, 0)] * 500
    for canary in (bad, later):
        assert Result.FAIL is verdict(both(canary, [(90, 0)] * len(canary)), planned=1000)[0]


def test_a_latched_fail_stays() -> None:
    assert (Result.FAIL, Reason.LATCHED) == verdict(HEALTHY, look=Look(latched=True))


def test_between_the_limits_says_so() -> None:
    report = gate.judge(both([(100, 5)] * 20, [(900, 0)] * 20), ERRORS, 100)
    assert (Result.INCONCLUSIVE, Reason.BETWEEN, None) == (
        report.result, report.reason, report.missing_requests,
    )  # fmt: skip


def test_no_requests_is_low_traffic() -> None:
    report = gate.judge(both([(0, 0)] * 10, [(0, 0)] * 10), ERRORS, 100)
    assert (Reason.LOW_TRAFFIC, 66) == (report.reason, report.missing_requests)


@pytest.mark.parametrize(
    ("buckets", "look", "reason"),
    [
        ([], Look(), Reason.NO_DATA),
        (both([None] * 10, [(90, 0)] * 10), Look(), Reason.NO_DATA),
        (both([(20, 0)] * 6 + [None] * 2 + [(20, 0)] * 2, [(90, 0)] * 10), Look(), Reason.PASSED),
        (both([(20, 0)] * 4 + [None] * 4 + [(20, 0)] * 2, [(90, 0)] * 10), Look(), Reason.NO_DATA),
        (both([(20, 0)] * 6 + [None] * 4, [(90, 0)] * 10), Look(), Reason.STALE),
        (HEALTHY, Look(now=START + timedelta(seconds=200)), Reason.STALE),
        (HEALTHY, Look(source_failing=True), Reason.SOURCE_ERROR),
        (HEALTHY, Look(weight=50), Reason.WRONG_SHARE),
        (HEALTHY, Look(weight=1), Reason.WRONG_SHARE),
        (HEALTHY, Look(weight=0), Reason.WRONG_SHARE),
        (both([(10, 0)] * 10, [None] * 10), Look(weight=10), Reason.NO_DATA),
        (both([(10, 0)] * 10, []), Look(weight=100), Reason.PASSED),
        (HEALTHY, Look(since=START + timedelta(seconds=60)), Reason.NO_DATA),
        (HEALTHY, Look(since=START + timedelta(seconds=25)), Reason.LOW_TRAFFIC),
    ],
)
def test_missing_data_has_a_name(buckets: list[Bucket], look: Look, reason: Reason) -> None:
    assert reason is verdict(buckets, look=look)[1]


def test_missing_data_never_hides_a_fail() -> None:
    buckets = both([(10, 6)] * 5 + [None] * 20, [(90, 0)] * 25)
    assert Result.FAIL is verdict(buckets, look=Look(weight=50, source_failing=True))[0]


def test_nothing_that_could_pass_is_an_error() -> None:
    with pytest.raises(ValueError, match="no gate"):
        gate.judge(HEALTHY, Gates(max_error_rate=None, max_latency_ratio=None), 100)


def test_doubled_buckets_are_an_error() -> None:
    with pytest.raises(ValueError, match="same start"):
        gate.judge(HEALTHY + HEALTHY[:1], ERRORS, 100)


def test_the_order_of_buckets_does_not_matter() -> None:
    shuffled = random.Random(4).sample(HEALTHY, len(HEALTHY))
    assert gate.judge(HEALTHY, ERRORS, 100) == gate.judge(shuffled, ERRORS, 100)


def test_a_million_requests_per_bucket() -> None:
    huge = both([(10**6, 10_000)] * 20, [(9 * 10**6, 90_000)] * 20)
    assert Result.PASS is verdict(huge)[0]
    assert Result.FAIL is verdict(both([(10**6, 10**6)] * 4, [(10**6, 0)] * 4))[0]


@pytest.mark.parametrize(
    ("errors", "expected"), [(1_000, Result.PASS), (10**6, Result.INCONCLUSIVE)]
)
def test_a_million_requests_in_one_bucket_change_nothing(errors: int, expected: Result) -> None:
    """One bucket is one bet, however full it is; neither overflows nor decides alone."""
    canary = [(10, 0)] * 70 + [(10**6, errors)] + [(10, 0)] * 30
    buckets = both(canary, [(90, 1)] * 101)
    assert expected is verdict(buckets, planned=1680)[0]


def test_better_than_a_broken_stable_needs_evidence() -> None:
    broken = both([(10, 0)] * 10, [(90, 40)] * 10)
    assert gate.judge(broken, ERRORS, 100).better
    assert not gate.judge(HEALTHY, ERRORS, 100).better
    still_bad = gate.judge(both([(50, 10)] * 20, [(50, 30)] * 20), ERRORS, 100)
    assert (Result.FAIL, True) == (still_bad.result, still_bad.better)


def lognormal(seed: int, factor: float, count: int) -> tuple[float, ...]:
    chance = random.Random(seed)
    return tuple(100 * factor * chance.lognormvariate(0, 0.8) for _ in range(count))


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, Result.PASS), (2.0, Result.INCONCLUSIVE), (4.0, Result.FAIL)],
)
def test_latency_against_twice_the_baseline(factor: float, expected: Result) -> None:
    buckets = []
    for index in range(20):
        at = START + timedelta(seconds=SECONDS) * index
        slow, base = lognormal(index, factor, 30), lognormal(1000 + index, 1.0, 270)
        buckets += row(Version.CANARY, [(30, 0)], start=at, times=slow)
        buckets += row(Version.STABLE, [(270, 0)], start=at, times=base)
    report = gate.judge(buckets, Gates(new_errors=False), 100)
    (line,) = [line for line in report.gates if line.name == "latency"]
    assert expected is line.result
    assert expected is report.result


def test_a_latency_gate_without_times_does_not_pass() -> None:
    assert (Result.INCONCLUSIVE, Reason.NO_DATA) == verdict(HEALTHY, Gates(new_errors=False))


def test_a_version_in_trouble_is_no_yardstick_for_latency() -> None:
    report = gate.judge(HEALTHY, Gates(new_errors=False, hotfix=True), 100)
    assert Result.PASS is report.result
    assert ["not judged"] == [g.detail[:10] for g in report.gates if g.name == "latency"]


def test_coarse_histograms_are_read_the_safe_way() -> None:
    def bucket(version: Version, index: int, histogram: tuple[tuple[float, int], ...]) -> Bucket:
        at = START + timedelta(seconds=SECONDS) * index
        count = histogram[-1][1]
        return Bucket(version, at, SECONDS, count, 0, histogram=histogram)

    stable = [bucket(Version.STABLE, i, ((100.0, 190), (1000.0, 200))) for i in range(10)]
    same = [bucket(Version.CANARY, i, ((100.0, 19), (1000.0, 20))) for i in range(10)]
    gates = Gates(new_errors=False)
    assert Result.INCONCLUSIVE is gate.judge([*stable, *same], gates, 100).result


def with_error(bucket: Bucket, text: str, count: int) -> Bucket:
    return replace(bucket, fingerprints=((text, count),))


@pytest.mark.parametrize(
    ("text", "count", "on_stable", "expected"),
    [
        ("KeyError cart.py:7", 1, False, Result.PASS),
        ("KeyError cart.py:7", 40, False, Result.PASS),
        ("java.lang.OutOfMemoryError: Out of memory", 1, False, Result.FAIL),
    ],
)
def test_new_critical_errors_once(text: str, count: int, on_stable: bool, expected: Result) -> None:
    buckets = both([(100, 0)] * 10, [(900, 9)] * 10)
    buckets[3] = with_error(buckets[3], text, count)
    if on_stable:
        buckets[12] = with_error(buckets[12], text, 1)
    gates = Gates(max_latency_ratio=None, new_errors=True)
    assert expected is gate.judge(buckets, gates, 100).result


@pytest.mark.parametrize(
    ("known_at", "expected"), [(None, Result.FAIL), (0, Result.PASS), (25, Result.FAIL)]
)
def test_a_new_error_that_comes_again_fails(known_at: int | None, expected: Result) -> None:
    """Three bursts that only the canary has; what stable shows later does not undo it."""
    buckets = both([(100, 0)] * 30, [(900, 9)] * 30)
    for place in (3, 8, 13):
        buckets[place] = with_error(buckets[place], "KeyError cart.py:7", 2)
    if known_at is not None:
        buckets[30 + known_at] = with_error(buckets[30 + known_at], "KeyError cart.py:7", 1)
    report = gate.judge(buckets, Gates(max_latency_ratio=None), 100)
    assert (expected, expected is Result.FAIL) == (
        report.result,
        report.reason is Reason.NEW_ERRORS,
    )


@pytest.mark.parametrize("seed", range(12))
def test_what_failed_at_one_look_fails_at_every_later_one(seed: int) -> None:
    """Errors, times and kinds of errors at random: no later data take a FAIL of a phase back."""
    chance = random.Random(seed)
    sick, slow = chance.choice([0.02, 0.3]), chance.choice([1.0, 4.0])
    buckets: list[Bucket] = []
    for index in range(60):
        at = START + timedelta(seconds=SECONDS) * index
        for version, n, share, factor in (
            (Version.CANARY, 12, sick if 10 <= index < 25 else 0.01, slow if index < 30 else 1.0),
            (Version.STABLE, 60, 0.01, 1.0),
        ):
            failed = sum(chance.random() < share for _ in range(n))
            times = tuple(100 * factor * chance.lognormvariate(0, 0.8) for _ in range(n))
            told = (("KeyError", failed),) if failed and chance.random() < 0.5 else ()
            buckets.append(Bucket(version, at, SECONDS, n, failed, times, fingerprints=told))
    results = [
        gate.judge(buckets[: 2 * last], Gates(), 600).result is Result.FAIL for last in range(1, 61)
    ]
    assert sorted(results) == results


def test_worse_than_stable_though_under_five_percent() -> None:
    buckets = both([(100, 4)] * 60, [(900, 1)] * 60)
    gates = replace(ERRORS, max_relative=2.0)
    assert (Result.FAIL, Reason.RELATIVE) == verdict(buckets, gates)
    assert Result.FAIL is not verdict(buckets, replace(gates, hotfix=True))[0]


@pytest.mark.parametrize("burst", [0.0, 0.2])
def test_a_canary_at_the_limit_fails_in_at_most_one_of_a_hundred_rollouts(burst: float) -> None:
    """At exactly 5 % errors, with and without bursts; 200 rollouts of 120 looks each."""
    chance = random.Random(11)
    failed = 0
    for _ in range(200):
        counts = []
        for _ in range(120):
            scale = 1 / burst - 1 if burst else 0.0
            share = chance.betavariate(0.05 * scale, 0.95 * scale) if burst else 0.05
            counts.append((8, sum(chance.random() < share for _ in range(8))))
        buckets = row(Version.CANARY, counts)
        failed += gate.judge(buckets, ERRORS, 600).result is Result.FAIL
    assert failed <= 4  # 1 % of 200, with room for chance: 5 and more have odds of 1 : 20


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, Result.PASS), (4.0, Result.FAIL)])
def test_the_unit_of_response_times_changes_no_verdict(
    unit: float, factor: float, expected: Result
) -> None:
    buckets = []
    for index in range(20):
        at = START + timedelta(seconds=SECONDS) * index
        slow, base = lognormal(index, factor, 30), lognormal(1000 + index, 1.0, 270)
        mine, theirs = [tuple(unit * ms for ms in times) for times in (slow, base)]
        buckets += row(Version.CANARY, [(30, 0)], start=at, times=mine)
        buckets += row(Version.STABLE, [(270, 0)], start=at, times=theirs)
    assert expected is gate.judge(buckets, Gates(new_errors=False), 100).result


def test_one_version_in_another_unit_is_never_passed() -> None:
    buckets = []
    for index in range(20):
        at = START + timedelta(seconds=SECONDS) * index
        buckets += row(Version.CANARY, [(30, 0)], start=at, times=lognormal(index, 1000.0, 30))
        buckets += row(Version.STABLE, [(270, 0)], start=at, times=lognormal(99 + index, 1.0, 270))
    assert Result.FAIL is gate.judge(buckets, Gates(new_errors=False), 100).result


THIN = gate.judge(both([(1, 0)] * 10, [(9, 0)] * 10), ERRORS, 100)
BETWEEN = gate.judge(both([(40, 2)] * 10, [(90, 1)] * 10), ERRORS, 100)
FAILED = gate.judge(both([(10, 6)] * 10, [(90, 0)] * 10), ERRORS, 100)
PASSED = gate.judge(HEALTHY, ERRORS, 100)


@pytest.mark.parametrize(
    ("users", "replayed", "result", "reason", "rests"),
    [
        (PASSED, THIN, Result.PASS, Reason.PASSED, False),
        (PASSED, FAILED, Result.FAIL, Reason.ERROR_RATE, True),
        (THIN, PASSED, Result.PASS, Reason.PASSED, True),
        (THIN, FAILED, Result.FAIL, Reason.ERROR_RATE, True),
        (THIN, THIN, Result.INCONCLUSIVE, Reason.LOW_TRAFFIC, False),
        (BETWEEN, PASSED, Result.INCONCLUSIVE, Reason.BETWEEN, False),
        (FAILED, PASSED, Result.FAIL, Reason.ERROR_RATE, False),
    ],
)
def test_replayed_requests_stand_in_only_where_users_are_missing(
    users: gate.GateReport,
    replayed: gate.GateReport,
    result: Result,
    reason: Reason,
    rests: bool,
) -> None:
    found = gate.joined(users, replayed)
    assert (result, reason, rests) == (found.result, found.reason, found.replayed)


def test_replayed_requests_have_lines_of_their_own_and_are_never_added() -> None:
    found = gate.joined(THIN, PASSED)
    assert [line.name for line in THIN.gates] == [
        line.name for line in found.gates if "replayed" not in line.name
    ]
    assert [f"{line.name}, replayed" for line in PASSED.gates] == [
        line.name for line in found.gates if "replayed" in line.name
    ]
