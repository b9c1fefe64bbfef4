"""Every report renders by its template, and nothing in it can break out of its place."""

import typing
from pathlib import Path

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
    reports.Review(engine="builtin", title=HOSTILE, summary="s"),
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
