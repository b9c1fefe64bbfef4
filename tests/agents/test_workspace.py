"""A leased folder holds exactly its tree, whatever the code of the last lease has done to it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agents import git, workspace
from incidents import errors
from tests import repositories

FILES = {"shop.py": "x = 1\n", "pkg/deep/a.txt": "a\n", "pkg/b.txt": "b\n"}
HOLDER = """
import sys
from pathlib import Path
from agents import git, workspace
pool = workspace.Workspaces(git.Repository(Path(sys.argv[1])), Path(sys.argv[2]))
with pool.lease("HEAD") as path:
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def pool(git_repo: repositories.Repository, tmp_path: Path) -> workspace.Workspaces:
    git_repo.commit("first", FILES)
    return workspace.Workspaces(git.Repository(git_repo.path), tmp_path / "pool")


def contents(folder: Path) -> dict[str, str]:
    """Every path below a folder: a file's text, a link's target, '/' for a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


CLEAN = {**FILES, "pkg": "/", "pkg/deep": "/"}


def test_a_lease_holds_exactly_the_tree_and_no_git(pool: workspace.Workspaces) -> None:
    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)


def test_the_folder_is_used_again_for_another_revision(
    git_repo: repositories.Repository, pool: workspace.Workspaces
) -> None:
    with pool.lease("HEAD") as first:
        pass
    git_repo.commit("second", {"shop.py": "x = 2\n", "pkg/deep/a.txt": None, "new/c": "c\n"})

    with pool.lease("HEAD") as second:
        assert first == second
        expected = {"shop.py": "x = 2\n", "pkg": "/", "pkg/b.txt": "b\n", "new": "/"}
        assert {**expected, "new/c": "c\n"} == contents(second)
    with pool.lease("HEAD~1") as third:
        assert CLEAN == contents(third)


def test_an_unchanged_file_is_not_written_again(pool: workspace.Workspaces) -> None:
    with pool.lease("HEAD") as path:
        before = (path / "shop.py").stat()
    with pool.lease("HEAD") as path:
        after = (path / "shop.py").stat()

    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_whatever_code_did_to_a_folder_is_undone(
    pool: workspace.Workspaces, tmp_path: Path
) -> None:
    with pool.lease("HEAD") as path:
        (path / "shop.py").write_text("x = 9\n")
        (path / "pkg/b.txt").unlink()
        (path / "pkg/b.txt").mkdir()
        (path / "junk/deeper").mkdir(parents=True)
        (path / "junk/deeper/x").write_text("x")
        (path / "empty").mkdir()
        (path / ".git/hooks").mkdir(parents=True)
        (path / "pkg/.git").write_text("gitdir: /elsewhere\n")
        os.mkfifo(path / "pipe")
        (path / "pkg/deep").chmod(0)
        (path / "junk/deeper").chmod(0)

    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)


def test_a_change_that_hides_its_time_and_size_is_undone(pool: workspace.Workspaces) -> None:
    with pool.lease("HEAD") as path:
        before = (path / "shop.py").stat()
        (path / "shop.py").write_text("x = 6\n")
        os.utime(path / "shop.py", ns=(before.st_atime_ns, before.st_mtime_ns))

    with pool.lease("HEAD") as path:
        assert "x = 1\n" == (path / "shop.py").read_text()


@pytest.mark.parametrize("name", ["shop.py", "pkg", "pkg/deep", "new"])
def test_a_link_left_behind_is_removed_and_not_followed(
    pool: workspace.Workspaces, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for file in ("a.txt", "b.txt", "deep/a.txt"):
        (outside / file).write_text("precious\n")
    before = contents(outside)
    with pool.lease("HEAD") as path:
        subprocess.run(["rm", "-rf", str(path / name)], check=True)
        (path / name).symlink_to(outside)

    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)
    assert before == contents(outside)


def test_links_in_the_tree_itself_are_kept_as_links(
    git_repo: repositories.Repository, pool: workspace.Workspaces
) -> None:
    (git_repo.path / "link").symlink_to("/etc/hostname")
    git_repo.commit("link", {})

    for _ in range(2):
        with pool.lease("HEAD") as path:
            assert {**CLEAN, "link": "-> /etc/hostname"} == contents(path)


def test_a_folder_nested_too_deep_for_python_is_removed(pool: workspace.Workspaces) -> None:
    with pool.lease("HEAD") as path:
        script = "import os\nfor _ in range(1500):\n os.mkdir('d')\n os.chdir('d')\n"
        subprocess.run([sys.executable, "-c", script], cwd=path, check=True)

    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)


def test_two_leases_are_two_folders_also_between_processes(
    git_repo: repositories.Repository, pool: workspace.Workspaces
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(git_repo.path), str(pool.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(workspace.__file__).parents[1],
    )
    with holder:
        assert holder.stdout is not None
        theirs = holder.stdout.readline().strip()
        with pool.lease("HEAD") as first, pool.lease("HEAD") as second:
            assert 3 == len({theirs, str(first), str(second)})
        holder.kill()
    with pool.lease("HEAD") as again:
        assert theirs == str(again)


def test_a_folder_whose_last_filling_was_cut_short_is_made_anew(
    pool: workspace.Workspaces,
) -> None:
    with pool.lease("HEAD") as path:
        pass
    (path.parent / "holds").unlink()
    (path.parent / "index.lock").write_text("")
    (path / "half").write_text("")

    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)


def test_a_tree_made_in_memory_can_be_leased(pool: workspace.Workspaces) -> None:
    tree = pool.repository.tree_with("HEAD", {"shop.py": b"x = 5\n"})

    with pool.lease(tree) as path:
        assert {**CLEAN, "shop.py": "x = 5\n"} == contents(path)


def test_an_overlay_is_pinned_on_top_and_gone_afterwards(pool: workspace.Workspaces) -> None:
    with pool.lease("HEAD", {"tests/t.py": b"t\n", "shop.py": b"x = 7\n"}) as path:
        pinned = {"tests": "/", "tests/t.py": "t\n", "shop.py": "x = 7\n"}
        assert {**CLEAN, **pinned} == contents(path)
    with pool.lease("HEAD") as path:
        assert CLEAN == contents(path)


@pytest.mark.parametrize("name", ["../x", "/x", ".git/config", "a/../../x"])
def test_an_overlay_never_leaves_the_folder(pool: workspace.Workspaces, name: str) -> None:
    with pytest.raises(errors.ToolRefused), pool.lease("HEAD", {name: b"x"}):
        pass


def test_an_overlay_replaces_a_link_and_refuses_to_pass_through_one(
    git_repo: repositories.Repository, pool: workspace.Workspaces, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (git_repo.path / "file").symlink_to(tmp_path / "outside/file")
    (git_repo.path / "folder").symlink_to(tmp_path / "outside")
    git_repo.commit("links", {})

    with pool.lease("HEAD", {"file": b"new\n"}) as path:
        assert "new\n" == contents(path)["file"]
    with pytest.raises(workspace.WorkspaceFailed), pool.lease("HEAD", {"folder/x": b"x"}):
        pass
    assert {} == contents(tmp_path / "outside")


def test_removal_is_refused_outside_of_the_pool(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "precious").write_text("x")

    for path in (tmp_path / "precious", tmp_path / "pool", tmp_path / "pool/../precious"):
        with pytest.raises(workspace.WorkspaceFailed):
            workspace.remove([path], tmp_path / "pool")

    assert (tmp_path / "precious").exists()


def test_no_filter_or_hook_of_the_repository_runs_when_a_tree_is_written(
    git_repo: repositories.Repository, pool: workspace.Workspaces, tmp_path: Path
) -> None:
    marker, program = tmp_path / "started", tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    git_repo.commit("attributes", {".gitattributes": "*.py filter=evil\n"})
    git_repo.git("config", "filter.evil.smudge", str(program))
    git_repo.git("config", "core.fsmonitor", str(program))
    (git_repo.path / ".git/hooks/post-checkout").symlink_to(program)

    with pool.lease("HEAD") as path:
        assert "x = 1\n" == (path / "shop.py").read_text()
    assert not marker.exists()


def test_errors_of_the_block_are_not_taken_for_errors_of_the_pool(
    pool: workspace.Workspaces,
) -> None:
    with pytest.raises(FileNotFoundError), pool.lease("HEAD") as path:
        (path / "no such").read_text()


def test_a_pool_that_cannot_be_written_says_so(
    git_repo: repositories.Repository, pool: workspace.Workspaces, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    blocked = workspace.Workspaces(pool.repository, tmp_path / "file" / "pool")

    failed = pytest.raises(workspace.WorkspaceFailed, match="No workspace could be made")
    with failed, blocked.lease("HEAD"):
        pass


def test_executables_keep_their_mode(
    git_repo: repositories.Repository, pool: workspace.Workspaces
) -> None:
    (git_repo.path / "run.sh").write_text("#!/bin/sh\n")
    (git_repo.path / "run.sh").chmod(0o755)
    git_repo.commit("script", {})

    with pool.lease("HEAD") as path:
        (path / "run.sh").chmod(0o644)
    with pool.lease("HEAD") as path:
        assert (path / "run.sh").stat().st_mode & stat.S_IXUSR


def test_a_mirror_follows_its_source_and_holds_everything(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    git_repo.commit("first", FILES)
    git_repo.git("tag", "v1")
    first = workspace.mirror(str(git_repo.path), tmp_path / "mirror")
    git_repo.commit("second", {"shop.py": "x = 2\n"})
    second = workspace.mirror(str(git_repo.path), tmp_path / "mirror")

    assert (True, git_repo.head(), "main") == (second.is_bare, second.head(), second.branch())
    assert ["v1"] == [tag.name for tag in first.tags()]


def test_a_mirror_of_a_shallow_clone_is_known_to_be_shallow(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    for number in range(3):
        git_repo.commit(f"commit {number}", {"a": f"{number}\n"})
    url = f"file://{git_repo.path}"
    git_repo.git("clone", "--quiet", "--depth", "2", url, str(tmp_path / "shallow"))

    mirror = workspace.mirror(str(tmp_path / "shallow"), tmp_path / "mirror")

    assert (True, 2) == (mirror.is_shallow, len(mirror.log("HEAD")))


@pytest.mark.parametrize("source", ["--upload-pack=touch x", "ext::sh -c touch% x"])
def test_an_address_that_would_start_a_program_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(workspace.WorkspaceFailed):
        workspace.mirror(source, tmp_path / "mirror")
