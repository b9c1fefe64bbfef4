"""The hash chain of a timeline: pure functions over entries.

hash = SHA-256 over previous hash, sequence, kind, time, actor, subject and the content's hash. The
content itself is not in it, so it may be purged and the chain still holds.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from incidents.columns import canonical
from incidents.models import EntryKind, Json, Person, TimelineEntry
from incidents.rows import PURGED

FIRST = "0" * 64  # what the first entry follows


def content_hash(content: Json) -> str:
    """Return the SHA-256 of a content's canonical JSON, hex."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def entry_hash(
    previous: str,
    sequence: int,
    kind: EntryKind,
    at: datetime,
    actor: Person,
    subject: str | None,
    hash_of_content: str,
) -> str:
    """Return the hash of an entry; the parts are a JSON list, so none can run into the next."""
    when = at.astimezone(UTC).isoformat(timespec="microseconds")
    parts = [previous, sequence, kind.value, when, str(actor), subject, hash_of_content]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def first_break(entries: Iterable[TimelineEntry]) -> int | None:
    """Return the first sequence that is missing or does not fit, None when the chain holds."""
    previous = FIRST
    for expected, entry in enumerate(entries, start=1):
        rebuilt = entry_hash(
            entry.previous,
            entry.sequence,
            entry.kind,
            entry.at,
            entry.actor,
            entry.subject,
            entry.content_hash,
        )
        kept = entry.content == PURGED or content_hash(entry.content) == entry.content_hash
        fits = entry.sequence == expected and entry.previous == previous
        if not (fits and kept and rebuilt == entry.hash):
            return expected
        previous = entry.hash
    return None
