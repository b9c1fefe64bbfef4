"""What a run's parts share of the door to a model: text made safe, put between marks, let out.

Made once per run by the claude engine over `agents.outgoing`; used by duties, desk, tools and loop.
Nothing of a stranger's text reaches a model but through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.outgoing import Leaving, Outgoing
from agents.untrusted import Source
from incidents.redaction import Redactor


@dataclass(frozen=True)
class Teller:
    """The door of one run, and the redaction behind it."""

    door: Outgoing
    redactor: Redactor

    @property
    def rule(self) -> str:
        """The sentences that say what the marks mean."""
        return self.door.fence.rule

    def safe(self, text: str) -> str:
        """Return text with secrets and personal data replaced by tokens, for what is kept."""
        return self.redactor.text(text)

    def meant(self, text: str) -> str:
        """Return text with tokens replaced by what they stand for, for edits and searches."""
        return self.door.restore(text)

    def tell(self, source: Source, text: str, origin: str = "") -> str:
        """Return text of others, made safe, between marks that it cannot forge."""
        return self.door.show(source, text, origin)

    def leave(self, body: Mapping[str, Any]) -> Leaving:
        """Record a request and let it go."""
        return self.door.leave(body)
