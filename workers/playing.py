"""Lets the engine play a role of a stage, once: a rerun after a crash gets the stored report.

Called by the stages that have a role. A model's own run goes on from its transcript meanwhile, so
that a rerun before the report was stored pays for nothing twice either.
"""

from dataclasses import replace

from agents import case
from agents.engine import Role
from incidents import reports
from workers import cases
from workers.job import Job


def play(job: Job, role: Role, history: case.History | None = None) -> reports.Report:
    """Return the report of a role on the case as it is known by now."""
    with cases.repository(job.office, job.service) as mirror:
        made = cases.make(job.office, job.incident, job.service, mirror)
        if history is not None:
            made = replace(made, history=history)
        inputs = {"revision": made.revision, "attempt": job.run.attempt, "tried": len(made.tried)}
        stored = job.steps.step(
            role.value,
            inputs,
            lambda: job.engine.run(role, made, job.budget()).model_dump(mode="json"),
        )
    return reports.load(stored)
