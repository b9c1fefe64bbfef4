"""What a reader saw of a question, on its way through the page: a hidden field and back.

Used by `bot.web.parts`, `bot.web.view` and `bot.web.app`; `approvals.decide` compares it with what
would be done. Nothing here is trusted: who sends something else than it saw is refused.
"""

import json
from dataclasses import asdict, fields

from incidents.approvals import Expected
from incidents.models import Approval

NAMES = tuple(one.name for one in fields(Expected))


def of(approval: Approval) -> str:
    """Return what a page that shows this question sends along with an answer."""
    shown = Expected(*(getattr(approval, name) for name in NAMES))
    return json.dumps(asdict(shown), sort_keys=True)


def read(text: str) -> Expected:
    """Return what the voter saw; raises `ValueError` for what no page of ours sends."""
    found = json.loads(text)
    if not isinstance(found, dict) or set(found) != set(NAMES):
        raise ValueError(f"not a question that was seen: {text!r}")
    if not all(isinstance(one, str | None) for one in found.values()):
        raise ValueError(f"not a question that was seen: {text!r}")
    return Expected(**found)
