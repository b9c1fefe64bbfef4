"""`halon diagnose` and `halon fix` from outside: stdout, stderr and the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import repositories

pytestmark = pytest.mark.slow

HALON = (sys.executable, "-c", "from cli.main import app; app()")
TEST = f"{sys.executable} -m pytest -q"
SHOP = "def rate(country):\n    return {'DE': 490, 'AT': 690}[country]\n"
PYTEST_INI = "[pytest]\naddopts = -p no:anyio -p no:timeout -p no:xdist -p no:xdist.looponfail\n"
SHOP_TEST = "import shop\n\n\ndef test_rate():\n    assert shop.rate('AT') == 690\n"


def halon(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HALON, *arguments], capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture
def broken(git_repo: repositories.Repository) -> tuple[str, str]:
    """A repository with one guilty commit: the good revision and the guilty one."""
    good = git_repo.commit(
        "Open", {"shop.py": SHOP, "tests/test_shop.py": SHOP_TEST, "pytest.ini": PYTEST_INI}
    )
    guilty = git_repo.commit("Tidy", {"shop.py": SHOP.replace(", 'AT': 690", "")})
    return good, guilty


def test_with_json_stdout_is_one_object_of_the_contract(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    good, guilty = broken
    done = halon("diagnose", "--json", "--repo", str(git_repo.path), "--test", TEST, "--good", good)
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["culprit"]) == (0, "CONFIRMED", guilty)
    promised = (
        ["verdict", "culprit", "suspects", "hypotheses", "evidence", "gaps", "engine", "seconds"],
        ["commit", "path", "line", "score", "why"],
        ["statement", "test", "result"],
    )
    shown = (found, found["suspects"][0], found["hypotheses"][0])
    assert [set(keys) - set(part) for keys, part in zip(promised, shown, strict=True)] == [
        set()
    ] * 3


def test_progress_and_words_never_reach_stdout(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    done = halon("diagnose", "--json", "--repo", str(git_repo.path))
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_without_json_the_report_is_markdown(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    done = halon("diagnose", "--repo", str(git_repo.path), "--test", TEST)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "# Diagnosis: CONFIRMED")


def test_fix_adds_the_patch_and_its_tests(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    done = halon("fix", "--json", "--repo", str(git_repo.path), "--test", TEST)
    found = json.loads(done.stdout)
    assert (found["patch"]["kind"], found["tests"]["approve"]) == ("revert", True)
    assert "+    return {'DE': 490, 'AT': 690}[country]" in found["patch"]["diff"]
    assert git_repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("verb", ["diagnose", "fix"])
def test_a_folder_that_is_no_repository_is_one_sentence_and_3(tmp_path: Path, verb: str) -> None:
    done = halon(verb, "--json", "--repo", str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)


def test_a_repository_without_commits_is_3(git_repo: repositories.Repository) -> None:
    done = halon("diagnose", "--json", "--repo", str(git_repo.path))
    assert (done.returncode, done.stdout, "no commits" in done.stderr) == (3, "", True)


def test_an_unknown_good_revision_is_3(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    done = halon("diagnose", "--json", "--repo", str(git_repo.path), "--good", "nowhere")
    assert (done.returncode, "nowhere" in done.stderr) == (3, True)


def test_a_sandbox_that_does_not_exist_is_3(
    git_repo: repositories.Repository, broken: tuple[str, str]
) -> None:
    done = halon("diagnose", "--repo", str(git_repo.path), "--sandbox", "castle")
    assert (done.returncode, "castle" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--repo", ".", "--log", "no-such-file"),
        ("--repo", ".", "--with", "no-such-folder"),
        ("--repo", ".", "--test", "pytest 'unclosed"),
        ("--repo", ".", "--trace", "no-such-file"),
        ("--repo", ".", "--unknown"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    done = halon("diagnose", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
