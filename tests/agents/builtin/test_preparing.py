"""Installing what a revision needs: once per content of its lock files, and never in a proof."""

import itertools
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents import case as cases
from agents import git, sandbox
from agents.builtin.deadline import Deadline
from agents.builtin.preparing import Failed, Prepared, Preparing
from agents.sandboxes.bare import Bare
from incidents import errors
from incidents.models import Verdict
from tests import repositories
from tests.agents.builtin.conftest import Shop

LIBRARY = """\
def rate(country):
    return {rates}[country]
"""
CHECK = "import rates\n\nassert 690 == rates.rate('AT')\n"
NEW = "cat /proc/sys/kernel/random/uuid > made"  # another content each time that it runs


def wheel(folder: Path, version: str, rates: str) -> None:
    """Write a package `rates` as pip takes it, without an index."""
    folder.mkdir(exist_ok=True)
    info = f"rates-{version}.dist-info"
    with zipfile.ZipFile(folder / f"rates-{version}-py3-none-any.whl", "w") as file:
        file.writestr("rates.py", LIBRARY.format(rates=rates))
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: rates\nVersion: {version}")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", tags)
        file.writestr(f"{info}/RECORD", "")


def pip(*more: str) -> cases.Installation:
    argv = (sys.executable, "-m", "pip", "install", "--no-index", *more, "-r", "requirements.txt")
    return cases.Installation(cases.Command(argv))


def test_a_new_version_of_a_dependency_is_convicted(shop: Shop, tmp_path: Path) -> None:
    """Each side of the commit is tried with the versions that its own lock file names."""
    wheel(tmp_path / "wheels", "1", '{"DE": 490, "AT": 690}')
    wheel(tmp_path / "wheels", "2", '{"DE": 490}')
    shop.commit("Ask the library", requirements__txt="rates==1\n", check__py=CHECK)
    good = shop.commit("Change nothing", notes__txt="1\n")
    guilty = shop.commit("Take the new library", requirements__txt="rates==2\n")
    shop.commit("Change nothing again", notes__txt="2\n")
    found = shop.diagnose(
        good=good,
        test=cases.Command((sys.executable, "check.py")),
        prepare=pip("--find-links", str(tmp_path / "wheels")),
        read_only=(tmp_path / "wheels",),
    )

    assert (Verdict.CONFIRMED, guilty) == (found.verdict, found.culprit), found.gaps
    assert 2 == len([*(tmp_path / "engine" / "prepared").glob("*.whole")])


def test_what_cannot_be_installed_is_a_gap_and_no_verdict(shop: Shop) -> None:
    shop.commit("Ask the library", requirements__txt="rates==1\n", check__py=CHECK)
    found = shop.diagnose(test=cases.Command((sys.executable, "check.py")), prepare=pip())
    (gap,) = (one for one in found.gaps if one.startswith("test environment"))

    assert (Verdict.INCONCLUSIVE, None) == (found.verdict, found.culprit)
    assert "No matching distribution found for rates==1" in gap


Maker = Callable[..., Preparing]


@pytest.fixture
def repository(git_repo: repositories.Repository) -> git.Repository:
    files = {"requirements.txt": "a==1\n", "lib/package.json": "{}\n", "shop.py": "x = 1\n"}
    git_repo.commit("Open the shop", files)
    return git.Repository(git_repo.path)


@pytest.fixture
def make(repository: git.Repository, tmp_path: Path) -> Iterator[Maker]:
    """Make what a new process would, on one folder."""
    makers: list[Preparing] = []

    def made(line: str, box: sandbox.Sandbox | None = None, **how: object) -> Preparing:
        command = cases.Command(("sh", "-c", line))
        installation = replace(cases.Installation(command), **how)  # type: ignore[arg-type]
        folder, deadline = tmp_path / "prepared", Deadline(60)
        makers.append(Preparing(box or Bare(), repository, installation, folder, deadline))
        return makers[-1]

    yield made
    for one in makers:
        one.close()


def tree(made: Preparing, git_repo: repositories.Repository, **files: str) -> str:
    """Commit files, named with `__` for `.`, and return the tree."""
    named = {name.replace("__", "."): text for name, text in files.items()}
    return made.repository.tree_of(git_repo.commit("Change", named))


def installed(found: Prepared | Failed) -> Path:
    assert isinstance(found, Prepared), found
    return found.read_only[-1]


