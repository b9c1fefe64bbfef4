"""`halon hotfix FILE`, then verify, ship and drop, as they are typed, on the real engine."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agents.scripted import player
from agents.scripted.server import KEY, Scripted
from cli.hotfix import CANNOT_RUN
from cli.main import app
from incidents.models import EntryKind, Stage
from incidents.settings import Settings
from tests import repositories
from tests.flows import hotfixes
from workers import office

TEST = f'test = "{sys.executable} -m unittest"\n'


@pytest.fixture
def shop(
    git_repo: repositories.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> repositories.Repository:
    """The shop that fails for guests, named in a halon.toml."""
    monkeypatch.setenv("HALON_FILE", str(tmp_path / "halon.toml"))
    monkeypatch.setenv("HALON_FOLDER", str(tmp_path / "data"))
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "halon.toml").write_text(
        f'[[service]]\nname = "shop"\nrepository = "{git_repo.path}"\n{TEST}'
    )
    return hotfixes.shop(git_repo)


def typed(*words: object) -> Result:
    """Type a line after `halon hotfix`."""
    return CliRunner().invoke(app, ["hotfix", *(str(word) for word in words)])


def test_a_model_contains_a_file_only_where_it_is_told_to(
    shop: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hotfixes.drop(shop.path)
    with Scripted(player.play).serving() as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        without = typed("--engine", "claude", path)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        watched = typed("--engine", "claude", "--watch", shop.path)
        made = json.loads(typed("--json", "--engine", "claude", path).stdout)

    assert (CANNOT_RUN, True) == (without.exit_code, "ANTHROPIC_API_KEY" in without.stderr)
    assert 2 == watched.exit_code
    assert (True, True) == (made["contained"], made["engine"].startswith("claude (claude-"))
    assert float(made["cost"]) > 0


def test_a_fix_is_made_checked_shipped_and_taken_out_by_four_lines(
    shop: repositories.Repository,
) -> None:
    path = hotfixes.drop(shop.path)
    made = typed("--json", path)
    assert ("contained", True) == (
        json.loads(made.stdout)["state"],
        json.loads(made.stdout)["contained"],
    )
    assert "It still holds" in typed("verify", path).stdout
    assert "shipped as INC-1" in typed("ship", path).stdout
    with office.opened(Settings(), "test") as desk:
        acts = [
            one.content["act"] for one in desk.timeline.entries(1) if one.kind is EntryKind.HOTFIX
        ]
        assert ["contain", "ship"] == acts
        waiting = [one for one in desk.incidents.runs(1) if one.outcome is None]
        assert [Stage.HOTFIX] == [one.stage for one in waiting]  # what `halon up` goes on with

    assert "every file is as it was before" in typed("drop", path).stdout
    assert hotfixes.CART == (shop.path / "app/cart.py").read_text("utf-8")


@pytest.mark.parametrize("action", ["verify", "ship", "drop"])
def test_what_was_not_worked_cannot_be_gone_on_with(
    shop: repositories.Repository, action: str
) -> None:
    said = typed(action, hotfixes.drop(shop.path))

    assert (CANNOT_RUN, "") == (said.exit_code, said.stdout)
    assert "was not worked yet" in said.stderr


@pytest.mark.parametrize("words", [[], ["ship"], ["verify", "a", "b"], ["undo", "a"]])
def test_a_line_that_names_no_file_is_misused(words: list[str]) -> None:
    assert 2 == typed(*words).exit_code
