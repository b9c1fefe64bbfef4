"""Monitor `replay`: buckets stored in a file, as `halon judge` reads it.

Made by `rollout.wiring`; for rehearsals, tests and the study of a rollout that is over. A bucket
that is not in the file was not measured.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from incidents.models import Bucket, Version
from incidents.settings import Table
from rollout import judge


class Settings(Table):
    """The keys beside `source = "replay"`."""

    path: Annotated[str, Field(min_length=1)]


class Replay:
    """The buckets of one file, read once; raises `errors.PermanentFailure` for its mistakes."""

    def __init__(self, path: Path) -> None:
        self._buckets, self._told = judge.stored_buckets(path)

    @property
    def fingerprints(self) -> bool:
        """Whether the file tells errors apart."""
        return self._told

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the stored buckets that lie inside [since, until), oldest first."""
        found = [
            bucket
            for bucket in self._buckets
            if bucket.version is version
            and since <= bucket.start
            and bucket.start.timestamp() + bucket.seconds <= until.timestamp()
        ]
        return sorted(found, key=lambda bucket: bucket.start)

    def close(self) -> None:
        """Nothing is held open between readings."""
