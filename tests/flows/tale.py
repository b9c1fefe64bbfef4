"""One incident told step by step through the services, for the screenshots and the flow tests.

The store, the commands and the poster are the real ones; the clock is moved by hand, and what the
agents and the traffic would have found is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from bot.gathering import Gathering
from bot.poster import Poster
from incidents import entries, reports
from incidents.approvals import Question
from incidents.models import (
    MACHINE,
    Act,
    Answer,
    Approval,
    Bucket,
    Incident,
    Json,
    Outcome,
    Result,
    Rollout,
    RolloutState,
    SafeVersion,
    Severity,
    Stage,
    StageRun,
    Verdict,
    Version,
)
from incidents.policy import OPERATOR
from incidents.stages import Ending
from incidents.timeline import Draft
from tests.bot.web import rooms
from tests.incidents.builders import World

CULPRIT = "3f2a91c4d07be6a15c82f9906d1b7a3e54c8d210"
NEWEST = "9be1f07733ac51d8e0f4426b8d90aa1c7e215f34"
FIXED = "c41d5a8e2f6b70913d84ce5fa7b20916e3d8af47"
BUCKET = 10
DIFF = """\
diff --git a/checkout/payment.py b/checkout/payment.py
--- a/checkout/payment.py
+++ b/checkout/payment.py
@@ -41,9 +41,7 @@ def method_of(user: User | None, order: Order) -> Method:
     \"\"\"Return how an order is paid; guests pay by what they typed.\"\"\"
-    saved = user.payment_method
-    if saved.still_valid(order.at):
-        return saved
+    if user is not None and user.payment_method.still_valid(order.at):
+        return user.payment_method
     return order.typed_method
