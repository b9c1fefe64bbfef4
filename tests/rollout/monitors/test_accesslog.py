"""The access log as a source: counts, rotation, and what silence means."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from incidents.models import Version
from rollout.monitors.accesslog import AccessLog

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BUCKET = timedelta(seconds=5)


def line(second: float, version: str = "canary", status: int = 200, **other: object) -> str:
    at = (START + timedelta(seconds=second)).isoformat()
    return json.dumps({"ts": at, "version": version, "status": status, "ms": 7.5, **other}) + "\n"


def beats(first: int, last: int) -> str:
    return "".join(
        json.dumps({"ts": (START + timedelta(seconds=s)).isoformat(), "beat": True}) + "\n"
        for s in range(first, last + 1)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def follow(path: Path, silence: float = 3.0) -> AccessLog:
    return AccessLog(path, bucket=BUCKET, silence=timedelta(seconds=silence))


def counts(
    log: AccessLog, version: Version, first: float, last: float
) -> list[tuple[int | None, int | None]]:
    found = log.buckets(version, START + timedelta(seconds=first), START + timedelta(seconds=last))
    return [(bucket.requests, bucket.errors) for bucket in found]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_counts_per_bucket_and_version(path: Path) -> None:
    path.write_text(
        beats(0, 0) + line(1) + line(2, status=500) + line(3, "stable") + beats(4, 6)
        + line(7, status=503) + beats(8, 10)
    )  # fmt: skip
    log = follow(path)
    assert [(2, 1), (1, 1)] == counts(log, Version.CANARY, 0, 10)
    assert [(1, 0), (0, 0)] == counts(log, Version.STABLE, 0, 10)
    (bucket, _) = log.buckets(Version.CANARY, START, START + 2 * BUCKET)
    assert ((7.5,), START, 5.0) == (bucket.latencies_ms, bucket.start, bucket.seconds)
    log.close()


def test_every_bucket_comes_once_though_its_length_is_no_round_number(path: Path) -> None:
    path.write_text("".join(line(i / 10) for i in range(600)) + line(61))
    log = AccessLog(path, bucket=timedelta(seconds=5) / 60, silence=timedelta(seconds=3))
    since, total, starts = START - BUCKET, 0, []
    for _ in range(3000):
        found = log.buckets(Version.CANARY, since, since + timedelta(milliseconds=90))
        starts += [bucket.start for bucket in found]
        total += sum(bucket.requests or 0 for bucket in found)
        if found:
            since = found[-1].start + timedelta(seconds=found[-1].seconds)
        else:
            since += timedelta(milliseconds=1)
        if since > START + timedelta(seconds=60):
            break
    assert (len(starts), 600) == (len(set(starts)), total)
    log.close()


def test_a_missing_file_is_a_gap_and_never_zero(path: Path) -> None:
    log = follow(path)
    assert [(None, None)] == counts(log, Version.CANARY, 0, 5)
    append(path, beats(20, 26))
    assert [(None, None)] * 3 == counts(log, Version.CANARY, 0, 15)
    assert [(0, 0)] == counts(log, Version.CANARY, 20, 25)
    log.close()


def test_a_writer_that_fell_silent_measured_nothing(path: Path) -> None:
    path.write_text(beats(0, 10))
    log = follow(path)
    assert [(0, 0), (0, 0), (None, None)] == counts(log, Version.CANARY, 0, 15)
    append(path, beats(25, 31))
    assert [(None, None), (None, None), (0, 0)] == counts(log, Version.CANARY, 15, 30)
    log.close()


def test_a_partial_last_line_is_left_for_later(path: Path) -> None:
    whole = line(2, status=500)
    path.write_text(beats(0, 1) + whole[:20])
    log = follow(path)
    assert [] == counts(log, Version.CANARY, 0, 3)
    append(path, whole[20:] + beats(3, 6))
    assert [(1, 1)] == counts(log, Version.CANARY, 0, 5)
    log.close()


def test_rotation_loses_and_doubles_nothing(path: Path) -> None:
    path.write_text(beats(0, 0) + line(1))
    log = follow(path)
    counts(log, Version.CANARY, 0, 1)
    append(path, line(2))
    path.rename(path.with_suffix(".1"))
    counts(log, Version.CANARY, 0, 2)  # nothing there under the name for a while
    path.write_text(line(3) + beats(4, 6))
    assert [(3, 0)] == counts(log, Version.CANARY, 0, 5)
    log.close()


def test_a_file_cut_short_in_place_is_a_gap(path: Path) -> None:
    path.write_text(beats(0, 10) + line(11) + beats(12, 14))
    log = follow(path)
    counts(log, Version.CANARY, 0, 10)
    path.write_text(beats(16, 21))
    assert [(None, None)] == counts(log, Version.CANARY, 10, 15)
    log.close()


@pytest.mark.parametrize(
    "noise",
    ["garbage\n", "{}\n", '{"ts": 3}\n', "\x00\x01\n", '{"ts":"2026-03-01T12:00:01","status":1}\n'],
)
def test_lines_that_cannot_be_read_make_a_bucket_unknown_when_they_prevail(
    path: Path, noise: str
) -> None:
    path.write_text(beats(0, 0) + line(1) + noise + beats(2, 6))
    few = follow(path)
    assert [(1, 0)] == counts(few, Version.CANARY, 0, 5)
    few.close()
    path.write_text(beats(0, 0) + line(1) + noise * 5 + beats(2, 6))
    many = follow(path)
    assert [(None, None)] == counts(many, Version.CANARY, 0, 5)
    many.close()


def test_a_large_log_is_entered_near_the_time_asked_for(path: Path) -> None:
    path.write_text("".join(line(s / 10, path="/" + "x" * 100) for s in range(60_000)))
    log = follow(path)
    assert [(50, 0)] == counts(log, Version.CANARY, 5000, 5005)
    assert sum(cell.requests for cell in log._cells.values()) < 20_000
    log.close()


def test_a_line_from_the_future_makes_no_silence_look_watched(path: Path) -> None:
    path.write_text(beats(0, 6) + line(3e10))
    log = follow(path)
    assert [(0, 0), (None, None)] == counts(log, Version.CANARY, 0, 10)
    log.close()


def test_a_log_that_was_let_go_of_is_taken_up_where_it_was_left(path: Path) -> None:
    path.write_text(beats(0, 0) + line(1))
    log = follow(path)
    counts(log, Version.CANARY, 0, 5)
    log.close()
    append(path, line(2) + beats(3, 6))
    assert [(2, 0)] == counts(log, Version.CANARY, 0, 5)
    log.close()


def test_a_log_that_was_rotated_while_let_go_of_is_a_gap(path: Path) -> None:
    path.write_text(beats(0, 2))
    log = follow(path)
    counts(log, Version.CANARY, 0, 5)
    log.close()
    path.rename(path.with_suffix(".1"))
    path.write_text(beats(4, 11))
    assert [(None, None), (0, 0)] == counts(log, Version.CANARY, 0, 10)
    log.close()
