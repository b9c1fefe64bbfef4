"""Before anything moves a monitor is asked whether it can tell the versions apart."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from incidents import errors
from incidents.models import Bucket, Version
from rollout import probe

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Counts = Sequence[tuple[int, int] | None]


class Told:
    """A monitor that says what it was given."""

    fingerprints = False

    def __init__(self, canary: Counts, stable: Counts, failure: str | None = None) -> None:
        self.counts, self.failure = {Version.CANARY: canary, Version.STABLE: stable}, failure

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        if self.failure:
            raise errors.TemporaryFailure(self.failure)
        return [
            Bucket(version, since + timedelta(seconds=5 * place), 5, *(counted or (None, None)))
            for place, counted in enumerate(self.counts[version])
        ]

    def close(self) -> None:
        """Nothing is open."""


ALIKE = "Both versions show the same counts: they are counted under one label."
NOBODY = "No request of stable was counted in the last 300 s: is its name right?"
BUSY = [(30, 1), (41, 0), (35, 2)]


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        (Told([None] * 3, BUSY), []),
        (Told([(0, 0)] * 3, BUSY), []),
        (Told([(3, 0), (4, 0), (5, 0)], BUSY), []),
        (Told([(1, 0)] * 3, [(1, 0)] * 3), []),  # alike by accident
        (Told(BUSY, BUSY), [ALIKE]),
        (Told([None], [None]), ["Nothing was measured of stable in the last 300 s."]),
        (Told([], [(0, 0)]), [NOBODY]),
        (Told([], []), ["Nothing was measured of stable in the last 300 s."]),
        (Told([], [], "It is down."), ["It is down."]),
    ],
)  # fmt: skip
def test_what_would_keep_a_rollout_from_being_judged(monitor: Told, expected: list[str]) -> None:
    assert expected == probe.problems(monitor, NOW, timedelta(minutes=5))
