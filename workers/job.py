"""What a stage function is given: the claimed run, its incident and service, and its steps."""

from dataclasses import dataclass

from agents.engine import Budget, Engine
from incidents import entries, lifecycle
from incidents.models import MACHINE, Incident, StageRun
from incidents.settings import Service
from incidents.steps import Steps
from workers.office import Office

# A stage without a target of its own, and the longest that the builtin engine may think.
SECONDS = 600.0


@dataclass(frozen=True)
class Job:
    """One claimed stage run in the hands of a worker."""

    office: Office
    run: StageRun
    incident: Incident
    service: Service
    steps: Steps
    engine: Engine

    def budget(self) -> Budget:
        """Return what this run may use: its stage's target, capped."""
        target = lifecycle.target(self.incident.severity, self.run.stage)
        return Budget(min(SECONDS, target.total_seconds()) if target else SECONDS)

    def say(self, text: str) -> None:
        """Tell the thread what goes on; edits the stage's own message."""
        self.office.timeline.append(self.incident.number, entries.progress(self.run, text), MACHINE)
