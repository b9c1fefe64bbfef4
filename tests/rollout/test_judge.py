"""`halon judge FILE`: the contract, and what it says to nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from rollout import judge


def bucket(version: str, second: int, **content: Any) -> dict[str, Any]:
    base = {"version": version, "start": f"2026-03-01T12:00:{second:02}Z", "errors": 0}
    return {**base, "requests": 90 if version == "stable" else 10, **content}


def content(**other: Any) -> dict[str, Any]:
    buckets = [bucket(v, s) for s in range(0, 50, 5) for v in ("canary", "stable")]
    gates = {"max_error_rate": 0.05, "max_latency_ratio": None, "min_requests": 20}
    return {
        "gates": gates,
        "planned_buckets": 100,
        "bucket_seconds": 5,
        "canary_weight": 10,
        "buckets": buckets,
        **other,
    }


def test_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "buckets.json"
    path.write_text(json.dumps(content()))
    answer = judge.judge_file(path)
    assert ["result", "reason", "missing_requests", "gates"] == list(answer)
    assert ("PASS", "passed", None) == tuple(answer.values())[:3]
    assert [{"name", "result", "detail"}] * len(answer["gates"]) == [
        set(g) for g in answer["gates"]
    ]
    assert answer == json.loads(json.dumps(answer))


def test_null_is_not_zero() -> None:
    buckets = [bucket("canary", s, requests=None, errors=None) for s in range(0, 50, 5)]
    answer = judge.judge_content(content(buckets=buckets), where="x")
    assert ("INCONCLUSIVE", "no_data") == (answer["result"], answer["reason"])


def test_no_buckets_is_no_data() -> None:
    answer = judge.judge_content(content(buckets=[]), where="x")
    assert ("INCONCLUSIVE", "no_data") == (answer["result"], answer["reason"])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"buckets": [bucket("canary", 0, errors=11)]}, "11 errors of 10 requests"),
        ({"buckets": [bucket("canary", 0, errors=-1)]}, "greater than or equal to 0"),
        ({"buckets": [bucket("canary", 0, requests=1.5)]}, "integer"),
        ({"buckets": [bucket("canary", 0, requests=True)]}, "number"),
        ({"buckets": [bucket("canary", 0, requests="10")]}, "number"),
        ({"buckets": [bucket("blue", 0)]}, "canary"),
        ({"buckets": [bucket("canary", 0)] * 2}, "two buckets"),
        ({"buckets": [bucket("canary", 0, start="yesterday")]}, "datetime"),
        ({"buckets": [bucket("canary", 0, latencies_ms=[float("nan")])]}, "latencies_ms"),
        ({"buckets": [bucket("canary", 0, latencies_ms=[-1.0])]}, "latencies_ms"),
        ({"buckets": [bucket("canary", 0, latencies_ms=[1.0] * 11)]}, "response times"),
        ({"buckets": [bucket("canary", 0, histogram={"le": [1], "count": [3, 2]})]}, "length"),
        ({"buckets": [bucket("canary", 0, histogram={"le": [1, 2], "count": [9, 2]})]}, "times"),
        ({"planned_buckets": 0}, "planned_buckets"),
        ({"bucket_seconds": float("nan")}, "bucket_seconds"),
        ({"bucket_seconds": float("inf")}, "bucket_seconds"),
        ({"canary_weight": 101}, "canary_weight"),
        ({"gates": {"max_error_rate": 5}}, "max_error_rate"),
        ({"gates": {"max_error_rate": None}}, "no gate"),
        ({"gates": {"typo": 1}}, "typo"),
        ({"hot_fix": True}, "did you mean 'hotfix'"),
        ({"buckets": [bucket("canary", 0, latency_ms=[1])]}, "did you mean 'latencies_ms'"),
    ],
)
def test_nonsense_is_named(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.PermanentFailure, match=said):
        judge.judge_content(content(**broken), where="x")


def test_half_a_measurement_is_none() -> None:
    """Requests whose errors nobody counted are no healthy requests."""
    buckets = [bucket("canary", s, errors=None) for s in range(0, 50, 5)]
    answer = judge.judge_content(content(buckets=buckets), where="x")

    assert ("INCONCLUSIVE", "no_data") == (answer["result"], answer["reason"])


@pytest.mark.parametrize(
    "harmless",
    [{"pod": "a-1"}, {"start": "2026-03-01T12:00:05"}, {"requests": 10.0, "version": "canary"}],
)
def test_what_changes_no_count_changes_no_verdict(harmless: dict[str, Any]) -> None:
    buckets = content()["buckets"]
    buckets[2] |= harmless

    answer = judge.judge_content(content(buckets=buckets), where="x")

    assert judge.judge_content(content(service="checkout"), where="x") == answer


@pytest.mark.parametrize(("slow", "result"), [(False, "PASS"), (True, "FAIL")])
def test_a_histogram_by_range_is_read_like_a_cumulative_one(slow: bool, result: str) -> None:
    def by(version: str, second: int, cumulative: bool) -> dict[str, Any]:
        each = [0, 0, 10, 50, 40] if slow and version == "canary" else [0, 60, 39, 1, 0]
        sums = [sum(each[: i + 1]) for i in range(5)]
        times = {"le": [50, 100, 200, 400, 800], "count": sums if cumulative else each}
        return bucket(version, second, requests=100, histogram=times)

    gates = {"max_error_rate": 0.05, "max_latency_ratio": 2.0}
    answers = [
        judge.judge_content(
            content(
                gates=gates,
                canary_weight=50,
                buckets=[by(v, s, way) for s in range(0, 50, 5) for v in ("canary", "stable")],
            ),
            where="x",
        )
        for way in (True, False)
    ]

    assert [result, result] == [answer["result"] for answer in answers]


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, "\ufeff{}"])
def test_files_that_are_no_object_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "buckets.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.PermanentFailure):
        judge.judge_file(path)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    for name in ("missing", "noise"):
        with pytest.raises(errors.PermanentFailure, match="cannot be read"):
            judge.judge_file(tmp_path / name)
