"""Prometheus' answers become counts, gaps or one sentence; never a zero that nobody counted."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.models import Bucket, Version
from rollout.monitors.prometheus import BEYOND, Prometheus, Settings
from tests.rollout.monitors.metrics_server import MetricsServer, recorded

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNTIL = START + timedelta(seconds=3 * 60 + 30)  # 30 s is how late this source may be
QUERIES = {
    "requests": 'http_requests_total{service="checkout", version="$group"}',
    "errors": 'http_requests_total{service="checkout", code=~"5..", version="$group"}',
}
Make = Callable[..., Prometheus]


@pytest.fixture
def make(server: MetricsServer) -> Iterator[Make]:
    made: list[Prometheus] = []

    def one(**more: Any) -> Prometheus:
        made.append(Prometheus(Settings(address=server.address, **{**QUERIES, **more})))
        return made[-1]

    yield one
    for each in made:
        each.close()


def counts(monitor: Prometheus) -> list[tuple[int | None, int | None]]:
    return [(b.requests, b.errors) for b in monitor.buckets(Version.CANARY, START, UNTIL)]


GAP = (None, None)


@pytest.mark.parametrize(
    ("requests", "failed", "expected"),
    [
        ("values", "errors", [(120, 2), (3000, 30), (0, 0)]),
        ("empty", "empty", [GAP, GAP, GAP]),
        ("nan", "errors", [GAP, GAP, GAP]),
        ("null", "errors", [GAP, GAP, GAP]),
        ("old", "old", [GAP, GAP, GAP]),
        ("values", "empty", [GAP, GAP, GAP]),  # no errors declared to come as nothing
        ("values", "nan", [GAP, GAP, GAP]),
        ("errors", "values", [GAP, GAP, (0, 0)]),  # more errors than requests: swapped
    ],
)
def test_values_are_counted_and_the_rest_is_a_gap(
    server: MetricsServer,
    make: Make,
    requests: str,
    failed: str,
    expected: list[tuple[int | None, int | None]],
) -> None:
    server.says(recorded(f"prometheus-{requests}"), recorded(f"prometheus-{failed}"))

    assert expected == counts(make())


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ("empty", [(120, 0), (3000, 0), (0, 0)]),
        ("nan", [GAP, GAP, GAP]),  # an answer that is no number is no absence
    ],
)
def test_absent_errors_are_none_only_where_that_is_declared(
    server: MetricsServer, make: Make, failed: str, expected: list[tuple[int | None, int | None]]
) -> None:
    server.says(recorded("prometheus-values"), recorded(f"prometheus-{failed}"))

    assert expected == counts(make(sparse_errors=True))


def test_absent_requests_stay_a_gap_even_there(server: MetricsServer, make: Make) -> None:
    server.says(recorded("prometheus-empty"))

    assert [GAP, GAP, GAP] == counts(make(sparse_errors=True))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("several-series", 200, "answers with 2 series where one was asked for"),
        ("doubled", 200, "answers with two values for one time"),
        ("bad-query", 400, "answers 400: invalid parameter"),
        ("bad-query", 200, "answers with an error: invalid parameter"),
        ("warning", 200, "warns that its answer is not whole"),
        ("vector", 200, "in a shape that is not a range of values"),
    ],
)
def test_what_is_no_answer_is_one_sentence(
    server: MetricsServer, make: Make, answer: str, status: int, said: str
) -> None:
    server.says(recorded(f"prometheus-{answer}", status=status))
    with pytest.raises(errors.TemporaryFailure, match=said):
        counts(make())


def test_a_histogram_is_cumulative_in_milliseconds(server: MetricsServer, make: Make) -> None:
    server.says(*(recorded(f"prometheus-{name}") for name in ("values", "errors", "histogram")))
    times = 'http_request_duration_seconds_bucket{version="$group"}'
    found = make(times=times).buckets(Version.CANARY, START, UNTIL)

    expected = [
        ((100.0, 40), (1000.0, 119), (2500.0, 119), (BEYOND, 120)),  # raised by its rounding
        ((100.0, 1000), (1000.0, 2900), (2500.0, 2999), (BEYOND, 3000)),  # cut to the requests
        None,  # one bound was not measured
    ]
    assert expected == [bucket.histogram for bucket in found]
    assert [None] * 3 == [bucket.latencies_ms for bucket in found]


def test_a_range_that_is_no_histogram_is_an_error(server: MetricsServer, make: Make) -> None:
    server.says(recorded("prometheus-values"))
    with pytest.raises(errors.TemporaryFailure, match="series that are no histogram"):
        counts(make(times='x_bucket{version="$group"}'))


def test_the_question_asks_for_counts_per_bucket_of_one_version(
    server: MetricsServer, make: Make
) -> None:
    server.says(recorded("prometheus-empty"))
    make(canary="v2", stable="v1").buckets(Version.STABLE, START, UNTIL)
    asked = server.asked[0]

    assert "/api/v1/query_range" == asked.path
    assert ("1772366460.000", "1772366580.000", "60") == tuple(
        asked.form[name] for name in ("start", "end", "step")
    )
    assert (
        'sum(((increase(http_requests_total{service="checkout", version="v1"}[60000ms])'
        in (asked.form["query"])
    )


def test_the_newest_buckets_are_not_asked_for(server: MetricsServer, make: Make) -> None:
    assert [] == make().buckets(Version.CANARY, START, START + timedelta(seconds=89))
    assert [] == server.asked


def test_credentials_are_read_anew_from_their_files(
    server: MetricsServer, make: Make, tmp_path: Path
) -> None:
    server.says(recorded("prometheus-empty"))
    key = tmp_path / "key"
    bearer = make(token_file=str(key), headers={"X-Scope-OrgID": "shop"})
    for word in ("one", "two"):
        key.write_text(f"{word}\n")
        counts(bearer)
    counts(make(user="ann", password_file=str(key)))
    basic = base64.b64encode(b"ann:two").decode()

    seen = [asked.headers.get("authorization") for asked in server.asked]
    assert ["Bearer one"] * 2 + ["Bearer two"] * 2 + [f"Basic {basic}"] * 2 == seen
    assert "shop" == server.asked[0].headers["x-scope-orgid"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"requests": 'http_requests_total{version="canary"}'}, "must contain \\$group"),
        ({"requests": 'rate(http_requests_total{version="$group"}[1m])'}, "bare selector"),
        ({"requests": 'x{version="$group"} / y{version="$group"}'}, "bare selector"),
        ({"errors": QUERIES["requests"]}, "select the same series"),
        ({"canary": "one", "stable": "one"}, "names both versions"),
        ({"canary": 'a"} or vector(0) #'}, "canary"),
        ({"scrape": 30, "step": 45}, "at least twice 'scrape'"),
        ({"times": 'took_ms_bucket{version="$group"}'}, "is in ms, but 'unit' is 's'"),
        ({"user": "ann"}, "belong together"),
        ({"address": "prometheus:9090"}, "address"),
        ({"timeout": 31}, "timeout"),
        ({"sparse_error": True}, "sparse_error"),
    ],
)
def test_mistakes_in_the_settings_are_found_before_anything_moves(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate({"address": "http://x", **QUERIES, **given})


def test_buckets_are_as_long_as_the_scrapes_allow() -> None:
    slow = Settings.model_validate({"address": "http://x", **QUERIES, "scrape": 30})

    assert (120, 60) == (slow.step, slow.delay)


def test_a_bucket_says_its_start_and_length(server: MetricsServer, make: Make) -> None:
    server.says(recorded("prometheus-values"), recorded("prometheus-errors"))
    (first, *_) = make().buckets(Version.STABLE, START, UNTIL)

    assert Bucket(Version.STABLE, START, 60.0, 120, 2) == first
