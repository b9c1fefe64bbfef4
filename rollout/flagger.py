"""Flagger as hooks: `python -I -S flagger.py SETTINGS`, what to do is in HALON_HOOK.

Run by `rollout.steering` for the deployer `flagger`, by its way back too; docs/hooks.md tells the
contract; SETTINGS is JSON. Flagger moves the traffic and asks before each step; this writes what it
may do (`rollout.permits`), asks for revisions through kubectl, and reads back what came of it.
Standard library only.
"""

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

if __name__ == "__main__":  # as a script with -I, nothing but the standard library is in reach
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from rollout import kubectl, permits, webhooks
from rollout.flagger_state import GOING, State, Target, state_of
from rollout.kubectl import PLACE, Json, NotDone

POLL_SECONDS = 0.2
STEP_SECONDS = 90.0  # longer than the hook that waits for the step


class Flagger:
    """Every hook, for one Canary."""

    def __init__(self, target: Target, variables: Mapping[str, str]) -> None:
        self._target, self._set = target, variables
        self._folder = Path(target.folder) / target.service
        self._kubectl = kubectl.Kubectl(
            tuple(target.kubectl), target.namespace, target.kubeconfig, target.context
        )
        space = f"namespaces/{target.namespace}"
        self._watched = target.deployment or target.canary
        self._canary_path = f"/apis/flagger.app/v1beta1/{space}/canaries/{target.canary}"
        self._deployment_path = f"/apis/apps/v1/{space}/deployments/{self._watched}"

    # --- the hooks

    def observe(self) -> Json:
        """Return what `rollout.hooks` reads: weight, revisions and health."""
        state = self.read()
        if state.weight is None:
            raise NotDone(f"Flagger does not say the canary's weight: phase {state.phase!r}.")
        return {
            "weight": state.weight,
            "stable": state.stable.revision,
            "canary": state.revision,
            "stable_healthy": state.stable.healthy,
            "canary_healthy": state.phase in GOING and state.asked.healthy,
            "trouble": self._trouble(state),
        }

    def prepare(self) -> None:
        """Ask for the new revision; Flagger brings it up and waits at weight 0."""
        new, stable = self._set["HALON_REVISION"], self._set["HALON_STABLE"]
        if not self._target.token:
            raise NotDone("token_file cannot be read, so nobody could ask.", again=False)
        state = self.read()
        if state.phase in GOING:
            self._is_ours(state, new)
        elif state.phase == "Failed":
            # What failed is not begun again before Flagger has seen something else.
            self._ask_for(stable, instead_of=(new,))
            self._until(lambda s: s.pinned, "see that the old revision is asked for again")
        self._permit(permits.START)
        self._ask_for(new, instead_of=(stable,))
        self._until(
            lambda s: s.phase == "Progressing" and s.weight == 0 and s.asked.healthy,
            "bring the canary up at weight 0",
        )

    def set_weight(self) -> None:
        """Let Flagger take the steps up to this weight, one permit each; 0 takes all back."""
        percent, new = int(self._set["HALON_PERCENT"]), self._set["HALON_REVISION"]
        if percent == 0:
            self._off_the_canary(new)
            return
        while True:
            state = self.read()
            self._is_ours(state, new)
            now = state.weight or 0
            if now >= percent:
                break
            self._permit(permits.RAISE, once=True)
            try:
                self._until(lambda s: (s.weight or 0) > now, "take the next step")  # noqa: B023
            finally:
                self._permit()
        if now > percent:
            raise NotDone(f"Flagger is past {percent} % already.", again=False)
        self._permit()

    def promote(self) -> None:
        """Let Flagger end the rollout: the new revision is stable."""
        new = self._set["HALON_REVISION"]
        self._is_ours(self.read(), new)
        # Flagger asks about an increase before it asks about promoting, at 100 % too.
        self._permit(permits.RAISE, permits.PROMOTE)
        self._until(
            lambda s: s.stable.revision == new and s.phase == "Succeeded", "promote the canary"
        )
        self._stand_aside()

    def take_back(self) -> None:
        """Take all traffic off the canary, then ask for the safe revision.

        Where no controller answers Flagger any more, this does.
        """
        to, new = self._set["HALON_TO"], self._set["HALON_REVISION"]
        with webhooks.hosted(self._target.listen, Path(self._target.folder)):
            self._off_the_canary(new, to)
            state = self.read()
            known = tuple(one for one in (new, self._set["HALON_STABLE"]) if one)
            if to != state.stable.revision:
                self._at_once(to, known)
            else:
                self._ask_for(to, instead_of=known)
        self._stand_aside()

    # --- acting

    def _off_the_canary(self, *ours: str) -> None:
        state = self.read()
        if state.phase not in GOING:
            return
        self._is_ours(state, *ours, self._set["HALON_STABLE"])
        self._permit(permits.BACK)
        # While it promotes Flagger asks nobody; what it has promoted is taken back afterwards.
        self._until(lambda s: s.phase not in GOING, "take the traffic back")

    def _at_once(self, to: str, known: tuple[str, ...]) -> None:
        """Make another revision stable without steps, as one goes to what ran before."""
        self._permit(permits.START)
        self._skip(True)
        try:
            self._ask_for(to, instead_of=known)
            self._until(
                lambda s: s.stable.revision == to and s.phase == "Succeeded",
                "make the safe revision the stable one",
            )
        finally:
            self._skip(False)

    def _permit(self, *may: str, once: bool = False) -> None:
        permits.write(
            self._folder,
            permits.Permit(
                self._target.canary,
                self._target.namespace,
                self._target.token,
                open=True,
                may=may,
                once=uuid.uuid4().hex if once else "",
                until=time.time() + STEP_SECONDS,
                rollout=self._set["HALON_ROLLOUT"],
            ),
        )

    def _stand_aside(self) -> None:
        stand_aside(self._target)

    def _skip(self, wanted: bool) -> None:
        def change(canary: Json) -> bool:
            before = bool(canary["spec"].get("skipAnalysis"))
            canary["spec"]["skipAnalysis"] = wanted
            return before != wanted

        read = lambda: self._kubectl.get("canaries.flagger.app", self._target.canary)  # noqa: E731
        self._kubectl.change(read, self._canary_path, change)

    def _ask_for(self, revision: str, instead_of: tuple[str, ...]) -> None:
        def change(deployment: Json) -> bool:
            pod = deployment["spec"]["template"]["spec"]
            container = kubectl.container_of(pod, self._target.container)
            now = kubectl.revision_in(container["image"], self._target.image)
            if now == revision:
                return False
            if now not in instead_of:
                raise NotDone(f"Somebody else asks for {now}: it is not written over.")
            container["image"] = self._target.image.replace(PLACE, revision)
            return True

        read = lambda: self._kubectl.get("deployments.apps", self._watched)  # noqa: E731
        self._kubectl.change(read, self._deployment_path, change)

    # --- seeing

    def read(self) -> State:
        """Return the Canary and both Deployments as the cluster has them."""
        names = [f"deployments.apps/{self._watched}{end}" for end in ("", "-primary")]
        found = self._kubectl.get(f"canaries.flagger.app/{self._target.canary}", *names)
        return state_of(found, self._target)

    def _until(self, done: Callable[[State], bool], what: str) -> State:
        """Return the state once it is so; the caller's own time limit ends this program."""
        was_going = False
        while True:
            state = self.read()
            if done(state):
                return state
            if state.phase == "Failed" and was_going:
                raise NotDone(f"Flagger does not {what}: it has taken the canary back itself.")
            was_going = was_going or state.phase in GOING
            time.sleep(POLL_SECONDS)

    def _trouble(self, state: State) -> str | None:
        """Return what people should know of a canary that does not come, or has gone."""
        if state.asked.revision == state.stable.revision or state.phase == "Progressing":
            return None
        if state.phase == "Failed":
            return f"Flagger has taken {state.asked.revision} back."
        said = permits.remembered(self._folder)
        asked = f"{said.asked}: {said.told}" if said.asked else "nothing yet; does it reach us?"
        return f"Flagger is {state.phase}; it has asked {asked}"

    def _is_ours(self, state: State, *revisions: str) -> None:
        if state.asked.revision not in revisions:
            raise NotDone(
                f"Somebody else asks for {state.asked.revision}: its rollout is not steered."
            )


def stand_aside(target: Target) -> None:
    """Let Flagger go on as without Halon: no rollout of ours is open."""
    closed = permits.Permit(target.canary, target.namespace, target.token)
    permits.write(Path(target.folder) / target.service, closed)


def main(arguments: list[str], variables: Mapping[str, str]) -> int:
    """Do what HALON_HOOK says; the sentence for people is the last line on stderr."""
    content = json.loads(arguments[0])
    content["kubectl"] = tuple(content["kubectl"])
    return kubectl.obey(Flagger(Target(**content), variables), variables, "Canary")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:], os.environ))
