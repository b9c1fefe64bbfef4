"""One production whose artefacts a team's hooks move, and whose traffic a switch or a hook shifts.

What the deployers `command`, `haproxy`, `blue_green` and `flagd` have in common, and what
`rollout.way_back` runs alone. Nothing counts as done because a hook said yes: every command is read
back from outside before it returns. Only the standard library.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from incidents import errors
from rollout import hooks, record
from rollout.observations import Observed, Problem
from rollout.record import TAKE_BACK, Commanded
from rollout.switch import Reading, Switch

if TYPE_CHECKING:
    from incidents.reports import DeploymentPlan

NEWEST = "newest"
POLL_SECONDS = 0.1
DRAIN_SECONDS = 10.0  # a request that hangs on a sick canary must not hold the way back up
FILE = "way_back.json"
NEEDED = ("prepare", "observe", "promote", TAKE_BACK)
SECONDS = {  # each: the hook and its read-back
    "prepare": 240.0,
    "set_weight": 30.0,
    "observe": 10.0,
    "promote": 60.0,
    TAKE_BACK: 60.0,
    "freeze": 30.0,
    "unfreeze": 30.0,
}


class Steered:
    """Every command of `rollout.deployers.port.Deployer`, for one service."""

    def __init__(
        self,
        service: str,
        folder: Path,
        commands: hooks.Hooks,
        switch: Switch | None = None,
        *,
        binary: bool = False,
    ) -> None:
        self._service = service
        self._record = record.Record(folder)
        self._hooks = commands
        self._switch = switch
        self._binary = binary

    def preflight(self, plan: "DeploymentPlan") -> list[Problem]:
        """Return what speaks against this plan now; changes nothing."""
        problems = [*self._programs(), *(self._switch.problems() if self._switch else ())]
        try:
            seen = self.observe()
        except errors.HalonError as error:
            return [*problems, Problem(error.message)]
        if not seen.stable_healthy:
            problems.append(Problem("Stable is not healthy.", fatal=False))
        if seen.stable_revision != plan.stable_revision:
            problems.append(
                Problem(
                    f"Production runs {seen.stable_revision}, the plan was made for "
                    f"{plan.stable_revision}: make a new plan."
                )
            )
        if seen.canary_revision not in (None, plan.revision):
            problems.append(
                Problem(f"Another canary is there: {seen.canary_revision}; end it first.")
            )
        if seen.weight:
            problems.append(Problem(f"The canary already gets {seen.weight} % of the traffic."))
        return problems

    def prepare(self, plan: "DeploymentPlan", token: str) -> Observed:
        """Make the canary ready at weight 0; one that is there already keeps its weight."""
        fence, until = self._allowed(token), self._until("prepare")
        seen = self.observe()
        if seen.stable_revision != plan.stable_revision:
            raise errors.WrongState(
                f"Production runs {seen.stable_revision!r} and not {plan.stable_revision!r}."
            )
        if seen.canary_revision not in (None, plan.revision):
            raise errors.WrongState(f"Another canary is there: {seen.canary_revision!r}.")
        ready = seen.canary_healthy and seen.standby_healthy is not False
        there = seen.canary_revision == plan.revision and (ready or seen.weight > 0)
        mine = self._record.begin(
            fence,
            "prepare",
            weight=self._record.read().weight if there else 0,
            rollout=f"{self._service}-{plan.revision[:12]}",
            base=plan.stable_revision,
            revision=plan.revision,
            last_good=plan.last_good_revision or "",
        )
        if there:
            return self.observe()
        if self._hooks.missing:
            names = ", ".join(self._hooks.missing)
            raise errors.PermanentFailure(f"Hooks need {names}: not set where the controller runs.")
        self._record.say(None)
        self._optional(mine, "freeze")
        self._shift(mine, 0)
        self._hook(mine, "prepare", until)
        return self._read_back(
            mine,
            until,
            lambda now: (
                now.weight == 0 and now.canary_revision == plan.revision and now.canary_healthy
            ),
        )

    def set_weight(self, percent: int, token: str) -> Observed:
        """Send this share of the traffic to the canary."""
        fence, until = self._allowed(token), self._until("set_weight")
        if self._binary and percent not in (0, 100):
            raise errors.WrongState(f"This deployer knows no {percent} %: all or nothing.")
        seen = self.observe()
        if percent and seen.canary_revision is None:
            raise errors.WrongState("There is no canary to send traffic to.")
        if percent and not seen.canary_healthy:
            raise errors.TemporaryFailure("The canary is not healthy: it gets no more traffic.")
        mine = self._record.begin(fence, "set_weight", weight=percent)
        if self._switch is None:
            self._hook(mine, "set_weight", until, HALON_PERCENT=str(percent))
        self._shift(mine, percent)
        return self._read_back(mine, until, lambda now: now.weight == percent)

    def observe(self) -> Observed:
        """Return what is; raises `errors.TemporaryFailure` when it cannot be seen."""
        now = self._record.read()
        try:
            said = hooks.run(
                self._hooks, "observe", self._variables(now), self._hooks.seconds["observe"]
            )
        except errors.PermanentFailure as error:
            raise errors.TemporaryFailure(f"Production cannot be seen: {error.message}") from error
        answer = hooks.parse(said)
        reading = self._switch.read() if self._switch else None
        return _observed(now, answer, reading)

    def promote(self, token: str) -> Observed:
        """Make the canary's revision the stable one, and send the traffic back to stable."""
        fence, until = self._allowed(token), self._until("promote")
        revision, seen = self._record.read().revision, self.observe()
        if seen.canary_revision is None:
            if seen.stable_revision == revision and seen.weight == 0:
                return seen  # done before
            raise errors.WrongState("There is no canary to promote.")
        if seen.stable_revision != revision and seen.weight != 100:
            raise errors.TemporaryFailure(
                f"Only {seen.weight} % go to the canary: promoting now would restart what serves."
            )
        mine = self._record.begin(fence, "promote", weight=0, stable=revision)
        self._hook(mine, "promote", until, HALON_PERCENT="100")
        if self._switch is not None:
            # The canary serves everything until the stable side is up on the new revision.
            self._read_back(
                mine,
                until,
                lambda now: now.stable_revision == revision and now.stable_healthy,
            )
            self._shift(mine, 0)
        seen = self._read_back(mine, until, lambda now: _back_on(now, revision))
        return self._unfrozen(mine, seen)

    def take_back(self, to: str, token: str) -> Observed:
        """Take all traffic off the canary and serve revision `to` as stable."""
        fence = self._record.read().fence if token == NEWEST else _number(token)
        until = self._until(TAKE_BACK)
        mine = self._record.begin(fence, TAKE_BACK, weight=0, stable=to)
        try:
            self._shift(mine, 0)
            self._drain()
            self._hook(mine, TAKE_BACK, until, HALON_TO=to)
        except errors.PermanentFailure as error:
            # Going back is tried again whatever was said: there is nothing safer left to do.
            raise errors.TemporaryFailure(f"Not taken back yet: {error.message}") from error
        seen = self._read_back(mine, until, lambda now: _back_on(now, to))
        return self._unfrozen(mine, seen)

    def take_back_argv(self, to: str, token: str) -> list[str]:
        """Return the command that takes back with nothing else of Halon alive.

        What it needs lies in a file of its own, because the environment of hooks holds secrets.
        """
        fence = token if token == NEWEST else str(_number(token))
        switch = {"kind": self._switch.kind, **_plain(self._switch)} if self._switch else None
        content = {"service": self._service, "hooks": asdict(self._hooks), "switch": switch}
        text, file = json.dumps(content, indent=1, default=str) + "\n", self._record.folder / FILE
        # Who plans has no credentials; what the controller wrote with them must stay as it is.
        poorer = file.exists() and bool(self._hooks.missing)
        if not poorer and (not file.exists() or file.read_text(encoding="utf-8") != text):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            record.write(file, text)
        script = Path(__file__).absolute().with_name("way_back.py")
        return [sys.executable, "-I", "-S", str(script), str(file), to, fence]

    # --- acting

    def _allowed(self, token: str) -> int:
        fence, newest = _number(token), self._record.read().fence
        if fence < newest:
            raise errors.StaleFence(
                f"Fence {fence} is older than {newest}: somebody newer commands."
            )
        return fence

    def _until(self, what: str) -> float:
        return time.monotonic() + self._hooks.seconds[what]

    def _hook(self, mine: Commanded, name: str, until: float, **more: str) -> None:
        seconds = until - time.monotonic()
        variables = {**self._variables(mine), **more}
        try:
            hooks.run(
                self._hooks,
                name,
                variables,
                seconds,
                lambda starting: self._record.start(mine, starting, seconds),
            )
        except errors.PermanentFailure:
            # A hook that was ended by a newer command did not fail; that one writes under the lock.
            with self._record.acting(mine):
                raise
        finally:
            self._record.ended(mine)

    def _optional(self, mine: Commanded, name: str) -> None:
        if self._hooks.has(name):
            self._hook(mine, name, self._until(name))

    def _shift(self, mine: Commanded, percent: int) -> None:
        if self._switch is not None:
            with self._record.acting(mine):
                self._switch.set(percent)

    def _drain(self) -> None:
        """Wait until the canary's last requests are answered, since the hook may stop it."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._switch and not self._switch.drained() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _read_back(
        self, mine: Commanded, until: float, done: Callable[[Observed], bool]
    ) -> Observed:
        """Return what is once it is as commanded; raises TemporaryFailure when it never is."""
        begun = time.monotonic()
        while True:
            try:
                seen = self.observe()
                if done(seen):
                    self._record.still(mine)
                    return seen
                why = _spoken(seen)
            except errors.TemporaryFailure as error:
                why = error.message
            self._record.still(mine)
            if time.monotonic() >= until:
                raise errors.TemporaryFailure(
                    f"{mine.what} was commanded and did not come true in "
                    f"{time.monotonic() - begun:.0f} s: {why}"
                )
            time.sleep(POLL_SECONDS)

    def _unfrozen(self, mine: Commanded, seen: Observed) -> Observed:
        """Let the team's pipeline go again; traffic is where it belongs, so a failure is told."""
        try:
            self._optional(mine, "unfreeze")
        except errors.HalonError as error:
            trouble = f"The team's pipeline is still frozen: {error.message}"
            self._record.say(trouble)
            return replace(seen, trouble=trouble)
        return seen

    def _variables(self, now: Commanded) -> dict[str, str]:
        return {
            "HALON_SERVICE": self._service,
            "HALON_ROLLOUT": now.rollout,
            "HALON_REVISION": now.revision,
            "HALON_STABLE": now.base,
            "HALON_LAST_GOOD": now.last_good,
            "HALON_FENCE": str(now.fence),
            "HALON_PERCENT": "0",
            "HALON_TO": "",
        }

    def _programs(self) -> list[Problem]:
        path = self._hooks.environment.get("PATH")
        return [
            Problem(f"Hook {name} cannot be run: there is no program {argv[0]!r}.")
            for name, argv in self._hooks.argv.items()
            if argv and shutil.which(argv[0], path=path) is None
        ]


