"""A repository behind a key or a token is mirrored with it, and not without."""

import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from agents import gitcalls, workspace
from incidents.remotes import Credentials
from tests import remotes, repositories


@pytest.fixture
def bare(git_repo: repositories.Repository, tmp_path: Path) -> Path:
    git_repo.commit("Open", {"shop.py": "RATE = 1\n"})
    place = tmp_path / "remotes" / "shop.git"
    git_repo.git("clone", "--quiet", "--bare", str(git_repo.path), str(place))
    return place


@pytest.mark.service
def test_a_key_opens_what_is_closed_without_it(
    git_repo: repositories.Repository, bare: Path, tmp_path: Path
) -> None:
    with remotes.over_ssh(tmp_path) as server:
        address = server.address(bare)
        key = Credentials(server.key, tmp_path / "known_hosts")
        with workspace.mirror(address, tmp_path / "mirror", key) as found:
            assert git_repo.head() == found.resolve("refs/heads/main")
        with pytest.raises(gitcalls.GitFailed):
            workspace.mirror(address, tmp_path / "other")


@pytest.mark.service
def test_a_host_that_changed_its_key_is_not_talked_to(bare: Path, tmp_path: Path) -> None:
    """Someone in between would read the code and could hand out another."""
    (tmp_path / "one").mkdir()
    known = tmp_path / "known_hosts"
    with remotes.over_ssh(tmp_path / "one") as server:
        address, key = server.address(bare), Credentials(server.key, known)
        workspace.mirror(address, tmp_path / "mirror", key).close()
        stranger = tmp_path / "stranger"
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        kind, secret = stranger.with_suffix(".pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{server.port} {kind} {secret}\n")

        with pytest.raises(gitcalls.GitFailed):
            workspace.mirror(address, tmp_path / "mirror", key)


def test_a_token_opens_what_is_closed_without_it(
    git_repo: repositories.Repository, bare: Path, tmp_path: Path
) -> None:
    with remotes.over_http(bare.parent, "t0ken") as address:
        opens = Credentials(token=SecretStr("t0ken"))
        with workspace.mirror(f"{address}/shop.git", tmp_path / "mirror", opens) as found:
            assert git_repo.head() == found.resolve("refs/heads/main")
        for wrong in (Credentials(), Credentials(token=SecretStr("another"))):
            with pytest.raises(gitcalls.GitFailed) as failed:
                workspace.mirror(f"{address}/shop.git", tmp_path / "other", wrong)
            assert "another" not in str(failed.value)
