"""No text of a stranger leaves its delimiters, becomes markup or a command, or moves a verdict.

Each of injections.py is tried twice: as Halon reads it, where it must fail, and in a reading
without the defence, where it must succeed, so that a defence that is gone is noticed.
"""

import re
import shlex
import subprocess
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from agents.sandbox import Sandbox
from agents.untrusted import Fence, Source
from bot import texts
from bot.web import markdown
from incidents import report_text, reports
from incidents.models import Verdict
from tests.agents.builtin import conftest as shops
from tests.agents.builtin.conftest import Shop, box, engine, shop
from tests.agents.injections import CASES, Injection

__all__ = ["box", "engine", "shop"]  # fixtures of the builtin engine's tests

NONCE = "0f1e2d3c4b5a6978"
FENCE = Fence(NONCE)
# What git itself refuses in the name of a branch; all the rest is tried.
UNNAMEABLE = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]+|\.\.+|@\{|//+|/\.|\.lock|[\ud800-\udfff]")
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def filled(case: Injection, canary: str = "canary") -> str:
    return case.text.replace("{nonce}", NONCE).replace("{canary}", canary)


def hides(text: str) -> bool:
    """Whether a sign of a text says nothing to an eye."""
    strange = re.compile("[\u115f\u1160\u3164\u2800\ufe00-\ufe0e\U000e0100-\U000e01ef\u2028\u2029]")
    return bool(strange.search(text)) or any(
        unicodedata.category(sign)[0] == "C" and sign not in "\n\t" for sign in text
    )


def tags(page: str) -> list[str]:
    """The elements and comments of a piece of a page."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            found.append(tag)

        def handle_comment(self, data: str) -> None:
            found.append("comment")

    Reader().feed(page)
    return found


def as_halon_shows_it(text: str) -> str:
    """A stranger's text in a message of the war room, as every template puts it there."""
    return str(markdown.line(str(texts.inline(text))))


def as_a_naive_page_shows_it(text: str) -> str:
    """The same with the parser's defaults and nothing made inert."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    return str(parser.render(text)).replace("<p>", "").replace("</p>", "")


def naively_fenced(text: str) -> str:
    return f'<untrusted id="{NONCE}" kind="log">\n{text}\n</untrusted id="{NONCE}">'


@each
def test_nothing_stands_outside_of_its_delimiters(case: Injection) -> None:
    for wrapped in (
        FENCE.wrap(case.source, filled(case)),
        FENCE.wrap(Source.FILE, "x", filled(case)),
    ):
        assert "" == FENCE.outside(wrapped)
        assert 2 == wrapped.count(NONCE)
        assert not hides(wrapped)


@each
def test_in_a_message_it_is_text_and_nothing_else(case: Injection) -> None:
    shown = as_halon_shows_it(filled(case))
    whole = str(markdown.whole(str(texts.inline(filled(case)))))

    assert [] == tags(shown)
    assert {"p"} >= set(tags(whole))
    assert not hides(shown)


@each
def test_in_a_report_it_is_text_and_nothing_else(case: Injection) -> None:
    found = reports.NoPatch(engine="builtin", tried=(filled(case),), reason=filled(case))
    clean = reports.NoPatch(engine="builtin", tried=("x",), reason="x")

    drawn = str(markdown.whole(report_text.markdown(found)))
    expected = tags(str(markdown.whole(report_text.markdown(clean))))

    assert expected == tags(drawn)


@each
def test_without_its_defence_it_succeeds(case: Injection, tmp_path: Path) -> None:
    text = filled(case)
    match case.by:
        case "words":
            assert "" != FENCE.outside(text)
        case "fence":
            assert (
                "" != FENCE.outside(naively_fenced(text)) or naively_fenced(text).count(NONCE) > 2
            )
        case "hidden":
            assert hides(naively_fenced(text))
        case "markup":
            assert [] != tags(as_a_naive_page_shows_it(text))
        case "command":
            line = f"echo looking at {text}"
            subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False)
            assert (tmp_path / "canary").exists()
        case _:
            raise AssertionError(case.by)


def test_there_are_enough_of_every_kind() -> None:
    assert len(CASES) >= 40
    assert {"words", "fence", "hidden", "markup", "command"} == {case.by for case in CASES}
    wanted = {Source.LOG, Source.TRACE, Source.COMMIT, Source.FILE, Source.NAME, Source.ALERT}
    assert wanted | {Source.HOTFIX, Source.TEST, Source.CHAT} <= {case.source for case in CASES}


def test_none_changes_verdict_action_or_command_of_the_builtin_engine(
    shop: Shop, box: Sandbox, tmp_path: Path
) -> None:
    """All of them at once: in commits, branches, files, file names, logs, traces and the output."""
    canary = tmp_path / "canary"
    told = [filled(case, str(canary)) for case in CASES]
    good = shop.commit("Say more", **_files(told))
    noisy = "".join(f"print({text!r})\n" for text in told)
    guilty = shop.commit(
        "Tidy the rates\n\n" + "\n".join(told),
        shop__py=shops.edited(('RATES = {"DE": 490, "AT": 690}', 'RATES = {"DE": 490}')),
    )
    shop.commit("\n".join(reversed(told)), notes__txt="\n".join(told))
    shop.commit(told[0], tests___conftest__py=noisy)
    for number, text in enumerate(told):
        name = UNNAMEABLE.sub("-", text)[:100].strip("./-")
        shop.repository.git("branch", f"n{number}/{name or 'x'}")
    log = tmp_path / "shop.log"
    log.write_text(
        "".join(f"2026-01-05T09:00:{n % 60:02}Z ERROR {t}\n" for n, t in enumerate(told))
    )

    found, patch, *_ = shop.fix(good=good, logs=(log,), traces=tuple(told))

    assert isinstance(found, reports.Diagnosis)
    assert isinstance(patch, reports.Patch)
    assert (Verdict.CONFIRMED, guilty) == (found.verdict, found.culprit)
    assert reports.RemedyKind.REVERT is patch.remedy
    assert {shlex.join(shops.PYTEST)} == {proof.command for proof in found.proofs}
    assert not canary.exists()


def _files(told: list[str]) -> dict[str, str]:
    return {f"docs___note{n}__md": text for n, text in enumerate(told)} | {
        "CLAUDE__md": "\n".join(told)
    }
