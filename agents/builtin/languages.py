"""Stack traces of Java, JavaScript, Go and Ruby: one table per language, read by one small loop.

Called by `traces` only. To add a language add a table here; to read it well write a module like
`pythontraces`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.builtin import tracelines
from agents.builtin.tracelines import Frame, Language, Trace


@dataclass(frozen=True, slots=True)
class Table:
    """How a language writes a trace, by named groups: exception, message, path, line, function."""

    language: Language
    start: re.Pattern[str]
    frame: re.Pattern[str]
    skip: re.Pattern[str]
    cause: re.Pattern[str] | None = None


_NOTHING = re.compile(r"(?!)")
_DOTTED = r"(?:[A-Za-z_$][\w$]{0,99}\.){0,12}"

TABLES = (
    Table(
        Language.JAVA,
        re.compile(
            rf'(?:.*?\s|^)(?:Exception in thread "[^"]{{0,200}}" )?'
            rf"(?P<exception>{_DOTTED}[A-Z][\w$]{{0,99}}(?:Exception|Error|Throwable))"
            r"(?:: (?P<message>.*))?$"
        ),
        re.compile(
            r"\s+at (?:[\w.@-]{0,200}/)?(?P<module>(?:[\w$]{1,100}\.){0,12})"
            r"(?P<function>[\w$]{1,100}\.[\w$<>]{1,100})"
            r"\((?P<path>[\w$-]{1,200}\.\w{1,10}):(?P<line>\d{1,9})\)"
        ),
        re.compile(r"\s+at .*\((?:Native Method|Unknown Source)\)|\s+\.\.\. \d+ (?:more|common)"),
        re.compile(rf"\s*Caused by: (?P<exception>{_DOTTED}[\w$]{{1,100}})(?:: (?P<message>.*))?$"),
    ),
    Table(
        Language.JAVASCRIPT,
        re.compile(
            r"(?:.*?\s|^)(?:Uncaught )?(?P<exception>[A-Z][\w$]{0,99}(?:Error|Exception)|Error)"
            r"(?: \[[A-Z_]{1,60}\])?(?:: (?P<message>.*))?$"
        ),
        re.compile(
            r"\s+at (?:(?:async |new )?(?P<function>[^()]{1,300}?) \()?"
            r"(?:async )?(?:file://)?(?P<path>(?:node:)?[^\s():]{1,1024}):(?P<line>\d{1,9}):\d{1,9}\)?$"
        ),
        re.compile(r"\s+at .*<anonymous>\)?$|\s+at .*\(native\)$"),
        re.compile(
            r"\s+\[cause\]: (?P<exception>[A-Z][\w$]{0,99})(?:: (?P<message>.*?))?(?: \{)?$"
        ),
    ),
    Table(
        Language.GO,
        re.compile(r"(?:.*?\s|^)(?P<exception>panic|fatal error): (?P<message>.*)$"),
        re.compile(r"\s+(?P<path>[^\s:]{1,1024}\.go):(?P<line>\d{1,9})(?: \+0x[0-9a-f]{1,16})?$"),
        re.compile(
            r"(?P<function>[\w./*()\-{}\[\]·]{1,300})\(.*\)$|goroutine \d+ \[|\[signal |\s*$|"
            r"created by (?P<creator>.{1,300})$|\tpanic: "
        ),
    ),
    Table(
        Language.RUBY,
        re.compile(
            r"(?:.*?\s|^)(?P<path>[^\s:]{1,1024}\.rb):(?P<line>\d{1,9})"
            r":in [`'](?P<function>[^']{1,200})'"
            r": (?P<message>.*) \((?P<exception>(?:\w{1,100}::){0,8}\w{1,100})\)$"
        ),
        re.compile(
            r"\s+(?:\d+: )?from (?P<path>[^\s:]{1,1024}):(?P<line>\d{1,9})"
            r":in [`'](?P<function>[^']{1,200})'$"
        ),
        _NOTHING,
    ),
)


def find(lines: Sequence[str], table: Table) -> list[tuple[int, Trace]]:
    """Return the traces of one language with the line each begins on, frames newest first."""
    found: list[tuple[int, Trace]] = []
    index = 0
    while index < len(lines):
        matched = table.start.match(lines[index]) if _opens(lines, index, table) else None
        if matched is None:
            index += 1
            continue
        start, (index, trace) = index, _read(lines, index, matched, table)
        if trace.frames:
            found.append((start, trace))
        # Else what was read is not read again: hostile words would make that quadratic.
        index = max(index, start + 1)
    return found


def _opens(lines: Sequence[str], index: int, table: Table) -> bool:
    """Tell cheaply whether a trace can begin here: a frame follows, or the line is one itself."""
    if table.language is Language.RUBY:
        return ".rb:" in lines[index]
    below = lines[index + 1] if index + 1 < len(lines) else ""
    if table.language is Language.GO:
        return "panic: " in lines[index] or "fatal error: " in lines[index]
    return bool(table.frame.match(below) or table.skip.match(below))


def _read(
    lines: Sequence[str], index: int, matched: re.Match[str], table: Table
) -> tuple[int, Trace]:
    """Read the frames below a start line, and the causes below those."""
    groups = matched.groupdict()
    frames = [_frame(matched, "")] if groups.get("path") else []
    index, below = _frames(lines, index + 1, table)
    head = Trace(
        table.language,
        groups["exception"],
        (groups.get("message") or "").strip(),
        tuple((frames + below)[: tracelines.MAX_FRAMES]),
    )
    causes: list[Trace] = []
    while table.cause and index < len(lines) and (cause := table.cause.match(lines[index])):
        index, below = _frames(lines, index + 1, table)
        text = (cause["message"] or "").strip()
        causes.append(Trace(table.language, cause["exception"], text, tuple(below)))
    return index, replace(head, chained=tuple(causes[: tracelines.MAX_CHAINED]))


def _frames(lines: Sequence[str], index: int, table: Table) -> tuple[int, list[Frame]]:
    frames: list[Frame] = []
    function, goroutines = "", 0
    while index < len(lines):
        line = lines[index]
        if matched := table.frame.match(line):
            if len(frames) < tracelines.MAX_FRAMES and goroutines < 2:
                frames.append(_frame(matched, function))
            function = ""
        elif skipped := table.skip.match(line):
            function = skipped.groupdict().get("function") or ""
            goroutines += line.startswith("goroutine ")  # only the first one has panicked
        else:
            break
        index += 1
    return index, frames


def _frame(matched: re.Match[str], function: str) -> Frame:
    groups = matched.groupdict()
    module = (groups.get("module") or "").rstrip(".") or None
    name = (groups.get("function") or function or "").strip()
    return Frame(groups["path"], int(groups["line"]), name, module)
