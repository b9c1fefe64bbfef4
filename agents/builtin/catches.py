"""Catches: the error caught at the statement that raises it, logged, and gone on without.

Used by the hotfix role where no guard fits; the same places are spared as by the guards. The edit
is made on the bytes and indents one statement, so that nothing else of the file moves. It is
containment: only a replay and the suite say whether what follows can go on.
"""

import ast
import builtins

from agents.builtin import guards
from agents.builtin.guards import Guard

STATEMENTS = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Expr | ast.Delete


def build(content: bytes, path: str, line: int, exception: str, incident: str) -> Guard | str:
    """Return the file with the error caught around the statement of a line, or why not."""
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return f"{path} cannot be parsed"
    name = exception.rpartition(".")[2]
    if not _is_bound(module, name):
        return f"{path} knows no error {name!r}"
    function = guards.function_at(module, line)
    if function is None:
        return "the crashing line lies in no function"
    if delicate := guards.delicate(path, function):
        return delicate
    chain = _chain(function, line)
    statement = chain[-1] if chain else None
    if not isinstance(statement, STATEMENTS):
        return "the crashing statement is no plain one"
    fallback = _fallback(statement, chain)
    if fallback is None:
        return "there is nothing that could stand in for what the statement makes"
    edited = _edited(content, statement, name, fallback, f"containment {incident}: {name}", path)
    if edited is None:
        return "the statement cannot be indented without changing it"
    content = guards.with_logging(edited, module)
    what = f"{name} caught in {function.name}"
    return Guard(path, statement.lineno, what, content, f"containment {incident}: {name}")


def _is_bound(module: ast.Module, name: str) -> bool:
    """Tell whether a module can name an error class: a builtin, or one that it imports or makes."""
    known = getattr(builtins, name, None)
    if isinstance(known, type):
        return issubclass(known, Exception)
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.ImportFrom) and any(
            (item.asname or item.name) == name for item in node.names
        ):
            return True
    return False


def _chain(function: ast.AST, line: int) -> list[ast.stmt]:
    """Return the statements around a line, outermost first."""
    found: list[ast.stmt] = []
    node: ast.AST | None = function
    while node is not None:
        inside = [
            child
            for field in ("body", "orelse", "finalbody", "handlers", "cases")
            for child in getattr(node, field, [])
            if child_lines(child)[0] <= line <= child_lines(child)[1]
        ]
        node = inside[0] if inside else None
        if isinstance(node, ast.stmt):
            found.append(node)
    return found


def child_lines(node: ast.AST) -> tuple[int, int]:
    """Return a node's first and last line; a `case` has those of its parts."""
    first = getattr(node, "lineno", None) or min(
        (item.lineno for item in ast.walk(node) if hasattr(item, "lineno")), default=0
    )
    last = getattr(node, "end_lineno", None) or max(
        (getattr(item, "end_lineno", 0) or 0 for item in ast.walk(node)), default=0
    )
    return first, last


def _fallback(statement: ast.stmt, chain: list[ast.stmt]) -> list[str] | None:
    """Return the lines that stand in for a statement: the next item of a loop, or nothing."""
    looped = any(isinstance(item, ast.For | ast.AsyncFor) for item in chain[:-1])
    if isinstance(statement, ast.Return):
        return ["continue"] if looped else ["return None"]
    if isinstance(statement, ast.AugAssign | ast.Expr | ast.Delete):
        return []
    if looped:
        return ["continue"]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return None
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [f"{name} = None" for name in names] if len(names) == len(targets) else None


def _edited(
    content: bytes, statement: ast.stmt, name: str, fallback: list[str], said: str, path: str
) -> bytes | None:
    lines = content.splitlines(keepends=True)
    first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip(b" \t"))]
    alone = len(indent) == statement.col_offset and b";" not in lines[last]
    many = any(
        isinstance(node, ast.Constant | ast.JoinedStr)
        and (node.end_lineno or node.lineno) > node.lineno
        for node in ast.walk(statement)
    )
    if not alone or many:  # a text over several lines would be indented too
        return None
    step = b"\t" if indent.startswith(b"\t") else b"    "
    newline = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
    body = [row if row.strip() == b"" else step + row for row in lines[first : last + 1]]
    if not body[-1].endswith(b"\n"):
        body[-1] += newline
    after = [f"logging.getLogger(__name__).exception({said!r})", *fallback]
    made = b"".join(
        [
            *lines[:first],
            indent + b"try:" + newline,
            *body,
            indent + f"except {name}:".encode() + newline,
            *(indent + step + row.encode() + newline for row in after),
            *lines[last + 1 :],
        ]
    )
    try:
        ast.parse(made, path)
    except (SyntaxError, ValueError):
        return None
    return made
