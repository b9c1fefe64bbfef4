"""The watchdog as a process of its own: it acts when nobody renews, and only then."""

import json
import sys
from pathlib import Path

import pytest

from rollout import watchdog
from tests.rollout.production import alive, kill, until

LONG = 60.0


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    return tmp_path / "rollouts" / "r1.lease"


def touching(path: Path) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", f"open({str(path)!r}, 'a').write('x')")


def pid_of(lease: Path) -> int:
    return int(watchdog.beside(lease, "lock").read_text())


def test_a_lease_that_is_not_renewed_is_acted_on_once(tmp_path: Path, lease: Path) -> None:
    mark = tmp_path / "taken"
    watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, touching(mark), seconds=0.3))
    until(mark.exists)
    until(lambda: not watchdog.watching(lease))
    assert "x" == mark.read_text()
    assert [("started", 0), ("take_back", 0)] == [
        (act["did"], act["exit"]) for act in watchdog.acted(lease)
    ]


def test_a_renewed_lease_is_left_alone_and_done_ends_the_watchdog(
    tmp_path: Path, lease: Path
) -> None:
    mark = tmp_path / "taken"
    promise = watchdog.Lease(watchdog.TAKE_BACK, touching(mark), seconds=LONG)
    watchdog.arm(lease, promise)
    pid = pid_of(lease)
    assert watchdog.renew(lease, promise)
    watchdog.disarm(lease)
    until(lambda: not alive(pid))
    assert (False, []) == (mark.exists(), watchdog.acted(lease))


@pytest.mark.parametrize("damage", ["gone", "garbage", "other boot"])
def test_a_lease_that_is_no_promise_has_run_out(tmp_path: Path, lease: Path, damage: str) -> None:
    mark = tmp_path / "taken"
    watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, touching(mark), seconds=LONG))
    content = json.loads(lease.read_text())
    if damage == "gone":
        lease.unlink()
    elif damage == "garbage":
        lease.write_text("{")
    else:
        lease.write_text(json.dumps({**content, "boot": "before the restart"}))
    until(mark.exists)


def test_it_tries_again_until_it_succeeds(tmp_path: Path, lease: Path) -> None:
    tries = tmp_path / "tries"
    script = (
        f"import sys; f = open({str(tries)!r}, 'a'); f.write('x'); f.close();"
        f"sys.exit(len(open({str(tries)!r}).read()) < 3)"
    )
    argv = (sys.executable, "-I", "-c", script)
    watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, argv, seconds=0.2))
    until(lambda: not watchdog.watching(lease))
    assert [1, 1, 0] == [a["exit"] for a in watchdog.acted(lease) if a["did"] == "take_back"]


def test_it_gives_way_to_somebody_newer(lease: Path) -> None:
    argv = (sys.executable, "-I", "-c", "raise SystemExit(3)")
    watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, argv, seconds=0.2))
    until(lambda: not watchdog.watching(lease))
    assert 3 == watchdog.acted(lease)[-1]["exit"]


def test_hold_calls_people_and_takes_nothing_back(tmp_path: Path, lease: Path) -> None:
    taken, called = tmp_path / "taken", tmp_path / "called"
    promise = watchdog.Lease(watchdog.HOLD, touching(taken), touching(called), seconds=0.2)
    watchdog.arm(lease, promise)
    until(called.exists)
    until(lambda: not watchdog.watching(lease))
    assert not taken.exists()


def test_a_killed_watchdog_is_noticed_and_armed_again(tmp_path: Path, lease: Path) -> None:
    promise = watchdog.Lease(watchdog.TAKE_BACK, touching(tmp_path / "taken"), seconds=LONG)
    watchdog.arm(lease, promise)
    first = pid_of(lease)
    kill(first)
    until(lambda: not watchdog.renew(lease, promise))
    watchdog.arm(lease, promise)
    assert first != pid_of(lease)
    assert watchdog.renew(lease, promise)
    watchdog.disarm(lease)


def test_arming_twice_leaves_one_watchdog(tmp_path: Path, lease: Path) -> None:
    promise = watchdog.Lease(watchdog.TAKE_BACK, touching(tmp_path / "taken"), seconds=LONG)
    watchdog.arm(lease, promise)
    pid = pid_of(lease)
    watchdog.arm(lease, promise)
    assert pid == pid_of(lease)
    watchdog.disarm(lease)
