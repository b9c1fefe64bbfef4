"""Delivery by git: the fix gets to the branch, and nobody's work is touched."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from incidents import errors
from incidents.remotes import Credentials
from incidents.reports import Patch
from rollout.delivery.local import Local
from tests import remotes
from tests.repositories import Repository
from tests.rollout import plans

BAD, FIXED = "one\nbroken\nthree\n", "one\nfixed\nthree\n"


def broken(repository: Repository) -> Patch:
    base = repository.commit("broken", {"code.txt": BAD, "other.txt": "x\n"})
    (repository.path / "code.txt").write_text(FIXED)
    diff = repository.git("diff") + "\n"
    repository.git("add", "--all")
    tree = repository.git("write-tree")
    repository.git("reset", "--quiet", "--hard")
    return plans.patch(base=base, tree=tree, diff=diff)


def bare(repository: Repository, at: Path) -> Repository:
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(at))
    return Repository(at)


def test_branch_and_fast_merge_into_a_bare_remote(git_repo: Repository, tmp_path: Path) -> None:
    patch = broken(git_repo)
    remote = bare(git_repo, tmp_path / "remote.git")
    delivery = Local(str(remote.path), tmp_path / "d")
    done = delivery.branch("INC-4", patch, "Fix INC-4")
    assert done == delivery.branch("INC-4", patch, "Fix INC-4")
    assert done.revision == remote.git("rev-parse", "refs/heads/halon/INC-4")
    assert patch.tree == remote.git("rev-parse", f"{done.revision}^{{tree}}")
    merged = delivery.merge(done, "main")
    assert (True, done.revision) == (merged.merged, remote.git("rev-parse", "main"))
    assert merged.merged == delivery.merge(done, "main").merged


def test_a_branch_that_moved_elsewhere_is_merged(git_repo: Repository, tmp_path: Path) -> None:
    patch = broken(git_repo)
    git_repo.commit("meanwhile", {"other.txt": "y\n"})
    remote = bare(git_repo, tmp_path / "remote.git")
    delivery = Local(str(remote.path), tmp_path / "d")
    done = delivery.branch("INC-4", patch, "Fix INC-4")
    assert delivery.merge(done, "main").merged
    assert FIXED.strip() == remote.git("show", "main:code.txt")
    assert "y" == remote.git("show", "main:other.txt")


def test_a_conflict_is_left_to_people(git_repo: Repository, tmp_path: Path) -> None:
    patch = broken(git_repo)
    head = git_repo.commit("meanwhile", {"code.txt": "one\nanother\nthree\n"})
    remote = bare(git_repo, tmp_path / "remote.git")
    delivery = Local(str(remote.path), tmp_path / "d")
    merged = delivery.merge(delivery.branch("INC-4", patch, "Fix"), "main")
    assert (False, head) == (merged.merged, remote.git("rev-parse", "main"))
    assert "by hand" in merged.text


def test_a_checked_out_branch_and_its_files_are_not_touched(
    git_repo: Repository, tmp_path: Path
) -> None:
    patch = broken(git_repo)
    (git_repo.path / "code.txt").write_text("my own edit\n")
    before = (git_repo.head(), git_repo.git("status", "--porcelain"))
    delivery = Local(str(git_repo.path), tmp_path / "d")
    merged = delivery.merge(delivery.branch("INC-4", patch, "Fix"), "main")
    assert (False, True) == (merged.merged, "git merge halon/INC-4" in merged.text)
    assert before == (git_repo.head(), git_repo.git("status", "--porcelain"))
    assert "my own edit\n" == (git_repo.path / "code.txt").read_text()


def test_a_patch_that_is_not_what_was_tested_is_refused(
    git_repo: Repository, tmp_path: Path
) -> None:
    patch = broken(git_repo).model_copy(update={"tree": "0" * 40})
    with pytest.raises(errors.PermanentFailure, match="tested was"):
        Local(str(git_repo.path), tmp_path / "d").branch("INC-4", patch, "Fix")


def test_a_patch_that_does_not_apply_is_refused(git_repo: Repository, tmp_path: Path) -> None:
    patch = broken(git_repo)
    moved = patch.model_copy(update={"diff": patch.diff.replace("broken", "else")})
    with pytest.raises(errors.PermanentFailure, match="apply"):
        Local(str(git_repo.path), tmp_path / "d").branch("INC-4", moved, "Fix")


def test_a_remote_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.PermanentFailure, match="nowhere"):
        Local(str(tmp_path / "nowhere"), tmp_path / "d").branch("INC-4", plans.patch(), "Fix")


def test_a_closed_remote_is_opened_by_its_token(git_repo: Repository, tmp_path: Path) -> None:
    patch = broken(git_repo)
    (tmp_path / "remotes").mkdir()
    remote = bare(git_repo, tmp_path / "remotes" / "shop.git")
    remote.git("config", "http.receivepack", "true")
    with remotes.over_http(remote.path.parent, "t0ken") as address:
        opens = Credentials(token=SecretStr("t0ken"))
        done = Local(f"{address}/shop.git", tmp_path / "d", opens).branch("INC-4", patch, "Fix")
        with pytest.raises(errors.HalonError):
            Local(f"{address}/shop.git", tmp_path / "e").branch("INC-4", patch, "Fix")

    assert done.revision == remote.git("rev-parse", "refs/heads/halon/INC-4")
