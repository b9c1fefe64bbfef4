"""What an Argo Rollout says, read: which revision, which weight, which step, and what is wrong.

Used by `rollout.argo` and by preflight. Pure; knows the fields of `argoproj.io/v1alpha1` and the
one strategy that Halon can steer. Standard library only.
"""

from dataclasses import dataclass, field

from rollout import kubectl
from rollout.kubectl import PLACE as PLACE
from rollout.kubectl import Json as Json
from rollout.kubectl import NotDone as NotDone

STEPS = ("setWeight", "pause", "setCanaryScale")


@dataclass(frozen=True)
class Target:
    """Which Rollout, how to reach it, and how an image names a revision."""

    rollout: str
    container: str
    image: str  # "registry.example/shop:{revision}"
    namespace: str = "default"
    kubectl: tuple[str, ...] = ("kubectl",)
    kubeconfig: str = ""
    context: str = ""

    def revision(self, image: str | None) -> str | None:
        """Return the revision in an image's name; the name itself when it is not of ours."""
        return kubectl.revision_in(image, self.image)

    @property
    def path(self) -> str:
        """The Rollout's own address in the API."""
        kind = f"/apis/argoproj.io/v1alpha1/namespaces/{self.namespace}/rollouts"
        return f"{kind}/{self.rollout}"


@dataclass(frozen=True)
class Side:
    """One of the two versions: its ReplicaSet as the cluster shows it."""

    revision: str | None = None
    wanted: int = 0
    available: int = 0

    @property
    def healthy(self) -> bool:
        """Whether every pod that should be there is."""
        return self.available >= max(1, self.wanted)


@dataclass(frozen=True)
class State:
    """The Rollout and the ReplicaSets of its two versions, read together."""

    rollout: Json = field(repr=False)
    target: Target
    stable: Side
    canary: Side
    weight: int | None

    @property
    def template(self) -> str | None:
        """The revision that the Rollout asks for."""
        return self.target.revision(container_of(self.rollout, self.target)["image"])

    @property
    def status(self) -> Json:
        """What Argo last said."""
        return dict(self.rollout.get("status") or {})

    @property
    def settled(self) -> bool:
        """Whether Argo has seen the newest wishes."""
        seen = str(self.status.get("observedGeneration", ""))
        return seen == str(self.rollout["metadata"].get("generation", ""))

    @property
    def waits(self) -> bool:
        """Whether it stands at a pause without an end, which is where Halon decides."""
        return bool(self.status.get("pauseConditions")) and not self.status.get("abort")


def problems(rollout: Json, phases: tuple[int, ...]) -> list[str]:
    """Return what in a Rollout's own strategy would make two masters, or no weight of ours."""
    canary = ((rollout.get("spec") or {}).get("strategy") or {}).get("canary")
    if not isinstance(canary, dict):
        return ["The Rollout has no canary strategy."]
    found = []
    if "workloadRef" in rollout["spec"]:
        found.append("A workloadRef keeps the template elsewhere; it must be in the Rollout.")
    if not canary.get("trafficRouting"):
        found.append("Without trafficRouting Argo's weights are only numbers of pods.")
    steps = canary.get("steps") or []
    strange = [word for step in steps for word in step if word not in STEPS]
    if strange:
        found.append(f"Steps may be setWeight, pause and setCanaryScale, not {strange[0]}.")
    if any((step.get("pause") or {}).get("duration") for step in steps if "pause" in step):
        found.append("A pause has a duration: Argo would go on without Halon.")
    if canary.get("analysis"):
        found.append("A background analysis would be a second judge.")
    weights = [weight_at(rollout, place) for place, step in enumerate(steps) if "pause" in step]
    if weights != [0, *phases]:
        wanted = ", ".join(map(str, (0, *phases)))
        found.append(f"There must be one pause at each of {wanted} %, not at {weights}.")
    if not any("setCanaryScale" in step for step in steps[: _first_pause(steps)]):
        found.append("Before the first pause a setCanaryScale must start the canary at weight 0.")
    return found


def _first_pause(steps: list[Json]) -> int:
    return next((place for place, step in enumerate(steps) if "pause" in step), 0)


def weight_at(rollout: Json, place: int) -> int:
    """Return the weight in force at a step."""
    steps = rollout["spec"]["strategy"]["canary"].get("steps") or []
    return next((int(step["setWeight"]) for step in steps[place::-1] if "setWeight" in step), 0)


def pause_behind(rollout: Json, percent: int) -> int:
    """Return the place of the pause at this weight; raises `NotDone` when there is none."""
    steps = rollout["spec"]["strategy"]["canary"].get("steps") or []
    places = [place for place, step in enumerate(steps) if "pause" in step]
    for place in places:
        if weight_at(rollout, place) == percent:
            return place
    raise NotDone(f"The Rollout has no pause at {percent} %.", again=False)


def step_of(state: State) -> int:
    """Return the number of the step at which Argo stands."""
    return int(state.status.get("currentStepIndex") or 0)


def weight_of(rollout: Json) -> int | None:
    """Return what the traffic router was told; None when Argo does not say."""
    status = rollout.get("status") or {}
    weights = (status.get("canary") or {}).get("weights")
    if weights is None:
        # Between rollouts there are none: everything goes to stable.
        return 0 if status.get("currentPodHash") == status.get("stableRS") else None
    return int((weights.get("canary") or {}).get("weight") or 0)


def container_of(rollout: Json, target: Target) -> Json:
    """Return the container whose image is exchanged, to be changed in place."""
    found: Json = rollout["spec"]["template"]["spec"]
    return kubectl.container_of(found, target.container)


def image_of(pod: Json, container: str) -> str | None:
    """Return the image of a pod's container, None when there is no such container."""
    return next((str(c["image"]) for c in pod["containers"] if c.get("name") == container), None)
