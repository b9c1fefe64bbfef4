"""What else can be planned where the traffic is too thin for a verdict in time.

Called by `rollout.plan`. Pure: the phases that were planned and the traffic come in, other phases
come out. A person takes one with `/incident approve longer` (or `larger`, `replayed`) or a button
before anything moves; nothing is changed by itself.
"""

from collections.abc import Callable
from math import ceil

from incidents.reports import Offer, PhasePlan

LONGER, LARGER, REPLAYED = "longer", "larger", "replayed"
ROOM = 1.2  # of the expected time: half of the rollouts need more than it
LONGEST = 3600.0  # nobody watches a canary of 10 % for more than an hour at 2 a.m.


def offers(
    phases: tuple[PhasePlan, ...],
    needed: int,
    requests_per_minute: float | None,
    replay: float | None = None,
) -> tuple[Offer, ...]:
    """Return the plans with which a verdict comes in time; `needed` requests to the canary.

    `replay`: how many read-only requests per minute may be replayed at each version.
    """
    if not requests_per_minute:
        return ()

    def seconds(phase: PhasePlan) -> float:
        return needed / (requests_per_minute / 60 * phase.percent / 100)

    if seconds(phases[0]) <= phases[0].bake_seconds:
        return ()
    found = (
        _longer(phases, seconds(phases[0])),
        _larger(phases, seconds),
        _replayed(phases, needed, replay),
    )
    return tuple(filter(None, found))


def _longer(phases: tuple[PhasePlan, ...], expected: float) -> Offer | None:
    bake = ceil(expected * ROOM / 60) * 60.0
    if bake > LONGEST:
        return None
    first = phases[0].model_copy(update={"bake_seconds": bake})
    text = f"{first.percent} % for {bake / 60:.0f} minutes instead of {_minutes(phases[0])}"
    return Offer(name=LONGER, text=text, phases=(first, *phases[1:]))


def _larger(phases: tuple[PhasePlan, ...], seconds: Callable[[PhasePlan], float]) -> Offer | None:
    for place, phase in enumerate(phases[1:], start=1):
        if phase.percent < 100 and seconds(phase) <= phase.bake_seconds:
            text = f"{phase.percent} % as the first step instead of {phases[0].percent} %"
            return Offer(name=LARGER, text=text, phases=phases[place:])
    return None


def _replayed(phases: tuple[PhasePlan, ...], needed: int, per_minute: float | None) -> Offer | None:
    if not per_minute or needed / per_minute * 60 > phases[0].bake_seconds:
        return None
    text = f"{per_minute:.0f} GET and HEAD requests per minute replayed at each version"
    return Offer(name=REPLAYED, text=f"{text}, counted apart from users'", phases=phases)


def _minutes(phase: PhasePlan) -> str:
    return f"{phase.bake_seconds / 60:.0f}"
