"""Which sandbox is chosen, and that it holds for whoever builds it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import sandbox
from tests.agents.sandboxes import (
    NOBODY,
    ROOT,
    available,
    ordinary_python,
    run,
)


def test_an_unknown_sandbox_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(sandbox.SandboxUnavailable) as caught:
        sandbox.choose("docker")

    expected = "HALON_SANDBOX is 'docker'; it must be one of 'auto', 'bubblewrap', 'namespaces', "
    assert expected + "'none'." == caught.value.message


def test_no_sandbox_is_chosen_only_by_that_name() -> None:
    assert "none" == sandbox.choose("none").name
    assert "none" not in [probe.name for probe in sandbox.probe()]


def test_a_missing_bubblewrap_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(sandbox.SandboxUnavailable) as caught:
        sandbox.choose("bubblewrap")

    assert "'bwrap' is not installed" in caught.value.message
    assert "HALON_SANDBOX" in caught.value.message
    assert "apt-get install bubblewrap" in caught.value.message


def test_a_tree_that_does_not_exist_is_refused(every: sandbox.Sandbox, tmp_path: Path) -> None:
    with pytest.raises(sandbox.SandboxBroken, match="is not a folder"):
        run(every, tmp_path / "no such", "true")


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """A folder of user nobody, since pytest's own are closed to everyone but their user."""
    folder = Path(tempfile.mkdtemp(prefix="halon-test-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


AS_NOBODY = """
import json, sys
from pathlib import Path
from agents import sandbox
box = sandbox.choose(sys.argv[1])
script = "echo hello > x; cat x; id -u; grep CapEff /proc/self/status; touch /usr/x"
bomb = "import os, time\\nn = 0\\ntry:\\n while n < 5000:\\n  if not os.fork(): time.sleep(99)\\n"
bomb += "  n += 1\\nexcept OSError: print(n < 64)"
profile = sandbox.Profile(Path(sys.argv[2]))
done = box.run(["sh", "-c", script], profile, sandbox.Limits(seconds=20))
bounded = box.run(["python3", "-c", bomb], profile, sandbox.Limits(seconds=20, processes=64))
print(json.dumps([done.stdout, done.stderr, bounded.stdout]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["bubblewrap", "namespaces"])
def test_an_ordinary_user_has_the_same_walls(open_tree: Path, name: str) -> None:
    available(name)
    argv = [*ordinary_python(), "-c", AS_NOBODY, name, str(open_tree)]

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "" == done.stderr
    stdout, stderr, bounded = json.loads(done.stdout)
    assert ["hello", "1000", "CapEff:", "0000000000000000"] == stdout.split()
    assert "cannot touch '/usr/x'" in stderr
    assert "True\n" == bounded
    assert NOBODY == (open_tree / "x").stat().st_uid
