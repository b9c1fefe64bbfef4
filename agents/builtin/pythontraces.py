"""Python tracebacks out of lines: chains, groups, repeated frames, markers, SyntaxError, log
prefixes.

Called by `traces` only. It walks the lines once and never evaluates anything in them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agents.builtin import tracelines
from agents.builtin.tracelines import Frame, Language, Trace

HEADER = "Traceback (most recent call last):"
CHAINS = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_FRAME = re.compile(r'\s*File "([^"]{1,1024})", line (\d{1,9})(?:, in (.{1,512}))?')
_REPEATED = re.compile(r"\s*\[Previous line repeated (\d{1,9}) more times?\]")
_EXCEPTION = re.compile(r"((?:[^\W\d]\w{0,99}\.){0,12}[^\W\d]\w{0,199})(?::(?: |$)(.*))?$")
_GROUP_PREFIX = re.compile(r"\s*[|+](?:-\+)?[ -]?")
_GROUP_RULE = re.compile(r"\s*\+-[-+ \d.]*-*|\s*\+[-]{3,}")

Span = tuple[int, int, Trace]


def find(lines: Sequence[str]) -> list[tuple[int, Trace]]:
    """Return the tracebacks with the line each begins on, a chain as one trace."""
    return [(start, trace) for start, _, trace in spans(lines)]


def spans(lines: Sequence[str]) -> list[Span]:
    """Return start line, end line (exclusive) and trace of every chain of tracebacks."""
    found: list[Span] = []
    index = 0
    while index < len(lines):
        column = lines[index].find(HEADER)
        block = _block(lines, index, column) if column >= 0 else None
        if block is None:
            index += 1
            continue
        start = index
        index, trace = block
        while (follower := _follower(lines, index)) is not None:
            index, later = follower
            chained = (replace(trace, chained=()), *trace.chained, *later.chained)
            trace = replace(later, chained=chained[: tracelines.MAX_CHAINED])
        found.append((start, index, trace))
    return found or list(_bare_syntax_errors(lines))


def _follower(lines: Sequence[str], index: int) -> tuple[int, Trace] | None:
    """Return the traceback that a chain sentence within the next lines joins to the last one."""
    joined = False
    for at in range(index, min(index + 6, len(lines))):
        line = lines[at]
        if any(sentence in line for sentence in CHAINS):
            joined = True
        column = line.find(HEADER)
        if column >= 0:
            return _block(lines, at, column) if joined else None
        if not joined and line.strip(" |+-"):
            return None
    return None


def _block(lines: Sequence[str], start: int, column: int) -> tuple[int, Trace] | None:
    """Read one traceback whose header stands at `column`: frames oldest first,
    then its exception.
    """
    prefix = lines[start][:column].removesuffix("Exception Group ")
    frames: list[Frame] = []
    index, missed = start + 1, 0
    while index < len(lines):
        line = _strip(lines[index], prefix)
        index += 1
        if matched := _FRAME.match(line):
            path, number, function = matched.groups()
            frames.append(Frame(path, int(number), (function or "").strip()))
            missed = 0
            _trim(frames)
        elif repeated := _REPEATED.match(line):
            frames += frames[-1:] * min(int(repeated[1]), tracelines.MAX_FRAMES)
            _trim(frames)
        elif line[:1].isspace() or not line:
            missed += 1  # source text and ^^^^ markers; a flood of them is no traceback
            if missed > 12:
                return None
        elif HEADER in line:
            return None
        else:
            return _exception(lines, index, line, prefix, frames)
    return (index, _trace("", "", frames)) if frames else None


def _trim(frames: list[Frame]) -> None:
    """Keep the oldest tenth and the newest frames: the newest name the fault."""
    if len(frames) > 2 * tracelines.MAX_FRAMES:
        kept = tracelines.MAX_FRAMES // 10
        del frames[kept : len(frames) - tracelines.MAX_FRAMES + kept]


def _exception(
    lines: Sequence[str], index: int, line: str, prefix: str, frames: list[Frame]
) -> tuple[int, Trace] | None:
    matched = _EXCEPTION.match(line)
    if matched is None:
        return (index, _trace("", line.strip(), frames)) if frames else None
    trace = _trace(matched[1], (matched[2] or "").strip(), frames)
    if "ExceptionGroup" not in trace.exception:
        return index, trace
    index, members = _members(lines, index)
    return index, replace(trace, chained=tuple(members)[: tracelines.MAX_CHAINED])


def _members(lines: Sequence[str], index: int) -> tuple[int, list[Trace]]:
    """Read the exceptions of a group: blocks under `+-+---- 1 ----` rules, to the closing rule."""
    members: list[Trace] = []
    while index < len(lines):
        line = lines[index]
        if not line.lstrip().startswith(("|", "+")):
            break
        column = line.find(HEADER)
        if column >= 0 and (block := _block(lines, index, column)) is not None:
            index, member = block
            members += [replace(member, chained=()), *member.chained]
            continue
        if column < 0 and not _GROUP_RULE.match(line):
            # A member without frames has no header: only `    | ValueError: text`.
            matched = _EXCEPTION.match(_GROUP_PREFIX.sub("", line, count=1))
            if matched and matched[2] is not None:
                members.append(_trace(matched[1], matched[2].strip(), []))
        index += 1
    return index, members


def _strip(line: str, prefix: str) -> str:
    """Return a line without what stands before the traceback:
    a logger's prefix or a group's bar.
    """
    if not prefix:
        return line
    if line.startswith(prefix):
        return line[len(prefix) :]
    bar = prefix.rstrip()
    if bar.endswith(("|", "+")):
        return _GROUP_PREFIX.sub("", line, count=1)
    if not bar:
        return line[len(prefix) - len(prefix.lstrip()) :] if line[: len(prefix)].isspace() else line
    # Loggers that prefix every line change the time in it, not its length.
    if len(line) > len(prefix) and _shape(line[: len(prefix)]) == _shape(prefix):
        return line[len(prefix) :]
    return line


def _shape(text: str) -> str:
    return "".join("0" if c.isdigit() else "a" if c.isalpha() else c for c in text)


def _trace(exception: str, message: str, frames: list[Frame]) -> Trace:
    newest_first = tuple(reversed(frames))
    return Trace(Language.PYTHON, exception, message, newest_first[: tracelines.MAX_FRAMES])


def _bare_syntax_errors(lines: Sequence[str]) -> Iterator[Span]:
    """Yield the form without a header: `File "p", line N`, source, marker, `SyntaxError: text`."""
    for index, line in enumerate(lines):
        matched = _FRAME.match(line)
        if matched is None or matched[3] is not None:
            continue
        for at in range(index + 1, min(index + 5, len(lines))):
            error = _EXCEPTION.match(lines[at])
            if error and error[1] in ("SyntaxError", "IndentationError", "TabError"):
                frame = Frame(matched[1], int(matched[2]), "")
                yield index, at + 1, _trace(error[1], (error[2] or "").strip(), [frame])
                break
