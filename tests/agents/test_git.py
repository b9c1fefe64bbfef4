"""The repository is read as git itself reads it, and nothing that it names is started."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents import git, gitcalls
from incidents import errors
from tests import repositories

SHOP = "def price(cart):\n    return cart.total\n\n\ndef ship(cart):\n    return cart.address\n"
MARK = "#!/bin/sh\ntouch {marker}\nexit 1\n"


@pytest.fixture
def repository(git_repo: repositories.Repository) -> git.Repository:
    git_repo.commit("first", {"shop.py": SHOP, "docs/read me.txt": "hello\n"})
    return git.Repository(git_repo.path)


def loose_and_packed(folder: Path) -> set[str]:
    return {str(path) for path in (folder / ".git").rglob("*") if path.is_file()}


def test_a_name_is_resolved_to_the_full_sha(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.git("tag", "-a", "v1", "-m", "one")

    assert [git_repo.head()] * 4 == [
        repository.resolve(name) for name in ("HEAD", "main", "v1", git_repo.head()[:10])
    ]


@pytest.mark.parametrize(
    "name",
    ["", "--output=/x", "-h", "no/such", ":/first", "HEAD^{/first}", "a..b", "a b", "x\n", "@{-1}"],
)
def test_a_bad_name_is_refused_and_named(repository: git.Repository, name: str) -> None:
    with pytest.raises(git.UnknownRevision) as caught:
        repository.resolve(name)

    assert repr(name) in caught.value.message


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(git.RepositoryUnreadable) as caught:
        git.Repository(tmp_path)

    assert "is not a git repository" in caught.value.message


def test_a_broken_repository_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()

    with pytest.raises(git.RepositoryUnreadable) as caught:
        git.Repository(tmp_path)

    assert "cannot be read" in caught.value.message


def test_a_repository_without_commits_says_so(git_repo: repositories.Repository) -> None:
    with pytest.raises(git.UnknownRevision) as caught:
        git.Repository(git_repo.path).head()

    assert "has no commits yet" in caught.value.message


def test_a_folder_inside_a_repository_and_a_worktree_and_a_bare_clone_are_found(
    git_repo: repositories.Repository, repository: git.Repository, tmp_path: Path
) -> None:
    git_repo.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "HEAD")
    git_repo.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    places = [git_repo.path / "docs", tmp_path / "tree", tmp_path / "bare"]

    heads = [git.Repository(place).head() for place in places]

    assert [repository.head()] * 3 == heads
    assert [False, False, True] == [git.Repository(place).is_bare for place in places]


def test_a_shallow_clone_is_noticed_and_readable(
    git_repo: repositories.Repository, repository: git.Repository, tmp_path: Path
) -> None:
    git_repo.commit("second", {"b": "b\n"})
    url = f"file://{git_repo.path}"
    git_repo.git("clone", "--quiet", "--depth", "1", url, str(tmp_path / "shallow"))

    shallow = git.Repository(tmp_path / "shallow")

    assert (False, True) == (repository.is_shallow, shallow.is_shallow)
    assert ["second"] == [commit.subject for commit in shallow.log("HEAD")]
    with pytest.raises(git.UnknownRevision, match="shallow"):
        shallow.resolve("HEAD~1")


def test_files_and_contents_of_any_revision_are_read(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.commit("second", {"shop.py": None, "größe.py": "x\n"})

    assert ("docs/read me.txt", "größe.py") == repository.files("HEAD")
    assert SHOP.encode() == repository.show("HEAD~1", "shop.py")
    assert [None, None] == [repository.show("HEAD", path) for path in ("shop.py", "docs")]


def test_the_log_gives_paths_times_and_parents(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    first = git_repo.head()
    at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    second = git_repo.commit("second: a\x01b", {"a": "1\n", "new\nline": "2\n"}, at=at)

    (commit,) = repository.log(f"{first}..HEAD")

    expected = git.Commit(second, (first,), at, at, "second: a\x01b", ("a", "new\nline"))
    assert expected == commit


def test_a_file_named_like_a_commit_does_not_mislead_the_log(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    first = git_repo.head()
    git_repo.commit("second", {first: "a trap\n", "b": "b\n"})

    newest, oldest = repository.log("HEAD")

    assert tuple(sorted((first, "b"))) == newest.paths
    assert ("docs/read me.txt", "shop.py") == oldest.paths


def test_a_merge_has_the_paths_that_it_brought_in(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.git("checkout", "--quiet", "-b", "side")
    git_repo.commit("side", {"side": "s\n"})
    git_repo.git("checkout", "--quiet", "main")
    git_repo.commit("main", {"main": "m\n"})
    git_repo.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")

    merge = repository.log("HEAD", limit=1)[0]
    straight = repository.log("HEAD", first_parent=True)

    assert (True, ("side",)) == (merge.is_merge, merge.paths)
    assert ["merge", "main", "first"] == [commit.subject for commit in straight]
    assert ["side"] == [commit.subject for commit in repository.log("HEAD", paths=["side"])]


def test_a_diff_and_its_lines_are_given(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.commit("second", {"shop.py": SHOP.replace("cart.total", "cart.sum\n    # why")})

    diff = repository.diff("HEAD~1", "HEAD")

    assert "-    return cart.total\n+    return cart.sum\n+    # why\n" in diff
    changed = repository.changed_lines("HEAD~1", "HEAD")
    assert {"shop.py": ((range(2, 3), range(2, 4)),)} == changed
    (change,) = repository.diff_trees("HEAD~1", "HEAD")
    assert ("shop.py", "M") == (change.path, change.kind)


def test_blame_is_bounded_by_the_window(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    first = git_repo.head()
    second = git_repo.commit("second", {"shop.py": SHOP.replace("address", "postcode")})

    lines = repository.blame("HEAD", "shop.py", 5, 99, since=first)

    found = [(line.line, line.sha, line.older) for line in lines]
    assert [(5, first, True), (6, second, False)] == found
    assert [] == repository.blame("HEAD", "no/such.py", 1, 5)


def test_ancestry_is_told(git_repo: repositories.Repository, repository: git.Repository) -> None:
    git_repo.commit("second", {"b": "b\n"})

    assert (True, False) == (
        repository.is_ancestor("HEAD~1", "HEAD"),
        repository.is_ancestor("HEAD", "HEAD~1"),
    )


def test_tags_are_listed_with_their_commits(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    date = {"GIT_COMMITTER_DATE": "2026-02-01T00:00:00+00:00"}
    git_repo.git("tag", "-a", "deploy/1", "-m", "first deploy", env=date)
    git_repo.git("tag", "other")

    at = datetime(2026, 2, 1, tzinfo=UTC)
    assert [git.Tag("deploy/1", git_repo.head(), at)] == repository.tags("deploy/*")


def test_a_revert_in_memory_equals_a_real_revert_and_writes_nothing(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    guilty = git_repo.commit("guilty", {"shop.py": SHOP.replace("cart.total", "cart.sum")})
    git_repo.commit("later", {"shop.py": SHOP.replace("cart.total", "cart.sum") + "# end\n"})
    before = loose_and_packed(git_repo.path)

    reverted = repository.revert_tree(guilty, "HEAD")

    assert before == loose_and_packed(git_repo.path)
    git_repo.git("revert", "--no-edit", guilty)
    assert git_repo.git("rev-parse", "HEAD^{tree}") == reverted.tree
    assert () == reverted.conflicts


def test_a_conflict_is_named_and_not_resolved(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    guilty = git_repo.commit("guilty", {"shop.py": SHOP.replace("cart.total", "cart.sum")})
    git_repo.commit("later", {"shop.py": SHOP.replace("cart.total", "cart.amount")})

    reverted = repository.revert_tree(guilty, "HEAD")

    assert (None, ("shop.py",)) == (reverted.tree, reverted.conflicts)


def test_a_merge_is_taken_out_against_its_first_parent(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.git("checkout", "--quiet", "-b", "side")
    git_repo.commit("side", {"side": "s\n"})
    git_repo.git("checkout", "--quiet", "main")
    main = git_repo.commit("main", {"main": "m\n"})
    git_repo.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")

    assert repository.tree_of(main) == repository.revert_tree("HEAD", "HEAD").tree


def test_the_first_commit_and_a_foreign_one_cannot_be_taken_out(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.git("checkout", "--quiet", "-b", "side")
    side = git_repo.commit("side", {"side": "s\n"})
    git_repo.git("checkout", "--quiet", "main")

    reasons = [repository.revert_tree(sha, "main").reason for sha in ("main", side)]

    assert ["is the first commit", "is not contained in"] == [
        reason[13:][: len(part)]
        for reason, part in zip(
            reasons, ("is the first commit", "is not contained in"), strict=True
        )
    ]


def test_a_tree_is_built_in_memory_and_keeps_the_modes(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    script = git_repo.path / "run.sh"
    script.write_text("old\n")
    script.chmod(0o755)
    git_repo.commit("script", {})
    before = loose_and_packed(git_repo.path)

    files = {"run.sh": b"new\n", "a/b.bin": b"\x00\xff", "shop.py": None}
    tree = repository.tree_with("HEAD", files)

    assert before == loose_and_packed(git_repo.path)
    kinds = {c.path: (c.kind, c.new_mode) for c in repository.diff_trees("HEAD", tree)}
    expected = {
        "a/b.bin": ("A", "100644"),
        "run.sh": ("M", "100755"),
        "shop.py": ("D", "000000"),
    }
    assert expected == kinds
    assert b"\x00\xff" == repository.show(tree, "a/b.bin")


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", ".git/hooks/x", "a/.GIT/x", ""])
def test_a_path_outside_of_the_tree_is_refused(repository: git.Repository, path: str) -> None:
    with pytest.raises(errors.ToolRefused):
        repository.tree_with("HEAD", {path: b"x"})


def test_a_patch_is_applied_in_memory_or_refused(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    git_repo.commit("second", {"shop.py": SHOP.replace("total", "sum")})
    patch = repository.diff("HEAD~1", "HEAD")

    assert repository.tree_of("HEAD") == repository.apply("HEAD~1", patch)
    with pytest.raises(gitcalls.GitFailed, match=r"patch failed: shop\.py"):
        repository.apply("HEAD", patch)


def test_a_commit_made_in_memory_can_be_read_and_is_gone_after_closing(
    git_repo: repositories.Repository, repository: git.Repository
) -> None:
    tree = repository.tree_with("HEAD", {"shop.py": b"# new\n"})
    sha = repository.commit(tree, [repository.head()], "patched")

    assert (sha, b"# new\n") == (repository.resolve(sha), repository.show(sha, "shop.py"))
    repository.close()
    assert not repository.scratch.exists()
    with pytest.raises(git.UnknownRevision):
        git.Repository(git_repo.path).resolve(sha)


def test_nothing_that_a_hostile_repository_names_is_ever_started(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    """Each setting and hook here starts a program in an ordinary git; none may in ours."""
    marker, program = tmp_path / "started", tmp_path / "evil.sh"
    program.write_text(MARK.format(marker=marker))
    program.chmod(0o755)
    git_repo.commit("first", {"shop.py": SHOP})
    attributes = "*.py filter=evil diff=evil merge=evil\n"
    guilty = git_repo.commit("guilty", {".gitattributes": attributes, "shop.py": SHOP + "#\n"})
    git_repo.commit("later", {"shop.py": "# top\n" + SHOP + "#\n"})
    for name in (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "merge.evil.driver",
        "gpg.program",
    ):
        git_repo.git("config", name, str(program))
    git_repo.git("config", "log.showSignature", "true")
    git_repo.git("config", "commit.gpgSign", "true")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (git_repo.path / ".git/hooks" / hook).write_text(MARK.format(marker=marker))
        (git_repo.path / ".git/hooks" / hook).chmod(0o755)

    repository = git.Repository(git_repo.path)
    repository.log("HEAD")
    repository.diff("HEAD~1", "HEAD")
    repository.blame("HEAD", "shop.py", 1, 3)
    repository.revert_tree(guilty, "HEAD")
    repository.apply("HEAD~1", repository.diff("HEAD~1", "HEAD"))
    repository.tree_with("HEAD", {"shop.py": b"x"})

    assert not marker.exists()


def test_a_hook_runs_for_an_ordinary_git_and_never_for_ours(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    """Also where an included file of settings says where the hooks lie."""
    sha = git_repo.commit("first", {"shop.py": SHOP})
    marker, hooks = tmp_path / "started", tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text(MARK.format(marker=marker))
    (hooks / "reference-transaction").chmod(0o755)
    (tmp_path / "included").write_text(f"[core]\n\thooksPath = {hooks}\n")
    git_repo.git("config", "include.path", str(tmp_path / "included"))

    gitcalls.call(["update-ref", "refs/heads/ours", sha], git_dir=git_repo.path / ".git")
    assert not marker.exists()

    with pytest.raises(AssertionError, match="aborted by hook"):
        git_repo.git("update-ref", "refs/heads/ordinary", sha)
    assert marker.exists()


def test_the_callers_own_git_variables_do_not_lead_elsewhere(
    git_repo: repositories.Repository,
    repository: git.Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = repositories.new(tmp_path / "other")
    other.commit("other", {"x": "x\n"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    assert git_repo.head() == git.Repository(git_repo.path).head()
