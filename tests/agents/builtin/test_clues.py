"""What words point at, in any language and however they were pasted."""

import pytest

from agents.builtin import clues
from incidents.models import Severity

FILES = ("app/cart.py", "tests/test_cart.py", "tests/helpers.py")
TRACE = (
    'Traceback (most recent call last):\n  File "/srv/app/cart.py", line 13, in greeting\n'
    "    name = user.strip()\nAttributeError: 'NoneType' object has no attribute 'strip'\n"
)


def test_a_trace_is_read_with_its_frames() -> None:
    found = clues.read(f"Hilfe!\n{TRACE}")

    assert found.trace is not None
    assert "AttributeError" == found.trace.exception
    assert [("/srv/app/cart.py", 13)] == [(one.path, one.line) for one in found.frames]


def test_a_trace_that_lost_its_lines_keeps_its_places() -> None:
    """A chat's input of one line strips what a paste had between them."""
    found = clues.read(TRACE.replace("\n", ""))

    assert ("/srv/app/cart.py", 13) in [(one.path, one.line) for one in found.frames]


@pytest.mark.parametrize(
    "words", ["在app/cart.py:13报错", "siehe app/cart.py:13.", "app/cart.py：13"]
)
def test_a_place_is_found_in_any_prose(words: str) -> None:
    assert [("app/cart.py", 13)] == [(one.path, one.line) for one in clues.read(words).frames]


def test_the_head_names_service_severity_and_test_and_nothing_else() -> None:
    head = clues.read(
        "---\nservice: shop\nseverity: p0\ntest id: tests/test_cart.py::T::test_x\n"
        "run: rm -rf /\n---\nx"
    ).front

    assert ("shop", Severity.P0, ("run",)) == (head.service, head.severity, head.ignored)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tests/test_cart.py::CartTest::test_guest", True),
        ("tests.test_cart.CartTest.test_guest", True),
        ("tests/test_cart.py", True),
        ("app/cart.py::greeting", False),  # no test
        ("tests/test_gone.py::test_x", False),
        ("--co", False),
        ("tests/test_cart.py::test_x;touch x", False),
        ("-p tests/test_cart.py", False),
    ],
)
def test_only_a_known_test_is_run_by_name(name: str, expected: bool) -> None:
    assert expected == bool(clues.known_tests((name,), FILES))


def test_a_test_is_added_only_where_its_runner_takes_it() -> None:
    node = "tests/test_cart.py::CartTest::test_guest"

    assert ("pytest", "-q", node) == clues.narrowed(("pytest", "-q"), node)
    assert clues.narrowed(("make", "test"), node) is None
    assert clues.narrowed(("python3", "-m", "unittest", "discover"), "tests.test_cart") is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line", ["\n", "\tpanic: x\n", "  FAIL: a (b)\n", "goroutine 1 [x]:\n", "a."]
)
def test_a_megabyte_of_one_thing_is_read_in_the_time_of_reading_it(line: str) -> None:
    """What reads each line once for each line before it would take hours."""
    whole = line * (1024 * 1024 // len(line)) + "x"

    assert () == clues.read(whole).traces
