"""Our own sandbox of namespaces and Landlock, for a machine without bubblewrap and without root."""

from collections.abc import Sequence

from agents.sandboxes import contract, plan, runner


class Namespaces:
    """Needs Linux 5.12 and user namespaces for this user; uses Landlock where it is present."""

    name = "namespaces"

    def run(
        self, argv: Sequence[str], profile: contract.Profile, limits: contract.Limits
    ) -> contract.Completed:
        """Run `argv` in new user, mount, process, network, IPC and host name namespaces."""
        spec = plan.specification(self.name, argv, profile, limits)
        return runner.run(self.name, argv, spec, limits)
