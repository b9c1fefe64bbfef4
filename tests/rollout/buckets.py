"""Buckets for tests of the gate and the tick."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from incidents.models import Bucket, Version

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECONDS = 5.0


def row(
    version: Version,
    counts: Sequence[tuple[int, int] | None],
    *,
    start: datetime = START,
    seconds: float = SECONDS,
    times: Sequence[float] | None = None,
) -> list[Bucket]:
    """Return consecutive buckets of (requests, errors); None is a bucket without data."""
    return [
        Bucket(
            version,
            start + timedelta(seconds=seconds) * index,
            seconds,
            pair[0] if pair else None,
            pair[1] if pair else None,
            latencies_ms=tuple(times) if times is not None and pair else None,
        )
        for index, pair in enumerate(counts)
    ]


def both(
    canary: Sequence[tuple[int, int] | None],
    stable: Sequence[tuple[int, int] | None],
    *,
    start: datetime = START,
    seconds: float = SECONDS,
) -> list[Bucket]:
    """Return the buckets of both versions."""
    return [
        *row(Version.CANARY, canary, start=start, seconds=seconds),
        *row(Version.STABLE, stable, start=start, seconds=seconds),
    ]
