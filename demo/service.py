"""How Halon is told about the demo service: its table in `halon.toml`.

Called by `halon demo` and by flow tests, which write the text into a file of their own. Pure: all
addresses and folders are arguments.
"""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where the demo's parts are: folders and addresses of one run."""

    repository: Path
    folder: Path  # logs and orders; the replicas write here
    host: Path  # the folder of `halon host`
    payment: str  # http://127.0.0.1:PORT
    python: str = sys.executable

    @property
    def access_log(self) -> Path:
        """One JSON line per request, of all replicas."""
        return self.folder / "access.log"

    @property
    def error_log(self) -> Path:
        """One JSON line per failed request, with its traceback and the request itself."""
        return self.folder / "error.log"

    @property
    def orders(self) -> Path:
        """Paid orders, one JSON line each."""
        return self.folder / "orders.jsonl"

    @property
    def ledger(self) -> Path:
        """What the payment provider was asked to charge, one JSON line each."""
        return self.folder / "ledger.jsonl"


def replica_argv(place: Place) -> list[str]:
    """Return the command of one replica; the host fills in `{socket}`, and runs it in a revision.

    The host's HALON_VERSION and HALON_REVISION label its log lines and answers.
    """
    return [
        place.python,
        "-m",
        "checkout",
        "--socket",
        "{socket}",
        "--payment",
        place.payment,
        "--access-log",
        str(place.access_log),
        "--error-log",
        str(place.error_log),
        "--orders",
        str(place.orders),
    ]


def settings_text(place: Place) -> str:
    """Return the `[[service]]` table of the demo service."""
    python = shlex.quote(place.python)  # test and reproduce are lines, split without a shell
    replay, standin = f"{python} -m checkout.replay", f"{python} -m checkout.standin"
    return f"""[[service]]
name = "checkout"
aliases = ["shop", "orders"]
repository = {_quoted(place.repository)}
branch = "main"
owners = ["the checkout team"]
logs = [{_quoted(place.error_log)}, {_quoted(place.access_log)}]
test = {_quoted(f"{python} -m unittest -q")}
reproduce = {{run = {_quoted(replay)}, setup = [{_quoted(standin)}]}}
recorded = "recorded/requests.jsonl"
changes = {{record = {_quoted(place.host / "deploys.jsonl")}}}
depends_on = [{{name = "payment", probe = {_quoted(f"{place.payment}/healthz")}}}]
protected = ["checkout/shop.py", "checkout/payment.py", "checkout/orders.py", "checkout/pricing.py"]

[service.deploy]
driver = "processes"
folder = {_quoted(place.host)}

[service.monitor]
source = "accesslog"
errors = {_quoted(place.error_log)}

[service.delivery]
via = "local"
"""


def _quoted(value: object) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(value), ensure_ascii=False)
