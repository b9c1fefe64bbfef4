"""What a model can do with its tools, and everything that it must not be able to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.tools import editing, history, logquery, reading
from agents.tools.box import Box, cut
from agents.tools.contract import Answer
from agents.tools.desk import Desk
from tests.agents.tools.conftest import SHOP


def box(desk: Desk) -> Box:
    every = [*reading.tools(desk), *logquery.tools(desk), *history.tools(desk),
             *editing.tools(desk)]  # fmt: skip
    return Box("tester", every, desk.teller)


def call(desk: Desk, name: str, **given: Any) -> Answer:
    return box(desk).call(name, given)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../escape.py", "not a plain path"),
        ("src/../../escape.py", "not a plain path"),
        ("/etc/cron.d/x", "not a plain path"),
        ("./shop.py", "not a plain path"),
        ("", "not a plain path"),
        ("a\0b", "signs that are no text"),
        (".git/hooks/pre-commit", "belongs to git itself"),
        (".GIT/config", "belongs to git itself"),
        ("src/.git/config", "belongs to git itself"),
        ("git~1/config", "belongs to git itself"),
        ("link", "leads through a link"),
        ("outside/escape.py", "leads through a link"),
        ("shop.py/inner.py", "is a file, not a folder"),
        ("src", "is a folder, not a file"),
    ],
)
def test_no_edit_leaves_the_tree(desk: Desk, tmp_path: Path, path: str, words: str) -> None:
    before = sorted(tmp_path.rglob("*"))

    answer = call(desk, "Write", path=path, content="import os\n")

    assert (True, True) == (answer.error, words in answer.text)
    assert ({}, before) == (desk.edits, sorted(tmp_path.rglob("*")))


def test_an_edit_is_in_memory_only(desk: Desk) -> None:
    answer = call(desk, "Edit", path="shop.py", old='"Hello, "', new='"Good day, "')

    assert not answer.error
    assert '+    return "Good day, " + name' in answer.text
    assert SHOP == (desk.bench.case.repository / "shop.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "shop.py", "old": "nowhere", "new": "x"}, "does not hold that text"),
        ({"path": "README.md", "old": "A shop.", "new": "x"}, "stands 2 times"),
        ({"path": "shops.py", "old": "a", "new": "x"}, "There is no file 'shops.py'"),
        ({"path": "shop.py", "old": "<email-77>", "new": "x"}, "stands for private text"),
        ({"path": "shop.py", "old": "", "new": "x"}, "cannot be called like this"),
    ],
)
def test_an_edit_that_does_not_fit_says_why(desk: Desk, given: dict[str, str], words: str) -> None:
    answer = call(desk, "Edit", **given)

    assert (True, True) == (answer.error, words in answer.text)


def test_private_text_is_never_shown_and_survives_an_edit(desk: Desk) -> None:
    shown = call(desk, "Read", path="shop.py").text

    edited = call(desk, "Edit", path="shop.py", old='OWNER = "<email-1>"',
                  new='OWNER = "<email-1>"  # asked first')  # fmt: skip

    assert "bob" not in shown + edited.text
    assert b'OWNER = "bob@example.com"  # asked first' in (desk.edits["shop.py"] or b"")


def test_private_text_does_not_wander_into_another_file(desk: Desk) -> None:
    call(desk, "Read", path="shop.py")

    answer = call(desk, "Write", path="notes.txt", content="<email-1>")

    assert (True, {}) == (answer.error, desk.edits)


def test_edits_are_taken_up_by_a_later_life(desk: Desk) -> None:
    answer = call(desk, "Write", path="new.py", content="x = 1\n")
    kept = json.loads(json.dumps(answer.kept))
    later = Desk(desk.bench, desk.base, desk.teller, desk.ledger, desk.folder)

    box(later).take_up("Write", "", Answer("", kept=kept))

    assert desk.tree() == later.tree() != later.root


def test_a_commit_is_taken_out(desk: Desk) -> None:
    head = desk.bench.repository.resolve("HEAD")

    assert not call(desk, "Revert", commit=head).error
    assert "README.md" not in desk.files()


def test_a_log_is_counted_and_its_middle_left_out(desk: Desk) -> None:
    answer = call(desk, "LogQuery", contains="line ").text

    assert "500 lines hold 'line '" in answer
    assert "[… 450 lines …]" in answer
    assert "line 499" in answer


def test_a_log_is_searched_for_what_a_token_stands_for(desk: Desk) -> None:
    call(desk, "Read", path="shop.py")

    answer = call(desk, "LogQuery", contains="<email-1>").text

    assert "ERROR for <email-1>" in answer
    assert "bob" not in answer


@pytest.mark.parametrize(
    "given",
    [
        {"what": "show", "revision": "--output=/tmp/x"},
        {"what": "log", "revision": "HEAD; rm -rf /"},
        {"what": "diff", "revision": "HEAD"},
        {"what": "blame", "path": "../shop.py"},
        {"what": "gc"},
    ],
)
def test_history_is_no_way_to_run_something(desk: Desk, given: dict[str, str]) -> None:
    assert call(desk, "GitHistory", **given).error


def test_history_is_read(desk: Desk) -> None:
    assert "Open the shop" in call(desk, "GitHistory", what="log").text
    assert "+A shop." in call(desk, "GitHistory", what="show").text
    assert "def greeting" in call(desk, "GitHistory", what="blame", path="shop.py").text


def test_a_pattern_that_looks_like_an_option_is_a_pattern(desk: Desk) -> None:
    assert "Nothing in the tree" in call(desk, "Grep", pattern="--open-files-in-pager=id").text
    assert "shop.py" not in call(desk, "Glob", pattern="src/**").text


def test_every_answer_of_strangers_stands_between_marks(desk: Desk) -> None:
    fence = desk.teller.door.fence
    looks = [call(desk, "Read", path="shop.py"), call(desk, "Grep", pattern="greeting"),
             call(desk, "GitHistory", what="log"), call(desk, "LogQuery", contains="ERROR"),
             call(desk, "Glob", pattern="*.py")]  # fmt: skip

    assert [""] * len(looks) == [fence.outside(answer.text) for answer in looks]


def test_what_is_read_can_be_cited(desk: Desk) -> None:
    call(desk, "Read", path="shop.py")

    assert "shop.py:1-5 of 5 lines" in call(desk, "Evidence", id="E1").text
    assert call(desk, "Evidence", id="E9").error


def test_a_long_answer_loses_its_middle(desk: Desk) -> None:
    text = cut("a" * 9000 + "b" * 9000)

    assert (text[:6000], text[-6000:]) == ("a" * 6000, "b" * 6000)
    assert "6000 characters left out" in text


def test_the_same_question_is_answered_from_the_first_until_the_tree_changes(desk: Desk) -> None:
    tools = box(desk)
    first = tools.call("Read", {"path": "shop.py"}).text
    again = tools.call("Read", {"path": "shop.py"}).text
    tools.call("Edit", {"path": "shop.py", "old": "name", "new": "who", "every": True})

    assert again == f"(as answered before, nothing has changed since)\n{first}"
    assert "who" in tools.call("Read", {"path": "shop.py"}).text
