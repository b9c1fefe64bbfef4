"""What a model costs: tokens of the evidence pack per scenario of the demo, dollars of a whole P0.

`python -m bench claude`. The roles are played by the scripted model over the real loop, tools and
replays, on the demo's real history and logs; it bills by length and plays the prompt cache. Dollars
are list prices of the two configured models. No network is used and nothing is spent.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents import case as cases
from agents import git, sandbox
from agents.claude import Claude, Place
from agents.engine import Budget, Role
from agents.messages_api import MessagesApi
from agents.model import Tier
from agents.prices import Prices
from agents.purse import Pocket
from agents.scripted import player
from agents.scripted.server import CHARACTERS_PER_TOKEN, KEY, Scripted
from cli.production import Production
from cli.supervisor import Supervisor
from demo.history import Scenario
from incidents import reports
from incidents.settings import load_services
from workers.settings import WorkerSettings

AIM_TOKENS, AIM_DOLLARS, GOAL_DOLLARS = 8_000, Decimal("1.55"), Decimal("0.25")
SECONDS = 300.0


def rows() -> list[dict[str, Any]]:
    """Return the figures."""
    box = sandbox.choose()
    return [row for scenario in Scenario for row in _scenario(scenario, box)]


def _scenario(scenario: Scenario, box: sandbox.Sandbox) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        supervisor = Supervisor()
        production = Production(folder, scenario, supervisor)
        try:
            production.start()
            production.break_it()
            with Scripted(player.play).serving() as server:
                pocket = _played(folder, production, box, server)
        finally:
            supervisor.stop()
        first = server.asked[0]
        pack = round(len(first.task()) / CHARACTERS_PER_TOKEN)
        yield {
            "what": f"evidence pack of {scenario.value}",
            "aim": f"≤ {AIM_TOKENS} tokens",
            "value": f"{pack} tokens",
            "anchor": f"{_log_tokens(folder)} tokens of its logs",
            "ratio": None,
        }
        yield {
            "what": f"a scripted P0 of {scenario.value}, {len(server.asked)} questions",
            "aim": f"< ${AIM_DOLLARS}, aim ${GOAL_DOLLARS}",
            "value": f"${pocket.spent} ({_cached(pocket):.0%} of the input from the cache)",
            "anchor": f"${AIM_DOLLARS}",
            "ratio": f"{pocket.spent / AIM_DOLLARS:.2f}",
        }


def _played(folder: Path, production: Production, box: sandbox.Sandbox, server: Scripted) -> Pocket:
    """Play every role that a fix passes through, as the stages do."""
    (service,) = load_services(folder / "halon.toml")
    settings = WorkerSettings()
    pocket = Pocket(AIM_DOLLARS * 2)
    engine = Claude(
        box=box,
        folder=folder / "workspaces",
        models={
            Tier.STRONG: MessagesApi(settings.model_strong, KEY, server.url),
            Tier.FAST: MessagesApi(settings.model_fast, KEY, server.url),
        },
        prices=Prices(settings.model_prices),
        purse=pocket,
        place=Place(folder / "transcripts", "bench"),
    )
    with git.Repository(Path(service.repository)) as repository:
        revision = repository.resolve(production.history.newest)
    case = cases.of_service(
        service,
        Path(service.repository),
        revision=revision,
        title="checkout failing",
        incident="INC-1",
        logs=tuple(sorted(path for one in service.logs for path in Path("/").glob(one[1:]))),
    )
    fixed = engine.fix(case, Budget(SECONDS))
    patch = next((one for one in fixed if isinstance(one, reports.Patch)), None)
    after = replace(case, diagnosis=_diagnosis(fixed[0]), patch=patch)
    engine.run(Role.INCIDENT_ANALYZER, after, Budget(SECONDS))
    return pocket


def _diagnosis(report: reports.Report) -> reports.Diagnosis | None:
    return report if isinstance(report, reports.Diagnosis) else None


def _cached(pocket: Pocket) -> float:
    bills = [bill.usage for _, bill in pocket.booked.values()]
    return sum(one.cache_read for one in bills) / max(1, sum(one.input for one in bills))


def _log_tokens(folder: Path) -> int:
    size = sum(path.stat().st_size for path in folder.rglob("*.log") if path.is_file())
    return round(size / CHARACTERS_PER_TOKEN)
