"""Roles and skills as files: ours are whole, and a team's own go before them without gaining."""

from pathlib import Path

import pytest

from agents import rolefiles
from agents.engine import Role
from agents.model import Tier
from incidents import errors

WRITES = {"Edit", "Write", "Revert"}
READ_ONLY = {Role.BUG_DIAGNOSTICIAN, Role.DEPLOYMENT_COORDINATOR, Role.INCIDENT_ANALYZER}


@pytest.mark.parametrize("role", Role)
def test_every_role_has_a_file_with_its_skills_read(role: Role) -> None:
    found = rolefiles.load(role)

    assert role.value == found.name
    assert found.skills
    assert all(f"# Skill: {skill}" in found.system for skill in found.skills)
    assert len(found.system) < 12_000


@pytest.mark.parametrize("role", Role)
def test_a_file_that_names_no_skill_drops_none(role: Role, tmp_path: Path) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / f"{role.value}.md").write_text("---\nname: ours\n---\nAct.\n", "utf-8")

    found = rolefiles.load(role, tmp_path)

    assert rolefiles.SKILLS[role] == found.skills
    assert all(f"# Skill: {skill}" in found.system for skill in found.skills)


@pytest.mark.parametrize("role", sorted(READ_ONLY))
def test_a_role_that_reads_has_nothing_that_writes(role: Role) -> None:
    assert not WRITES.intersection(rolefiles.load(role).tools)


def test_a_file_of_claude_code_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "bug-diagnostician.md").write_text(
        "---\nname: ours\ndescription: >\n  Ours.\ntools:\n  - Read\n  - Grep\nmodel: haiku\n"
        "skills: [bug-diagnosis]\n---\nBe brief.\n",
        "utf-8",
    )

    found = rolefiles.load(Role.BUG_DIAGNOSTICIAN, tmp_path)

    assert ("ours", ("Read", "Grep"), Tier.FAST) == (found.name, found.tools, found.tier)
    assert found.system.startswith("Be brief.\n\n# Skill: bug-diagnosis")


@pytest.mark.parametrize(
    "text",
    ["no front matter", "---\nskills: ../../etc\n---\nx\n", "---\nskills: nowhere\n---\nx\n"],
)
def test_a_file_that_cannot_be_taken_names_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "bug-diagnostician.md").write_text(text, "utf-8")

    with pytest.raises(errors.BadSettings):
        rolefiles.load(Role.BUG_DIAGNOSTICIAN, tmp_path)
