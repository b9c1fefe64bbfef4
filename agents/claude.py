"""The claude engine: every role played by a model over the evidence that the builtin has gathered.

Made by workers and the shell verbs with everything it needs. A role that the model cannot play (no
price, no money, no answer, a refusal, a result that does not hold) is played by the other tier
where that may help, else by the builtin engine, and the report says so.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents import outgoing, rolefiles, sandbox, telling, transcript, untrusted
from agents.allowance import Allowance, Clock, Meter
from agents.builtin import workbench
from agents.builtin.deadline import Deadline
from agents.builtin.engine import Builtin
from agents.builtin.workbench import Workbench
from agents.case import Case
from agents.duties import contract, diagnosing, hotfixing, mending, testing, words
from agents.duties.contract import Duty, Stamp
from agents.engine import Budget, Role
from agents.loop import Again, Ended, Run, Stop, ended
from agents.model import Model, Tier, Trouble
from agents.prices import Prices
from agents.purse import Purse
from agents.rolefiles import RoleFile
from agents.tools.box import Box
from agents.tools.contract import Tool
from agents.transcript import Kind, Transcript
from incidents import errors, reports
from incidents.redaction import Redactor

ENGINE = "claude"
Opening = Callable[
    [Workbench, reports.Report | None, telling.Teller, Path], AbstractContextManager[Any]
]
DUTIES: Mapping[Role, Opening] = {
    Role.BUG_DIAGNOSTICIAN: diagnosing.opened,
    Role.PATCH_DEVELOPER: functools.partial(mending.opened, role=Role.PATCH_DEVELOPER),
    Role.PRODUCTION_FIXER: functools.partial(mending.opened, role=Role.PRODUCTION_FIXER),
    Role.HOTFIX: hotfixing.opened,
    Role.HOTFIX_TESTER: testing.opened,
    Role.INCIDENT_ANALYZER: words.review_opened,
    Role.DEPLOYMENT_COORDINATOR: words.plan_opened,
}
# Of the run's time; the rest is the model's, which begins where the builtin ended.
BUILTIN_SHARE = 0.5
# Seconds of a model where it has not all the rest: something burns, and a fix may lie ready.
MODEL_SECONDS = {Role.HOTFIX: 60.0}
LEAST_SECONDS = 10.0
# The other tier may do better with these; with a refused key or a spent budget it would not.
OTHER_TIER = frozenset({Trouble.UNKNOWN_MODEL, Trouble.BUSY, Trouble.CUT, Trouble.UNREADABLE})


@dataclass(frozen=True)
class Limits:
    """The most that one role may use, besides its stage's time and the incident's money."""

    turns: int = 30
    tokens: int = 1_500_000


@dataclass(frozen=True)
class Place:
    """Where a run of a role is recorded; the same place again goes on where it died."""

    folder: Path
    name: str


@dataclass
class Claude:
    """Implements `agents.engine.Engine`."""

    box: sandbox.Sandbox
    folder: Path  # the workspaces, as the builtin engine has them
    models: Mapping[Tier, Model]
    prices: Prices
    purse: Purse
    place: Place
    redactor: Redactor = field(default_factory=Redactor)
    # Keeps what leaves for a model; in a shell nobody asks for it afterwards.
    record: outgoing.Record = lambda body: None
    files: Path | None = None  # a team's own roles and skills
    limits: Limits = Limits()
    clock: Clock = field(default_factory=Clock)
    check: Callable[[], None] = lambda: None
    name: str = ENGINE

    @property
    def builtin(self) -> Builtin:
        """The engine that this one falls back on."""
        return Builtin(self.box, self.folder)

    def plays(self, role: Role) -> bool:
        """Tell whether it plays a role at all; what it has no duty for, the builtin plays."""
        return role in DUTIES or self.builtin.plays(role)

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        """Return the report of the role; raises `errors.HalonError` if nobody could make one."""
        if role is Role.HOTFIX and case.patch is not None:  # a replay of it; nothing to judge
            return self.builtin.run(role, case, budget)
        if not case.model:
            return self._without(role, case, budget)
        described = rolefiles.load(role, self.files)
        with self._opened(case, budget.seconds * BUILTIN_SHARE) as bench:
            performance = _Performance(self, role, described, bench, budget)
            return performance.played()

    def _without(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        """Let the builtin engine play: this service's text goes to no model."""
        report = self.builtin.run(role, case, budget)
        note = "`model = false`: this service's text goes to no model; the builtin engine spoke."
        return report.model_copy(update=_noted(report, (note,)))

    def fix(self, case: Case, budget: Budget) -> tuple[reports.Report, ...]:
        """Return diagnosis, patch and its test report, as far as they go."""
        deadline = Deadline(budget.seconds)
        found = self.run(Role.BUG_DIAGNOSTICIAN, case, budget)
        if not isinstance(found, reports.Diagnosis):
            raise errors.PermanentFailure(f"The diagnosis came back as a {found.kind}.")
        known = _with(case, diagnosis=found)
        mended = self.run(Role.PATCH_DEVELOPER, known, Budget(deadline.left, budget.dollars))
        if not isinstance(mended, reports.Patch):
            return found, mended
        known = _with(known, patch=mended)
        tested = self.run(Role.HOTFIX_TESTER, known, Budget(deadline.left, budget.dollars))
        return found, mended, tested

    def _opened(self, case: Case, seconds: float) -> AbstractContextManager[Workbench]:
        return workbench.opened(case, self.box, self.folder, Deadline(seconds))


