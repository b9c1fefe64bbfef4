"""The chart beside the thread and the pictures in it, in the colours that the system asks for.

Called by `bot.web.parts` and the route of files. Pure: the drawing is `bot.chart`'s, the phases and
marks are those that the timeline tells of.
"""

from dataclasses import replace

from markupsafe import Markup

from bot import chart, story
from bot.web.facts import Facts

FOLLOWS = b"<style>:root{color-scheme:light dark}</style>"


def svg(facts: Facts) -> Markup:
    """Return the error rate of both versions as SVG; empty before a rollout has counts."""
    if facts.rollout is None or not facts.buckets:
        return Markup()
    told = story.told(facts.entries, facts.rollout.id)
    scene = chart.scene(facts.buckets, facts.incident.onset, told.phases, told.marks)
    return Markup(chart.to_svg(scene, chart.PAGE))  # noqa: S704 - every text in it is escaped


def following(drawn: bytes) -> bytes:
    """Return a picture drawn in light colours so that it follows the system, as the page does."""
    page = replace(chart.PAGE, paper=f"light-dark({chart.LIGHT.paper}, {chart.DARK.paper})")
    for name, colour in vars(chart.LIGHT).items():
        drawn = drawn.replace(f'"{colour}"'.encode(), f'"{getattr(page, name)}"'.encode())
    head, sign, rest = drawn.partition(b">")
    return head + sign + FOLLOWS + rest
