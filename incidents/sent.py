"""What left for a model: each request as it went out, redacted, its texts stored once.

Written by the door of the model's engine (`agents.outgoing`) just before a request leaves, read by
`halon incident show --sent-to-model`. A conversation repeats itself with every turn: a text is
stored once per incident and named by its hash, so that content can be purged and the list stays.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from incidents import rows, schema
from incidents.columns import canonical
from incidents.models import Json, Stage
from incidents.store import Store

_R, _T = schema.sent_request, schema.sent_text


@dataclass(frozen=True)
class Part:
    """One part of a request: where it stood, and what it said; None when it was purged."""

    where: str  # such as "system", "messages[3]", "tools[0]", "model"
    digest: str
    content: Any
    first: bool  # whether no earlier request of the incident had it


@dataclass(frozen=True)
class SentRequest:
    """One request to a model."""

    id: int
    stage_run: int
    stage: Stage
    at: datetime
    parts: tuple[Part, ...]


class Sent:
    """Records and returns what was sent to models."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recorder(self, run_id: int) -> Callable[[Mapping[str, Any]], None]:
        """Return the function that records a stage run's requests, for `Outgoing`."""
        return lambda body: self.record(run_id, body)

    def record(self, run_id: int, body: Mapping[str, Any]) -> None:
        """Record one request, already redacted; raises `errors.NotFound`.

        No fence is asked for: what leaves is told, also by a worker that has lost its run.
        """
        parts = [(where, content, _digest(content)) for where, content in _parts(body)]
        with self._store.write() as tx:
            run = rows.get_run(tx, run_id)
            for _, content, digest in parts:
                row = {"incident": run.incident, "digest": digest, "content": content}
                tx.insert_new(_T, row)
            named = [[where, digest] for where, _, digest in parts]
            made = {"incident": run.incident, "stage_run": run_id, "at": tx.now, "parts": named}
            tx.run(_R.insert().values(**made))

    def requests(self, incident: int) -> list[SentRequest]:
        """Return every request of an incident, the oldest first."""
        with self._store.read() as tx:
            texts = {
                row.digest: row.content
                for row in tx.run(select(_T).where(_T.c.incident == incident))
            }
            runs = schema.stage_run
            found = tx.run(
                select(_R, runs.c.stage)
                .join(runs, runs.c.id == _R.c.stage_run)
                .where(_R.c.incident == incident)
                .order_by(_R.c.id)
            ).all()
        seen: set[str] = set()
        return [
            SentRequest(
                row.id, row.stage_run, row.stage, row.at, tuple(_told(row.parts, texts, seen))
            )
            for row in found
        ]

    def purge(self, incident: int) -> int:
        """Remove the texts for good and return how many; that something was sent stays known."""
        with self._store.write() as tx:
            there = (_T.c.incident == incident, _T.c.content.is_not(None))
            return tx.change(update(_T).where(*there).values(content=None))


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a request: each message and tool alone, everything else by its name."""
    for name, value in body.items():
        if isinstance(value, list | tuple) and value:
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))
        else:
            yield name, value


def _told(parts: list[list[str]], texts: Json, seen: set[str]) -> Iterator[Part]:
    for where, digest in parts:
        yield Part(where, digest, texts.get(digest), digest not in seen)
        seen.add(digest)


def _digest(content: Any) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()
