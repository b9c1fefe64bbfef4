"""Argo Rollouts as hooks: `python -I -S argo.py SETTINGS`, what to do is in HALON_HOOK.

Run by `rollout.steering` for the deployer `argo`, by its way back too; docs/hooks.md tells the
contract; SETTINGS is JSON. It speaks through kubectl (1.20 and newer) alone, changes nothing
without the resource version it has read, and never writes over a revision that is not Halon's.
Standard library only.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

if __name__ == "__main__":  # as a script with -I, nothing but the standard library is in reach
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from rollout import kubectl
from rollout.argo_state import (
    PLACE,
    Json,
    NotDone,
    Side,
    State,
    Target,
    container_of,
    image_of,
    pause_behind,
    problems,
    step_of,
    weight_at,
    weight_of,
)

POLL_SECONDS = 0.2
HASH = "rollouts-pod-template-hash"


class Argo:
    """Every hook, for one Rollout."""

    def __init__(self, target: Target, variables: Mapping[str, str]) -> None:
        self._target = target
        self._set = variables
        self._kubectl = kubectl.Kubectl(
            tuple(target.kubectl), target.namespace, target.kubeconfig, target.context
        )

    # --- the hooks

    def observe(self) -> Json:
        """Return what `rollout.hooks` reads: weight, revisions and health."""
        state = self._read()
        over = state.canary.revision is None
        troubles = [self._said(state)] if self._said(state) else []
        if not state.settled:
            troubles.append("Argo has not seen the newest wishes yet.")
        if state.weight is None:
            raise NotDone("Argo does not say the canary's weight: is there a trafficRouting?")
        return {
            "weight": 0 if over else state.weight,
            "stable": state.stable.revision,
            "canary": state.canary.revision,
            "stable_healthy": state.stable.healthy,
            "canary_healthy": not over and state.canary.healthy,
            "trouble": " ".join(troubles) or None,
        }

    def prepare(self) -> None:
        """Ask for the new revision; the first pause keeps it at weight 0."""
        new, stable = self._set["HALON_REVISION"], self._set["HALON_STABLE"]
        self._steps_are(self._read().rollout)
        self._ask_for(new, instead_of=(stable,))
        self._until(lambda s: s.template == new and s.settled and s.waits, "wait at weight 0")

    def set_weight(self) -> None:
        """Let Argo go on to the pause behind this weight; 0 is an abort."""
        percent, new = int(self._set["HALON_PERCENT"]), self._set["HALON_REVISION"]
        if percent == 0:
            self._abort(new)
            return
        state = self._read()
        self._is_ours(state, new)
        if state.status.get("abort"):
            raise NotDone("Argo has aborted this rollout; prepare it anew.", again=False)
        wanted = pause_behind(state.rollout, percent)
        now = int(state.status.get("currentStepIndex") or 0)
        if now > wanted:
            raise NotDone(f"Argo is past {percent} % already.", again=False)
        while now < wanted:
            if weight_at(state.rollout, now) > percent:
                raise NotDone(f"Argo would pass {percent} %.", again=False)
            if state.waits:
                self._go_on(new)
            before = now
            state = self._until(lambda s: step_of(s) > before, "take the next step")  # noqa: B023
            now = step_of(state)

    def promote(self) -> None:
        """Let Argo end the rollout: the new revision is stable."""
        new = self._set["HALON_REVISION"]

        def wish(status: Json) -> None:
            status.update(promoteFull=True, pauseConditions=None)

        if self._read().stable.revision != new:
            self._change_status(wish, new)

    def take_back(self) -> None:
        """Take all traffic off the canary at once, then ask for the safe revision."""
        to, new = self._set["HALON_TO"], self._set["HALON_REVISION"]
        stable = self._read().stable.revision
        self._abort(new)
        # Argo keeps asking for the bad revision after an abort; who presses "retry" would get it.
        self._ask_for(to, instead_of=tuple(one for one in (new, stable) if one))
        if to != stable:

            def at_once(status: Json) -> None:
                status.update(promoteFull=True, pauseConditions=None, abort=False)

            self._until(lambda s: s.template == to and s.settled, "see the safe revision")
            self._change_status(at_once, to)

    # --- changing

    def _abort(self, new: str) -> None:
        state = self._read()
        if state.canary.revision is None or state.template == state.stable.revision:
            return
        self._is_ours(state, new, self._set["HALON_TO"])
        if not state.status.get("abort"):
            self._change_status(lambda status: status.update(abort=True), state.template or "")
        self._until(lambda s: not s.weight, "take the traffic back")

    def _go_on(self, new: str) -> None:
        self._change_status(lambda status: status.update(pauseConditions=None), new)

    def _ask_for(self, revision: str, instead_of: tuple[str, ...]) -> None:
        image = self._target.image.replace(PLACE, revision)

        def change(rollout: Json) -> bool:
            container = container_of(rollout, self._target)
            now = self._target.revision(container["image"])
            if now == revision:
                return False
            if now not in instead_of:
                raise NotDone(f"Somebody else asks for {now}: it is not written over.")
            container["image"] = image
            return True

        self._change(self._target.path, change)

    def _change_status(self, wish: Callable[[Json], None], template: str) -> None:
        def change(rollout: Json) -> bool:
            now = self._target.revision(container_of(rollout, self._target)["image"])
            if now != template:
                raise NotDone(f"Somebody else asks for {now}: its rollout is not steered.")
            wish(rollout.setdefault("status", {}))
            return True

        self._change(f"{self._target.path}/status", change)

    def _change(self, path: str, change: Callable[[Json], bool]) -> None:
        self._kubectl.change(self.rollout, path, change)

    # --- seeing

    def _read(self) -> State:
        rollout = self.rollout()
        status = rollout.get("status") or {}
        sets = self._replica_sets(rollout)
        stable = self._side(sets.get(str(status.get("stableRS") or "")))
        newest = str(status.get("currentPodHash") or "")
        there = newest != status.get("stableRS")
        canary = self._side(sets.get(newest)) if there else Side()
        asked = self._target.revision(container_of(rollout, self._target)["image"])
        if canary.revision is None and (there or asked != stable.revision):
            canary = Side(asked)  # asked for and not started yet
        return State(rollout, self._target, stable, canary, weight_of(rollout))

    def _side(self, found: Json | None) -> Side:
        if found is None:
            return Side()
        status = found.get("status") or {}
        image = image_of(found["spec"]["template"]["spec"], self._target.container)
        return Side(
            self._target.revision(image),
            int(found["spec"].get("replicas") or 0),
            int(status.get("availableReplicas") or 0),
        )

    def rollout(self) -> Json:
        """Return the Rollout as the cluster has it."""
        return self._kubectl.get("rollouts.argoproj.io", self._target.rollout)

    def _replica_sets(self, rollout: Json) -> dict[str, Json]:
        labels = (rollout["spec"].get("selector") or {}).get("matchLabels") or {}
        chosen = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found = self._kubectl.get("replicasets.apps", "-l", chosen)
        mine = str(rollout["metadata"].get("uid") or "")
        return {
            str(one["metadata"].get("labels", {}).get(HASH, "")): one
            for one in found.get("items", [])
            if mine in [str(o.get("uid")) for o in one["metadata"].get("ownerReferences", [])]
        }

    def _until(self, done: Callable[[State], bool], what: str) -> State:
        """Return the state once it is so; the caller's own time limit ends this program."""
        while True:
            state = self._read()
            if done(state):
                return state
            if state.status.get("phase") == "Degraded" and not state.status.get("abort"):
                raise NotDone(f"Argo does not {what}: {self._said(state)}")
            time.sleep(POLL_SECONDS)

    def _said(self, state: State) -> str:
        """Return what Argo has to say of a rollout in trouble."""
        if state.status.get("phase") != "Degraded" and not state.status.get("abort"):
            return ""
        return f"Argo says {state.status.get('phase')}: {state.status.get('message') or 'no why'}."

    def _is_ours(self, state: State, *revisions: str) -> None:
        if state.template not in revisions:
            raise NotDone(f"Somebody else asks for {state.template}: its rollout is not steered.")

    def _steps_are(self, rollout: Json) -> None:
        if wrong := problems(rollout, (10, 50, 100)):
            raise NotDone(" ".join(wrong), again=False)


def main(arguments: list[str], variables: Mapping[str, str]) -> int:
    """Do what HALON_HOOK says; the sentence for people is the last line on stderr."""
    content = json.loads(arguments[0])
    content["kubectl"] = tuple(content["kubectl"])
    return kubectl.obey(Argo(Target(**content), variables), variables, "Rollout")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
