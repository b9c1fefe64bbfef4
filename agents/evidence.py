"""The ledger of one run: every recorded fact gets an id, and claims point at ids.

Filled by the engines while they work and put into their reports. It stores excerpts, never whole
logs; redaction happens later, at the one boundary of `incidents.redaction`.
"""

import hashlib
import threading
from datetime import UTC, datetime

from incidents import models, reports

EXCERPT_CHARACTERS = 2000


class Ledger:
    """Facts in the order in which they were seen; the same fact twice has one id."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, str], reports.EvidenceItem] = {}
        self._lock = threading.Lock()

    def add(
        self,
        kind: models.EvidenceKind,
        source: str,
        locator: str,
        text: str,
        observed_at: datetime | None = None,
    ) -> str:
        """Record a fact, return its id such as "E3"; `text` is hashed whole, kept as an excerpt."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        with self._lock:
            key = (kind.value, locator, digest)
            if key not in self._items:
                self._items[key] = reports.EvidenceItem(
                    id=f"E{len(self._items) + 1}",
                    kind=kind.value,
                    source=source,
                    locator=locator,
                    excerpt=excerpt(text),
                    sha256=digest,
                    observed_at=observed_at or datetime.now(UTC),
                )
            return self._items[key].id

    def put(self, item: reports.EvidenceItem) -> None:
        """Take up a fact that an earlier life of the run recorded, under its own id."""
        with self._lock:
            self._items.setdefault((item.kind, item.locator, item.sha256), item)

    def get(self, evidence_id: str) -> reports.EvidenceItem | None:
        """Return a fact by its id, None if there is none."""
        return next((item for item in self.items() if item.id == evidence_id), None)

    def items(self) -> tuple[reports.EvidenceItem, ...]:
        """Return every fact in the order of its id."""
        with self._lock:
            return tuple(self._items.values())


def excerpt(text: str, limit: int = EXCERPT_CHARACTERS) -> str:
    """Return a printable excerpt: head and tail, control characters replaced."""
    clean = "".join(
        character if character.isprintable() or character in "\n\t" else "�" for character in text
    )
    if len(clean) <= limit:
        return clean
    half = limit // 2
    return f"{clean[:half]}\n[… {len(clean) - 2 * half} characters left out …]\n{clean[-half:]}"
