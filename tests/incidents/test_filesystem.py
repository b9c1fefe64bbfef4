"""Which paths lie on a disk of this machine."""

from pathlib import Path

import pytest

from incidents import filesystem

LINES = """\
21 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
40 21 0:44 / {share} rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
41 40 0:45 / {share}/local rw,relatime - xfs /dev/sdb1 rw
42 21 0:46 / {share}/with\\040space rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("", "nfs4"),
        ("deeper/not/made/yet", "nfs4"),
        ("local", None),
        ("local/halon", None),
        ("with space/halon", "cifs"),
        ("../beside", None),
    ],
)
def test_the_nearest_mount_decides(place: str, expected: str | None, tmp_path: Path) -> None:
    share = tmp_path / "share"
    for folder in (share / "local", share / "with space", tmp_path / "beside"):
        folder.mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(LINES.format(share=share), encoding="utf-8")

    assert expected == filesystem.network(share / place, mounts)


def test_where_the_kernel_does_not_say_nothing_is_refused(tmp_path: Path) -> None:
    assert filesystem.network(tmp_path, tmp_path / "no such file") is None
