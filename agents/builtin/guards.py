"""Guards: a None, key or index check at the very line that crashes, labelled as containment.

Used by the remedies when nothing can be taken back. The place is found in the syntax tree, the
edit is made on the bytes, so that nothing else of the file moves. Never where data, money or a
login is handled.
"""

import ast
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.builtin import pins, suspects, traces
from agents.builtin.scene import Scene
from agents.builtin.workbench import Workbench

# Functions and files in which going on with nothing is worse than stopping.
DELICATE = re.compile(
    r"pay|charge|refund|price|pricing|money|amount|invoice|ledger|balance|auth|login|password|passwd"
    r"|token|permission|session|secret|migrat|encrypt|sign",
    re.IGNORECASE,
)
WRITES = {
    "execute", "executemany", "commit", "save", "write", "writelines", "insert", "update", "delete",
    "add", "put", "post", "send", "publish", "charge", "refund", "create", "remove", "unlink",
}  # fmt: skip
NONE_WORDS = re.compile(
    r"'NoneType' object (?:has no attribute|is not subscriptable|is not iterable)"
)


@dataclass(frozen=True)
class Guard:
    """The guarded file's new content, and where and what the guard is."""

    path: str
    line: int
    what: str
    content: bytes
    log_line: str


@dataclass(frozen=True)
class Place:
    """The expression that crashes, its statement and its function."""

    expression: ast.expr
    checked: str  # source of the condition under which the expression is safe
    statement: ast.stmt
    function: ast.FunctionDef | ast.AsyncFunctionDef
    what: str


def build(bench: Workbench, scene: Scene, head: str, incident: str) -> Guard | str:
    """Return a guard for the failure of a scene, or the reason why there is none."""
    if scene.target is None or scene.target.exception not in EXPRESSIONS:
        return "only a missing value, key or index is guarded"
    files = bench.source.files(head)
    parsed = [frame for trace in traces.parse(scene.words) for frame in trace.frames]
    located = suspects.locate([*parsed, *suspects.of_output(scene.words)], files)
    if not located or located[0].file is None:
        return "the crashing line lies in no tracked file of the service"
    path, line = located[0].file, located[0].frame.line
    if not path.endswith(".py"):
        return "guards are written for Python only"
    if protected(path, bench.case.protected):
        return f"{path} is protected"
    content = bench.repository.show(head, path)
    if content is None:
        return f"{path} cannot be read"
    return _guarded(content, path, line, scene.target.exception, scene.target.message, incident)


def protected(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether the operator spares a path."""
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _guarded(
    content: bytes, path: str, line: int, exception: str, message: str, incident: str
) -> Guard | str:
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return f"{path} cannot be parsed"
    place = _find(module, line, exception, message)
    if isinstance(place, str):
        return place
    if refused := delicate(path, place.function):
        return refused
    log_line = f"containment {incident}: {place.what} in {place.function.name}"
    return Guard(path, line, place.what, _edited(content, module, place, log_line), log_line)


def function_at(module: ast.Module, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the innermost function around a line."""
    function = None
    for node in ast.walk(module):
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.lineno <= line <= (node.end_lineno or node.lineno)
        )
        if inside and (function is None or node.lineno > function.lineno):  # type: ignore[attr-defined]
            function = node
    return function if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _find(module: ast.Module, line: int, exception: str, message: str) -> Place | str:
    function = function_at(module, line)
    if function is None:
        return "the crashing line lies in no function"
    statement = next(
        (s for s in _statements(function) if s.lineno <= line <= (s.end_lineno or 0)), None
    )
    if statement is None or not isinstance(statement, ast.Assign | ast.Return | ast.AnnAssign):
        return "the crashing statement is no plain assignment or return"
    candidates = list(EXPRESSIONS[exception](statement, message))
    if len(candidates) != 1:
        return f"{len(candidates)} places in the crashing statement could be meant"
    expression, checked, what = candidates[0]
    return Place(expression, checked, statement, function, what)


