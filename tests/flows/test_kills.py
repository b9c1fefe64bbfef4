"""Every step and effect boundary of one incident, killed there once, and what must come of it.

The undisturbed life is lived once and its disk copied at every named point (tests/flows/life.py);
each copy is then taken up again by new processes, to the end of its chapter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from incidents import crash
from tests.flows import life, system
from tests.flows.life import Chapter, Image, Life, World

pytestmark = pytest.mark.slow

# Points that no stage of this version passes, and the test that kills there.
ELSEWHERE = {
    "effect.before": "tests/incidents/test_steps.py",
    "effect.intended": "tests/incidents/test_steps.py",
    "effect.made": "tests/incidents/test_steps.py",
    "effect.recorded": "tests/incidents/test_steps.py",
    "telegram.sent": "tests/bot/telegram/test_port.py",  # only where Telegram is followed
    "transcript.recorded": "tests/agents/test_loop.py",  # only where a model plays
}
PASSED = sorted(set(crash.POINTS) - set(ELSEWHERE))


@dataclass(frozen=True)
class Record:
    """The undisturbed life: the disk at its points, and the facts at the end of its chapters."""

    world: World
    images: list[Image]
    facts: dict[Chapter, Any]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """Live once undisturbed."""
    folder = tmp_path_factory.mktemp("life")
    made = life.world(folder / "world")
    try:
        with life.recorded(made, folder / "images") as (images, facts):
            yield Record(made, images, facts)
    finally:
        made.end()


def test_the_undisturbed_life_ends_as_it_must(record: Record) -> None:
    facts = record.facts[Chapter.OVER]
    code = record.world.code

    assert "resolved" == facts["status"]
    assert [[code.good, 0], [code.culprit, 0], [code.newest, 0]] == facts["who served"][:3]
    assert [10, 50, 100, 0] == [weight for _, weight in facts["who served"][3:]]
    assert code.released()[0] == facts["who served"][-1][0]
    assert (1, 1) == (facts["commits of the fix"], facts["commits on the release branch"])
    assert (None, [], 0) == (facts["chain broken at"], facts["unsent"], facts["left in the inbox"])


def test_every_point_there_is_lies_on_this_road(record: Record) -> None:
    assert PASSED == sorted({image.point for image in record.images})


def test_the_soak_kills_the_real_system_at_every_one_of_them(record: Record) -> None:
    passed = {f"{one.point}/{one.detail}" if one.detail else one.point for one in record.images}

    assert sorted(passed) == sorted(system.POINTS)


@pytest.mark.parametrize("point", [name for name in PASSED if not name.startswith("post.")])
def test_killed_there_everything_ends_the_same(record: Record, point: str) -> None:
    wrong: dict[str, Any] = {}
    for image in record.images:
        if image.point == point:
            expected, found = record.facts[image.chapter], _taken_up(record.world, image)
            wrong |= {
                f"{image}: {name}": (expected[name], found[name])
                for name in expected
                if expected[name] != found[name]
            }

    assert {} == wrong


@pytest.mark.parametrize("point", [name for name in PASSED if name.startswith("post.")])
def test_killed_there_every_post_is_made_once_and_in_order(record: Record, point: str) -> None:
    whole = record.facts[Chapter.OVER]["posts"]
    wrong = {}
    for image in record.images:
        if image.point == point:
            posts = _posted(record.world, image)
            if [*whole[: len(posts) - 1], "card"] != posts:
                wrong[str(image)] = posts

    assert {} == wrong


def _taken_up(world: World, image: Image) -> dict[str, Any]:
    """Return the facts at the end of the chapter in which this life was cut."""
    world.restore(image)
    lived = Life(world)
    try:
        lived.until(image.chapter)
        return lived.facts()
    finally:
        lived.close()


def _posted(world: World, image: Image) -> list[str]:
    """Return the thread after a new bot has posted what the killed one left."""
    world.restore(image)
    lived = Life(world)
    try:
        posts = lived.posted()
        assert [] == lived.facts()["unsent"]
        return posts
    finally:
        lived.close()
