"""Checked out revisions: whole, from the right commit, and named when they cannot be."""

from pathlib import Path

import pytest

from incidents import errors
from rollout.releases import Releases
from tests.repositories import Repository


def test_a_revision_is_checked_out_once_and_whole(git_repo: Repository, tmp_path: Path) -> None:
    first = git_repo.commit("one", {"a/b.txt": "1", "run.sh": "x"})
    git_repo.commit("two", {"a/b.txt": "2"})
    made = Releases(str(git_repo.path), tmp_path / "host")
    folder = made.checkout(first)
    assert ("1", folder) == ((folder / "a/b.txt").read_text(), made.checkout(first))
    assert [first] == [path.name for path in (tmp_path / "host/releases").iterdir()]


def test_a_known_release_needs_no_repository(git_repo: Repository, tmp_path: Path) -> None:
    first = git_repo.commit("one", {"a": "1"})
    folder = Releases(str(git_repo.path), tmp_path).checkout(first)
    assert folder == Releases("/nowhere", tmp_path).checkout(first)


def test_an_address_is_mirrored_and_fetched_again_when_needed(
    git_repo: Repository, tmp_path: Path
) -> None:
    first = git_repo.commit("one", {"a": "1"})
    made = Releases(f"file://{git_repo.path}", tmp_path)
    made.checkout(first)
    second = git_repo.commit("two", {"a": "2"})
    assert "2" == (made.checkout(second) / "a").read_text()


@pytest.mark.parametrize("name", ["0" * 40, "--upload-pack=x", "", "no-such-branch"])
def test_what_is_no_revision_is_refused(git_repo: Repository, tmp_path: Path, name: str) -> None:
    git_repo.commit("one", {"a": "1"})
    with pytest.raises(errors.PermanentFailure):
        Releases(str(git_repo.path), tmp_path).checkout(name)


def test_the_repositorys_hooks_and_the_persons_settings_are_not_used(
    git_repo: Repository, tmp_path: Path, clean_environment: Path
) -> None:
    (clean_environment / ".gitconfig").write_text("[tar]\n[core]\n\tattributesFile = x\n[broken")
    hook = git_repo.path / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    first = git_repo.commit("one", {"a": "1"})
    Releases(str(git_repo.path), tmp_path / "host").checkout(first)
    assert not (tmp_path / "hooked").exists()
