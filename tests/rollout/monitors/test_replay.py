"""Stored buckets as a source: what is not in the file was not measured."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from incidents.models import Bucket, Version
from rollout.monitors.replay import Replay

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=5)


def stored(path: Path, *buckets: dict[str, Any]) -> Path:
    content = {"planned_buckets": 10, "bucket_seconds": 5, "buckets": buckets}
    path.write_text(json.dumps(content))
    return path


def one(number: int, version: str = "canary", **other: Any) -> dict[str, Any]:
    start = (START + number * STEP).isoformat()
    return {"version": version, "start": start, "requests": 9, "errors": 1, **other}


def test_the_buckets_of_a_window_come_in_order(tmp_path: Path) -> None:
    path = stored(
        tmp_path / "x.json", one(2), one(0), one(1, "stable"), one(1, requests=None, errors=None)
    )
    replay = Replay(path)

    assert not replay.fingerprints
    assert [
        Bucket(Version.CANARY, START, 5, 9, 1),
        Bucket(Version.CANARY, START + STEP, 5, None, None),
    ] == (replay.buckets(Version.CANARY, START, START + 2.9 * STEP))
    assert [] == replay.buckets(Version.STABLE, START + 1.1 * STEP, START + 9 * STEP)


def test_errors_are_told_apart_where_the_file_does(tmp_path: Path) -> None:
    replay = Replay(stored(tmp_path / "x.json", one(0, fingerprints={"KeyError": 1})))
    (bucket,) = replay.buckets(Version.CANARY, START, START + STEP)

    assert replay.fingerprints
    assert (("KeyError", 1),) == bucket.fingerprints


def test_a_file_with_doubled_buckets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.PermanentFailure, match="two buckets"):
        Replay(stored(tmp_path / "x.json", one(0), one(0)))
