"""Triage calls an incident quiet only when requests were seen and their failures are old news."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.builtin import logs
from workers import triage

BEGAN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
MINUTES = 60


def log(path: Path, failing_before: int, failing_after: int, change: int = MINUTES // 2) -> Path:
    """Write an hour of 100 requests a minute, with this many failures before and after a change."""
    lines = []
    for minute in range(MINUTES):
        failing = failing_before if minute < change else failing_after
        for number in range(100):
            at = BEGAN + timedelta(minutes=minute, milliseconds=600 * number)
            status = 500 if number < failing else 200
            lines.append(
                f'{{"ts":"{at.isoformat()}","method":"POST","path":"/checkout","status":{status}}}'
            )
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after", "quiet"),
    [
        (0, 0, True),
        (2, 2, True),  # as it always was
        (0, 40, False),
        (2, 9, False),  # risen
        (40, 40, False),  # steady, but a log may begin after the onset
    ],
)
def test_quiet_is_what_was_always_there(
    tmp_path: Path, before: int, after: int, quiet: bool
) -> None:
    reading = logs.read([log(tmp_path / "access.log", before, after)])

    assert quiet is triage.is_quiet(reading)


def test_a_log_without_requests_is_not_called_quiet(tmp_path: Path) -> None:
    empty = tmp_path / "access.log"
    empty.touch()

    assert not triage.is_quiet(logs.read([empty]))


def test_the_share_since_the_onset_stands_beside_the_share_before(tmp_path: Path) -> None:
    found = triage.assess(logs.read([log(tmp_path / "access.log", 0, 40)]), ())

    assert found.since is not None
    assert timedelta(minutes=1) >= abs(found.since - (BEGAN + timedelta(minutes=MINUTES // 2)))
    assert found.share is not None
    assert (0.0, 0.4) == (found.baseline, round(found.share, 1))
