"""The formulas against their published constants, brute force, and very large numbers."""

import random
from math import exp, inf, isfinite, log

import pytest

from rollout import evalues


@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        (0.05, (66, 132, 181, 224, 300)),
        (0.02, (166, 333, 458, 566, 756)),
        (0.01, (334, 668, 920, 1136, 1518)),
    ],
)
def test_requests_for_a_pass(limit: float, needed: tuple[int, ...]) -> None:
    found = tuple(
        next(n for n in range(s, 2000) if evalues.ln_health(s, n, limit) >= log(20))
        for s in (0, 1, 2, 3, 5)
    )
    assert needed == found


@pytest.mark.parametrize(
    ("bound", "needed"),
    [(100, (5, 7, 11, 16, 32, 81, 590)), (1000, (6, 8, 12, 17, 35, 85, 602))],
)
def test_errors_for_a_fail(bound: int, needed: tuple[int, ...]) -> None:
    found = tuple(
        next(s for s in range(n + 1) if evalues.ln_harm(s, n, 0.05) >= log(bound))
        for n in (10, 20, 50, 100, 300, 1000, 10_000)
    )
    assert needed == found


def test_a_late_fault_is_found_at_the_published_bucket() -> None:
    path = evalues.betting([0.005] * 19 + [0.15] * 31, 0.05, 50)
    crossed = next(t for t, value in enumerate(path, start=1) if value >= log(100))
    assert 30 == crossed
    assert 240.864 == pytest.approx(exp(path[29]), abs=0.001)


def test_the_recursion_is_the_mean_over_every_start() -> None:
    shares = [0.0, 0.2, 0.01, 0.6, 0.05]
    stakes = evalues._stakes(0.05)
    total = 0.0
    for stake in stakes:
        for start in range(8):
            product = 1.0
            for share in shares[start:]:
                product *= 1 + stake * (share - 0.05)
            total += product
    assert total / (8 * len(stakes)) == pytest.approx(exp(evalues.betting(shares, 0.05, 8)[-1]))


@pytest.mark.parametrize("errors", [0, 50_000, 1_000_000])
def test_a_million_requests_neither_underflow_nor_overflow(errors: int) -> None:
    harm, health = evalues.ln_harm(errors, 10**6, 0.05), evalues.ln_health(errors, 10**6, 0.05)
    assert isfinite(harm)
    assert isfinite(health)
    assert (errors == 10**6) == (harm > log(100))
    assert (errors == 0) == (health > log(20))


@pytest.mark.parametrize("burst", [0.0, 0.2])
def test_bets_for_health_seldom_pass_a_canary_at_the_limit(burst: float) -> None:
    """At exactly 5 % errors, looked at once at the end; 300 bakes of 120 buckets."""
    chance, passed = random.Random(5), 0
    scale = 1 / burst - 1 if burst else 0.0
    for _ in range(300):
        shares = []
        for _ in range(120):
            share = chance.betavariate(0.05 * scale, 0.95 * scale) if burst else 0.05
            shares.append(sum(chance.random() < share for _ in range(5)) / 5)
        passed += evalues.betting_for(shares, 0.05) >= log(20)
    assert passed <= 15  # 5 % at most


def test_bets_for_health_pass_good_buckets_however_full() -> None:
    assert log(20) <= evalues.betting_for([0.0] * 75, 0.05)
    assert evalues.betting_for([1.0] + [0.0] * 75, 0.05) < log(20)
    assert 0.0 == pytest.approx(evalues.betting_for([], 0.05))


def test_groups_are_made_by_requests_alone() -> None:
    assert [(20, 3), (25, 1)] == evalues.merged([(10, 1), (10, 2), (10, 0), (10, 0), (5, 1)], 20)
    assert [] == evalues.merged([(3, 1)], 20)


def test_betting_stands_the_extremes() -> None:
    assert all(isfinite(value) for value in evalues.betting([1.0] * 5000, 0.05, 1000))
    assert all(isfinite(value) for value in evalues.betting([0.0] * 5000, 0.05, 1000))
    assert [] == evalues.betting([], 0.05, 10)


@pytest.mark.parametrize(("errors", "requests"), [(0, 0), (0, 40), (1, 100), (3, 150)])
def test_missing_requests_is_the_smallest_number_that_passes(errors: int, requests: int) -> None:
    more = evalues.missing_requests(errors, requests, 0.05, log(20))
    assert more is not None
    share = errors / requests if requests else 0.0
    n = requests + more
    assert evalues.ln_health(share * n, n, 0.05) >= log(20)
    assert evalues.ln_health(share * (n - 1), n - 1, 0.05) < log(20)


def test_no_traffic_helps_a_share_at_the_limit() -> None:
    assert None is evalues.missing_requests(5, 100, 0.05, log(20))


def test_logarithms_of_nothing() -> None:
    assert -inf == evalues.ln_sum([])
    assert -inf == evalues.ln_add(-inf, -inf)
    assert log(3) == pytest.approx(evalues.ln_add(log(1), log(2)))


@pytest.mark.parametrize(("trials", "share", "level", "k"), [(10, 0.5, 0.5, 5), (1, 0.5, 0.6, 1)])
def test_binomial_quantile(trials: int, share: float, level: float, k: int) -> None:
    assert k == evalues.binomial_quantile(trials, share, level)