def _statements(function: ast.AST) -> list[ast.stmt]:
    """Return the simple statements of a function, innermost last."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.stmt) and not hasattr(node, "body")
    ]


Found = tuple[ast.expr, str, str]


def _none(statement: ast.stmt, message: str) -> Iterator[Found]:
    """Yield the attribute, item or call chain on the value that is None."""
    if not NONE_WORDS.search(message):
        return
    named = re.search(r"has no attribute ['\"](\w+)['\"]", message)
    parents = {child: node for node in ast.walk(statement) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(statement):
        fits = (
            isinstance(node, ast.Attribute) and named is not None and node.attr == named[1]
        ) or (isinstance(node, ast.Subscript) and named is None)
        if not fits or not isinstance(node, ast.Attribute | ast.Subscript):
            continue
        if not _pure(node.value):
            continue
        whole: ast.expr = node
        while isinstance(up := parents.get(whole), ast.Attribute | ast.Subscript | ast.Call) and (
            getattr(up, "value", None) is whole or getattr(up, "func", None) is whole
        ):
            whole = up
        value = ast.unparse(node.value)
        yield whole, f"{value} is not None", f"{value} is None"


def _key(statement: ast.stmt, message: str) -> Iterator[Found]:
    """Yield the item access whose key is missing."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript) and _pure(node.value) and _pure(node.slice):
            constant = isinstance(node.slice, ast.Constant)
            if constant and repr(node.slice.value) != message.strip():  # type: ignore[attr-defined]
                continue
            key, value = ast.unparse(node.slice), ast.unparse(node.value)
            yield node, f"{key} in {value}", f"{key} is missing from {value}"


def _index(statement: ast.stmt, message: str) -> Iterator[Found]:
    """Yield the item access whose index is out of range."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript) and _pure(node.value) and _pure(node.slice):
            if isinstance(node.slice, ast.Slice):
                continue
            index, value = ast.unparse(node.slice), ast.unparse(node.value)
            yield node, f"-len({value}) <= {index} < len({value})", f"{value} has no item {index}"


EXPRESSIONS = {"AttributeError": _none, "TypeError": _none, "KeyError": _key, "IndexError": _index}


def _pure(node: ast.expr) -> bool:
    """Tell whether evaluating an expression twice is harmless: names and constants only."""
    return all(
        isinstance(
            item, ast.Name | ast.Attribute | ast.Constant | ast.Subscript | ast.expr_context
            | ast.UnaryOp | ast.unaryop,
        )
        for item in ast.walk(node)
    )  # fmt: skip


def delicate(path: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return why a function is no place to go on with nothing, or an empty text."""
    if pins.testlike(path) or DELICATE.search(path) or DELICATE.search(function.name):
        return f"{function.name} in {path} handles data, money or access: no guard there"
    for node in ast.walk(function):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in WRITES:
            return f"{function.name} writes ({called.attr}): no guard there"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "open"
        ):
            return f"{function.name} opens a file: no guard there"
        if isinstance(node, ast.Global | ast.Nonlocal):
            return f"{function.name} changes state outside of itself: no guard there"
    return ""


def _edited(content: bytes, module: ast.Module, place: Place, log_line: str) -> bytes:
    """Return the file with the expression made conditional and the miss logged before it."""
    lines = content.splitlines(keepends=True)
    node, statement = place.expression, place.statement
    first, last = (
        (node.lineno - 1, node.col_offset),
        ((node.end_lineno or 0) - 1, node.end_col_offset or 0),
    )
    offsets = [0]
    for row in lines:
        offsets.append(offsets[-1] + len(row))
    start, end = offsets[first[0]] + first[1], offsets[last[0]] + last[1]
    old = content[start:end].decode()
    before = offsets[statement.lineno - 1]
    indent = " " * statement.col_offset
    newline = "\r\n" if lines and lines[0].endswith(b"\r\n") else "\n"
    logged = newline.join(
        (
            f"{indent}if not ({place.checked}):",
            f"{indent}    logging.getLogger(__name__).error({log_line!r})",
            "",
        )
    )
    pieces = (
        content[:before],
        logged.encode(),
        content[before:start],
        f"({old} if {place.checked} else None)".encode(),
        content[end:],
    )
    return with_logging(b"".join(pieces), module)


def with_logging(content: bytes, module: ast.Module) -> bytes:
    """Return an edited file with `import logging` at its head, where `module` had none."""
    for node in module.body:
        if isinstance(node, ast.Import) and any(
            item.name == "logging" and item.asname is None for item in node.names
        ):
            return content
    after = 0
    for index, node in enumerate(module.body):
        docstring = (
            index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if docstring or future:
            after = node.end_lineno or after
    lines = content.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith(b"\r\n") else "\n"
    gap = [newline.encode()] if after else []
    return b"".join([*lines[:after], *gap, f"import logging{newline}".encode(), *lines[after:]])