def _observed(now: Commanded, answer: hooks.Answer, reading: Reading | None) -> Observed:
    """Join what the hook and the switch say; what neither says cannot be seen."""
    weight = reading.weight if reading else answer.weight
    if weight is None:
        raise errors.TemporaryFailure("Production cannot be seen: hook observe says no weight.")
    # At weight 0 a canary's side that runs what stable runs is no canary, but a spare.
    canary = None if weight == 0 and answer.canary == answer.stable else answer.canary
    stable = _both(answer.stable_healthy, reading.stable_healthy if reading else None)
    healthy = _both(answer.canary_healthy, reading.canary_healthy if reading else None)
    if stable is None or (canary is not None and healthy is None):
        raise errors.TemporaryFailure(
            "Production cannot be seen: nothing says whether it is healthy."
        )
    as_commanded = now.weight in (None, weight) and now.stable in (None, answer.stable)
    lost = f"{weight} % go to a canary that does not run." if weight and canary is None else None
    troubles = (now.trouble, lost, reading.trouble if reading else None, answer.trouble)
    return Observed(
        weight=weight,
        stable_revision=answer.stable,
        canary_revision=canary,
        stable_healthy=stable,
        canary_healthy=canary is not None and bool(healthy),
        at=datetime.now(UTC),
        settled=as_commanded,
        standby_healthy=answer.standby_healthy,
        fence=now.fence,
        trouble=" ".join(filter(None, troubles)) or None,
    )


def _both(one: bool | None, other: bool | None) -> bool | None:
    said = [word for word in (one, other) if word is not None]
    return all(said) if said else None


def _back_on(seen: Observed, revision: str) -> bool:
    return seen.weight == 0 and seen.canary_revision is None and seen.stable_revision == revision


def _spoken(seen: Observed) -> str:
    health = "healthy" if seen.canary_healthy else "not healthy"
    canary = (
        f"canary {seen.canary_revision[:12]} ({health})" if seen.canary_revision else "no canary"
    )
    text = f"{seen.weight} % on {canary}, stable {(seen.stable_revision or 'none')[:12]}."
    return f"{text} {seen.trouble}" if seen.trouble else text


def _number(token: str) -> int:
    if not token.isdecimal():
        raise errors.PermanentFailure(f"A token is a decimal number, not {token!r}.")
    return int(token)


def _plain(switch: Switch) -> Mapping[str, object]:
    return dict(vars(switch))
