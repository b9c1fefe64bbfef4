"""Chooses the engine of a stage run by the settings, and pays its bills out of the store.

Called by `workers.stages` after a claim. Without a key, or for a service whose text may go to no
model, it is the builtin engine; nothing below this file asks which one it got.
"""

from dataclasses import dataclass
from decimal import Decimal

from agents import sandbox
from agents.builtin.engine import Builtin
from agents.claude import Claude, Place
from agents.engine import Engine, Role
from agents.prices import Prices
from agents.transcript import Bill
from incidents.knowledge import Costs, Spent
from incidents.models import StageRun
from incidents.numbering import Numbers
from incidents.redaction import Redactor
from incidents.settings import personal
from incidents.stages import Claimed
from incidents.steps import Steps
from workers import vendors
from workers.office import Office
from workers.settings import WorkerSettings

TRANSCRIPTS = "transcripts"


@dataclass(frozen=True)
class IncidentPurse:
    """Implements `agents.purse.Purse` over the store's bills."""

    costs: Costs
    run: StageRun
    incident_dollars: Decimal
    monthly_dollars: Decimal

    def left(self) -> tuple[Decimal, str]:
        """Return the smaller of what the incident and the month have left, and its setting."""
        incident = self.incident_dollars - self.costs.total(self.run.incident)
        month = self.monthly_dollars - self.costs.this_month()
        if month < incident:
            return month, f"HALON_MONTHLY_DOLLARS={self.monthly_dollars}"
        return incident, f"HALON_INCIDENT_DOLLARS={self.incident_dollars}"

    def pay(self, role: Role, bill: Bill) -> None:
        """Book a bill once, whichever life of the run brings it."""
        usage = bill.usage
        spent = Spent(
            role=role.value,
            engine=f"{vendors.CLAUDE} ({bill.model})",
            tokens_in=usage.input,
            tokens_out=usage.output,
            dollars=bill.dollars,
            cache_read=usage.cache_read,
            cache_write=usage.cache_write,
            reference=bill.reference,
        )
        self.costs.add(self.run.id, spent)


def choose(
    settings: WorkerSettings, desk: Office, claimed: Claimed, box: sandbox.Sandbox
) -> Engine:
    """Return the engine of a claimed run; raises BadSettings for settings that cannot work."""
    folder = desk.folder / "workspaces"
    if not vendors.wants_claude(settings):
        return Builtin(box, folder)
    run = claimed.run
    purse = IncidentPurse(desk.costs, run, settings.incident_dollars, settings.monthly_dollars)
    key = settings.anthropic_api_key
    secret = key.get_secret_value() if key else ""
    return Claude(
        box=box,
        folder=folder,
        models=vendors.models(settings),
        prices=Prices(settings.model_prices),
        purse=purse,
        place=Place(desk.folder / TRANSCRIPTS / f"INC-{run.incident}", f"run-{run.id}"),
        redactor=Redactor(
            Numbers(desk.store, run.incident),
            private=personal(desk.services.values()),
            secrets=[secret],
        ),
        record=desk.sent.recorder(run.id),
        files=settings.agents,
        check=Steps(desk.store, run.id, run.fence).check,
    )
