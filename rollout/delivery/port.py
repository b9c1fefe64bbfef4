"""What every delivery does. Implemented beside this file; chosen by name in `rollout.wiring`."""

from dataclasses import dataclass
from typing import Protocol

from incidents.reports import Patch


@dataclass(frozen=True)
class Branched:
    """The fix as a commit on a branch of its own."""

    branch: str
    revision: str


@dataclass(frozen=True)
class Merged:
    """Whether the fix is on the release branch; `text` says what to do where it is not."""

    merged: bool
    revision: str | None
    text: str


class Delivery(Protocol):
    """Brings a fix to the place from which the team releases. Every call may be repeated."""

    def branch(self, incident_id: str, patch: Patch, message: str) -> Branched:
        """Commit the patch on its base as branch `halon/<incident>`; repeating changes nothing.

        Raises `errors.PermanentFailure` when it does not apply or gives another tree than proved.
        """
        ...

    def merge(self, branched: Branched, into: str) -> Merged:
        """Bring the fix into the release branch, if that needs no person's judgement."""
        ...
