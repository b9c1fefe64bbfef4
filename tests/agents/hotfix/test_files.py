"""Files are replaced only where they hold what was expected, and no link is followed."""

import os
import stat
from pathlib import Path

import pytest

from agents.hotfix import files

OLD, NEW = b"old\n", b"new\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one file."""
    root = tmp_path / "root"
    (root / "app").mkdir(parents=True)
    (root / "app/a.py").write_bytes(OLD)
    return root


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_a_file_is_replaced_with_its_mode_and_its_attributes(root: Path) -> None:
    file = root / "app/a.py"
    file.chmod(0o751)
    os.setxattr(file, "user.owner", b"payments")

    files.replace(root, "app/a.py", OLD, NEW)

    assert NEW == file.read_bytes()
    assert 0o751 == stat.S_IMODE(file.stat().st_mode)
    assert b"payments" == os.getxattr(file, "user.owner")
    assert ["app", "app/a.py"] == names(root)


@pytest.mark.parametrize(("old", "new"), [(b"other", NEW), (b"other", None), (None, NEW)])
def test_what_is_not_as_expected_is_left_alone(
    root: Path, old: bytes | None, new: bytes | None
) -> None:
    with pytest.raises(files.Changed):
        files.replace(root, "app/a.py", old, new)

    assert OLD == (root / "app/a.py").read_bytes()
    assert ["app", "app/a.py"] == names(root)


def test_a_file_with_two_names_stays_one_file(root: Path) -> None:
    (root / "twin").hardlink_to(root / "app/a.py")

    files.replace(root, "app/a.py", OLD, NEW)

    assert NEW == (root / "twin").read_bytes()


@pytest.mark.parametrize("kind", ["file", "folder", "outside"])
def test_a_link_in_the_way_is_refused(root: Path, tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.py").write_bytes(OLD)
    if kind == "file":
        (root / "link").symlink_to(elsewhere / "a.py")
        path = "link"
    else:
        (root / "link").symlink_to(elsewhere)
        path = "link/a.py"
    if kind == "outside":
        (elsewhere / "a.py").unlink()

    with pytest.raises(files.NoFile):
        files.replace(root, path, None if kind == "outside" else OLD, NEW)

    assert NEW not in [one.read_bytes() for one in elsewhere.iterdir()]


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../x", ".git/config", "a/.GIT/hooks/x"])
def test_a_path_that_leads_out_or_into_git_is_refused(root: Path, path: str) -> None:
    with pytest.raises(Exception, match="path"):
        files.replace(root, path, None, NEW)


def test_a_pipe_is_no_file_and_does_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(files.NoFile, match="no plain file"):
        files.read(root, "pipe")


def test_folders_that_were_brought_are_told_before_and_taken_away_again(root: Path) -> None:
    assert ("app/x", "app/x/y") == files.absent_folders(root, "app/x/y/b.py")
    assert () == files.absent_folders(root, "app/b.py")
    files.replace(root, "app/x/y/b.py", None, NEW)
    files.replace(root, "app/x/y/b.py", NEW, None)
    (root / "app/x/mine").touch()

    for folder in ("app/x/y", "app/x", "app/none"):
        files.remove_folder(root, folder)

    assert ["app", "app/a.py", "app/x", "app/x/mine"] == names(root)