"""


@dataclass
class Tale:
    """An incident that goes on, one method per step; each returns when the thread shows it."""

    house: rooms.House
    incident: Incident = field(init=False)
    rollout: Rollout = field(init=False)
    approval: Approval = field(init=False)
    run: StageRun = field(init=False)
    fence: int = 0

    @property
    def world(self) -> World:
        """The store's faces."""
        return self.house.world

    def shown(self) -> None:
        """Let the poster post all that is due."""
        room = self.house.room
        gathering = Gathering(
            room.incidents,
            room.timeline,
            room.stages,
            room.approvals,
            room.rollouts,
            room.access,
            room.now,
        )
        poster = Poster(self.house.port, self.world.deliveries, gathering)

        async def post() -> None:
            while await poster.turn():
                pass

        rooms.waited(post())

    def earlier(self) -> None:
        """Two incidents of the past, for the list."""
        for title, severity in (("Search answers slowly", "P2"), ("Receipts come late", "P3")):
            line = f"/incident {severity} service:checkout {title}"
            said = self.house.room.speaker.say(line, OPERATOR, None, title)
            self.past(seconds=90)
            for word in ("mitigated cache warmed", "resolve", "close"):
                self.house.room.speaker.say(
                    f"/incident {word}", OPERATOR, said.incident, f"{title} {word}"
                )
        self.past(hours=20)
        self.shown()

    def past(self, **duration: float) -> None:
        """Let time pass."""
        self.world.clock.pass_(**duration)

    def opened(self) -> None:
        """A person types the line."""
        line = "/incident P0 checkout failing for guests"
        said = self.house.room.speaker.say(line, OPERATOR, None, "open")
        self.incident = self.world.incidents.find(said.incident or "")
        self.past(seconds=1)
        self.shown()

    def triaged(self) -> None:
        """Which service, since when, how bad."""
        self._begin(Stage.TRIAGE)
        self.past(seconds=2)
        onset = self.world.clock() - timedelta(minutes=6)
        found = entries.Suggestion(
            Severity.P0, 0.452, 0.002, 1846, 4084, onset, ("deploy 9be1f07 at 04:54 UTC",)
        )
        self.world.incidents.set_onset(self.incident.number, onset)
        self._end(Outcome.DONE, (entries.suggested(found),))

    def diagnosing(self) -> None:
        """The failure is being reproduced."""
        self._begin(Stage.DIAGNOSE)
        self.past(seconds=3)
        self._say(entries.progress(self.run, "replaying the failure without 3f2a91c"))

    def diagnosed(self) -> None:
        """The cause is proved."""
        self.past(seconds=4)
        report = diagnosis(self.world)
        self._report(Stage.DIAGNOSE, report.model_dump(mode="json"), Outcome.CONFIRMED)

    def patched(self) -> None:
        """Patch and tests."""
        self._begin(Stage.PATCH)
        self.past(seconds=5)
        self._report(Stage.PATCH, patch().model_dump(mode="json"), Outcome.PATCHED)
        self._begin(Stage.TEST)
        self.past(seconds=9)
        self._report(Stage.TEST, tests().model_dump(mode="json"), Outcome.APPROVE)

    def asked_to_start(self) -> None:
        """The plan is posted, the first approval asked."""
        self._begin(Stage.DEPLOY)
        self.past(seconds=6)
        plan = deployment().model_dump(mode="json")
        planned = Rollout(
            id="r1",
            incident=self.incident.number,
            stage_run=self.run.id,
            service="checkout",
            state=RolloutState.AWAITING,
            revision=FIXED,
            stable_revision=NEWEST,
            last_good_revision="a7c90d1e55f2b8834c6170e9d3fa2b48c1e6d905",
            patch_digest=patch().digest,
            plan=plan,
            plan_hash="",
            phase=0,
            phase_started_at=None,
            deadline=None,
            safe_version=SafeVersion.LAST_GOOD,
            latched=False,
            fence=0,
            created_at=self.world.clock(),
        )
        self.rollout = self.world.rollouts.create(planned, self.run.fence)
        waits = [entries.plan("r1", plan)]
        self.world.stages.wait(self.run.id, self.run.fence, waits)
        self._ask(Act.START, "10", None)

    def baking(self, percent: int, *, canary: float, stable: float, seconds: int) -> None:
        """The last question was answered with yes; a phase bakes for a while."""
        vote = f"yes {percent}"
        self.house.room.speaker.vote(self.approval.id, OPERATOR, Answer.YES, vote)
        self.past(seconds=3)
        self.moved(percent, canary=canary, stable=stable, seconds=seconds)

    def moved(self, percent: int, *, canary: float, stable: float, seconds: int) -> None:
        """Traffic flows at a share for a while, without a question before it."""
        begun = self.world.clock()
        self._save(
            RolloutState.BAKING,
            percent,
            deadline=begun + timedelta(minutes=10),
            entry=True,
            result=Result.INCONCLUSIVE,
        )
        made = []
        for place in range(seconds // BUCKET):
            start = begun + timedelta(seconds=place * BUCKET)
            made += buckets(start, percent, canary, stable)
        self.past(seconds=seconds)
        self.world.rollouts.add_buckets("r1", made)
        self._save(RolloutState.BAKING, percent, entry=True, result=Result.INCONCLUSIVE)
        self.shown()

    def asked_to_grow(self, percent: int, then: int) -> None:
        """The phase passed; people are asked for the next one."""
        self._save(RolloutState.AWAITING, percent, entry=True, result=Result.PASS)
        self._ask(Act.EXPAND, str(then), Result.PASS)

    def taken_back(self) -> None:
        """The gate fails and the canary goes back by itself."""
        why = "the error rate on the new version is over 5 %: 61 of 402 requests failed"
        self._save(RolloutState.TAKING_BACK, self.rollout.phase, entry=True, result=Result.FAIL)
        self.past(seconds=2)
        revision = self.rollout.last_good_revision or ""
        back = entries.taken_back(self.rollout, revision, why, broken=False)
        self._save(RolloutState.TAKEN_BACK, 0, drafts=(back,), result=Result.FAIL, reason=why)
        self._finish_deploy(Outcome.TAKEN_BACK)

    def held(self) -> None:
        """Nothing was measured on the new version for a while."""
        why = "no requests were measured on the new version for 90 s"
        self.past(seconds=90)
        held = entries.held(self.rollout, why)
        self._save(RolloutState.HELD, self.rollout.phase, drafts=(held,), reason=why)
        sentence = f"{why.capitalize()}; look at its access log, then hold on or take it back."
        self.world.incidents.needs_human(self.incident.number, sentence)
        self.shown()

    def resolved(self) -> None:
        """100 %, validated, delivered, reviewed."""
        passed = Result.PASS
        self._save(RolloutState.VALIDATING, 100, entry=True, result=passed)
        deploy = next(
            run
            for run in self.world.incidents.runs(self.incident.number)
            if run.stage is Stage.DEPLOY
        )
        self.world.stages.milestone(deploy.id, deploy.fence, Ending(Outcome.FULL))
        self.past(minutes=30)
        self._save(RolloutState.DONE, 100, result=passed)
        where = entries.delivered("main", FIXED, "origin")
        self._say(where)
        self._finish_deploy(Outcome.DONE)
        self._begin(Stage.REVIEW)
        self.past(seconds=4)
        self._report(Stage.REVIEW, review(self.world).model_dump(mode="json"), Outcome.DONE)

    def _begin(self, stage: Stage) -> None:
        self.past(seconds=1)
        self.run = self.world.stage(self.incident, stage)
        clocks = self.world.incidents.clocks(self.incident.number)
        target = next(clock.target for clock in clocks if clock.stage is stage)
        self._say(entries.stage_started(self.run, "builtin", target))

    def _end(
        self, outcome: Outcome, drafts: Sequence[Draft] = (), report: Json | None = None
    ) -> None:
        ending = Ending(outcome, report, tuple(drafts), engine="builtin")
        self.world.stages.finish(self.run.id, self.run.fence, ending)
        self.shown()

    def _report(self, stage: Stage, content: Json, outcome: Outcome) -> None:
        self._end(outcome, (entries.report(stage, content),), content)

    def _finish_deploy(self, outcome: Outcome) -> None:
        runs = self.world.incidents.runs(self.incident.number)
        self.run = next(run for run in runs if run.stage is Stage.DEPLOY)
        self._end(outcome)

    def _say(self, draft: Draft) -> None:
        self.house.room.timeline.append(self.incident.number, draft, MACHINE)
        self.shown()

    def _ask(self, act: Act, scope: str, gate: Result | None) -> None:
        question = Question(
            incident=self.incident.number,
            service="checkout",
            act=act,
            scope=scope,
            patch_digest=self.rollout.patch_digest,
            plan_hash=self.rollout.plan_hash,
            key=f"r1 {scope}",
            rollout="r1",
            verdict=Verdict.CONFIRMED,
            gate=gate,
        )
        self.past(seconds=1)
        self.approval = self.world.approvals.ask(question)
        self.past(seconds=25)
        self.shown()

    def _save(
        self,
        state: RolloutState,
        percent: int,
        *,
        drafts: Sequence[Draft] = (),
        entry: bool = False,
        **values: object,
    ) -> None:
        if not self.fence:
            lease = self.world.leases.lead("controller", "tale", timedelta(days=9))
            self.fence = lease or 1
        moved = replace(self.rollout, state=state, phase=percent, **values)  # type: ignore[arg-type]
        said = list(drafts)
        if entry:
            result = values.get("result")
            assert isinstance(result, Result)
            left = None if moved.deadline is None else moved.deadline - self.world.clock()
            seen = [one for one in self.world.rollouts.buckets("r1") if one.seconds]
            judged = gate(result)
            said.append(entries.phase(moved, seen, left=left, gate=judged, following=""))
        self.rollout = self.world.rollouts.save(moved, self.fence, state.value, {}, said)


def gate(result: Result) -> Json:
    """Return what the judge says."""
    rates = {
        Result.PASS: "0 of 402 failed; at most 1.1 % with 95 % certainty",
        Result.FAIL: "61 of 402 failed; at least 12 % with 99.9 % certainty",
        Result.INCONCLUSIVE: "0 of 163 failed; at most 3.8 % with 95 % certainty",
    }
    return {
        "result": result.value,
        "reason": {"PASS": "evidence", "FAIL": "error rate"}.get(result.value, "too few requests"),
        "missing_requests": 240 if result is Result.INCONCLUSIVE else None,
        "gates": [
            {"name": "error rate", "result": result.value, "detail": rates[result]},
            {"name": "data", "result": "PASS", "detail": "no bucket is missing"},
        ],
    }


def buckets(start: datetime, percent: int, canary: float, stable: float) -> list[Bucket]:
    """Return what both versions counted in ten seconds at 1,200 requests a minute."""
    made = []
    wave = (start.second % 30) / 30  # traffic is never quite even
    for version, share, rate in (
        (Version.CANARY, percent, canary),
        (Version.STABLE, 100 - percent, stable),
    ):
        requests = round(2 * share * (1 + 0.2 * wave))
        failed = round(requests * rate * (0.9 + 0.2 * wave))
        if requests:
            made.append(Bucket(version, start, BUCKET, requests, failed))
    return made


def diagnosis(world: World) -> reports.Diagnosis:
    """Return a diagnosis that is CONFIRMED."""
    now = world.clock()
    crash = reports.EvidenceItem(
        id="E1",
        kind="log",
        source="/var/log/checkout/error.log",
        locator="line 88,412",
        excerpt="AttributeError: 'NoneType' object has no attribute 'still_valid'\n"
        '  File "checkout/payment.py", line 43, in method_of',
        sha256="5a" * 32,
        observed_at=now,
    )
    proof = reports.EvidenceItem(
        id="E2",
        kind="test_run",
        source="sandbox",
        locator="halon-replay",
        excerpt="3 of 3 runs fail with 3f2a91c, 0 of 3 without it",
        sha256="c3" * 32,
    )
    claim = reports.Claim
    return reports.Diagnosis(
        engine="builtin",
        verdict=Verdict.CONFIRMED,
        summary="Guests have no saved payment method; since 3f2a91c their checkout fails.",
        revision=NEWEST,
        good_revision="a7c90d1e55f2b8834c6170e9d3fa2b48c1e6d905",
        symptoms=(claim(text="45 % of POST /checkout end with 500", evidence=("E1",)),),
        onset=now - timedelta(minutes=6),
        onset_kind="sudden",
        evidence=(crash, proof),
        changes=("deploy 9be1f07 at 04:54 UTC: 6 commits, the culprit is the third of them",),
        suspects=(
            reports.Suspect(
                commit=CULPRIT,
                path="checkout/payment.py",
                line=43,
                score=7.5,
                why="wrote the failing line, deployed before the onset",
                subject="Offer saved cards at checkout",
            ),
            reports.Suspect(
                commit=NEWEST,
                path="checkout/delivery.py",
                line=12,
                score=1.0,
                why="newest commit of the deploy",
                subject="Round parcel weights up",
            ),
        ),
        hypotheses=(
            reports.Hypothesis(
                statement="3f2a91c reads the saved method of a user who is None",
                test="replay a guest's checkout with and without 3f2a91c",
                result="fails 3 of 3 with it, 0 of 3 without",
                status=reports.HypothesisStatus.SUPPORTED,
                evidence=("E2",),
            ),
            reports.Hypothesis(
                statement="the payment provider refuses guests",
                test="probe its health address",
                result="answers 200 in 12 ms",
                status=reports.HypothesisStatus.RULED_OUT,
            ),
        ),
        proofs=(
            reports.Proof(
                label="broken revision",
                tree=NEWEST,
                runs=3,
                failures=3,
                command="python -m checkout.replay guest",
                where="bubblewrap",
                seconds=1.2,
            ),
            reports.Proof(
                label="without 3f2a91c",
                tree=FIXED,
                runs=3,
                failures=0,
                command="python -m checkout.replay guest",
                where="bubblewrap",
                seconds=1.1,
            ),
        ),
        whys=(
            claim(text="Checkout answers 500 to guests", evidence=("E1",)),
            claim(text="method_of reads user.payment_method of None", evidence=("E1", "E2")),
            claim(text="Saved cards were built for signed-in users only", inferred=True),
        ),
        root_cause=reports.RootCause(
            statement="3f2a91c reads user.payment_method for guests, whose user is None",
            commit=CULPRIT,
            subject="Offer saved cards at checkout",
            path="checkout/payment.py",
            line=43,
            evidence=("E1", "E2"),
        ),
        culprit=CULPRIT,
        impact=reports.Impact(requests=4084, failed=1846, error_rate=0.452, baseline_rate=0.002),
        recommended="Guard the saved method: guests pay by what they typed.",
        alternatives=("Revert 3f2a91c: conflicts with 9be1f07 in checkout/payment.py.",),
        must_pass=("pytest tests/test_saved_cards.py",),
        gaps=("No traces were configured for checkout.",),
        exception="AttributeError",
        seconds=6.9,
    )


def patch() -> reports.Patch:
    """Return the smallest change."""
    return reports.Patch(
        engine="builtin",
        remedy=reports.RemedyKind.GUARD,
        title="Guests have no saved payment method",
        diff=DIFF,
        digest="8e" * 32,
        base=NEWEST,
        tree="77" * 20,
        paths=("checkout/payment.py",),
        culprit=CULPRIT,
        why_minimal="one condition in the one function that fails; no signature changes",
        regression_test=reports.RegressionTest(
            path="tests/test_guest_checkout.py",
            command="pytest tests/test_guest_checkout.py",
            before="1 failed",
            after="1 passed",
        ),
        watch="the counter checkout_errors{kind=AttributeError}",
        checklist=(reports.Check(text="The failing path is covered by a test", passed=True),),
        risk="low: signed-in users take the same road as before",
        rollback="halon rollback r1",
    )


def tests() -> reports.TestReport:
    """Return five categories that pass."""
    figures = {
        reports.Category.VALIDATION: "the failure is gone in 3 of 3 runs",
        reports.Category.REGRESSION: "41 of 41 tests pass",
        reports.Category.PERFORMANCE: "median 11.8 ms against 11.7 ms before",
        reports.Category.COMPATIBILITY: "120 recorded requests answer as before",
        reports.Category.ROLLBACK: "the old tree comes back byte for byte",
    }
    return reports.TestReport(
        engine="builtin",
        approve=True,
        summary="The patch mends the failure and breaks nothing that is tested.",
        patch_digest="8e" * 32,
        categories=tuple(
            reports.CategoryResult(category=category, passed=True, summary=summary)
            for category, summary in figures.items()
        ),
        skipped=("a load test at full traffic",),
        seconds=8.4,
    )


def deployment() -> reports.DeploymentPlan:
    """Return the plan of 10, 50 and 100 %."""
    criteria = ("error rate at most 5 %", "no missing data")
    return reports.DeploymentPlan(
        engine="builtin",
        service="checkout",
        driver="processes",
        revision=FIXED,
        stable_revision=NEWEST,
        last_good_revision="a7c90d1e55f2b8834c6170e9d3fa2b48c1e6d905",
        safe_version="last good",
        safe_why="stable carries the incident",
        patch_digest="8e" * 32,
        phases=tuple(
            reports.PhasePlan(
                percent=percent, bake_seconds=600, minimum_seconds=120, criteria=criteria
            )
            for percent in (10, 50, 100)
        ),
        watched=("error rate of both versions", "missing data"),
        rollback_command="halon host take-back /srv/halon/checkout --to a7c90d1",
        rehearsal="took 0.8 s, no request lost",
        traffic="400 requests are needed per phase: about 3 min at this traffic",
    )


def review(world: World) -> reports.Review:
    """Return the draft of the review."""
    claim = reports.Claim
    return reports.Review(
        engine="builtin",
        title="checkout failing for guests",
        summary="For 47 minutes guests could not check out. A guard in one function mended it.",
        whys=(claim(text="Saved cards were built for signed-in users only", inferred=True),),
        went_well=(claim(text="The cause was proved 12 s after the line was typed"),),
        could_improve=(claim(text="No test buys as a guest", inferred=True),),
        action_items=(
            reports.ActionItemDraft(
                text="Buy as a guest in the tests of checkout",
                owner="@payments",
                due_days=7,
                check="pytest tests/test_guest_checkout.py",
            ),
        ),
        cost=Decimal(0),
    )
