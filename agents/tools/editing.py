"""Edit, Write, Revert and Diff: changes of the tree in memory, for the roles that may write.

Nothing here touches a repository or a folder. A path that leads out of the tree, through a link or
into `.git` is refused, and so is one that a person has to decide about.
"""

from typing import Annotated, Any

from pydantic import Field

from agents.tools.contract import Answer, Arguments, Nothing, Tool
from agents.tools.desk import LARGEST_FILE, Desk
from agents.untrusted import Source
from incidents import errors
from incidents.redaction import TOKEN


class EditArguments(Arguments):
    """An exact replacement."""

    path: str = Field(description="Path inside the repository.")
    old: str = Field(min_length=1, description="The exact text to replace, without line numbers.")
    new: str = Field(description="What stands there afterwards.")
    every: Annotated[bool, Field(description="Replace every place; else there must be one.")] = (
        False
    )


class WriteArguments(Arguments):
    """A whole file."""

    path: str = Field(description="Path inside the repository.")
    content: str = Field(description="The whole new content.")


class RevertArguments(Arguments):
    """One commit."""

    commit: str = Field(pattern=r"^[0-9a-fA-F]{7,64}$", description="The commit's sha.")


def tools(desk: Desk) -> list[Tool]:
    """Return the tools that change the tree."""

    def edit(given: EditArguments) -> Answer:
        raw = desk.content(given.path)
        if raw is None:
            raise errors.ToolRefused(f"There is no file {given.path!r}; Write makes a new one.")
        text = _text(given.path, raw)
        old, new = _meant(desk, text, given.old), _meant(desk, text, given.new)
        count = text.count(old)
        if count == 0:
            raise errors.ToolRefused(
                f"{given.path!r} does not hold that text; read it again and quote it exactly, "
                "with its indentation and without line numbers."
            )
        if count > 1 and not given.every:
            raise errors.ToolRefused(
                f"That text stands {count} times in {given.path!r}; quote more lines around it."
            )
        # Counted before it is made: a letter that stands everywhere could become gigabytes.
        if len(text) + count * (len(new) - len(old)) > LARGEST_FILE:
            raise errors.ToolRefused(f"{given.path!r} would become too large; replace less.")
        kept = desk.write(given.path, text.replace(old, new).encode())
        return _edited(desk, f"{given.path}: {count} replaced.", kept)

    def write(given: WriteArguments) -> Answer:
        before = desk.content(given.path)
        text = "" if before is None else _text(given.path, before)
        kept = desk.write(given.path, _meant(desk, text, given.content).encode())
        return _edited(desk, f"{given.path}: written.", kept)

    def revert(given: RevertArguments) -> Answer:
        kept = desk.take_out(given.commit)
        return _edited(desk, f"The tree is the base without {given.commit[:12]}.", kept)

    def diff(given: Nothing) -> Answer:
        return Answer(desk.diff() or "Nothing is changed.", source=Source.FILE)

    def restore(kept: dict[str, Any]) -> None:
        desk.restore_edit(kept)

    return [
        Tool("Edit", "Replace an exact text in a file.", EditArguments, edit, writes=True,
             restore=restore),
        Tool("Write", "Write a whole file, new or in place of the old one. Prefer Edit.",
             WriteArguments, write, writes=True, restore=restore),
        Tool("Revert", "Take exactly one commit out of the tree, as `git revert` would. Drops "
             "your earlier edits.", RevertArguments, revert, writes=True, restore=restore),
        Tool("Diff", "Show what you changed so far.", Nothing, diff, state=desk.state),
    ]  # fmt: skip


def _edited(desk: Desk, said: str, kept: dict[str, str]) -> Answer:
    return Answer(f"{said}\n{desk.diff()}", kept=kept, source=Source.FILE)


def _text(path: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.ToolRefused(f"{path!r} is no text in UTF-8 and cannot be edited.") from error


def _meant(desk: Desk, text: str, given: str) -> str:
    """Return text with this run's tokens for private text put back, as the file has them.

    Only what stands in the same file comes back: nothing private wanders into another one.
    """
    meant = given
    for token in set(TOKEN.findall(given)):
        if token in text:
            continue  # the file itself says so
        value = desk.teller.meant(token)
        if value == token or value not in text:
            raise errors.ToolRefused(
                f"{token} stands for private text that this file does not hold; "
                "quote the lines around it instead."
            )
        meant = meant.replace(token, value)
    return meant
