"""The git history of the demo service."""

import dataclasses
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo import history, story
from demo.history import Scenario
from tests.demo import revisions

NOW = datetime(2026, 3, 2, 2, 10, tzinfo=UTC)


def test_same_scenario_and_time_give_the_same_revisions_whatever_git_is_set_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = history.build(tmp_path / "plain", Scenario.GUEST_CRASH, NOW)
    (tmp_path / ".gitconfig").write_text(
        "[commit]\ngpgsign = true\n[core]\nautocrlf = true\n[user]\nname = Somebody\n"
        "[core]\nhooksPath = /nonexistent\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    odd = history.build(tmp_path / "odd", Scenario.GUEST_CRASH, NOW, bare=True)

    assert plain.deploys == odd.deploys
    assert (tmp_path / "plain" / "checkout" / "shop.py").is_file()
    assert not (tmp_path / "odd" / "checkout").exists()


def test_deploys_are_annotated_tags_with_the_time_of_the_deploy(tmp_path: Path) -> None:
    built = history.build(tmp_path / "r", Scenario.NO_CODE_CAUSE, NOW)
    form = "%(refname:short) %(objecttype) %(*objectname) %(taggerdate:unix)"
    listed = revisions.git(
        built.repository, "for-each-ref", f"--format={form}", "refs/tags/deploy-*"
    )
    expected = {
        f"{deploy.tag} tag {deploy.revision} {int(deploy.at.timestamp())}"
        for deploy in built.deploys
    }

    assert expected == set(listed.splitlines())
    assert sorted(deploy.at for deploy in built.deploys) == [d.at for d in built.deploys]
    assert built.deploys[-1].at < NOW
    assert built.culprit is None


@pytest.mark.parametrize("scenario", [Scenario.GUEST_CRASH, Scenario.BAD_FIX])
def test_innocent_deploys_follow_the_culprit_and_one_edits_the_crashing_function(
    tmp_path: Path, scenario: Scenario
) -> None:
    built = history.build(tmp_path / "r", scenario, NOW)
    deployed = [deploy.revision for deploy in built.deploys]
    assert built.culprit is not None
    after = deployed[deployed.index(built.culprit) + 1 :]
    touched = revisions.git(
        built.repository,
        "log",
        "--format=%H",
        "-L/def place/,/return entry/:checkout/shop.py",
        "-s",
        "main",
    ).split()

    assert built.last_good == deployed[deployed.index(built.culprit) - 1]
    assert built.newest == after[-1]
    assert len(after) >= 3
    assert set(after) & set(touched)
    assert 14 <= int(revisions.git(built.repository, "rev-list", "--count", "main")) <= 20


def test_every_commit_says_who_when_and_what(tmp_path: Path) -> None:
    built = history.build(tmp_path / "r", Scenario.GUEST_CRASH, NOW)
    log = revisions.git(built.repository, "log", "--format=%an <%ae>|%ct|%s", "main")
    who, when, what = zip(*(line.split("|") for line in log.splitlines()), strict=True)

    assert set(who) == {history.TEAM}
    assert list(when) == sorted(when, reverse=True)
    assert len(set(what)) == len(what)
    assert NOW - timedelta(days=60) < datetime.fromtimestamp(int(when[-1]), UTC)


def test_newest_innocent_tree_is_the_source_in_the_project(tmp_path: Path) -> None:
    built = history.build(tmp_path / "r", Scenario.NO_CODE_CAUSE, NOW)
    listed = revisions.git(built.repository, "ls-tree", "-r", "--name-only", "main").splitlines()

    assert {path: (built.repository / path).read_text("utf-8") for path in listed} == history.grow(
        story.read_steps()
    )[-1]
    assert "tests/test_saved_cards.py" in listed


def test_an_edit_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    bug = story.read_bug("vat-category")
    astray = dataclasses.replace(
        bug, plants=(("vat", story.Edit("checkout/pricing.py", "no such text", "x")),)
    )
    with pytest.raises(story.StoryError, match="contains 0 times"):
        history.build(tmp_path / "r", Scenario.GUEST_CRASH, NOW, bug=astray)


def test_a_bug_of_an_unknown_commit_is_an_error(tmp_path: Path) -> None:
    edit = story.Edit("checkout/pricing.py", "vat = 0", "vat = 1")
    astray = dataclasses.replace(story.read_bug("vat-category"), plants=(("nowhere", edit),))
    with pytest.raises(story.StoryError, match="no commit 'nowhere'"):
        history.build(tmp_path / "r", Scenario.GUEST_CRASH, NOW, bug=astray)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(story.StoryError, match="is not empty"):
        history.build(tmp_path, Scenario.GUEST_CRASH, NOW)
    assert os.listdir(tmp_path) == ["mine.txt"]  # noqa: PTH208
