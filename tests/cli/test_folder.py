"""The data folder: private, locked, and with a key that is whole or not there."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli import folder
from incidents import errors


def test_the_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    made = folder.prepare(tmp_path / "a" / "data")

    assert 0o700 == made.stat().st_mode & 0o777
    assert [] == list(made.iterdir())


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.PermanentFailure, match="HALON_FOLDER"):
        folder.prepare(tmp_path / "file")


def test_a_second_lock_names_who_has_the_first(tmp_path: Path) -> None:
    with (
        folder.lock(tmp_path),
        pytest.raises(errors.PermanentFailure, match=rf"process {os.getpid()}\)"),
    ):
        folder.lock(tmp_path)

    with folder.lock(tmp_path):
        assert folder.in_use(tmp_path)
    assert not folder.in_use(tmp_path)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        f"from cli import folder; from pathlib import Path; folder.lock(Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", f"{script}; import os; os._exit(9)"], check=False)

    with folder.lock(tmp_path):
        assert f"{os.getpid()}\n" == (tmp_path / "up.lock").read_text()


def test_everyone_who_asks_at_once_gets_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: folder.approval_key(tmp_path), range(64)))

    assert 1 == len(keys)
    assert 32 == len(bytes.fromhex(keys.pop()))
    assert ["approval.key"] == [path.name for path in tmp_path.iterdir()]
    assert 0o600 == (tmp_path / "approval.key").stat().st_mode & 0o777


@pytest.mark.parametrize("content", ["", "00", "z" * 64])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """With an empty key anyone could sign an approval."""
    (tmp_path / "approval.key").write_text(content)

    with pytest.raises(errors.PermanentFailure, match="64 hex digits"):
        folder.approval_key(tmp_path)
