"""What Flagger's Canary and its two Deployments say, read: revisions, weight, phase, what is wrong.

Used by `rollout.flagger` and by preflight. Pure; knows the fields of `flagger.app/v1beta1` and the
one strategy that Halon can steer. Standard library only.
"""

import re
from dataclasses import dataclass, field

from rollout import kubectl, permits
from rollout.kubectl import Json
from rollout.observations import Problem

GOING = frozenset({"Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"})
ALL_ON_CANARY = frozenset({"WaitingPromotion", "Promoting"})  # Flagger writes 0 there
RESTING = frozenset({"Initialized", "Succeeded", "Failed"})
LONGEST_INTERVAL = 30.0  # seconds: it is asked about going back once per interval
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Target:
    """Which Canary, how to reach it, how an image names a revision, and where permits lie."""

    service: str
    canary: str
    container: str
    image: str  # "registry.example/shop:{revision}"
    listen: str  # where the webhooks are hosted
    folder: str  # of all services' permits
    token: str = ""  # its SHA-256; "": not readable here
    deployment: str = ""
    namespace: str = "default"
    kubectl: tuple[str, ...] = ("kubectl",)
    kubeconfig: str = ""
    context: str = ""


@dataclass(frozen=True)
class Side:
    """One of the two Deployments."""

    revision: str | None
    healthy: bool


@dataclass(frozen=True)
class State:
    """The Canary and both sides, read together."""

    canary: Json = field(repr=False)
    stable: Side
    asked: Side  # what the Deployment that Flagger watches asks for

    @property
    def status(self) -> Json:
        """What Flagger last said."""
        return dict(self.canary.get("status") or {})

    @property
    def phase(self) -> str:
        """Flagger's word for where it stands."""
        return str(self.status.get("phase") or "")

    @property
    def weight(self) -> int | None:
        """The canary's share in percent; None where Flagger does not say."""
        if self.phase in ALL_ON_CANARY:
            return 100
        if self.phase in RESTING or self.phase == "Finalising":
            return 0
        weight = self.status.get("canaryWeight", 0)
        return int(weight) if self.phase in GOING else None

    @property
    def revision(self) -> str | None:
        """The revision of the canary, None where none is rolled out."""
        if self.phase in GOING:
            return self.asked.revision
        # After a failure Flagger leaves what failed alone; else it will soon begin with it.
        new = self.asked.revision != self.stable.revision
        return self.asked.revision if new and self.phase != "Failed" else None

    @property
    def pinned(self) -> bool:
        """Whether Flagger has seen that nothing new is asked for."""
        status = self.status
        return status.get("lastAppliedSpec") == status.get("lastPromotedSpec")


def state_of(found: Json, target: Target) -> State:
    """Return the state in what `kubectl get` listed; raises `NotDone` where a part is missing."""
    items = {
        (str(one.get("kind")), str(one["metadata"]["name"])): one for one in found.get("items", [])
    }
    name = target.deployment or target.canary
    try:
        canary = items["Canary", target.canary]
        new, old = items["Deployment", name], items["Deployment", f"{name}-primary"]
    except KeyError as error:
        raise kubectl.NotDone(f"The cluster does not show {error}.") from error
    return State(canary, _side(old, target), _side(new, target))


def _side(deployment: Json, target: Target) -> Side:
    spec, status = deployment["spec"], deployment.get("status") or {}
    image = kubectl.container_of(spec["template"]["spec"], target.container).get("image")
    wanted = max(1, int(spec.get("replicas") or 0))
    seen = status.get("observedGeneration") == deployment["metadata"].get("generation")
    up = min(int(status.get("availableReplicas") or 0), int(status.get("updatedReplicas") or 0))
    return Side(kubectl.revision_in(image, target.image), bool(seen) and up >= wanted)


def problems(canary: Json, target: Target, phases: tuple[int, ...]) -> list[Problem]:
    """Return what in a Canary would make two masters, no weight of ours, or no way back."""
    spec = canary.get("spec") or {}
    found = spec.get("analysis") or {}
    reference = spec.get("targetRef") or {}
    name = target.deployment or target.canary
    wrong = [
        (reference.get("kind") != "Deployment", "Its target must be a Deployment."),
        (reference.get("name") != name, f"Its target is {reference.get('name')!r}, not {name!r}."),
        (bool(spec.get("suspend")), "It is suspended."),
        (bool(spec.get("skipAnalysis")), "skipAnalysis is set: Flagger would ask nobody."),
        (spec.get("provider") == "kubernetes", "Provider kubernetes knows no weights."),
        (bool(found.get("match")), "A/B testing (match) knows no weights."),
        (bool(found.get("iterations")), "Blue/green (iterations) knows no weights."),
        (bool(found.get("mirror")), "Mirrored traffic would be counted as users' requests."),
    ]
    texts = [text for is_so, text in wrong if is_so] + _steps(found, phases) + _pace(found)
    doubts = []
    if found.get("metrics"):
        doubts.append(
            "Flagger's own metrics judge as well and may take the canary back by themselves."
        )
    hooks, more = _hooks(found, target)
    return [
        *(Problem(f"Canary {target.canary!r}: {text}") for text in (*texts, *hooks)),
        *(Problem(f"Canary {target.canary!r}: {text}", fatal=False) for text in (*doubts, *more)),
    ]


def _steps(analysis: Json, phases: tuple[int, ...]) -> list[str]:
    steps = list(analysis.get("stepWeights") or [])
    if analysis.get("stepWeight") or analysis.get("maxWeight"):
        return ["stepWeight and maxWeight make other steps than Halon's; name stepWeights alone."]
    if steps and steps == sorted(set(steps)) and steps[-1] == 100 and {*phases} <= {*steps}:
        return []
    return [f"stepWeights must be [10, 50, 100], not {steps}."]


def _pace(analysis: Json) -> list[str]:
    said = str(analysis.get("interval") or "60s")
    each = seconds(said)
    if each is not None and each <= LONGEST_INTERVAL:
        return []
    return [f"interval is {said}; at most 30s, since going back waits for the next one."]


def _hooks(analysis: Json, target: Target) -> tuple[list[str], list[str]]:
    mine: dict[str, int] = dict.fromkeys(permits.HOOKS, 0)
    others, tokens = [], set()
    for hook in analysis.get("webhooks") or []:
        kind, address = str(hook.get("type") or "rollout"), str(hook.get("url") or "")
        if kind not in mine:
            continue
        if address.rstrip("/").endswith(f"/{target.service}/{kind}"):
            mine[kind] += 1
            tokens.add(str((hook.get("metadata") or {}).get("token") or ""))
        else:
            others.append(f"{kind} is also asked elsewhere ({address}), which may say otherwise.")
    texts = [
        f"There must be one webhook {kind} at …/{target.service}/{kind}, not {number}."
        for kind, number in mine.items()
        if number != 1
    ]
    if target.token and any(permits.digest(token) != target.token for token in tokens):
        texts.append("metadata.token of its webhooks is not what token_file holds.")
    return texts, others


def seconds(duration: str) -> float | None:
    """Return a duration of Go's, such as "1m30s", in seconds; None for what is none."""
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+", duration):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", duration)
    return sum(float(number) * UNITS[unit] for number, unit in parts)
