"""The triage stage: since when, how bad against before, what changed, which severity that makes.

Called by `workers.stages`. Suggests with its figures; only a person changes a severity. Says "no
incident found" when the failing share is not above what it was before, and a person decides.
"""

from datetime import datetime

from agents.builtin import fingerprint, logs
from agents.builtin.logreading import LogReading, Standing
from incidents import lifecycle
from incidents.entries import Suggestion, suggested
from incidents.models import Change, Outcome, Severity
from incidents.stages import Ending
from workers import cases, contain
from workers.job import Job

CHANGES_SHOWN = 5
QUIET_SHARE = 0.05  # the limit at which a canary would be taken back


def triage(job: Job) -> Ending:
    """Read the logs once and say what they show."""
    changes = cases.learn_changes(job.office, job.service)
    reading = logs.read(cases.log_files(job.service))
    found = assess(reading, changes)
    if found.since is not None:
        job.office.incidents.set_onset(job.incident.number, found.since)
    known = _known(job, reading)
    entry = suggested(
        Suggestion(
            severity=found.severity,
            share=found.share,
            baseline=found.baseline,
            failed=found.failed,
            requests=found.requests,
            since=found.since,
            changes=found.changes,
            known=known,
            gaps=found.gaps,
        )
    )
    if is_quiet(reading):
        return Ending(
            Outcome.NO_INCIDENT,
            entries=(entry,),
            human="The logs show no more failures than before. If users are hurt all the same, "
            "say what they see with `/incident note …` and `/incident escalate`; "
            "else `/incident cancel`.",
        )
    hurt = job.incident.severity if job.incident.severity_typed else found.severity
    if hurt is Severity.P0 and contain.suspect(changes, found.since) is not None:
        return Ending(Outcome.RECENT_CHANGE, entries=(entry,))
    return Ending(Outcome.DONE, entries=(entry,))


def assess(reading: LogReading, changes: tuple[Change, ...]) -> Suggestion:
    """Return the figures of a reading: the share since the onset beside the share before it."""
    since = cases.onset_of(reading)
    share = baseline = None
    failed = total = None
    if reading.requests is not None and reading.start is not None:
        split = 0
        if since is not None:
            split = max(0, int((since - reading.start) / reading.bucket))
        share = reading.requests.rate(split)
        baseline = reading.requests.rate(0, split) if split else None
        failed, total = sum(reading.requests.errors[split:]), sum(reading.requests.totals[split:])
    return Suggestion(
        severity=_severity(share),
        share=share,
        baseline=baseline,
        failed=failed,
        requests=total,
        since=since,
        changes=_before(changes, since),
        gaps=reading.gaps,
    )


def is_quiet(reading: LogReading) -> bool:
    """Tell whether requests were seen, few failed, and nothing new or risen was among them.

    A share over the limit is never quiet, however steady: a log may begin after the onset.
    """
    share = reading.requests.rate() if reading.requests is not None else None
    if share is None:
        return False  # nothing was seen, which is not the same as nothing being wrong
    moved = any(t.standing is not Standing.BACKGROUND for t in reading.templates)
    return reading.onset is None and not moved and share <= QUIET_SHARE


def _severity(share: float | None) -> Severity | None:
    return lifecycle.suggest_severity(share)


def _before(changes: tuple[Change, ...], since: datetime | None) -> tuple[str, ...]:
    """Return the last changes before the onset, the newest first."""
    permitted = [change for change in changes if since is None or change.at <= since]
    return tuple(
        f"{change.at:%H:%M:%S} UTC {change.kind.value} {(change.after or change.note)[:12]}"
        for change in reversed(permitted[-CHANGES_SHOWN:])
    )


def _known(job: Job, reading: LogReading) -> tuple[str, ...]:
    """Return past incidents whose fingerprint is that of the worst template."""
    for template in reading.ranked()[:1]:
        mark = fingerprint.fingerprint(template.trace or template.text)
        return tuple(
            f"INC-{known.incident} {known.title}: {known.cause} ({known.remedy})"
            for known in job.office.known.match(mark)
        )
    return ()
