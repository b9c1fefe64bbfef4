"""`halon test`, `halon plan` and `halon review` from outside: stdout, stderr and the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from incidents.policy import OPERATOR
from incidents.service import Incidents, Opening
from incidents.store import Store
from tests import repositories

HALON = (sys.executable, "-c", "from cli.main import run; run()")
CHECK = f"{sys.executable} check.py"
SHOP = "RATES = {'DE': 490, 'AT': 690}\n"


def halon(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HALON, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), **env},
    )


@pytest.fixture
def broken(git_repo: repositories.Repository, tmp_path: Path) -> Path:
    """A repository that lost a rate, and the diff that brings it back; returns the diff."""
    git_repo.commit("Open", {"shop.py": SHOP, "check.py": "import shop\nshop.RATES['AT']\n"})
    git_repo.commit("Tidy", {"shop.py": SHOP.replace(", 'AT': 690", "")})
    diff = tmp_path / "fix.diff"
    diff.write_text(git_repo.git("diff", "HEAD", "HEAD~1") + "\n")
    return diff


def test_a_patch_from_a_file_is_tested(git_repo: repositories.Repository, broken: Path) -> None:
    where = ("--repo", str(git_repo.path), "--good", "HEAD~1")
    done = halon("test", *where, "--patch", str(broken), "--test", CHECK, "--json")
    assert (0, "") == (done.returncode, done.stderr)
    report = json.loads(done.stdout)
    assert ("test", True, 5) == (report["kind"], report["approve"], len(report["categories"]))


def test_a_plan_says_its_steps_and_what_it_had_to_assume(
    git_repo: repositories.Repository, broken: Path
) -> None:
    done = halon("plan", "--repo", str(git_repo.path), "--patch", str(broken), "--json")
    assert (0, "") == (done.returncode, done.stderr)
    plan = json.loads(done.stdout)
    assert [10, 50, 100] == [phase["percent"] for phase in plan["phases"]]
    assert ["No deployer was asked", "No good revision was named", "How much traffic there is"] == [
        gap.partition(" (")[0].partition(":")[0].removesuffix(" was not said")
        for gap in plan["gaps"][-3:]
    ]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("no diff at all\n", 3, "no unified diff"),
        ("--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-x\n+y\n", 3, "does not apply"),
        ('{"verdict": "CONFIRMED"}', 3, "holds no patch"),
        ("", 2, "is empty"),
    ],
)
def test_what_is_no_patch_is_refused_in_one_sentence(
    git_repo: repositories.Repository, broken: Path, content: str, code: int, words: str
) -> None:
    broken.write_text(content)
    done = halon("plan", "--repo", str(git_repo.path), "--patch", str(broken), "--json")

    assert (code, "") == (done.returncode, done.stdout)
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_a_stored_incident_is_reviewed_without_a_server(tmp_path: Path) -> None:
    folder = tmp_path / ".halon"
    folder.mkdir()
    (tmp_path / "halon.toml").write_text('[[service]]\nname = "shop"\nrepository = "/nowhere"\n')
    store = Store(f"sqlite:///{folder / 'halon.db'}")
    store.migrate()
    Incidents(store).open(Opening("shop is slow", OPERATOR, "k", service="shop"))
    store.close()

    done = halon("review", "INC-1", "--json", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert "INC-1: shop is slow" == json.loads(done.stdout)["title"]
    none = halon("review", "INC-7", "--json", cwd=tmp_path)
    assert (3, "") == (none.returncode, none.stdout)
