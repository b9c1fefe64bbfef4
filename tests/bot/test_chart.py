"""The picture of a rollout: both versions, gaps that are gaps, and the same scene for both pens."""

import io
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from PIL import Image

from bot import chart, drawing
from bot.chart import Mark, MarkKind, Phase
from bot.drawing import Box, Ink, Scene, Shape, Stroke, Words
from incidents.models import Bucket, Version

START = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)
NEW, OLD = Version.CANARY, Version.STABLE


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def bucket(version: Version, step: int, requests: int | None, errors: int | None) -> Bucket:
    return Bucket(version, at(5 * step), 5.0, requests, errors)


def both(steps: int) -> list[Bucket]:
    return [
        one
        for step in range(steps)
        for one in (bucket(OLD, step, 100, 45), bucket(NEW, step, 50, 0))
    ]


def lines(scene: Scene, ink: Ink) -> list[Stroke]:
    """The strokes of a version below the legend."""
    return [
        part
        for part in scene.parts
        if isinstance(part, Stroke) and part.ink is ink and part.points[0][1] > 40
    ]


def words(scene: Scene) -> list[str]:
    return [part.text for part in scene.parts if isinstance(part, Words)]


def test_without_data_the_picture_says_so() -> None:
    nothing = [bucket(NEW, step, None, None) for step in range(5)]

    for buckets in ([], nothing):
        assert ["No requests were measured."] == words(chart.scene(buckets))


def test_what_was_not_measured_is_a_gap_never_zero() -> None:
    buckets = both(40)
    for step in range(15, 25):
        buckets[2 * step + 1] = bucket(NEW, step, None, None)

    scene = chart.scene(buckets)

    assert 2 == len(lines(scene, Ink.NEW))
    assert 1 == len(lines(scene, Ink.OLD))


def test_no_requests_at_all_is_a_gap_as_well() -> None:
    buckets = [one if one.version is OLD else bucket(NEW, 0, 0, 0) for one in both(40)]

    assert [] == lines(chart.scene(buckets), Ink.NEW)


def test_both_versions_are_told_apart_without_colour() -> None:
    scene = chart.scene(both(40))

    assert {None} == {stroke.dash for stroke in lines(scene, Ink.NEW)}
    assert None not in {stroke.dash for stroke in lines(scene, Ink.OLD)}
    corners = {part.ink: len(part.points) for part in scene.parts if isinstance(part, Shape)}
    assert {Ink.NEW: 16, Ink.OLD: 4} == corners


def test_the_legend_has_the_figures() -> None:
    said = words(chart.scene(both(40)))

    assert "new version 0 %" in said
    assert "old version 45 %" in said
    assert "limit 5 %" in said


def test_phases_are_bands_with_their_share() -> None:
    phases = [Phase(10, at(20), at(80)), Phase(50, at(80), at(140)), Phase(100, at(140))]
    scene = chart.scene(both(40), phases=phases)

    bands = [part for part in scene.parts if isinstance(part, Box)]
    assert 3 == len(bands)
    assert bands[0].strength < bands[1].strength < bands[2].strength
    assert bands[0].right == pytest.approx(bands[1].left)
    assert {"10 %", "50 %", "100 %"} <= set(words(scene))


def test_the_onset_and_what_happened_are_named_with_their_time() -> None:
    marks = [Mark(MarkKind.TAKEN_BACK, at(150))]
    scene = chart.scene(both(40), onset=at(10), marks=marks)

    assert {"onset 14:30:10", "taken back 14:32:30"} <= set(words(scene))
    assert 4 == len(lines(scene, Ink.MARK))  # two uprights, and the two strokes of the cross


def test_what_happened_after_the_last_counts_is_still_in_the_picture() -> None:
    scene = chart.scene(both(40), marks=[Mark(MarkKind.TAKEN_BACK, at(206))])

    assert "taken back 14:33:26" in words(scene)
    assert "14:33:26 UTC" in words(scene)


def test_what_happened_much_later_is_left_out() -> None:
    scene = chart.scene(both(40), marks=[Mark(MarkKind.MITIGATED, at(9000))])

    assert "14:33:20 UTC" in words(scene)
    assert [] == lines(scene, Ink.MARK)


