"""The search for the first bad commit, on simulated histories."""

import random

from agents.builtin import bisect


def find(n: int, culprit: int, skipped: set[int], scores: list[float]) -> tuple[bisect.Span, int]:
    """Search as the proof does; return the span and the number of rounds."""
    prior, marks, rounds = bisect.priors(scores), {n - 1: "bad"}, 0
    while True:
        bad = {i for i, mark in marks.items() if mark == "bad"}
        good = {i for i, mark in marks.items() if mark == "good"}
        span = bisect.narrow(n, bad, good)
        points = bisect.next_points(span, prior, set(marks))
        if not points:
            return span, rounds
        rounds += 1
        for i in points:
            marks[i] = "skip" if i in skipped else "bad" if i >= culprit else "good"


def test_every_culprit_of_every_length_is_found() -> None:
    for n in range(1, 24):
        for culprit in range(n):
            span, _ = find(n, culprit, set(), [0.0] * n)
            assert list(span.members) == [culprit]


def test_a_right_suspect_is_settled_in_one_round() -> None:
    scores = [0.0] * 100
    scores[40] = 1.0
    span, rounds = find(100, 40, set(), scores)
    assert (list(span.members), rounds) == ([40], 1)


def test_untestable_neighbours_stay_in_the_range_with_the_culprit() -> None:
    span, _ = find(20, 9, {8, 9, 10}, [0.0] * 20)
    assert list(span.members) == [8, 9, 10, 11]


def test_untestable_commits_elsewhere_do_no_harm() -> None:
    span, _ = find(40, 30, {3, 19, 20, 21}, [0.0] * 40)
    assert list(span.members) == [30]


def test_a_failure_that_came_back_is_searched_at_its_newest_beginning() -> None:
    assert bisect.narrow(10, bad={2, 9}, good={5}) == bisect.Span(5, 9)


def test_the_posterior_finds_a_flickering_culprit_in_nearly_all_trials() -> None:
    dice = random.Random(7)
    right = 0
    for _ in range(60):
        n, rate = 64, 0.5
        culprit = dice.randrange(n)
        prior = [1 / n] * n
        outcomes: dict[int, tuple[int, int]] = {}
        distribution = prior
        for _ in range(60):
            point = bisect.next_flaky(distribution, set())
            assert point is not None
            failed = point >= culprit and dice.random() < rate
            one, other = outcomes.get(point, (0, 0))
            outcomes[point] = (one + failed, other + (not failed))
            distribution = bisect.posterior(prior, outcomes, fails_bad=rate, fails_good=0.001)
            if max(distribution) >= 0.95:
                break
        right += max(range(n), key=lambda i: distribution[i]) == culprit
    assert right >= 55


def test_so_many_passes_in_a_row_are_no_chance() -> None:
    assert [bisect.runs_needed(rate) for rate in (0.9, 0.5, 0.3)] == [3, 7, 13]
