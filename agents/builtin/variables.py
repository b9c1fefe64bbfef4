"""Is a variable the cause? The environment of the last good deploy against that of the present one.

Used by production-fixer. Each variable is restored alone, on the broken revision, and brought back
alone; only one that decides the failure both ways is named. Secrets never enter a replay.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.builtin import reproduction
from agents.builtin.failures import Failure
from agents.builtin.reproduction import Mark, Replays
from agents.case import Environment

MOST = 24  # variables that are tried one by one
# Those of the machine, which would break the sandbox and say nothing of the service.
MACHINE = re.compile(r"^(?:PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|TMPDIR|HOSTNAME|TERM|LD_\w+)$")
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|PRIVATE|AUTH|COOKIE|DSN", re.IGNORECASE)
WITH_PASSWORD = re.compile(r"^\w[\w+.-]*://[^/@\s]*:[^/@\s]*@")
SHOWN = 80

Variables = dict[str, str]


@dataclass(frozen=True)
class Changed:
    """A variable that differs between two deploys; None: it was not set."""

    name: str
    before: str | None
    after: str | None

    @property
    def secret(self) -> bool:
        """Whether name or value speak of a secret: then no value is used or shown."""
        values = (value for value in (self.before, self.after) if value)
        return bool(SECRET.search(self.name)) or any(map(WITH_PASSWORD.match, values))

    def __str__(self) -> str:
        if self.secret:
            return f"{self.name} (a secret: neither shown nor tried)"
        return f"{self.name}: {_said(self.before)} → {_said(self.after)}"


@dataclass(frozen=True)
class Restored:
    """The one variable that decides the failure, with the runs that show it."""

    name: str
    words: str
    former: str  # " (3)", or " (not set)"
    evidence: tuple[str, ...]


def pair(
    environments: Sequence[Environment], good: str | None
) -> tuple[Environment, Environment] | None:
    """Return the environments of the last good deploy and of the present one; None if alike."""
    if len(environments) < 2:
        return None
    present = environments[-1]
    earlier = [one for one in environments[:-1] if between(one, present)]
    named = [one for one in earlier if one.revision == good]
    chosen = (named or earlier)[-1:]
    return (chosen[0], present) if chosen else None


def between(one: Environment, other: Environment) -> tuple[Changed, ...]:
    """Return the variables that differ, without those of the machine, by name."""
    before, after = dict(one.variables), dict(other.variables)
    names = sorted(name for name in before.keys() | after.keys() if not MACHINE.match(name))
    found = (Changed(name, before.get(name), after.get(name)) for name in names)
    return tuple(item for item in found if item.before != item.after)


def usable(environment: Environment) -> Variables:
    """Return the variables that a replay may have: no secret, nothing of the machine."""
    found = (Changed(name, None, value) for name, value in environment.variables)
    return {
        item.name: item.after or ""
        for item in found
        if not item.secret and not MACHINE.match(item.name)
    }


def with_value(variables: Variables, name: str, value: str | None) -> Variables:
    """Return the variables with one of them set, or taken away."""
    kept = {key: other for key, other in variables.items() if key != name}
    return kept if value is None else kept | {name: value}


@dataclass
class Trial:
    """Tries each changed variable alone on one tree; `replays` makes a replay with variables."""

    replays: Callable[[Variables], Replays]
    tree: str
    target: Failure
    good: Variables
    present: Variables
    rounds: int

    def deciding(self, changed: Sequence[Changed]) -> list[tuple[Changed, tuple[Replays, ...]]]:
        """Return the variables that take the failure away alone and bring it back alone."""
        found: list[tuple[Changed, tuple[Replays, ...]]] = []
        for item in changed[:MOST]:
            without = self.replays(with_value(self.present, item.name, item.before))
            if self._all(without, Mark.GOOD, 1):
                alone = self.replays(with_value(self.good, item.name, item.after))
                if self._all(without, Mark.GOOD, self.rounds) and self._shows(alone):
                    found.append((item, (without, alone)))
        return found

    def all_together(self) -> bool:
        """Tell whether the failure is gone with everything as it was at the last good deploy."""
        return self._all(self.replays(self.good), Mark.GOOD, self.rounds)

    def _all(self, replays: Replays, wanted: str, times: int) -> bool:
        return set(self._marks(replays, times)) == {wanted}

    def _shows(self, replays: Replays) -> bool:
        return Mark.BAD in self._marks(replays, self.rounds)

    def _marks(self, replays: Replays, times: int) -> list[str]:
        replays.at_least([self.tree], times)
        return [reproduction.mark(run.observed, self.target) for run in replays.tally(self.tree)]


def _said(value: str | None) -> str:
    if value is None:
        return "not set"
    return f"“{value[:SHOWN]}”" if value else "empty"


def former(item: Changed) -> str:
    """Return the former value in brackets."""
    return f" ({_said(item.before)})"
