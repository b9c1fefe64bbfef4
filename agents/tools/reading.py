"""Read, Grep, Glob and Evidence: what a role may look at. None of them writes or runs anything.

Files come out of git's objects, so no link is followed and nothing outside of the repository can
be named.
"""

import fnmatch
import math
import re
from typing import Annotated

from pydantic import Field

from agents.gitcalls import GitFailed, decoded
from agents.tools.contract import Answer, Arguments, Refused, Tool
from agents.tools.desk import Desk
from agents.untrusted import Source
from incidents import errors
from incidents.models import EvidenceKind

LINES = 250
HITS = 120
PATHS = 300
REPEATS = re.compile(r"\{(\d*)(?:,(\d*))?\}")
MOST_REPEATS = 1000


class ReadArguments(Arguments):
    """A part of a file."""

    path: str = Field(description="Path inside the repository, such as src/shop/cart.py.")
    start: Annotated[int, Field(ge=1, description="First line.")] = 1
    lines: Annotated[int, Field(ge=1, le=LINES, description="How many lines.")] = LINES
    revision: Annotated[
        str | None, Field(description="A commit; left out: the tree with your edits.")
    ] = None


class GrepArguments(Arguments):
    """A search in the tree."""

    pattern: str = Field(min_length=1, max_length=300, description="Text to find.")
    regex: Annotated[bool, Field(description="Take it as an extended regular expression.")] = False
    folder: Annotated[str | None, Field(description="Only below this path.")] = None


class GlobArguments(Arguments):
    """A search for files."""

    pattern: str = Field(min_length=1, max_length=300, description="Such as src/**/*.py.")


class EvidenceArguments(Arguments):
    """One recorded fact."""

    id: str = Field(pattern=r"^E\d{1,5}$", description="Such as E3.")


def tools(desk: Desk) -> list[Tool]:
    """Return the tools that look."""

    def read(given: ReadArguments) -> Answer:
        revision = desk.commit(given.revision) if given.revision else None
        raw = desk.content(given.path, revision)
        if raw is None:
            raise _no_file(desk, given.path)
        if b"\0" in raw[:8000]:
            raise errors.ToolRefused(f"{given.path!r} is no text ({len(raw)} bytes).")
        lines = raw.decode("utf-8", "replace").splitlines()
        part = lines[given.start - 1 : given.start - 1 + given.lines]
        numbered = "\n".join(f"{at:>5} {line}" for at, line in enumerate(part, given.start))
        last = given.start + len(part) - 1
        where = f"{given.path}:{given.start}-{last} of {len(lines)} lines"
        name = (revision or desk.tree())[:12]
        return desk.record(
            EvidenceKind.COMMAND, "file", f"{where} at {name}", "\n".join(part), numbered
        )

    def grep(given: GrepArguments) -> Answer:
        if given.regex and _explodes(given.pattern):
            raise errors.ToolRefused("This pattern repeats too much; search for something simpler.")
        words = ["grep", "-n", "-I", "--no-color", "-E" if given.regex else "-F"]
        words += ["-e", desk.teller.meant(given.pattern), desk.tree()]
        words += ["--", given.folder] if given.folder else []
        try:
            answer = desk.bench.repository.run(*words, codes=(0, 1))
        except GitFailed as error:
            raise errors.ToolRefused(f"The search could not be made: {error.reason}") from error
        hits = [line.partition(":")[2] for line in decoded(answer.out).splitlines()]
        if not hits:
            return Answer(f"Nothing in the tree holds {given.pattern!r}.")
        shown = "\n".join(line[:300] for line in hits[:HITS])
        more = f"\n[{len(hits) - HITS} further lines]" if len(hits) > HITS else ""
        where = f"grep {given.pattern!r} at {desk.tree()[:12]}"
        return desk.record(EvidenceKind.COMMAND, "search", where, shown + more)

    def glob(given: GlobArguments) -> Answer:
        found = [path for path in desk.files() if _matches(path, given.pattern)]
        more = f"\n[{len(found) - PATHS} further files]" if len(found) > PATHS else ""
        text = "\n".join(found[:PATHS]) + more
        return Answer(text or f"No file matches {given.pattern!r}.", source=Source.NAME)

    def evidence(given: EvidenceArguments) -> Answer:
        item = desk.ledger.get(given.id)
        if item is None:
            known = [one.id for one in desk.ledger.items()]
            span = f"{known[0]} to {known[-1]}" if known else "none"
            raise errors.ToolRefused(f"There is no evidence {given.id}; there is {span}.")
        head = f"[{item.id}] {item.kind}, {item.source}, {item.locator}"
        return Answer(f"{head}\n{item.excerpt}", source=Source.EVIDENCE)

    return [
        Tool("Read", "Read a file of the repository, with line numbers. The answer begins with "
             "the id under which you cite it.", ReadArguments, read, state=desk.state,
             restore=desk.restore_evidence),
        Tool("Grep", "Find text in the files of the tree.", GrepArguments, grep,
             state=desk.state, restore=desk.restore_evidence),
        Tool("Glob", "List files by a pattern.", GlobArguments, glob, state=desk.state),
        Tool("Evidence", "Open a recorded fact by its id, with its whole excerpt.",
             EvidenceArguments, evidence),
    ]  # fmt: skip


def _matches(path: str, pattern: str) -> bool:
    # `**/` also stands for no folder at all.
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(
        path, pattern.replace("**/", "")
    )


def _explodes(pattern: str) -> bool:
    """Tell whether git's own library would need gigabytes to read it: repeats within repeats."""
    counts = [int(high or low or 1) for low, high in REPEATS.findall(pattern)]
    return math.prod(counts) > MOST_REPEATS


def _no_file(desk: Desk, path: str) -> errors.ToolRefused:
    name = path.rpartition("/")[2]
    alike = [known for known in desk.files() if known.endswith(f"/{name}") or known == name][:5]
    said = f"There is no file {path!r} in this tree."
    if not alike:
        return errors.ToolRefused(f"{said} Glob lists what there is.")
    return Refused(f"{said} Did you mean:", "\n".join(alike))
