"""A flagd flag file of one flag: which share of the users gets the canary.

The switch of deployer `flagd`, on the way back too. Only the standard library. The file is Halon's
alone: taking back has to work when somebody broke or deleted it, and so it is written whole.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from incidents import errors
from rollout import record
from rollout.observations import Problem
from rollout.switch import Reading

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Flag:
    """One string flag with the variants `stable` and `canary`; `key` is what a user stays by."""

    kind: ClassVar[str] = "flagd"
    path: str
    flag: str
    key: str = "targetingKey"

    def set(self, percent: int) -> None:
        """Write the share; who reads the file sees the old one or the new one, never a part."""
        try:
            record.write(Path(self.path), json.dumps(self._content(percent), indent=1) + "\n")
        except OSError as error:
            raise errors.TemporaryFailure(f"The flag file cannot be written: {error}.") from error

    def read(self) -> Reading:
        """Return the share in the file; raises TemporaryFailure when it is gone or not as written.

        An OpenFeature service keeps its last value then, so nobody knows what users get.
        """
        try:
            content = json.loads(Path(self.path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise errors.TemporaryFailure(f"The flag file cannot be read: {error}.") from error
        for percent in range(101):
            if content == self._content(percent):
                return Reading(percent)
        raise errors.TemporaryFailure(
            f"The flag file {self.path!r} does not have the form that Halon writes: somebody "
            "changed it."
        )

    def drained(self) -> bool:
        """Return True: requests that were decided before are not this file's to see."""
        return True

    def problems(self) -> list[Problem]:
        """Return what speaks against this file: it is not Halon's own, or cannot be written."""
        path = Path(self.path)
        if not path.parent.is_dir():
            return [Problem(f"There is no folder {str(path.parent)!r} for the flag file.")]
        try:
            self.read()
        except errors.TemporaryFailure as error:
            text = f"{error.message} Give Halon a file of its own; flagd reads several."
            return [Problem(text)] if path.exists() else [Problem(self._missing())]
        return []

    def _missing(self) -> str:
        first = json.dumps(self._content(0))
        return f"There is no flag file {self.path!r}; begin with: {first}"

    def _content(self, percent: int) -> dict[str, Any]:
        """Return the file for a share.

        The canary's bucket comes first and the sum stays 100, so users of a smaller share stay in
        a larger one. At 0 and 100 there is no targeting: users without a key are meant as well.
        """
        flag: dict[str, Any] = {
            "state": "ENABLED",
            "variants": {STABLE: STABLE, CANARY: CANARY},
            "defaultVariant": CANARY if percent == 100 else STABLE,
        }
        if 0 < percent < 100:
            bucket_by = {"cat": [{"var": "$flagd.flagKey"}, {"var": self.key}]}
            shares = [[CANARY, percent], [STABLE, 100 - percent]]
            flag["targeting"] = {"fractional": [bucket_by, *shares]}
        return {"flags": {self.flag: flag}}
