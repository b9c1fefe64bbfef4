"""The hotfix stage: contains what a person's words speak of, checks it, ships it, or drops it.

Called by `workers.stages` with the urgent queue. What is to be done is the newest entry of its kind
in the timeline. It never moves traffic: shipping is the deploy stage with all its gates.
"""

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from agents import case as cases_of
from agents import git
from agents.engine import Role
from agents.gitcalls import GitFailed
from agents.hotfix.protocol import Protocol
from incidents import entries, errors, models, reports
from incidents.models import EntryKind, Outcome, Person, Severity, Stage
from incidents.redaction import Redactor
from incidents.report_text import code, inert
from incidents.service import Opening
from incidents.settings import Service
from incidents.stages import Ending
from workers import cases
from workers.job import Job
from workers.office import Office

CONTEXTS = (3, 1)  # lines around a change; git applies no diff that has none


def hotfix(job: Job) -> Ending:
    """Do what was asked last; every act ends the stage."""
    asked = [
        one
        for one in job.office.timeline.entries(job.incident.number)
        if one.kind is EntryKind.HOTFIX
    ]
    if not asked:
        raise errors.PermanentFailure("Nobody has said what to contain.")
    act, words = str(asked[-1].content["act"]), _words(asked)
    if act == "contain":
        return _contain(job, words)
    made = cases.contained(job.office, job.incident)
    dropped = any(one.content["act"] == "drop" for one in _since_contained(asked)[:-1])
    if made is None or made.patch is None or dropped:
        why = "it was dropped" if dropped else "nothing was contained"
        return Ending(Outcome.NOTHING, human=f"There is no fix to {act}: {why}.")
    if act == "verify":
        return _verify(job, words, made)
    return _ship(job, made) if act == "ship" else _drop(job, made)


def _since_contained(asked: list[models.TimelineEntry]) -> list[models.TimelineEntry]:
    last = max((i for i, one in enumerate(asked) if one.content["act"] == "contain"), default=-1)
    return asked[last + 1 :]


def _words(asked: list[models.TimelineEntry]) -> str:
    told = [str(one.content["text"]) for one in asked if one.content["act"] == "contain"]
    return told[-1] if told else ""


def _contain(job: Job, words: str) -> Ending:
    with cases.repository(job.office, job.service) as mirror:
        made = _case(job, mirror, words)
        stored = job.steps.step(
            Role.HOTFIX.value,
            {"revision": made.revision, "attempt": job.run.attempt},
            lambda: job.engine.run(Role.HOTFIX, made, job.budget()).model_dump(mode="json"),
        )
        report = reports.load(stored)
        if not isinstance(report, reports.Hotfix):
            raise errors.PermanentFailure(f"{job.engine.name} answered with a {report.kind}")
        if report.patch is None:
            return _ending(job, report, Outcome.NOTHING, human=report.summary)
        shown = _shown(job, mirror, report.patch)
        whole = report.model_copy(update={"shown_whole": shown is not None})
        report = _told(job, mirror, whole, report.patch)
    return _ending(job, report, Outcome.PATCHED, shown=shown)


def record(
    desk: Office, service: Service, report: reports.Hotfix, words: str, person: Person
) -> models.Incident:
    """Tell of a fix that was made in a working tree: an incident whose hotfix stage is done."""
    name = Path(report.tracker or "").name or "hotfix"
    said = hashlib.sha256(f"{name}\n{words}".encode("utf-8", "surrogateescape")).hexdigest()
    digest = report.patch.digest if report.patch else said
    incident = desk.incidents.open(
        Opening(
            title=f"{name}: {report.failure or report.summary}"[:300],
            reporter=person,
            key=f"hotfix-{service.name}-{digest}",
            severity=Severity.P1,
            service=service.name,
            source="hotfix",
            stage=None,
        )
    )
    made = [run for run in desk.incidents.runs(incident.number) if run.stage is Stage.HOTFIX]
    if any(run.outcome for run in made):
        return incident  # told before
    desk.timeline.append_once(incident.number, entries.hotfix("contain", words, digest), person)
    run = desk.stages.queue_stage(incident.number, Stage.HOTFIX, person)
    claimed = desk.stages.claim(run.id, desk.owner, timedelta(seconds=60))
    if claimed is None:
        raise errors.TemporaryFailure(f"{incident.id} is being worked; ask again in a minute.")
    content = report.model_dump(mode="json")
    outcome = Outcome.PATCHED if report.contained else Outcome.NOTHING
    told = (entries.report(Stage.HOTFIX, content),)
    ending = Ending(outcome, content, told, report.summary, report.engine)
    desk.stages.finish(run.id, claimed.run.fence, ending)
    return incident


def ship(
    desk: Office, service: Service, report: reports.Hotfix, words: str, person: Person
) -> models.Incident:
    """Hand a fix of a working tree to deploy: its incident, and the stage that ships it."""
    incident = record(desk, service, report, words, person)
    digest = report.patch.digest if report.patch else ""
    desk.timeline.append_once(incident.number, entries.hotfix("ship", "", f"ship-{digest}"), person)
    desk.stages.queue_stage(incident.number, Stage.HOTFIX, person)
    return incident


