"""Which files belong to the test itself: they are the same for every revision that is tested.

Called by the diagnosis once the failure is known. A test that only newer revisions have can so be
replayed on older ones, and a commit that merely adds or changes the test is never taken for the
cause. Pure.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from agents.builtin.failures import Failure

TEST_FOLDERS = {"test", "tests", "testing", "spec", "specs", "__tests__"}
TEST_NAME = re.compile(
    r"(?:^|[_.-])(?:test|tests|spec|check|checks|repro|reproduce|smoke|verify)(?:$|[_.-])"
)
SUPPORT_LIMIT = 500


def testlike(path: str) -> bool:
    """Tell whether a path looks like a test or a check, not like the service's own code."""
    pure = PurePosixPath(path)
    return bool(TEST_FOLDERS.intersection(pure.parts[:-1])) or bool(TEST_NAME.search(pure.stem))


def named(argv: Sequence[str], files: Collection[str]) -> tuple[str, ...]:
    """Return the tracked files that a command names, as a path, below a folder, or after `-m`."""
    tracked = set(files)
    found: list[str] = []
    for index, word in enumerate(argv):
        path = _plain(word.partition("::")[0])
        if path in tracked:
            found.append(path)
        elif index and (argv[index - 1] == "-m" or ("." in word and "/" not in word)):
            found += _of_module(word, tracked)
    return tuple(dict.fromkeys(found))


def of_failure(
    target: Failure, argv: Sequence[str], files: Collection[str], frames: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the test's own files: those that the failure or the command names, and their support.

    `frames` are the tracked files of the failing traceback, outermost first. The service's own
    code is never among the answer, whatever the command names.
    """
    tracked = set(files)
    tests = [path for path in named(argv, tracked) if testlike(path)]
    tests += _of_test(target.test, tracked)
    tests += [path for path in frames if path in tracked and testlike(path)]
    tests = list(dict.fromkeys(tests))
    return tuple(dict.fromkeys([*tests, *_support(tests, tracked)]))


def _of_test(test: str, tracked: set[str]) -> list[str]:
    path = _plain(test.partition("::")[0])
    if path in tracked:
        return [path]
    ending = [file for file in tracked if file.endswith("/" + path)] if path.endswith(".py") else []
    return ending if len(ending) == 1 else _of_module(test, tracked)


def _of_module(name: str, tracked: set[str]) -> list[str]:
    """Return the file of a dotted name such as tests.test_shop.ShopTest.test_total."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return []
    for length in range(len(parts), 0, -1):
        tail = "/".join(parts[:length]) + ".py"
        hits = sorted(file for file in tracked if file == tail or file.endswith("/" + tail))
        if hits and (length > 1 or testlike(hits[0])):
            return hits if len(hits) == 1 else [file for file in hits if testlike(file)]
    return []


def _support(tests: Sequence[str], tracked: set[str]) -> list[str]:
    """Return conftest files above the tests, and helpers and fixtures below their test folders."""
    found: list[str] = []
    for test in tests:
        folders = [str(parent) for parent in PurePosixPath(test).parents]
        found += [_join(folder, "conftest.py") for folder in folders]
        tops = [folder for folder in folders if PurePosixPath(folder).name in TEST_FOLDERS]
        for top in tops[-1:]:
            inside = sorted(file for file in tracked if file.startswith(top + "/"))
            found += [file for file in inside if not _is_test_module(file)][:SUPPORT_LIMIT]
    return [path for path in dict.fromkeys(found) if path in tracked]


def _is_test_module(path: str) -> bool:
    name = PurePosixPath(path).name
    return bool(re.match(r"(?:test_.*|.*_test|.*[._-](?:spec|test))\.\w+$", name))


def _join(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _plain(path: str) -> str:
    return path.removeprefix("./")