def _with(case: Case, **more: object) -> Case:
    return Case(**(case.__dict__ | more))


@dataclass
class _Performance:
    """One run of one role."""

    engine: Claude
    role: Role
    described: RoleFile
    bench: Workbench
    budget: Budget
    troubles: list[str] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    started: float = 0.0

    def played(self) -> reports.Report:
        """Return the model's report, else the builtin's with why."""
        self.started = self.engine.clock.now()
        base: reports.Report | None = None
        for tier in self._tiers():
            model = self.engine.models[tier]
            kept = self._transcript(tier)
            done, base = self._tier(model, kept, base)
            self.spent += kept.dollars
            if done.report is not None:
                return self._with_cost(done.report)
            self.troubles.append(f"{model.name}: {_why(done)}")
            if done.trouble not in OTHER_TIER:
                break
        return self._instead(base)

    def _tiers(self) -> list[Tier]:
        first = self.described.tier
        return [first, *(tier for tier in Tier if tier is not first)]

    def _transcript(self, tier: Tier) -> Transcript:
        place = self.engine.place
        return transcript.opened(
            place.folder / f"{place.name}-{self.role.value}-{tier.value}.jsonl"
        )

    # --- one tier

    def _tier(
        self, model: Model, kept: Transcript, base: reports.Report | None
    ) -> tuple[Ended, reports.Report | None]:
        if (stopped := kept.stop) is not None:  # an earlier life came to the end
            for bill in kept.bills():
                self.engine.purse.pay(self.role, bill)
            return ended(kept, stopped), _base(kept)
        begun = kept.start
        stored = _base(kept) or base
        fence = untrusted.Fence(begun["nonce"] if begun else None)
        teller = self._teller(fence)
        with DUTIES[self.role](self.bench, stored, teller, kept.files) as duty:
            if begun is None:
                made = kept.keep(duty.base.model_dump(mode="json")) if duty.base else None
                kept.append(Kind.START, role=self.role.value, model=model.name, nonce=fence.nonce,
                            base=made)  # fmt: skip
            if duty.idle:
                return Ended(Stop.REJECTED, duty.idle), duty.base
            seconds = min(self._left(), MODEL_SECONDS.get(self.role, self.budget.seconds))
            self.bench.extend(Deadline(max(1.0, seconds)))
            return self._looped(duty, model, kept, teller, seconds), duty.base

    def _looped(
        self, duty: Duty, model: Model, kept: Transcript, teller: telling.Teller, seconds: float
    ) -> Ended:
        engine = self.engine
        try:
            engine.prices.check(model.name)
        except errors.BadSettings as error:
            return Ended(Stop.MODEL, error.message, Trouble.UNKNOWN_MODEL)
        dollars, limit = engine.purse.left()
        # What earlier lives of this run spent is booked already, and is counted once.
        allowed = min(self.budget.dollars or dollars, dollars + kept.dollars)
        if allowed - kept.dollars <= 0:
            return Ended(Stop.BUDGET, f"no dollar is left ({limit})")
        limits = engine.limits
        allowance = Allowance(seconds + kept.seconds, limits.turns, limits.tokens, allowed)
        meter = Meter(allowance, kept, engine.prices, model.name, engine.clock)
        tools = [tool for tool in duty.tools() if self._has(tool)]
        stamp = Stamp(f"{ENGINE} ({model.name})", lambda: engine.clock.now() - self.started)
        run = Run(
            model=model,
            system=self._system(teller),
            task=duty.task(teller),
            box=Box(self.role.value, [*tools, contract.submit_tool(duty)], teller),
            accept=lambda given: _accepted(duty, given, stamp),
            transcript=kept,
            meter=meter,
            pay=lambda bill: engine.purse.pay(self.role, bill),
            check=engine.check,
        )
        return run.run()

    def _system(self, teller: telling.Teller) -> str:
        return f"Role: {self.role.value}\n\n{self.described.system}\n\n{teller.rule}"

    def _teller(self, fence: untrusted.Fence) -> telling.Teller:
        engine, case = self.engine, self.bench.case
        service = case.incident or "this service"
        door = outgoing.Outgoing(
            fence, engine.redactor, engine.record, allowed=case.model, service=service
        )
        return telling.Teller(door, engine.redactor)

    def _has(self, tool: Tool) -> bool:
        """Tell whether the role's file leaves it a tool; looking up evidence is never taken."""
        return tool.name in self.described.tools or tool.name in ("Evidence", "Diff")

    def _left(self) -> float:
        return self.budget.seconds - (self.engine.clock.now() - self.started)

    # --- reports

    def _with_cost(self, report: reports.Report) -> reports.Report:
        """Return the report with its cost, and with the trouble that it was made in spite of."""
        notes = tuple(f"{one}; the other model spoke instead." for one in self.troubles)
        fields: dict[str, object] = {}
        if "cost" in type(report).model_fields:
            before = report.cost if isinstance(report, reports.Review) else Decimal(0)
            fields["cost"] = before + self.spent
        if notes:
            fields |= _noted(report, notes)
        return report.model_copy(update=fields)

    def _instead(self, base: reports.Report | None) -> reports.Report:
        """Return the builtin engine's report, saying why it spoke."""
        why = "; ".join(self.troubles)
        if base is None:
            raise errors.PermanentFailure(f"The role {self.role.value} could not be played: {why}")
        note = f"The claude engine made no report of this; the builtin engine did. {why}"
        fields: dict[str, object] = _noted(base, (note,))
        if "cost" in type(base).model_fields:
            before = base.cost if isinstance(base, reports.Review) else Decimal(0)
            fields["cost"] = before + self.spent
        return base.model_copy(update=fields)


def _base(kept: Transcript) -> reports.Report | None:
    """Return what the builtin engine had made when a run began."""
    begun = kept.start
    return reports.load(kept.kept(begun["base"])) if begun and begun["base"] else None


def _noted(report: reports.Report, notes: tuple[str, ...]) -> dict[str, object]:
    if isinstance(report, reports.Review):
        return {"details": (*report.details, *(("Engine", note) for note in notes))}
    return {"gaps": (*notes, *report.gaps)}


def _accepted(duty: Duty, given: dict[str, Any], stamp: Stamp) -> reports.Report | Again:
    parsed = contract.parsed(duty.submission, given)
    if isinstance(parsed, Again):
        return parsed
    return duty.take(parsed, stamp)


def _why(done: Ended) -> str:
    said = {
        Stop.BUDGET: f"its budget ran out ({done.detail})",
        Stop.SCHEMA: "its result had not the right shape three times",
        Stop.REJECTED: done.detail,
        Stop.MODEL: done.detail,
    }
    return said.get(done.stop, done.detail)
