"""A dropped file becomes a proved, uncommitted fix; nothing else of the tree moves."""

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents import case as cases
from agents.hotfix import tracker
from agents.hotfix.notebook import State
from incidents import errors
from tests import repositories
from tests.flows import hotfixes

READ = '    return (PLACE / "texts/guest/welcome.txt").read_text()'
FAILS = "Traceback (most recent call last):\n"


@pytest.fixture
def shop(git_repo: repositories.Repository) -> repositories.Repository:
    """The shop whose greeting fails for guests."""
    return hotfixes.shop(git_repo)


def text(path: Path) -> str:
    return path.read_text("utf-8")


def test_a_dropped_file_is_contained_uncommitted_and_proved(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    path = hotfixes.drop(shop.path)
    before = hotfixes.picture(shop.path)

    result = hotfixes.made(tmp_path).work(path)

    after = hotfixes.picture(shop.path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {"app/cart.py", hotfixes.TRACKER} == changed
    assert before.keys() == after.keys()
    assert State.CONTAINED is result.state
    assert result.report is not None
    assert "fails in 2 of 2 runs" == result.report.before
    assert "passes in 2 of 2 runs" == result.report.after


def test_the_tracker_has_its_headings_below_the_words(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    path = hotfixes.drop(shop.path)

    hotfixes.made(tmp_path).work(path)

    said = text(path)
    assert said.startswith(hotfixes.TRACE)
    headings = [line[3:] for line in said.splitlines() if line.startswith("## ")]
    assert [
        "What was done",
        "The diff",
        "How it was proved",
        "Verify it by hand",
        "How to undo it",
        "Afterwards",
    ] == headings


def test_the_fix_keeps_the_files_mode_and_the_suite_passes_with_it(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    file = shop.path / "app/cart.py"
    file.chmod(0o640)

    hotfixes.made(tmp_path).work(hotfixes.drop(shop.path))

    assert 0o640 == stat.S_IMODE(file.stat().st_mode)
    assert "M app/cart.py" in shop.git("status", "--short")
    assert "" == shop.git("diff", "--cached")


def test_drop_restores_every_byte(shop: repositories.Repository, tmp_path: Path) -> None:
    path = hotfixes.drop(shop.path)
    before = hotfixes.picture(shop.path, (hotfixes.TRACKER,))
    made = hotfixes.made(tmp_path)
    made.work(path)

    result = made.drop(path)

    assert before == hotfixes.picture(shop.path, (hotfixes.TRACKER,))
    assert State.DROPPED is result.state
    assert "Dropped" in text(path)


def test_drop_takes_the_folder_away_that_the_fix_brought_back(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    """A commit took a file and its folder away; the fix is that commit taken back."""
    code = hotfixes.CART.replace(
        '    name = user["name"].strip()\n    return f"Hello {name}"',
        '    return (PLACE / "texts/guest/hello.txt").read_text()',
    ).replace("PRICES =", "PLACE = pathlib.Path(__file__).parent\nPRICES =")
    code = code.replace('"""Carts."""\n', '"""Carts."""\n\nimport pathlib\n')
    tests = hotfixes.CASES.replace("Hello Ann", "Hello you")
    files = {"app/cart.py": code, "tests/test_cart.py": tests}
    git_repo.commit("Open", hotfixes.FILES | files | {"app/texts/guest/hello.txt": "Hello you"})
    renamed = code.replace("hello.txt", "welcome.txt")
    git_repo.commit("Tidy", {"app/cart.py": renamed, "app/texts/guest/hello.txt": None})
    (git_repo.path / "app/texts/guest").rmdir()
    (git_repo.path / "app/texts").rmdir()
    trace = f'  File "/srv/app/cart.py", line {renamed.splitlines().index(READ) + 1}, in greeting\n'
    path = hotfixes.drop(git_repo.path, f"{FAILS}{trace}{READ}\nFileNotFoundError: welcome.txt\n")
    before = hotfixes.picture(git_repo.path, (hotfixes.TRACKER,))
    made = hotfixes.made(tmp_path)

    assert State.CONTAINED is made.work(path).state, text(path)
    assert "Hello you" == text(git_repo.path / "app/texts/guest/hello.txt")
    made.drop(path)

    assert before == hotfixes.picture(git_repo.path, (hotfixes.TRACKER,))


def test_drop_leaves_an_edit_that_came_since(shop: repositories.Repository, tmp_path: Path) -> None:
    path = hotfixes.drop(shop.path)
    made = hotfixes.made(tmp_path)
    made.work(path)
    file = shop.path / "app/cart.py"
    file.write_text(text(file) + "\nMINE = 1\n")
    before = text(file)

    with pytest.raises(errors.WrongState, match="edited since"):
        made.drop(path)

    assert before == text(file)


def test_verify_replays_the_fix_as_it_lies_there(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    path = hotfixes.drop(shop.path)
    made = hotfixes.made(tmp_path)
    made.work(path)

    result = made.verify(path)

    assert result.fit
    assert "It still holds" in text(path)


def test_each_content_is_worked_once(shop: repositories.Repository, tmp_path: Path) -> None:
    path = hotfixes.drop(shop.path)
    made = hotfixes.made(tmp_path)
    made.work(path)
    before = text(path)

    again = made.work(path)

    assert not again.new
    assert before == text(path)


def test_edits_of_other_files_stay_as_they_are(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    (shop.path / "README").write_text("mine\n")
    (shop.path / "new.txt").write_text("mine too\n")
    shop.git("add", "README")
    path = hotfixes.drop(shop.path)
    index = (shop.path / ".git/index").read_bytes()

    result = hotfixes.made(tmp_path).work(path)

    assert State.CONTAINED is result.state
    assert index == (shop.path / ".git/index").read_bytes()
    assert ("mine\n", "mine too\n") == (text(shop.path / "README"), text(shop.path / "new.txt"))


@pytest.mark.parametrize("staged", [False, True])
def test_an_edit_in_the_files_of_the_fix_is_not_touched(
    shop: repositories.Repository, tmp_path: Path, staged: bool
) -> None:
    file = shop.path / "app/cart.py"
    file.write_text(text(file).replace('"milk": 2', '"milk": 4'))
    if staged:
        shop.git("add", "app/cart.py")
    path = hotfixes.drop(shop.path)
    before = hotfixes.picture(shop.path, (hotfixes.TRACKER,))

    result = hotfixes.made(tmp_path).work(path)

    assert before == hotfixes.picture(shop.path, (hotfixes.TRACKER,))
    assert State.OFFERED is result.state
    assert "somebody's own edits lie in app/cart.py" in text(path)
    assert "```diff" in text(path)
    assert "git -C" in text(path)


def test_a_second_file_for_the_same_crash_finds_it_contained(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    made = hotfixes.made(tmp_path)
    made.work(hotfixes.drop(shop.path))
    fixed = text(shop.path / "app/cart.py")
    second = hotfixes.drop(shop.path, f"Again!\n{hotfixes.TRACE}", "tasks/hotfix/HOTFIX-again.md")

    result = made.work(second)

    assert State.NOTHING is result.state
    assert "contained already, by tasks/hotfix/HOTFIX-guests.md" in text(second)
    assert fixed == text(shop.path / "app/cart.py")


def test_a_fix_on_top_of_another_is_dropped_first(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    crash = "def test_unknown(self):\n        self.assertEqual(cart.total(['beer']), 0)\n"
    tests = hotfixes.CASES.rstrip() + "\n\n    " + crash
    code = hotfixes.CART.replace(
        "    return sum(PRICES[name] for name in cart)",
        "    amount = 0\n    for name in cart:\n        amount += PRICES[name]\n    return amount",
    )
    shop.commit("Sum by hand", {"app/cart.py": code, "tests/test_cart.py": tests})
    made = hotfixes.made(tmp_path)
    first = hotfixes.drop(shop.path, hotfixes.TRACE.replace("line 13", "line 16"))
    second = hotfixes.drop(
        shop.path,
        f"tests.test_cart.CartTest.test_unknown: KeyError: 'beer'\n{hotfixes.TRACE[:0]}",
        "tasks/hotfix/HOTFIX-beer.md",
    )
    assert State.CONTAINED is made.work(first).state
    assert State.CONTAINED is made.work(second).state

    with pytest.raises(errors.WrongState, match=r"HOTFIX-beer\.md was laid on top"):
        made.drop(first)

    made.drop(second)
    made.drop(first)
    assert code == text(shop.path / "app/cart.py")


def test_a_fix_that_was_cut_off_is_taken_out_and_made_again(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    """A kill between the files and the answer leaves a record from which all is undone."""
    path = hotfixes.drop(shop.path)
    made = hotfixes.made(tmp_path)
    made.work(path)
    notes = next((shop.path / ".git/halon/hotfix").glob("*.json"))
    notes.write_text(text(notes).replace('"state": "contained"', '"state": "writing"'))
    path.write_text(hotfixes.TRACE)

    result = made.work(path)

    assert State.CONTAINED is result.state
    made.drop(path)
    assert hotfixes.CART == text(shop.path / "app/cart.py")


def test_a_hard_link_stays_one(shop: repositories.Repository, tmp_path: Path) -> None:
    file = shop.path / "app/cart.py"
    os.link(file, tmp_path / "twin")
    inode = file.stat().st_ino

    hotfixes.made(tmp_path / "work").work(hotfixes.drop(shop.path))

    assert inode == file.stat().st_ino
    assert "containment" in text(tmp_path / "twin")


def test_the_person_s_part_is_never_touched(shop: repositories.Repository, tmp_path: Path) -> None:
    words = hotfixes.TRACE.encode() + b"\r\n  \xc3\xbc  \n\n\n"
    path = hotfixes.drop(shop.path, words)
    made = hotfixes.made(tmp_path)

    made.work(path)
    made.verify(path)
    made.drop(path)

    assert path.read_bytes().startswith(words + b"\n\n<!-- halon")
    assert words == tracker.read(path).content


def test_a_test_that_cannot_be_loaded_prints_the_error_that_is_meant(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    """Pytest names no error of a file outside of the tree that it could not import."""
    code = "from app.names import known\n\n\ndef greeting(user):\n    return known(user)\n"
    names = {"app/names.py": "def known(user):\n    return user or 'you'\n"}
    git_repo.commit("Open", {"app/__init__.py": "", "app/cart.py": code, **names})
    git_repo.commit("Tidy", {"app/names.py": None, "app/people.py": names["app/names.py"]})
    outside = tmp_path / "outside/test_guest.py"
    outside.parent.mkdir()
    outside.write_text(
        "from app import cart\n\n\ndef test_guest():\n    assert cart.greeting(None)\n"
    )
    argv = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{outside}::test_guest",
    )
    case = cases.Case(Path(), test=cases.Command(argv), read_only=(outside.parent,))
    words = (
        f'{FAILS}  File "/srv/app/cart.py", line 1, in <module>\n    {code.splitlines()[0]}\n'
        "ModuleNotFoundError: No module named 'app.names'\n"
    )
    made = replace(hotfixes.made(tmp_path / "work"), setup=lambda here, front: case)

    result = made.work(hotfixes.drop(git_repo.path, words))

    assert State.CONTAINED is result.state, result.sentence
    assert names["app/names.py"] == text(git_repo.path / "app/names.py")