def _case(job: Job, mirror: git.Repository, words: str) -> cases_of.Case:
    made = cases.make(job.office, job.incident, job.service, mirror)
    return replace(made, traces=(words,), diagnosis=None, patch=None)


def _shown(job: Job, mirror: git.Repository, patch: reports.Patch) -> str | None:
    """Return the diff as a thread can show it and git can apply it, None where it cannot be.

    Secrets and personal data are replaced in every thread, and a line beside the change may hold
    some: with fewer lines around it the diff is the same change.
    """
    tree, private = mirror.apply(patch.base, patch.diff), job.office.store.private
    for context in CONTEXTS:
        diff = mirror.diff(patch.base, tree, context=context)
        if Redactor(private=private).text(diff) == diff:
            return diff
    return None


def _told(
    job: Job, mirror: git.Repository, report: reports.Hotfix, patch: reports.Patch
) -> reports.Hotfix:
    """Add the line that puts the patch in, checked against what is deployed and the branch."""
    name = f"{job.incident.id}.diff"
    fetched = f"halon incident patch {job.incident.id} > {name}"
    branch = job.service.branch
    try:
        mirror.apply(mirror.resolve(f"refs/heads/{branch}"), patch.diff)
        fits = f"it fits {branch} as well"
    except (GitFailed, errors.NotFound):
        fits = f"it does not fit {branch} as it is now"
    steps = (
        *(() if report.shown_whole else (f"Where Halon runs, make the file: {code(fetched)}.",)),
        f"In a clone at {code(patch.base[:12])}, the deployed revision (checked; {fits}): "
        f"{code(f'git apply {name}')}",
        f"Run {code(report.command)}: the failure must be gone.",
        f"After the deploy: {inert(patch.watch)}.",
    )
    return report.model_copy(
        update={
            "not_written": "the words came by chat; the patch is the file beside this message",
            "now": (
                *(() if report.shown_whole else (("Make the file, where Halon runs", fetched),)),
                ("Put it in", f"git apply {name}"),
                ("Check it again", "/hotfix verify"),
                ("Ship it (canary, gates)", "/hotfix ship"),
                ("Leave it", "/hotfix drop"),
            ),
            "steps": steps,
            "undo": (f"Once it was put in: {code(f'git apply -R {name}')}",),
        }
    )


def _verify(job: Job, words: str, made: reports.Hotfix) -> Ending:
    with cases.repository(job.office, job.service) as mirror:
        case = replace(_case(job, mirror, words), patch=made.patch)
        if made.patch is not None:
            case = replace(case, revision=made.patch.base)
        checked = job.engine.run(Role.HOTFIX, case, job.budget())
        shown = _shown(job, mirror, made.patch) if made.patch is not None else None
    if not isinstance(checked, reports.Hotfix):
        raise errors.PermanentFailure(f"{job.engine.name} answered with a {checked.kind}")
    if not checked.contained:
        return _ending(job, checked, Outcome.NOTHING, human=checked.summary)
    kept = {"now": made.now, "steps": made.steps, "undo": made.undo, "tracker": made.tracker}
    update = kept | {"written": made.written, "not_written": made.not_written}
    update |= {"shown_whole": shown is not None}
    return _ending(job, checked.model_copy(update=update), Outcome.DONE, shown=shown)


def _ship(job: Job, made: reports.Hotfix) -> Ending:
    said = entries.progress(job.run, "handed to deploy, with its canary and gates")
    return Ending(
        Outcome.APPROVE,
        report=made.model_dump(mode="json"),
        entries=(said,),
        engine=job.engine.name,
    )


def _drop(job: Job, made: reports.Hotfix) -> Ending:
    """Take the fix out of the tree that it was written into; from a chat there is none."""
    said = "The patch is dropped; nothing had been written anywhere."
    if made.tracker is not None and made.written:
        result = Protocol(job.engine, lambda here, front: cases_of.Case(here.root)).drop(
            Path(made.tracker)
        )
        said = result.sentence
    return Ending(Outcome.DONE, entries=(entries.progress(job.run, said),))


def _ending(
    job: Job,
    report: reports.Hotfix,
    outcome: Outcome,
    human: str = "",
    shown: str | None = None,
) -> Ending:
    """Return how it ended; `shown` is the diff as the thread shows it, if not as it is."""
    posted = report
    if shown is not None and report.patch is not None:
        patch = report.patch.model_copy(update={"diff": shown})
        posted = report.model_copy(update={"patch": patch})
    return Ending(
        outcome,
        report=report.model_dump(mode="json"),
        entries=(entries.report(Stage.HOTFIX, posted.model_dump(mode="json")),),
        human=human,
        engine=report.engine,
    )
