"""Every error that Halon raises on purpose; vendors' exceptions are translated at the vendor.

    HalonError
    ├── NotFound, NotAllowed, WrongState   shown to the person, no retry
    ├── TemporaryFailure(retry_after)      vendor down or rate limited: the worker tries again
    │   └── OutcomeUnknown                 perhaps it was done: look before doing it again
    ├── PermanentFailure                   the stage ends, the incident escalates
    │   └── BadSettings                    every mistake of a settings file at once
    ├── LimitReached                       BudgetSpent, TimeSpent
    ├── StaleFence                         another process owns this run: stop, write nothing
    └── ToolRefused                        the agent reads the text and goes on

A message says what happened, to which incident, and what to do now; values are quoted with ``!r``.
"""

from datetime import timedelta


class HalonError(Exception):
    """Carries one sentence for a person and, where one is concerned, the incident's id."""

    def __init__(self, message: str, *, incident_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.incident_id = incident_id


class NotFound(HalonError):
    """The thing that was named does not exist."""


class NotAllowed(HalonError):
    """The person may not do this."""


class WrongState(HalonError):
    """The act does not fit the state that the incident, approval or rollout is in."""


class TemporaryFailure(HalonError):
    """Something outside is down or busy and may answer later."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta = timedelta(seconds=5),
        incident_id: str | None = None,
    ) -> None:
        super().__init__(message, incident_id=incident_id)
        self.retry_after = retry_after


class OutcomeUnknown(TemporaryFailure):
    """Nobody answered: it may have been done, so look before doing it again."""


class PermanentFailure(HalonError):
    """Trying again cannot help; a person has to change something."""


class BadSettings(PermanentFailure):
    """The settings are wrong; the message lists every mistake with its mend."""


class LimitReached(HalonError):
    """A budget of the incident is used up."""


class BudgetSpent(LimitReached):
    """The money or tokens of this run are used up."""


class TimeSpent(LimitReached):
    """The time of this run is used up."""


class StaleFence(HalonError):
    """The run was taken over by another process: whoever sees this stops and writes nothing."""


class Cancelled(HalonError):
    """The incident was cancelled; the stage stops here and finishes as cancelled."""


class ToolRefused(HalonError):
    """A tool call was refused; the text tells the agent why."""
