"""Every report renders by its template, and nothing in it can break out of its place."""

import html
import random
import re
import typing
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from incidents import report_text, reports
from incidents.models import Verdict

HOSTILE = "```\n# shout <!channel> @here | [x](http://evil.example) `code` <b>"
EVIDENCE = reports.EvidenceItem(
    id="E1", kind="log", source="log", locator="a.log@1", excerpt=HOSTILE, sha256="0" * 64
)
DIAGNOSIS = reports.Diagnosis(
    engine="builtin",
    verdict=Verdict.INCONCLUSIVE,
    summary=HOSTILE,
    revision="ab" * 20,
    symptoms=(reports.Claim(text=HOSTILE, evidence=("E1",)),),
    hypotheses=(reports.Hypothesis(statement=HOSTILE, test="t", result="r"),),
    evidence=(EVIDENCE,),
    gaps=(HOSTILE,),
)
PATCH = reports.Patch(
    engine="builtin",
    remedy=reports.RemedyKind.REVERT,
    title=HOSTILE,
    diff="--- a/x\n+++ b/x\n+```\n",
    digest="0" * 64,
    base="ab" * 20,
    tree="cd" * 20,
)
REPORTS: tuple[reports.Report, ...] = (
    DIAGNOSIS,
    PATCH,
    reports.NoPatch(engine="builtin", tried=(HOSTILE,), reason="none"),
    reports.TestReport(
        engine="builtin",
        approve=False,
        summary="no",
        patch_digest="0" * 64,
        categories=(
            reports.CategoryResult(
                category=reports.Category.VALIDATION, passed=None, output=HOSTILE
            ),
        ),
    ),
    reports.DeploymentPlan(
        engine="builtin", service="shop", driver="processes", revision="a", stable_revision="b",
        last_good_revision=None, safe_version="stable", safe_why="it serves", patch_digest="0" * 64,
        phases=(), watched=(HOSTILE,),
    ),
    reports.Hotfix(
        engine="builtin", contained=True, summary="s", failure=HOSTILE, before=HOSTILE,
        after=HOSTILE, suite=HOSTILE, patch=PATCH, tried=(HOSTILE,), gaps=(HOSTILE,),
        not_written=HOSTILE, follow_up=HOSTILE, now=((HOSTILE, "halon hotfix verify x"),),
    ),
    reports.Review(engine="builtin", title=HOSTILE, summary="s"),
    reports.Escalation(
        engine="builtin", summary=HOSTILE, solved=False, tried=(HOSTILE,), needs=(HOSTILE,),
        experiments=tuple(
            reports.Experiment(key=key, statement=HOSTILE, variable=HOSTILE, test="t")
            for key in ("a", "b")
        ),
    ),
)  # fmt: skip


def test_every_kind_of_report_has_a_template_that_renders() -> None:
    assert [bool(report_text.markdown(report)) for report in REPORTS] == [True] * len(
        typing.get_args(reports.Report)
    )


def test_every_template_is_used() -> None:
    files = {path.name for path in Path(report_text.FOLDER).iterdir()}
    assert files == set(report_text.TEMPLATES.values())


def test_hostile_text_makes_no_heading_link_or_mention_outside_of_a_block() -> None:
    for report in REPORTS:
        outside = _outside_of_blocks(report_text.markdown(report))
        assert [line for line in outside if line.startswith("# shout")] == []
        assert [line for line in outside if "<!channel>" in line or "[x](" in line] == []


def test_a_block_cannot_be_closed_from_inside() -> None:
    assert report_text.block("a\n```\nb").startswith("````\n")


def test_inline_code_survives_back_ticks() -> None:
    assert report_text.code("a `b` c") == "``a `b` c``"


def _outside_of_blocks(text: str) -> list[str]:
    lines, fence = [], ""
    for line in text.splitlines():
        if not fence and line.startswith("```"):
            fence = line[: len(line) - len(line.lstrip("`"))]
        elif fence and line == fence:
            fence = ""
        elif not fence:
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    "plain",
    [
        "shop/cart_total.py:12 raised KeyError in add_item",
        "ann@example.com saw #12 fail! 3 > 2, 2 < 250 ms, 5 * 3",
        "the list [1, 2] has two items",
        r"C:\Users\ann",
        "R&D",
    ],
)
def test_what_steers_nothing_is_left_as_people_write_it(plain: str) -> None:
    assert plain == report_text.inert(plain)


def test_any_text_is_shown_as_it_was() -> None:
    """Made of what Markdown listens to: rendered, it is one paragraph with the same text."""
    parts = (
        *r"\`*_[]()<>!#@|~&:",
        " ",
        "a",
        "b1",
        "](x)",
        "<b>",
        "&lt;",
        "__",
        "**",
        "![",
        "http://a.b",
    )
    draw = random.Random(7)
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for _ in range(4000):
        text = "x" * draw.randint(0, 1) + "".join(draw.choices(parts, k=draw.randint(1, 12)))
        line = " ".join(text.split())
        if not line:
            continue
        drawn = reader.render(report_text.inert(line))
        shown = re.fullmatch(r"<p>([^<]*)</p>\n", drawn)
        assert shown is not None, (line, drawn)
        assert line == html.unescape(shown[1])
