"""New Relic's answers: its zero counts only where the service was seen at all."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.models import Version
from rollout.monitors.newrelic import NewRelic, Settings
from tests.rollout.monitors.metrics_server import MetricsServer, recorded

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNTIL = START + timedelta(seconds=3 * 60 + 60)
GAP = (None, None)
KEYS: dict[str, Any] = {"account": 12345, "where": "appName = 'checkout'", "api_key_file": "/key"}
Make = Callable[..., NewRelic]


@pytest.fixture
def make(server: MetricsServer, tmp_path: Path) -> Iterator[Make]:
    made: list[NewRelic] = []
    key = tmp_path / "key"
    key.write_text("user-key")

    def one(**more: Any) -> NewRelic:
        keys = {**KEYS, "address": server.address, "api_key_file": str(key), **more}
        made.append(NewRelic(Settings.model_validate(keys)))
        return made[-1]

    yield one
    for each in made:
        each.close()


def counts(monitor: NewRelic) -> list[tuple[int | None, int | None]]:
    return [(b.requests, b.errors) for b in monitor.buckets(Version.CANARY, START, UNTIL)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("values", [(120, 2), (3000, 30), (0, 0)]),
        ("nobody-watched", [(120, 2), GAP, GAP]),
        ("empty", [GAP, GAP, GAP]),
    ],
)
def test_values_are_counted_and_the_rest_is_a_gap(
    server: MetricsServer, make: Make, answer: str, expected: list[tuple[int | None, int | None]]
) -> None:
    server.says(recorded(f"newrelic-{answer}"))

    assert expected == counts(make())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("several-series", "several series where one was asked for"),
        ("doubled", "two rows for one time"),
        ("interval", "another interval"),
        ("errors", "answers with an error: NRQL Syntax Error"),
        ("null", "a shape that is not rows of counts"),
    ],
)
def test_what_is_no_answer_is_one_sentence(
    server: MetricsServer, make: Make, answer: str, said: str
) -> None:
    server.says(recorded(f"newrelic-{answer}"))
    with pytest.raises(errors.TemporaryFailure, match=said):
        counts(make())


def test_the_question_is_one_nrql_for_one_version(server: MetricsServer, make: Make) -> None:
    server.says(recorded("newrelic-empty"))
    monitor = make(label="tags.release", canary="v2", errors="httpResponseCode >= '500'")
    monitor.buckets(Version.CANARY, START, UNTIL)
    question: Any = server.json()

    assert ("/graphql", "user-key") == (server.asked[0].path, server.asked[0].headers["api-key"])
    assert 12345 == question["variables"]["account"]
    assert (
        "SELECT filter(count(*), WHERE tags.release = 'v2') AS requests, "
        "filter(count(*), WHERE tags.release = 'v2' AND (httpResponseCode >= '500')) AS errors, "
        "count(*) AS seen FROM Transaction WHERE (appName = 'checkout') "
        "SINCE 1772366400000 UNTIL 1772366580000 TIMESERIES 60 seconds"
        == question["variables"]["nrql"]
    )


@pytest.mark.parametrize(
    "given",
    [
        {"where": "appName = 'x' FACET host"},
        {"errors": "error IS TRUE SINCE 1 day ago"},
        {"label": "version' OR 'a"},
        {"canary": "x' OR 'y"},
        {"stable": "canary"},
        {"account": 0},
    ],
)
def test_mistakes_in_the_settings_are_found_before_anything_moves(given: dict[str, Any]) -> None:
    Settings.model_validate(KEYS)
    with pytest.raises(ValidationError):
        Settings.model_validate({**KEYS, **given})
