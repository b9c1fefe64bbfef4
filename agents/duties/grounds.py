"""Why a role that writes may not touch a path: it would change what its own work is judged by.

Called by the duties whose model edits the service's code. The proof of a change is a replay of the
failure, so whatever decides what that replay runs is out of reach: its tests, what steers them, and
modules that would stand in for the runner itself.
"""

import sys
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from incidents import protection

RUNNERS = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "nose", "hypothesis", "mock"})

# They hold the settings of a test runner among much else.
SETTINGS = frozenset({"pyproject.toml", "package.json", "Cargo.toml", "build.gradle", "pom.xml"})


def refusal(path: str, files: Collection[str], named: Sequence[str], pinned: frozenset[str]) -> str:
    """Return why a path is not edited, empty for one that may be.

    `files` are the tracked files, `named` the service's protected globs, `pinned` the test's own.
    """
    for one in protection.protected([path], named, pinned):
        return f"{one} needs a human's word and is not changed here; name it as a gap."
    if PurePosixPath(path).name in SETTINGS:
        return f"{path!r} also says how the tests are run, so it is not changed here."
    if shadows(path, files):
        return f"{path!r} would stand in for a module of that name, the test's runner included."
    return ""


def shadows(path: str, files: Collection[str]) -> bool:
    """Tell whether a new Python file would be imported in place of a library of the same name."""
    pure = PurePosixPath(path)
    if pure.suffix not in (".py", ".pth") or path in files:
        return False
    package = pure.name == "__init__.py" and len(pure.parts) > 1
    name = pure.parent.name if package else pure.stem
    above = pure.parent.parent if package else pure.parent
    # In a package a module's name is its own; beside none it is the whole program's.
    inside = str(above / "__init__.py") in files
    return pure.suffix == ".pth" or (not inside and name in sys.stdlib_module_names | RUNNERS)
