"""The war room's messages as stored: what Slack or Telegram would keep on their side.

Written by the poster through `bot.web.port`, read by the pages and their streams. An incident's
`version` grows with every post and edit, under the incident's lock, so that a reader who asks for
what is newer than the last one it saw misses nothing. Knows nothing of what a message says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, func, select, update

from incidents import errors, rows, schema
from incidents.models import Json
from incidents.store import Store, Tx

_T = schema.web_post
_WITHOUT_FILES = [column for column in _T.c if column.name not in ("files", "key")]


@dataclass(frozen=True)
class Post:
    """One message of a thread; files are read one by one with `file`."""

    id: int
    incident: int
    version: int
    message: Json
    pinned: bool
    posted_at: datetime
    edited_at: datetime | None


class Posts:
    """Reads and writes the messages."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, incident: int, key: str, message: Json, files: Sequence[Json] = ()) -> Post:
        """Store a message; the same key returns the one already there. Raises `errors.NotFound`."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            if (there := _one(tx, _T.c.incident == incident, _T.c.key == key)) is not None:
                return there
            made = {
                "incident": incident,
                "key": key,
                "version": _next_version(tx, incident),
                "message": message,
                "files": list(files),
                "pinned": False,
                "posted_at": tx.now,
            }
            return _post(tx.run(_T.insert().values(**made).returning(*_WITHOUT_FILES)).one())

    def edit(self, post_id: int, message: Json, files: Sequence[Json] = ()) -> Post:
        """Replace a message; one that says the same already stays as it is."""
        with self._store.write() as tx:
            there = _locked(tx, post_id)
            kept = tx.run(select(_T.c.files).where(_T.c.id == post_id)).scalar_one()
            if there.message == message and kept == list(files):
                return there
            return _change(tx, there, message=message, files=list(files), edited_at=tx.now)

    def pin(self, post_id: int) -> Post:
        """Mark a message as the one to keep in reach."""
        with self._store.write() as tx:
            there = _locked(tx, post_id)
            return there if there.pinned else _change(tx, there, pinned=True)

    def find(self, incident: int, key: str) -> Post | None:
        """Return the message that was stored under a key."""
        with self._store.read() as tx:
            return _one(tx, _T.c.incident == incident, _T.c.key == key)

    def since(self, incident: int, version: int = 0) -> list[Post]:
        """Return what was posted or edited after a version, in the order of the thread."""
        with self._store.read() as tx:
            found = tx.run(
                select(*_WITHOUT_FILES)
                .where(_T.c.incident == incident, _T.c.version > version)
                .order_by(_T.c.id)
            )
            return [_post(row) for row in found]

    def version(self, incident: int) -> int:
        """Return the newest version of an incident's messages, 0 before the first."""
        with self._store.read() as tx:
            return _next_version(tx, incident) - 1

    def file(self, post_id: int, number: int) -> tuple[int, Json]:
        """Return the incident and one file of a message; raises `errors.NotFound`."""
        with self._store.read() as tx:
            row = tx.run(select(_T.c.incident, _T.c.files).where(_T.c.id == post_id)).first()
        if row is None or not 0 <= number < len(row.files):
            raise errors.NotFound(f"Message {post_id} has no file {number}.")
        return int(row.incident), row.files[number]

    def last_change(self) -> datetime | None:
        """Return when any message was last posted or edited."""
        with self._store.read() as tx:
            newest = [
                tx.run(select(column).order_by(column.desc().nulls_last()).limit(1)).scalar()
                for column in (_T.c.posted_at, _T.c.edited_at)
            ]
        return max((at for at in newest if at is not None), default=None)


def _post(row: Row[tuple[object, ...]]) -> Post:
    return rows.value(Post, row)


def _one(tx: Tx, *where: ColumnElement[bool]) -> Post | None:
    row = tx.run(select(*_WITHOUT_FILES).where(*where)).first()
    return None if row is None else _post(row)


def _locked(tx: Tx, post_id: int) -> Post:
    there = _one(tx, _T.c.id == post_id)
    if there is None:
        raise errors.NotFound(f"There is no message {post_id}.")
    rows.lock_incident(tx, there.incident)
    return _one(tx, _T.c.id == post_id) or there


def _change(tx: Tx, post: Post, **values: object) -> Post:
    changed = update(_T).where(_T.c.id == post.id)
    version = _next_version(tx, post.incident)
    row = tx.run(changed.values(version=version, **values).returning(*_WITHOUT_FILES)).one()
    return _post(row)


def _next_version(tx: Tx, incident: int) -> int:
    newest = select(func.max(_T.c.version)).where(_T.c.incident == incident)
    return int(tx.run(newest).scalar() or 0) + 1