def test_trees_with_the_same_lock_files_share_what_is_installed(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make(NEW)
    first = installed(made.of(tree(made, git_repo, shop__py="x = 2\n")))
    said = (first / "made").read_text()

    assert first == installed(make(NEW).of(tree(made, git_repo, shop__py="x = 3\n")))
    assert said == (first / "made").read_text()
    assert first != installed(made.of(tree(made, git_repo, requirements__txt="a==2\n")))


@pytest.mark.parametrize(
    "other",
    [{"network": True}, {"env": (("INDEX", "b"),)}, {"command": cases.Command(("true",))}],
    ids=str,
)
def test_what_is_installed_in_another_way_is_another_installation(
    make: Maker, git_repo: repositories.Repository, other: dict[str, object]
) -> None:
    first = make("true")
    at = first.repository.tree_of(git_repo.head())

    assert installed(first.of(at)) != installed(make("true", **other).of(at))


def test_the_command_sees_lock_files_and_nothing_else(
    make: Maker, walls: sandbox.Sandbox, git_repo: repositories.Repository
) -> None:
    made = make('all=$(find . -type f | sort); echo "$all" > seen', walls)
    found = installed(made.of(tree(made, git_repo, shop__py="x = 2\n")))

    assert ["./lib/package.json", "./requirements.txt"] == (found / "seen").read_text().split()


def test_the_settings_name_what_else_decides(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make("ls > seen", locks=("shop.py", "deps/*.lst"))
    (git_repo.path / "deps").mkdir()
    (git_repo.path / "deps" / "a.lst").write_text("a\n")
    found = installed(made.of(tree(made, git_repo)))

    assert ["deps", "seen", "shop.py"] == (found / "seen").read_text().split()


def test_the_network_is_for_installing_by_the_operators_word_only(
    make: Maker, walls: sandbox.Sandbox, git_repo: repositories.Repository
) -> None:
    seen = "cat /proc/net/dev | grep -c : > seen"
    at = make(seen).repository.tree_of(git_repo.head())
    here = sum(":" in line for line in Path("/proc/net/dev").read_text().splitlines())
    without, with_it = (
        int((installed(make(seen, walls, network=word).of(at)) / "seen").read_text())
        for word in (False, True)
    )

    assert (1, here) == (without, with_it)


def test_two_at_once_install_once(make: Maker, git_repo: repositories.Repository) -> None:
    both = [make(f"sleep 0.2; {NEW}") for _ in range(2)]
    at = both[0].repository.tree_of(git_repo.head())
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda one=one: said.append(text_of(one, at))) for one in both
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert 2 == len(said)
    assert 1 == len(set(said))


class Told(Deadline):
    """A deadline that says when somebody waits: whoever does looks at it each time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.waiting = threading.Event()

    def check(self, need: float = 0.0) -> None:
        self.waiting.set()
        super().check(need)


def test_who_came_before_it_was_whole_does_not_wait_for_the_other_run_to_end(
    make: Maker, git_repo: repositories.Repository, tmp_path: Path
) -> None:
    first, second = make(NEW), make(NEW)
    second.deadline = told = Told(60)
    at = first.repository.tree_of(git_repo.head())
    said = [text_of(first, at)]  # in use until the first run ends
    (whole,) = (tmp_path / "prepared").glob("*.whole")
    whole.unlink()  # as it stands a moment before it is whole
    later = threading.Thread(target=lambda: said.append(text_of(second, at)))
    later.start()
    assert told.waiting.wait(20)
    whole.touch()
    later.join()

    assert 2 == len(said)
    assert 1 == len(set(said))


def text_of(made: Preparing, at: str) -> str:
    return (installed(made.of(at)) / "made").read_text()


def test_one_that_was_cut_short_is_made_anew(
    make: Maker, git_repo: repositories.Repository, tmp_path: Path
) -> None:
    made = make(NEW)
    at = made.repository.tree_of(git_repo.head())
    place = installed(made.of(at))
    before = (place / "made").read_text()
    made.close()
    (whole,) = (tmp_path / "prepared").glob("*.whole")
    whole.unlink()  # as a kill in the middle leaves it
    (place / "half").write_text("left behind")

    assert before != text_of(make(NEW), at)
    assert not (place / "half").exists()


def test_what_failed_is_not_tried_twice_in_a_run_but_again_in_the_next(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make(f"{NEW}; cat made; exit 3")
    at = made.repository.tree_of(git_repo.head())
    first, second, later = made.of(at), made.of(at), make(f"{NEW}; cat made; exit 3").of(at)

    assert first == second
    assert isinstance(first, Failed)
    assert isinstance(later, Failed)
    assert first.why != later.why
    assert (f"test environment: {first.why}",) == made.problems()


def test_a_hanging_command_ends_at_its_limit(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make("echo fetching; sleep 60", seconds=0.3)
    failed = made.of(made.repository.tree_of(git_repo.head()))

    assert isinstance(failed, Failed)
    assert failed.why.endswith("took longer than 0.3 s: fetching")


def test_a_run_without_time_left_says_so_and_blames_nobody(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make("sleep 60")
    made.deadline = Deadline(2.5)

    with pytest.raises(errors.TimeSpent):
        made.of(made.repository.tree_of(git_repo.head()))
    assert {} == made.failed


def test_without_a_network_the_reason_names_the_setting(
    make: Maker, git_repo: repositories.Repository
) -> None:
    made = make("echo 'Temporary failure in name resolution'; exit 1")
    failed = made.of(made.repository.tree_of(git_repo.head()))

    assert isinstance(failed, Failed)
    assert "set `prepare.network` in halon.toml" in failed.why


def test_what_was_not_used_for_longest_makes_room_and_what_is_used_stays(
    make: Maker, git_repo: repositories.Repository
) -> None:
    numbers = itertools.count(2)

    def other(made: Preparing) -> Path:
        made.most = 2
        return installed(made.of(tree(made, git_repo, requirements__txt=f"a=={next(numbers)}\n")))

    used, gone = make("true"), make("true")
    kept, old = other(used), other(gone)
    gone.close()
    new = other(make("true"))

    assert (True, False, True) == (kept.is_dir(), old.is_dir(), new.is_dir())


def test_proofs_find_programs_modules_and_folders_where_they_look_for_them(
    make: Maker, git_repo: repositories.Repository, tmp_path: Path
) -> None:
    made = make("mkdir -p node_modules/.bin .venv/bin python vendor")
    found = made.of(made.repository.tree_of(git_repo.head()))
    assert isinstance(found, Prepared)
    place = found.read_only[-1]
    proof = tmp_path / "proof"
    (proof / "vendor").mkdir(parents=True)
    found.link(proof)

    assert {".venv", "node_modules", "python"} == {one.name for one in found.read_only[:-1]}
    assert str(place / "python") == found.env["PYTHONPATH"]
    assert place / "node_modules" == (proof / "node_modules").readlink()
    assert not (proof / "vendor").is_symlink(), "the revision's own was replaced"
