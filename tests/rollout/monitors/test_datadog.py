"""Datadog's answers: null is a gap, and whatever is no count is one sentence."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.models import Version
from rollout.monitors.datadog import Datadog, Settings
from tests.rollout.monitors.metrics_server import MetricsServer, recorded

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNTIL = START + timedelta(seconds=3 * 60 + 120)
GAP = (None, None)
KEYS: dict[str, Any] = {
    "requests": "sum:trace.http.request.hits{service:checkout,version:$group}",
    "errors": "sum:trace.http.request.errors{service:checkout,version:$group}",
    "api_key_file": "/key",
    "application_key_file": "/key",
}
Make = Callable[..., Datadog]


@pytest.fixture
def make(server: MetricsServer, tmp_path: Path) -> Iterator[Make]:
    made: list[Datadog] = []
    for name in ("api", "application"):
        (tmp_path / name).write_text(f"{name}-key\n")
    files = {f"{name}_key_file": str(tmp_path / name) for name in ("api", "application")}

    def one(**more: Any) -> Datadog:
        settings = Settings.model_validate({"address": server.address, **KEYS, **files, **more})
        made.append(Datadog(settings))
        return made[-1]

    yield one
    for each in made:
        each.close()


def counts(monitor: Datadog) -> list[tuple[int | None, int | None]]:
    return [(b.requests, b.errors) for b in monitor.buckets(Version.CANARY, START, UNTIL)]


@pytest.mark.parametrize(
    ("answer", "sparse", "expected"),
    [
        ("values", False, [(120, 2), (3000, 30), (0, 0)]),
        ("null", False, [(120, 2), GAP, GAP]),
        ("null", True, [(120, 2), GAP, (80, 0)]),
        ("no-errors", False, [GAP, GAP, GAP]),
        ("no-errors", True, [(120, 0), (90, 0), (80, 0)]),
        ("empty", True, [GAP, GAP, GAP]),
    ],
)
def test_values_are_counted_and_the_rest_is_a_gap(
    server: MetricsServer,
    make: Make,
    answer: str,
    sparse: bool,
    expected: list[tuple[int | None, int | None]],
) -> None:
    server.says(recorded(f"datadog-{answer}"))

    assert expected == counts(make(sparse_errors=sparse))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("several-series", 200, "several series for 'requests'"),
        ("wrong-unit", 200, "answers in seconds for 'requests'"),
        ("rate", 200, "a rate for 'requests'"),
        ("doubled", 200, "doubled or out of order"),
        ("interval", 200, "another interval"),
        ("uneven", 200, "a shape that is not a timeseries"),
        ("error", 400, "answers 400: Invalid query: unknown metric scope"),
        ("error", 200, "Invalid query: unknown metric scope"),
        ("error-in-200", 200, "rate limited by the store"),
    ],
)
def test_what_is_no_answer_is_one_sentence(
    server: MetricsServer, make: Make, answer: str, status: int, said: str
) -> None:
    server.says(recorded(f"datadog-{answer}", status=status))
    with pytest.raises(errors.TemporaryFailure, match=said):
        counts(make())


def test_the_question_asks_for_sums_of_whole_buckets(server: MetricsServer, make: Make) -> None:
    server.says(recorded("datadog-empty"))
    make(canary="v2").buckets(Version.CANARY, START, UNTIL + timedelta(seconds=59))
    question: Any = server.json()
    asked, attributes = server.asked[0], question["data"]["attributes"]

    assert "/api/v2/query/timeseries" == asked.path
    assert ("api-key", "application-key") == (
        asked.headers["dd-api-key"], asked.headers["dd-application-key"]
    )  # fmt: skip
    assert (1772366400000, 1772366580000, 60000) == (
        attributes["from"], attributes["to"], attributes["interval"]
    )  # fmt: skip
    assert (
        "sum:trace.http.request.hits{service:checkout,version:v2}.as_count().rollup(sum, 60)"
        == attributes["queries"][0]["query"]
    )


@pytest.mark.parametrize(
    "given",
    [
        {"requests": "avg:x{version:$group}"},
        {"requests": "sum:x{version:$group}.as_rate()"},
        {"requests": "sum:x{version:$group} by {host}"},
        {"requests": "sum:x{service:checkout}"},
        {"stable": "canary"},
        {"canary": "a} or {b"},
    ],
)
def test_mistakes_in_the_settings_are_found_before_anything_moves(given: dict[str, Any]) -> None:
    Settings.model_validate(KEYS)
    with pytest.raises(ValidationError):
        Settings.model_validate({**KEYS, **given})


def test_a_missing_key_is_one_sentence(server: MetricsServer, make: Make, tmp_path: Path) -> None:
    monitor = make(api_key_file=str(tmp_path / "gone"))
    with pytest.raises(errors.TemporaryFailure, match="The secret file"):
        counts(monitor)
    assert [] == server.asked
