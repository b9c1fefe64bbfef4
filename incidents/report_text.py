"""The typed reports as Markdown for people, by the templates of templates/reports.

Called by cli and bot. Pure but for reading the templates; an undefined name is an error, never an
empty space. What is untrusted is made inert here: a fence cannot be closed from inside a report.
"""

import re
from functools import cache
from pathlib import Path

import jinja2

from incidents import reports, signs

FOLDER = Path(__file__).resolve().parent.parent / "templates" / "reports"
TEMPLATES = {
    "diagnosis": "diagnosis.md.j2",
    "patch": "patch.md.j2",
    "no patch": "no_patch.md.j2",
    "test": "test.md.j2",
    "plan": "plan.md.j2",
    "review": "review.md.j2",
    "hotfix": "hotfix.md.j2",
    "escalation": "escalation.md.j2",
}
# The signs that would steer Markdown or a chat where they stand, and no others: people edit the
# review in this form. Judged on one line, at whose ends a template may go on.
STEERS = re.compile(
    r"""
      \\(?=[!-/:-@\[-`{-~]|\Z)          # a backslash takes only a sign's meaning
    | [`|]                              # code; a cell of a table
    | (?<!\s)\* | \*(?!\s)              # emphasis; a star between spaces is none
    | (?<![^\W_])_ | _(?![^\W_])        # inside of a word it is a letter
    | \](?=[(\[:]|\Z) | \A\[ | !(?=\[)  # links, images, a list's check boxes
    | <(?=[^\s\d=<]|\Z) | (?<=<)[!@\#]  # tags, addresses, <!channel>
    | \A[>\#]                           # quotes and headings
    | @(?=(?:here|channel|everyone|all)\b)
    | &(?=\#?\w+;)                      # &lt; is what somebody wrote
    | ~(?=~) | (?<=~)~
    """,
    re.X,
)


def markdown(report: reports.Report) -> str:
    """Return the whole report as Markdown; raises `jinja2.TemplateError` for a broken template."""
    text = _templates(FOLDER).get_template(TEMPLATES[report.kind]).render(report=report)
    return visible(re.sub(r"\n{3,}", "\n\n", text).strip()) + "\n"


def visible(text: str) -> str:
    """Return a text in which nothing steers a terminal or hides from the eye; lines stay lines."""
    return signs.UNUSUAL.sub(_seen, text)


def _seen(found: re.Match[str]) -> str:
    before = found.string[found.start() - 1 : found.start()]
    return "\ufffd" if signs.hides(found[0], before) else found[0]


def inert(text: object) -> str:
    """Return text on one line that Markdown and chat platforms show as it is."""
    return STEERS.sub(r"\\\g<0>", " ".join(str(text).split()))


def code(text: object) -> str:
    """Return text on one line as inline code, whatever back-ticks it holds."""
    line = " ".join(str(text).split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else "``"


def block(text: object, language: str = "") -> str:
    """Return text as a fenced block that nothing inside it can close."""
    body = str(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`{3,}", body)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def short(revision: object) -> str:
    """Return the first twelve digits of a hash, other names whole."""
    text = str(revision)
    return text[:12] if re.fullmatch(r"[0-9a-f]{40,64}", text) else text


def rate(value: float | None) -> str:
    """Return a share as percent; None is unknown."""
    return "unknown" if value is None else f"{value * 100:.3g} %"


def checked(value: bool | None) -> str:
    """Return the word of a check's result."""
    return {True: "passed", False: "FAILED", None: "not checked"}[value]


def cited(ids: tuple[str, ...]) -> str:
    """Return the ids of evidence as a suffix, or nothing."""
    return f" [{', '.join(ids)}]" if ids else ""


@cache
def _templates(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is Markdown; each value passes a filter below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (inert, code, block, short, rate, checked, cited)
    environment.filters.update({filter_.__name__: filter_ for filter_ in filters})
    return environment
