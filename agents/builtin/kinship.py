"""Whether the failure that was replayed can be the incident, or its files and theirs never meet.

Called by the diagnosis before a commit is convicted. A test may be red for a reason of its own
while production fails elsewhere. Says so only where every path is known: static imports, Python.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from agents.builtin import failures, suspects
from agents.builtin.failures import Failure
from agents.builtin.source import Source
from agents.builtin.tracelines import Trace

# Whoever loads code by name or starts a process may reach any file.
UNSEEN = re.compile(rb"import_module|__import__|subprocess|runpy|entry_points|os\.(?:exec|system)")
REACH = 400  # files that are followed, at most


def strangers(
    source: Source,
    head: str,
    *,
    traces: Sequence[Trace],
    target: Failure,
    replayed: Sequence[str],
    culprit: str,
) -> bool:
    """Tell whether the replayed failure and the commit surely have nothing to do with the traces.

    `replayed` are the test's own files. They are strangers if the test reaches no file of the
    traces, and the files of the traces reach none that the commit changed.
    """
    if not traces or not replayed or any(_alike(trace, target) for trace in traces):
        return False
    files = source.files(head)
    seen = [_places(trace, files) for trace in traces]
    changed = [path for path in source.paths(culprit) if not suspects.INERT_FILE.search(path)]
    if not all(seen) or not all(path.endswith(".py") for path in (*replayed, *changed)):
        return False
    production = {path for paths in seen for path in paths}
    reader = _Reader(source, head, files)
    tested, running = reader.reach(replayed), reader.reach(production)
    if tested is None or running is None:
        return False
    return not (tested & production or running & set(changed))


def _alike(trace: Trace, target: Failure) -> bool:
    """Tell whether one error of the trace is the replayed one, by type and message."""
    return any(
        item.exception.rpartition(".")[2] == target.exception
        and failures.template(item.message) == failures.template(target.message)
        for item in (trace, *trace.chained)
    )


def _places(trace: Trace, files: Sequence[str]) -> set[str]:
    frames = [frame for item in (trace, *trace.chained) for frame in item.frames]
    return {item.file for item in suspects.locate(frames, files) if item.file}


class _Reader:
    """Follows the imports of tracked Python files."""

    def __init__(self, source: Source, head: str, files: Sequence[str]) -> None:
        self._source, self._head = source, head
        self._modules: dict[str, list[str]] = {}
        for path in files:
            if path.endswith(".py"):
                name = path.removesuffix(".py").removesuffix("/__init__").rpartition("/")[2]
                self._modules.setdefault(name, []).append(path)

    def reach(self, start: Iterable[str]) -> set[str] | None:
        """Return the files reached by imports from some files; None where that is not known."""
        found: set[str] = set()
        waiting = list(start)
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            found.add(path)
            named = self._imports(path)
            if named is None or len(found) > REACH:
                return None
            waiting += self._files(named)
        return found

    def _imports(self, path: str) -> list[str] | None:
        """Return the last words that may be a module's name, of every import of a file."""
        content = self._source.repository.show(self._head, path)
        if content is None or UNSEEN.search(content):
            return None
        try:
            module = ast.parse(content)
        except (SyntaxError, ValueError, RecursionError):
            return None
        return list(_words(ast.walk(module)))

    def _files(self, words: Collection[str]) -> list[str]:
        """Return every tracked module of these names: of two alike both, to be on the safe side."""
        return [path for word in words for path in self._modules.get(word, ())]


def _words(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
