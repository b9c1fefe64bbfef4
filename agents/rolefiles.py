"""Reads roles and skills: Markdown with a front matter, in the formats that Claude Code reads.

Used by the claude engine, once per run. A team's own folder goes before the one that comes with
Halon, file by file; a file can take tools from a role and never give it one. A role's skills stand
in its instructions, so that it has read them before it can act; a file may add some and drop none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.engine import Role
from agents.model import Tier
from incidents import errors

OURS = Path(__file__).parent
FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n(.*)\Z", re.DOTALL)
LARGEST_BYTES = 64 * 1024
SKILLS: Mapping[Role, tuple[str, ...]] = {
    Role.BUG_DIAGNOSTICIAN: ("bug-diagnosis",),
    Role.PATCH_DEVELOPER: ("patch-development",),
    Role.HOTFIX_TESTER: ("hotfix-testing",),
    Role.DEPLOYMENT_COORDINATOR: ("deployment-strategy",),
    Role.INCIDENT_ANALYZER: ("incident-analysis",),
    Role.PRODUCTION_FIXER: ("bug-diagnosis", "patch-development"),
    Role.HOTFIX: ("patch-development",),
}
# What a team's file may name instead of a tier: the names that Claude Code knows models by.
TIERS = {"haiku": Tier.FAST, "fast": Tier.FAST}


@dataclass(frozen=True)
class RoleFile:
    """One role as its file describes it; `system` is the prompt with its skills behind it."""

    name: str
    description: str
    tools: tuple[str, ...]
    tier: Tier
    skills: tuple[str, ...]
    system: str


def load(role: Role, own: Path | None = None) -> RoleFile:
    """Return a role with its skills; raises BadSettings for a file that cannot be read."""
    folders = [*([own] if own else []), OURS]
    where = _first(folders, f"roles/{role.value}.md")
    fields, prompt = _parsed(where)
    skills = tuple(dict.fromkeys((*SKILLS[role], *_list(fields.get("skills", "")))))
    parts = [prompt.strip()]
    for skill in skills:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", skill):
            raise errors.BadSettings(f"{str(where)!r} names no skill by {skill!r}.")
        _, text = _parsed(_first(folders, f"skills/{skill}/SKILL.md"))
        parts.append(f"# Skill: {skill}\n\n{text.strip()}")
    tier = fields.get("tier") or fields.get("model", "")
    return RoleFile(
        name=fields.get("name") or role.value,
        description=fields.get("description", ""),
        tools=_list(fields.get("tools", "")),
        tier=TIERS.get(tier.strip().lower(), Tier.STRONG),
        skills=skills,
        system="\n\n".join(parts),
    )


def _first(folders: list[Path], name: str) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise errors.BadSettings(
        f"There is no file {name!r} in {' or '.join(repr(str(folder)) for folder in folders)}; "
        "put it there, or take HALON_AGENTS back."
    )


def _parsed(path: Path) -> tuple[dict[str, str], str]:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.BadSettings(f"The file {str(path)!r} cannot be read as text.") from error
    if len(raw) > LARGEST_BYTES:
        raise errors.BadSettings(f"The file {str(path)!r} is larger than {LARGEST_BYTES} bytes.")
    found = FRONT.match(text)
    if found is None:
        raise errors.BadSettings(
            f"The file {str(path)!r} does not begin with a front matter between two lines `---`."
        )
    return _fields(found[1]), found[2]


def _fields(front: str) -> dict[str, str]:
    """Return `key: value` lines; a value may go on as an indented or dashed list."""
    fields: dict[str, str] = {}
    key = ""
    for line in front.splitlines():
        started = re.match(r"([A-Za-z][\w-]*):\s*(.*)\Z", line)
        if started:
            key = started[1].lower()
            fields[key] = started[2].strip().strip("\"'")
        elif key and (more := line.strip().lstrip("-").strip()):
            fields[key] = f"{fields[key]}, {more}" if fields[key] else more
    return fields


def _list(text: str) -> tuple[str, ...]:
    words = (word.strip().strip("\"'") for word in text.strip("[] ").split(","))
    return tuple(word for word in words if word)
