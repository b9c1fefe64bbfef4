"""When a series began to rise, and how: the gate's false alarms, detection, and the three kinds."""

import math
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agents.builtin import onset
from agents.builtin.onset import OnsetKind

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Series = Callable[[random.Random], list[int]]


def poisson(rng: random.Random, rate: float) -> int:
    """Draw by Knuth's product, by the normal approximation above 50."""
    if rate > 50:
        return max(0, round(rng.gauss(rate, math.sqrt(rate))))
    count, product, floor = 0, rng.random(), math.exp(-rate)
    while product > floor:
        count, product = count + 1, product * rng.random()
    return count


def steady(rng: random.Random, n: int, rate: float) -> list[int]:
    return [poisson(rng, rate) for _ in range(n)]


def clustered(rng: random.Random, n: int, rate: float) -> list[int]:
    """Draw with variance three times the mean (gamma-mixed Poisson)."""
    return [poisson(rng, rng.gammavariate(rate / 2, 2)) for _ in range(n)]


def false_alarms(make: Callable[[random.Random, int, float], list[int]], trials: int) -> float:
    rng = random.Random(11)
    cells = [(n, rate) for n in (60, 120, 240) for rate in (0.05, 0.3, 2.0, 20.0)]
    found = sum(
        onset.find_onset(make(rng, n, rate), START, MINUTE) is not None
        for n, rate in cells
        for _ in range(trials)
    )
    return found / (trials * len(cells))


def kinds(make: Series, trials: int = 40) -> Counter[str]:
    rng = random.Random(5)
    found = (onset.find_onset(make(rng), START, MINUTE) for _ in range(trials))
    return Counter(str(one.kind) if one else "none" for one in found)


def test_false_onsets_on_quiet_poisson_series_stay_under_one_percent() -> None:
    assert false_alarms(steady, 100) <= 0.01


def test_false_onsets_on_clustered_series_stay_under_one_percent() -> None:
    assert false_alarms(clustered, 100) <= 0.01


@pytest.mark.parametrize(
    ("before", "after", "length", "least"), [(0, 3, 10, 0.97), (1, 4, 10, 0.80), (2, 40, 5, 1.0)]
)
def test_a_step_is_found_within_a_minute(
    before: float, after: float, length: int, least: float
) -> None:
    rng = random.Random(3)
    hits = 0
    for _ in range(100):
        series = steady(rng, 300, before) + steady(rng, length, after)
        found = onset.find_onset(series, START, MINUTE)
        hits += found is not None and abs((found.at - START) / MINUTE - 300) <= 1
    assert hits / 100 >= least


@pytest.mark.parametrize(("before", "after"), [(0, 3), (1, 4), (0, 30), (20, 200)])
def test_a_step_is_sudden(before: float, after: float) -> None:
    found = kinds(lambda rng: steady(rng, 120, before) + steady(rng, 60, after))
    assert found[OnsetKind.SUDDEN] >= 38


@pytest.mark.parametrize(
    ("before", "after", "length"), [(0, 10, 20), (0, 30, 40), (2, 20, 30), (0, 100, 10)]
)
def test_a_ramp_is_gradual(before: float, after: float, length: int) -> None:
    def ramp(rng: random.Random) -> list[int]:
        rise = after - before
        return steady(rng, 120, before) + [
            poisson(rng, before + rise * min(1.0, (i + 1) / length)) for i in range(60)
        ]

    assert kinds(ramp)[OnsetKind.GRADUAL] >= 38


@pytest.mark.parametrize(
    ("before", "after", "on", "off"), [(0, 10, 3, 7), (1, 20, 5, 10), (0, 30, 10, 10)]
)
def test_bursts_with_quiet_between_are_intermittent(
    before: float, after: float, on: int, off: int
) -> None:
    def bursts(rng: random.Random) -> list[int]:
        return steady(rng, 120, before) + [
            poisson(rng, after if i % (on + off) < on else before) for i in range(60)
        ]

    assert kinds(bursts)[OnsetKind.INTERMITTENT] >= 38


def test_traffic_that_breathes_by_a_third_does_not_make_a_step_gradual() -> None:
    def breathing(rng: random.Random) -> list[int]:
        return [0] * 120 + [poisson(rng, 30 * (1 + 0.3 * math.sin(i / 6))) for i in range(60)]

    assert kinds(breathing)[OnsetKind.SUDDEN] >= 38


def test_of_two_incidents_far_apart_the_later_one_is_the_onset() -> None:
    series = [0] * 20 + [5] * 10 + [0] * 100 + [8] * 20
    found = onset.find_onset(series, START, MINUTE)
    assert found is not None
    assert START + 130 * MINUTE == found.at


def test_of_two_steps_upwards_the_first_is_the_onset() -> None:
    rng = random.Random(8)
    series = steady(rng, 100, 0) + steady(rng, 30, 4) + steady(rng, 40, 40)
    found = onset.find_onset(series, START, MINUTE)
    assert found is not None
    assert abs((found.at - START) / MINUTE - 100) <= 1


def test_a_rise_by_less_than_two_is_no_onset() -> None:
    assert onset.find_onset([20] * 60 + [30] * 60, START, MINUTE) is None


def test_fewer_than_five_events_are_no_onset() -> None:
    assert onset.find_onset([0] * 100_0 + [4], START, MINUTE) is None


def test_more_templates_raise_the_threshold() -> None:
    series = [0] * 60 + [1, 1, 1, 1, 1, 1, 1, 1]
    alone = onset.find_onset(series, START, MINUTE)
    assert alone is not None
    assert onset.find_onset(series, START, MINUTE, templates=int(math.exp(alone.llr))) is None


@pytest.mark.parametrize("series", [[], [9], [0, 0, 0], [7, 7, 7]])
def test_a_series_without_a_rise_has_no_onset(series: list[int]) -> None:
    assert onset.find_onset(series, START, MINUTE) is None
