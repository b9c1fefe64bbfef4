"""Deployer `flagd`: the file it writes, who gets the canary by it, and what happens to the file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from rollout.deployers.flagd import Flagd, Settings
from rollout.flagfile import Flag
from tests.rollout import plans
from tests.rollout.deployers.team import PLAN, Team

OLD, NEW = plans.OLD, plans.NEW
USERS = [f"user-{number}" for number in range(4000)]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team.begin(tmp_path / "team")
    flag(made).set(0)
    return made


def flag(team: Team) -> Flag:
    return Flag(str(team.folder / "flag.json"), "checkout-canary")


def deployer(team: Team) -> Flagd:
    own = {"file": str(team.folder / "flag.json"), "flag": "checkout-canary"}
    settings = Settings.model_validate(team.hooks(**own))
    return Flagd("checkout", settings, team.folder.parent / "halon")


def murmur(key: bytes) -> int:
    """MurmurHash3 x86 32 with seed 0, by which flagd spreads users."""

    def spread(block: int) -> int:
        block = block * 0xCC9E2D51 & 0xFFFFFFFF
        return (block << 15 | block >> 17) * 0x1B873593 & 0xFFFFFFFF

    value, whole = 0, len(key) // 4 * 4
    for at in range(0, whole, 4):
        value ^= spread(int.from_bytes(key[at : at + 4], "little"))
        value = (value << 13 | value >> 19) & 0xFFFFFFFF
        value = (value * 5 + 0xE6546B64) & 0xFFFFFFFF
    if key[whole:]:
        value ^= spread(int.from_bytes(key[whole:], "little"))
    value ^= len(key)
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16


def users_of_the_canary(team: Team) -> set[str]:
    """Evaluate the file for every user as flagd's documents tell: hash, then buckets in order."""
    content = json.loads((team.folder / "flag.json").read_text(encoding="utf-8"))
    ((name, rule),) = content["flags"].items()
    assert rule["defaultVariant"] in rule["variants"]
    if "targeting" not in rule:
        return set(USERS) if rule["defaultVariant"] == "canary" else set()
    bucket_by, *shares = rule["targeting"]["fractional"]
    assert {"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]} == bucket_by
    assert 100 == sum(weight for _, weight in shares)
    found = set()
    for user in USERS:
        at, end = murmur((name + user).encode()) * 100 / 2**32, 0
        for variant, weight in shares:
            end += weight
            if at < end:
                found |= {user} if variant == "canary" else set()
                break
    return found


def test_the_hash_of_the_test_is_murmur() -> None:
    assert (0, 0x248BFA47) == (murmur(b""), murmur(b"hello"))


def test_shares_are_as_asked_for_and_a_user_never_goes_back_and_forth(team: Team) -> None:
    deploying = deployer(team)
    deploying.prepare(PLAN, "1")
    before: set[str] = set()
    for percent in (10, 50, 100):
        assert percent == deploying.set_weight(percent, "1").weight
        now = users_of_the_canary(team)
        assert percent == pytest.approx(100 * len(now) / len(USERS), abs=2)
        assert before <= now
        before = now
    assert 0 == deploying.take_back(OLD, "1").weight
    assert set() == users_of_the_canary(team)


def test_a_whole_rollout_ends_with_the_new_version_as_stable(team: Team) -> None:
    deploying = deployer(team)
    assert [] == deploying.preflight(PLAN)
    deploying.prepare(PLAN, "1")
    deploying.set_weight(100, "1")
    done = deploying.promote("1")
    assert (0, NEW, None) == (done.weight, done.stable_revision, done.canary_revision)
    assert ["prepare", "promote"] == team.calls()


@pytest.mark.parametrize("broken", [None, "{", '{"flags": {}}', "[]"])
def test_a_broken_file_is_noticed_and_the_way_back_mends_it(team: Team, broken: str | None) -> None:
    deploying = deployer(team)
    deploying.prepare(PLAN, "1")
    deploying.set_weight(50, "1")
    path = team.folder / "flag.json"
    path.unlink() if broken is None else path.write_text(broken, encoding="utf-8")
    with pytest.raises(errors.TemporaryFailure, match="flag file"):
        deploying.observe()
    done = subprocess.run(deploying.take_back_argv(OLD, "1"), capture_output=True, check=False)
    assert (0, b"") == (done.returncode, done.stderr)
    assert set() == users_of_the_canary(team)
    assert (0, True) == (deploying.observe().weight, deploying.observe().settled)


def test_a_share_that_somebody_else_wrote_is_noticed(team: Team) -> None:
    deploying = deployer(team)
    deploying.prepare(PLAN, "1")
    deploying.set_weight(50, "1")
    flag(team).set(80)
    assert (80, False) == (deploying.observe().weight, deploying.observe().settled)


def test_a_reader_sees_a_whole_file_and_may_read_it(team: Team) -> None:
    path = team.folder / "flag.json"
    path.chmod(0o644)
    with path.open(encoding="utf-8") as reading:
        flag(team).set(10)
        assert "fractional" not in reading.read()  # the old file, whole
    assert 0o644 == path.stat().st_mode & 0o777
    assert ["flag.json"] == [p.name for p in team.folder.glob("*flag*")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "begin with: {"),
        ({"flags": {"checkout-canary": {}, "dark-mode": {}}}, "a file of its own"),
    ],
)
def test_preflight_wants_a_file_of_its_own(
    team: Team, content: dict[str, Any] | None, said: str
) -> None:
    path = team.folder / "flag.json"
    path.unlink() if content is None else path.write_text(json.dumps(content), encoding="utf-8")
    assert said in deployer(team).preflight(PLAN)[0].text