def test_an_onset_before_the_picture_is_pointed_at_not_drawn_in_it() -> None:
    scene = chart.scene(both(40), onset=at(-600))

    assert "onset 14:20" in words(scene)
    assert [] == lines(scene, Ink.MARK)


def test_thin_traffic_is_gathered_into_readings_that_mean_something() -> None:
    thin = [bucket(NEW, step, 2, step % 2) for step in range(200)]
    (line,) = lines(chart.scene(thin), Ink.NEW)

    assert chart.LEAST <= len(line.points) <= chart.COLUMNS


@pytest.mark.parametrize("size", [chart.SIZE, chart.WIDE])
def test_nothing_is_drawn_outside_the_picture(size: tuple[int, int]) -> None:
    phases = [Phase(10, at(-100), at(80)), Phase(50, at(80))]
    marks = [Mark(kind, at(195)) for kind in MarkKind if kind is not MarkKind.ONSET]
    scene = chart.scene(both(40), at(-1000), phases, marks, size)

    for part in scene.parts:
        points = (
            ((part.left, part.top), (part.right, part.bottom))
            if isinstance(part, Box)
            else (part.at,)
            if isinstance(part, Words)
            else part.points
        )
        assert all(0 <= x <= size[0] and 0 <= y <= size[1] for x, y in points), part


@pytest.mark.parametrize("theme", [chart.LIGHT, chart.DARK])
def test_a_png_has_the_size_and_the_colours_of_its_theme(theme: chart.Theme) -> None:
    image = Image.open(io.BytesIO(chart.to_png(chart.scene(both(40)), theme, scale=2)))

    assert (2 * chart.SIZE[0], 2 * chart.SIZE[1]) == image.size
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    for wanted in (theme.paper, theme.new, theme.old):
        assert tuple(bytes.fromhex(wanted[1:])) in colours


def test_an_svg_is_well_formed_and_says_what_it_shows() -> None:
    scene = chart.scene(both(40), at(10), [Phase(10, at(20))])
    root = ElementTree.fromstring(chart.to_svg(scene))  # noqa: S314 - our own output

    assert scene.says == root.attrib["aria-label"]
    assert (
        "Failing requests: new version 0 %; old version 45 %; phases 10 % from 14:30 UTC; "
        "onset 14:30 UTC." == scene.says
    )


def test_a_text_cannot_leave_its_element() -> None:
    scene = Scene(10, 10, (Words((1, 1), "</text><script>", Ink.TEXT),), '"><script>')

    assert "<script>" not in drawing.to_svg(scene)


def test_a_dashed_line_is_drawn_in_pieces_of_its_length() -> None:
    pieces = drawing._dashes([(0.0, 0.0), (10.0, 0.0)], (2.0, 3.0))

    assert [[(0.0, 0.0), (2.0, 0.0)], [(5.0, 0.0), (7.0, 0.0)]] == pieces


def test_what_was_counted_before_a_take_back_is_drawn_before_it() -> None:
    """Thin counts are put together; the last ones end with the canary, not with their column."""
    stable = [Bucket(Version.STABLE, at(5 * step), 5.0, 200, 0) for step in range(40)]
    canary = [Bucket(Version.CANARY, at(5 * step), 5.0, 2, 1) for step in range(10, 21)]
    back = Mark(MarkKind.TAKEN_BACK, at(105))
    scene = chart.scene([*stable, *canary], marks=[back])

    (upright,) = [part for part in lines(scene, Ink.MARK) if part.points[0][0] == part.points[1][0]]
    newest = max(x for part in lines(scene, Ink.NEW) for x, _ in part.points)
    assert newest < upright.points[0][0]


def test_a_take_back_says_how_long_users_met_the_new_version() -> None:
    marks, phases = [Mark(MarkKind.TAKEN_BACK, at(130))], [Phase(10, at(100), at(130))]

    scene = chart.scene(both(40), phases=phases, marks=marks)

    assert "taken back 14:32:10 after 30 s" in words(scene)


def test_a_wide_band_says_what_the_share_is_of() -> None:
    phases = [Phase(10, at(0), at(150)), Phase(50, at(150), at(155))]

    assert "10 % of requests" in words(chart.scene(both(40), phases=phases))
    assert "50 % of requests" not in words(chart.scene(both(40), phases=phases))
