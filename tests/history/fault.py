"""What a fault is, and the words that most probes and production runs are made of.

Used by the tables of faults beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.history.base import World
from tests.history.tree import Edit


@dataclass(frozen=True)
class Fault:
    """What breaks, how it is shown, and which innocent edit makes it look like another's fault."""

    kind: str
    name: str
    message: str  # of the guilty commit: harmless, as they are
    edit: Edit
    probe: str  # body of the test; APP is the application's class
    drive: str | None  # what production did, ending in the exception of the trace; None: no crash
    symptom: str  # the log line of the service
    decoy: tuple[str, Edit] | None = None  # message, edit of the crashing line that changes nothing
    scar: tuple[str, Edit] | None = None  # a later edit of the guilty lines: the revert conflicts
    crash: str = "xprice"  # module that crashes or computes
    names: list[str] = field(default_factory=list)  # what that module offers, for a shim


PRICE_NAMES = ["MEMBERS", "amounts", "discount", "shipping", "subtotal", "tax"]
REP_NAMES = ["WIDTH", "heading", "mask", "receipt", "statement"]
STORE_NAMES = ["NOTHING", "SCHEMA", "Past", "Storage"]
READ_NAMES = ["MOST", "NUMBER", "read_buyer", "read_lines", "read_number", "read_xent"]

HANDLE = "reply = App().handle({request!r})\n"
DRIVE = "worker.run([{request!r}])"
LATE = """
import signal


def _late(signum, frame):
    raise TimeoutError("deadline exceeded")


signal.signal(signal.SIGALRM, _late)
signal.setitimer(signal.ITIMER_REAL, {seconds})
"""
# The supervisor of production, which ends a request that has waited for a second in all.
IMPATIENT = (
    "waited = []\n\n\ndef sleep(seconds):\n    waited.append(seconds)\n"
    '    if sum(waited) > 1:\n        raise TimeoutError("deadline exceeded")\n\n\n'
)


def total(world: World, request: dict[str, object]) -> str:
    """Return a probe that expects the right total."""
    return HANDLE.format(request=request) + f'assert reply["total_cents"] == {world.total(request)}'


def crash(world: World, request: dict[str, object], **more: object) -> dict[str, object]:
    """Return the arguments of a fault that shows when a request is handled."""
    return {
        "probe": total(world, request),
        "drive": DRIVE.format(request=request),
        "symptom": "request failed",
        **more,
    }
