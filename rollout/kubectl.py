"""Asks a Kubernetes cluster through kubectl (1.20 and newer): objects as JSON, one written back.

Used by `rollout.argo` and `rollout.flagger`, on the way back too. Writes nothing without the
resource version that was read, and never a revision over one that is not Halon's. Standard library
only.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PLACE = "{revision}"
TRIES = 5  # of a change that somebody else's change overtook
SECONDS = 15.0
OK, FAILED, RETRY = 0, 1, 75  # how a hook ends
Json = dict[str, Any]


class NotDone(Exception):
    """It could not be done; `again`: it may be tried again."""

    def __init__(self, text: str, *, again: bool = True) -> None:
        super().__init__(text)
        self.again = again


class Hooks(Protocol):
    """The hooks of one deployer, each a method of its name; `observe` says where things stand."""

    def observe(self) -> Json:
        """Return the state that docs/hooks.md tells."""
        ...


@dataclass(frozen=True)
class Kubectl:
    """One cluster and namespace, and how they are reached."""

    argv: tuple[str, ...] = ("kubectl",)
    namespace: str = "default"
    kubeconfig: str = ""
    context: str = ""

    def get(self, *words: str) -> Json:
        """Return what `kubectl get` says as JSON; raises `NotDone`."""
        said = self._run("get", *words, "-o", "json")
        try:
            content = json.loads(said)
        except ValueError as error:
            raise NotDone(f"kubectl printed no JSON: {said[:80]!r}.") from error
        if not isinstance(content, dict):
            raise NotDone("kubectl printed no JSON object.")
        return content

    def change(self, read: Callable[[], Json], path: str, change: Callable[[Json], bool]) -> None:
        """Read, change and write with the version that was read; overtaken: once more.

        `change` alters what was read in place and says whether there is anything to write.
        """
        for _ in range(TRIES):
            found = read()
            if not change(found):
                return
            try:
                # Unasked, kubectl 1.20 would fetch the cluster's whole schema before a raw write.
                words = ("replace", "--validate=false", "--raw", path, "-f", "-")
                self._run(*words, given=json.dumps(found))
            except NotDone as error:
                if not re.search(r"\bconflict\b|has been modified", str(error), re.IGNORECASE):
                    raise
            else:
                return
        raise NotDone(f"{path.rpartition('/')[2]} was changed by others {TRIES} times.")

    def _run(self, *words: str, given: str | None = None) -> str:
        more = [f"--request-timeout={SECONDS:.0f}s"]
        more += [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        more += [f"--context={self.context}"] if self.context else []
        # A raw address names its namespace itself.
        more += [] if "--raw" in words else [f"--namespace={self.namespace}"]
        try:
            done = subprocess.run(
                [*self.argv, *words, *more],
                input=given,
                capture_output=True,
                text=True,
                timeout=2 * SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotDone(f"kubectl cannot be run: {error}.") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise NotDone(f"kubectl: {lines[-1][:400]}")
        return done.stdout


def obey(hooks: Hooks, variables: Mapping[str, str], subject: str) -> int:
    """Do what HALON_HOOK says, return its exit code; the last line on stderr is for people."""
    try:
        if variables["HALON_HOOK"] == "observe":
            sys.stdout.write(json.dumps(hooks.observe()) + "\n")
        else:
            getattr(hooks, variables["HALON_HOOK"])()
    except NotDone as error:
        sys.stderr.write(f"{error}\n")
        return RETRY if error.again else FAILED
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        sys.stderr.write(f"What the cluster says of the {subject} cannot be read: {error!r}\n")
        return RETRY
    return OK


def revision_in(image: str | None, named: str) -> str | None:
    """Return the revision in an image's name; the name itself when it is not of ours."""
    if image is None:
        return None
    before, _, after = named.partition(PLACE)
    found = re.fullmatch(f"{re.escape(before)}([0-9A-Za-z._-]+?){re.escape(after)}", image)
    return found[1] if found else image


def container_of(pod: Json, name: str) -> Json:
    """Return a container of a pod's spec, to be changed in place; raises `NotDone`."""
    found: list[Json] = pod["containers"]
    for one in found:
        if one.get("name") == name:
            return one  # the object itself, since callers change it in place
    raise NotDone(f"There is no container {name!r}.", again=False)
