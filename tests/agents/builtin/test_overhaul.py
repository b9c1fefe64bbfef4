"""Remedies beyond one commit are built from the history alone; trying them is test_fixer's."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents import case as cases
from agents.builtin import overhaul, wider, workbench
from agents.builtin.deadline import Deadline
from agents.builtin.remedy import Draft, Refused, Work
from agents.builtin.scene import Scene
from agents.sandboxes.bare import Bare
from incidents import reports
from incidents.models import Verdict
from tests import repositories

DEPENDENTS, FILES = overhaul.PLANS
CHECK = cases.Command((sys.executable, "check.py"))

Built = Callable[[str], Work]


@pytest.fixture
def work_on(git_repo: repositories.Repository, tmp_path: Path) -> Iterator[Built]:
    """Return what the remedies are built from, for a culprit."""
    opened = []

    def built(culprit: str) -> Work:
        head = git_repo.head()
        found = reports.Diagnosis(
            engine="builtin",
            verdict=Verdict.CONFIRMED,
            summary="x",
            revision=head,
            culprit=culprit,
            exception="KeyError",
        )
        case = cases.Case(repository=git_repo.path, test=CHECK)
        manager = workbench.opened(case, Bare(), tmp_path / "work", Deadline(60))
        bench = manager.__enter__()
        opened.append(manager)
        return Work(bench, found, Scene(bench.replays(CHECK), head), head)

    yield built
    for manager in opened:
        manager.__exit__(None, None, None)


def text(work: Work, draft: Draft | Refused, path: str = "shop.py") -> str | None:
    """Return a file of a draft's tree, None where it has none."""
    assert isinstance(draft, Draft), draft
    content = work.bench.repository.show(draft.tree, path)
    return None if content is None else content.decode()


def grown(repository: repositories.Repository, dependents: int = 1) -> str:
    """Commit a good file, the culprit, what was built on its line, and something else."""
    repository.commit("Begin", {"shop.py": "rate = 1\n", "notes.txt": "a\n"})
    culprit = repository.commit("Break", {"shop.py": "rate = 2\n"})
    for number in range(dependents):
        repository.commit("Build on it", {"shop.py": f"rate = 2 + {number}\n"})
    repository.commit("Write notes", {"notes.txt": "b\n"})
    return culprit


def test_what_was_built_on_the_cause_is_taken_out_with_it_and_nothing_else(
    git_repo: repositories.Repository, work_on: Built
) -> None:
    work = work_on(grown(git_repo, 3))

    made = DEPENDENTS.build(work)

    assert ("rate = 1\n", "b\n") == (text(work, made), text(work, made, "notes.txt"))


def test_without_anything_built_on_it_there_is_nothing_wider_to_take_out(
    git_repo: repositories.Repository, work_on: Built
) -> None:
    made = DEPENDENTS.build(work_on(grown(git_repo, 0)))

    assert isinstance(made, Refused)
    assert "no later commit" in made.why


def test_too_much_was_built_on_it(git_repo: repositories.Repository, work_on: Built) -> None:
    made = DEPENDENTS.build(work_on(grown(git_repo, wider.MOST_DEPENDENTS + 1)))

    assert isinstance(made, Refused)
    assert "too many" in made.why


def test_the_files_of_the_cause_go_back_alone(
    git_repo: repositories.Repository, work_on: Built
) -> None:
    work = work_on(grown(git_repo, 2))

    made = FILES.build(work)

    assert ("rate = 1\n", "b\n") == (text(work, made), text(work, made, "notes.txt"))
    assert isinstance(made, Draft)
    assert made.risk.startswith("medium")


def test_a_file_that_the_cause_brought_has_nothing_to_go_back_to(
    git_repo: repositories.Repository, work_on: Built
) -> None:
    git_repo.commit("Begin", {"notes.txt": "a\n"})
    culprit = git_repo.commit("Bring it", {"shop.py": "rate = 2\n"})

    made = FILES.build(work_on(culprit))

    assert isinstance(made, Refused)
    assert "none of its files was there" in made.why


def test_an_experiment_says_what_became_of_a_remedy() -> None:
    refused = overhaul.experiment(FILES, "files:1", "the suite is worse")

    assert ("ruled out", "the suite is worse") == (refused.status.replace("_", " "), refused.result)
