"""What every monitor answers. Implemented beside this file; chosen by name in `rollout.wiring`."""

from datetime import datetime
from typing import Protocol

from incidents.models import Bucket, Version


class Monitor(Protocol):
    """Counts requests and errors of one service per version."""

    @property
    def fingerprints(self) -> bool:
        """Whether its buckets tell errors apart."""
        ...

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until), oldest first.

        A bucket's requests are None when it was not measured, and 0 only when the source is known
        to have watched. Ask for the past only: a line may be written a moment late. Raises
        `errors.TemporaryFailure` when the source cannot be asked at all.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open between readings; may be asked again all the same."""
        ...
