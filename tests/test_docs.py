"""What is written for people holds: links, commands, settings, reasons, and the walk-through.

Reads the files of the checkout. The written pages are compared with the code they describe; after a
change, `python -m cli.reference` writes them anew.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from packaging import requirements, utils
from pydantic import BaseModel

from bot import parsing, verbs
from bot.settings import BotSettings
from cli import reference
from incidents import settings
from incidents.settings import Settings
from rollout import wiring
from rollout.canary import Timing
from workers.settings import ControllerSettings, WorkerSettings

ROOT = Path(__file__).parent.parent
PROSE = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
READMES = sorted(
    path
    for folder in ("rollout", "demo", "agents", "bot", "incidents", "workers")
    for path in (ROOT / folder).rglob("README.md")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CLASSES: list[type[Settings]] = [Settings, BotSettings, WorkerSettings, ControllerSettings]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """Return a page without its fenced blocks, in which a bracket is no link."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as the hosting platforms make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", [*PROSE, *READMES], ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(prose(page)):
        place, _, anchor = unquote(target).partition("#")
        if re.match(r"[a-z]+:", place):
            continue
        there = page.parent / place if place else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)

    assert dead == []


def test_links_are_found_at_all() -> None:
    assert len(LINK.findall(prose(ROOT / "README.md"))) > 20


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """`workers/jobs.py` in a sentence is a promise, with or without a link."""
    packages = "incidents|agents|rollout|workers|bot|cli|demo|bench|tests|templates|docs"
    named = re.findall(rf"`((?:{packages})/[\w./-]*)`", prose(page))

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {name for name, _ in reference.shell_commands()}
    groups = {name.rpartition(" ")[0] for name in known}
    shown = " ".join(re.findall(r"`[^`\n]+`|^    .+$|^[.\w/]*halon .+$", text, re.MULTILINE))
    unknown = []
    for first, second in re.findall(r"\bhalon ([a-z]+)(?: ([a-z]+))?", shown):
        name = f"halon {first} {second}" if f"halon {first}" in groups else f"halon {first}"
        if name not in known:
            unknown.append(name)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z]+)", shown)

    assert unknown == []
    assert [one for one in targets if f"\n{one}: " not in makefile] == []


@pytest.mark.parametrize("path", list(reference.pages()), ids=name_of)
def test_a_written_page_is_what_the_code_says(path: Path) -> None:
    assert reference.pages()[path] == path.read_text(encoding="utf-8"), (
        "run `python -m cli.reference`"
    )


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row of a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_readme_explains_every_word_that_the_parser_takes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition(reference.BEGIN)[2].partition(reference.END)[0]
    understood = {}
    for typed, _, example in rows(table)[1:]:
        command = parsing.parse(example.strip("`"), {"checkout": "checkout"}, thread="INC-1")
        assert isinstance(command, parsing.Command), example
        word = typed.strip("`").split()[1]
        understood[command.verb] = word if word in set(verbs.Verb) else verbs.Verb.OPEN.value

    assert {verb: verb.value for verb in verbs.Verb} == understood


def test_every_dependency_has_its_reason_and_no_other_has_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    needed = {utils.canonicalize_name(requirements.Requirement(line).name) for line in wanted}
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("## Every runtime dependency")[2]
    reasons = {name.split()[0]: reason for name, reason in rows(table)[1:]}

    assert needed == set(reasons)
    assert [name for name, reason in reasons.items() if len(reason.split()) < 4] == []


def test_the_env_example_names_every_variable_once() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"^# ([A-Z_]+)=", text, re.MULTILINE)
    known = {
        name for kind in CLASSES for name in kind.variables()[: len(kind.model_fields)]
    }  # the second half are the *_FILE forms

    assert sorted(known) == sorted(named)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_switching_the_env_example_on_changes_nothing(
    kind: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALON_APPROVAL_KEY", "0" * 64)
    before = kind()
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, value in re.findall(r"^# ([A-Z_]+)=(.+)$", text, re.MULTILINE):
        monkeypatch.setenv(name, value)

    assert before == kind()


def example() -> dict[str, typing.Any]:
    return tomllib.loads((ROOT / "halon.example.toml").read_text(encoding="utf-8"))


def test_the_example_file_loads_and_its_drivers_take_their_keys(tmp_path: Path) -> None:
    (service,) = settings.parse_services(example(), where="halon.example.toml")
    wiring.deployer(service, tmp_path)
    wiring.monitor(service, tmp_path, Timing.scaled(1.0))
    wiring.delivery(service, tmp_path)


def tables(kind: object) -> Iterator[type[BaseModel]]:
    """Yield the tables that a field's type speaks of."""
    if isinstance(kind, type):
        if issubclass(kind, BaseModel):
            yield kind
        return
    for part in typing.get_args(kind):
        yield from tables(part)


def missing(kind: type[BaseModel], given: object, where: str) -> Iterator[str]:
    """Yield every field of a table, and of the tables in it, that no given table has."""
    found = given if isinstance(given, list) else [given]
    for name, field in kind.model_fields.items():
        here = [table[name] for table in found if isinstance(table, dict) and name in table]
        if not here:
            yield f"{where}.{name}"
            continue
        for inner in tables(field.annotation):
            value = here[0]
            named = typing.get_origin(field.annotation) is dict
            yield from missing(inner, list(value.values()) if named else value, f"{where}.{name}")


def test_the_example_file_shows_every_key_of_every_table() -> None:
    assert [] == list(missing(settings.File, example(), "file"))


def test_a_key_that_the_example_leaves_out_is_noticed() -> None:
    shown = example()
    del shown["service"][0]["mitigations"]["no-recommendations"]["undo"]
    del shown["service"][0]["depends_on"][0]["probe"]

    assert ["file.service.depends_on.probe", "file.service.mitigations.undo"] == list(
        missing(settings.File, shown, "file")
    )


def test_every_key_of_the_example_file_has_a_comment() -> None:
    """A key belongs to the comment above it, with nothing but other keys between."""
    bare = []
    said = False
    for line in (ROOT / "halon.example.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            said = True
        elif not line.strip():
            said = False
        elif not said and not line.startswith("["):
            bare.append(line)

    assert bare == []


@pytest.mark.slow
def test_the_first_diagnosis_goes_as_it_is_told() -> None:
    """The lines of docs/first-diagnosis.md, run by a shell as a newcomer does."""
    text = (ROOT / "docs" / "first-diagnosis.md").read_text(encoding="utf-8")
    lines = "\n".join(block for language, block in FENCE.findall(text) if language == "sh")
    here = shlex.quote(str(Path(sys.executable).parent)) + "/"
    done = subprocess.run(
        ["bash", "-eu", "-c", lines.replace(".venv/bin/", here)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "# Diagnosis: CONFIRMED\n" in done.stdout
    assert "Let members pay with the card kept for their account" in done.stdout
    assert done.stdout.rstrip().endswith("| tests approve: True")
