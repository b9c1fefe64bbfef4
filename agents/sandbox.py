"""The one place to run a repository's code: values, the choice of a sandbox, and its probe.

Used by the engines, the test stage and `halon doctor`. Code of a repository must never run but
through `Sandbox.run`; there is no quiet way to no sandbox.
"""

import tempfile
from pathlib import Path

from agents.sandboxes.bare import Bare
from agents.sandboxes.bubblewrap import Bubblewrap
from agents.sandboxes.commands import interpreter_mounts
from agents.sandboxes.contract import (
    Completed,
    Limits,
    Profile,
    Sandbox,
    SandboxBroken,
    SandboxProbe,
    SandboxUnavailable,
    StandIn,
)
from agents.sandboxes.namespaces import Namespaces

__all__ = [
    "Completed",
    "Limits",
    "Profile",
    "Sandbox",
    "SandboxBroken",
    "SandboxProbe",
    "SandboxUnavailable",
    "StandIn",
    "choose",
    "interpreter_mounts",
    "probe",
]

AUTO, NONE = "auto", "none"
PROBE_LIMITS = Limits(seconds=10)
MEND = (
    "Install bubblewrap (`apt-get install bubblewrap`) or allow user namespaces for this user; "
    "in a container, loosen its seccomp and AppArmor profiles. HALON_SANDBOX=none runs the code "
    "without any sandbox, on a machine where that is acceptable."
)


def choose(wanted: str = AUTO) -> Sandbox:
    """Give the sandbox of that name, or with "auto" the best that works here.

    Raises SandboxUnavailable when none works; "auto" never means "none".
    """
    if wanted == NONE:
        return Bare()
    walled = {sandbox.name: sandbox for sandbox in _walled()}
    if wanted not in (AUTO, *walled):
        names = ", ".join(repr(name) for name in (AUTO, *walled, NONE))
        raise SandboxUnavailable(f"HALON_SANDBOX is {wanted!r}; it must be one of {names}.")
    reasons = []
    for name in walled if wanted == AUTO else [wanted]:
        found = _probe(walled[name])
        if found.works:
            return walled[name]
        reasons.append(f"{name}: {found.reason}")
    raise SandboxUnavailable(
        f"No sandbox works here with HALON_SANDBOX={wanted} ({'; '.join(reasons)}). {MEND}"
    )


def probe() -> list[SandboxProbe]:
    """Try every sandbox with a command that does nothing, best first."""
    return [_probe(sandbox) for sandbox in _walled()]


def _walled() -> tuple[Sandbox, ...]:
    return (Bubblewrap(), Namespaces())


def _probe(sandbox: Sandbox) -> SandboxProbe:
    with tempfile.TemporaryDirectory(prefix="halon-probe-") as folder:
        try:
            done = sandbox.run(["/bin/true"], Profile(tree=Path(folder)), PROBE_LIMITS)
        except SandboxBroken as error:
            return SandboxProbe(sandbox.name, works=False, reason=error.message)
    if done.ok:
        return SandboxProbe(sandbox.name, works=True)
    reason = done.problem or done.output.strip() or f"exit code {done.exit_code}"
    return SandboxProbe(sandbox.name, works=False, reason=reason)
