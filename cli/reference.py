"""Writes the reference pages from the code they describe: `python -m cli.reference`.

Run by whoever changes a setting, a command or an option; tests/test_docs.py fails until it was.
Writes `.env.example`, docs/settings.md, docs/commands.md and the marked table of README.md, and
nothing else. What a page says is in the classes, never here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.settings import BotSettings
from bot.verbs import ALIASES, USAGE, Verb
from cli import verbs
from incidents.settings import Settings
from workers.settings import ControllerSettings, WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"
WRITTEN = "<!-- Written by `python -m cli.reference`; change the code it describes instead. -->"

READERS: dict[str, type[Settings]] = {
    "bot": BotSettings,
    "worker": WorkerSettings,
    "controller": ControllerSettings,
}


@dataclass(frozen=True)
class Variable:
    """One environment variable: what it means and which processes are given it."""

    name: str
    says: str
    default: str  # empty: there is none, see `required`
    required: bool
    secret: bool
    readers: tuple[str, ...]


def variables() -> tuple[Variable, ...]:
    """Return every variable of the settings classes, the shared ones first."""
    fields: dict[str, FieldInfo] = {}
    readers: dict[str, list[str]] = {}
    kinds: list[tuple[str, type[Settings]]] = [("", Settings), *READERS.items()]
    for reader, kind in kinds:
        for name, field in zip(kind.variables(), kind.model_fields.values(), strict=False):
            fields.setdefault(name, field)
            if reader:
                readers.setdefault(name, []).append(reader)
    return tuple(_variable(name, field, tuple(readers[name])) for name, field in fields.items())


def _variable(name: str, field: FieldInfo, readers: tuple[str, ...]) -> Variable:
    empty = field.is_required() or field.default is None
    default = "" if empty else str(field.default)
    secret = SecretStr.__name__ in str(field.annotation)
    return Variable(name, field.description or "", default, field.is_required(), secret, readers)


def _who(variable: Variable) -> str:
    if len(variable.readers) == len(READERS):
        return "every process"
    return " and ".join(variable.readers)


def env_example() -> str:
    """Return the text of .env.example: every variable, each with its default, all switched off."""
    lines = [
        "# Every environment variable that Halon reads; for `halon up` all of them may stay unset.",
        "# Written by `python -m cli.reference`. Halon reads its environment and no file: copy",
        "# this to .env, take the # away where you set one, and hand it over by",
        "# `set -a; . ./.env; set +a` or by EnvironmentFile= of systemd.",
        "# NAME_FILE names a file that holds the value of NAME, as container secrets come.",
    ]
    for one in variables():
        notes = [f"read by {_who(one)}", *(["secret"] if one.secret else [])]
        lines += [
            "",
            f"# {_sentence(one.says)}",
            f"# ({'; '.join(notes)})",
            f"# {one.name}={one.default}",
        ]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Return docs/settings.md: the same variables as a table."""
    lines = [
        "# Settings",
        WRITTEN,
        "",
        "Two places: secrets, addresses and figures of the machine come from the environment; the",
        "services come from `halon.toml`, of which every key is explained in",
        "[halon.example.toml](../halon.example.toml). `halon doctor` reads both and says what is",
        "wrong.",
        "",
        "Each process is given the variables of its own class and no others:",
        "[bot](../bot/settings.py), [worker and controller](../workers/settings.py), all of them",
        "the [shared ones](../incidents/settings.py). For each `NAME` there is a `NAME_FILE`, the",
        "path of a file that holds the value.",
        "",
        "| variable | default | what it is | read by |",
        "|---|---|---|---|",
    ]
    for one in variables():
        default = f"`{one.default}`" if one.default else "required" if one.required else "none"
        lines.append(f"| `{one.name}` | {default} | {_cell(one.says)} | {_who(one)} |")
    return "\n".join(lines) + "\n"


def chat_table() -> str:
    """Return the table of what can be typed after `/incident`."""
    lines = ["| type | it will | for example |", "|---|---|---|"]
    for verb, usage in USAGE.items():
        typed = "" if verb is Verb.OPEN else f" {verb.value}"
        words = f" {usage.words}" if usage.words else ""
        shown = _cell(f"/incident{typed}{words}")
        lines.append(f"| `{shown}` | {_cell(usage.does)} | `{usage.example}` |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return docs/commands.md: what is typed in a thread, and what in a shell."""
    lines = [
        "# Commands",
        WRITTEN,
        "",
        "## In the thread",
        chat_table(),
        "In a thread the incident is the thread's; elsewhere name it: `/incident ack INC-4`. From",
        "a shell the same line goes by `halon say`. Other words that are understood:",
        f"{_other_words()}.",
        "",
        "## In the shell",
        "Exit code 0: done. 1: the answer is no (refused, broken, ended wrong). 2: wrong usage.",
        "3: it could not run, with one sentence on stderr. With `--json` the standard output",
        "carries one object and nothing else.",
        "",
        "| command | it will |",
        "|---|---|",
        *(f"| `{name}` | {_cell(does)} |" for name, does in shell_commands()),
        "",
        "`halon COMMAND --help` lists the options of each.",
    ]
    return "\n".join(lines) + "\n"


def _other_words() -> str:
    words: dict[Verb, list[str]] = {}
    for word, verb in ALIASES.items():
        words.setdefault(verb, []).append(f"`{word}`")
    return ", ".join(f"{' and '.join(said)} for `{verb.value}`" for verb, said in words.items())


def shell_commands() -> Iterator[tuple[str, str]]:
    """Yield each command of the shell with its first sentence."""
    for module in verbs.MODULES:
        yield from _commands("halon", verbs.registered(module))


def _commands(name: str, app: typer.Typer) -> Iterator[tuple[str, str]]:
    for command in app.registered_commands:
        if command.callback is None:
            continue
        typed = command.name or command.callback.__name__.replace("_", "-")
        said = (command.callback.__doc__ or "").strip().split("\n\n")[0]
        yield f"{name} {typed}", " ".join(said.split())
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(f"{name} {group.name}", group.typer_instance)


def readme(text: str) -> str:
    """Return README.md with its table of commands written anew between the two marks."""
    table = f"{BEGIN}\n{WRITTEN}\n\n{chat_table()}{END}"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: table, text, flags=re.DOTALL)


def pages() -> dict[Path, str]:
    """Return every written file with the text that it should have."""
    start = ROOT / "README.md"
    return {
        ROOT / ".env.example": env_example(),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "docs" / "commands.md": commands_page(),
        start: readme(start.read_text(encoding="utf-8")),
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _cell(text: str) -> str:
    """Return text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def write() -> None:
    """Write every page."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
