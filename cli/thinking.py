"""Which engine thinks for a verb of the shell: the builtin one, or Claude paid out of a pocket.

Called by the verbs that take `--engine`; loaded by no other, since a model's parts take a while.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Protocol

import typer

from agents import case as cases
from agents import sandbox
from agents.builtin.engine import Builtin
from agents.claude import Claude, Place
from agents.engine import Budget, Role
from agents.prices import Prices
from agents.purse import Pocket
from cli.settings import read
from incidents import reports
from incidents.redaction import Redactor
from workers import vendors
from workers.settings import WorkerSettings

Dollars = Annotated[float, typer.Option("--dollars", min=0, help="The most that a model may cost.")]


class Thinking(Protocol):
    """What both engines offer to a shell."""

    name: str

    def plays(self, role: Role) -> bool:
        """Tell whether it plays a role."""
        ...

    def run(self, role: Role, case: cases.Case, budget: Budget) -> reports.Report:
        """Play one role."""
        ...

    def fix(self, case: cases.Case, budget: Budget) -> tuple[reports.Report, ...]:
        """Diagnose, mend and test."""
        ...


def chosen(engine_name: str, sandbox_name: str, dollars: float, folder: Path) -> Thinking:
    """Return the engine that the options and the environment call for."""
    box = sandbox.choose(sandbox_name)
    if engine_name == vendors.BUILTIN:
        return Builtin(box, folder)
    settings = read(WorkerSettings).model_copy(update={"engine": engine_name})
    if not vendors.wants_claude(settings):
        return Builtin(box, folder)
    prices = Prices(settings.model_prices)
    if engine_name == vendors.CLAUDE:  # who asks for it by name wants to know why it cannot
        for model in (settings.model_strong, settings.model_fast):
            prices.check(model)
    key = settings.anthropic_api_key
    return Claude(
        box=box,
        folder=folder,
        models=vendors.models(settings),
        prices=prices,
        purse=Pocket(Decimal(str(dollars))),
        place=Place(folder / "transcripts", "shell"),
        redactor=Redactor(secrets=[key.get_secret_value()] if key else []),
        files=settings.agents,
    )
