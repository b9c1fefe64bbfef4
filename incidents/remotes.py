"""How git is let into a repository that is not open to everyone: an SSH key, or a token for HTTPS.

Held by workers and controller, who fetch and push; the bot holds none of it. Both reach git by its
environment, never by an argument that other users of the machine can read.
"""

import base64
import shlex
import urllib.parse
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from incidents import errors

USER = "halon"  # with a token as password the hosts of code take any name
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Nothing of the person who started us, no question, and never another host than the known one.
SSH = (
    *("ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
    *("-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=10"),
)


class Kind(StrEnum):
    """How an address is reached."""

    SSH = "ssh"
    HTTP = "http"
    OPEN = "open"  # a folder, or a protocol that knows no secrets


def kind(address: str) -> Kind:
    """Tell how git would reach an address."""
    scheme = urllib.parse.urlsplit(address).scheme
    if scheme in ("http", "https"):
        return Kind.HTTP
    before, colon, _ = address.partition(":")
    is_scp = "://" not in address and bool(colon) and bool(before) and "/" not in before
    return Kind.SSH if is_scp or scheme in ("ssh", "git+ssh", "ssh+git") else Kind.OPEN


@dataclass(frozen=True)
class Credentials:
    """What opens the remote repositories; without a part, only what is open can be read."""

    ssh_key: Path | None = None
    known_hosts: Path | None = None  # a host is trusted when first seen and then held to its key
    token: SecretStr | None = None

    def environment(self, address: str) -> dict[str, str]:
        """Return the variables that let git into `address`; none where it needs none.

        Raises `errors.BadSettings` where a secret would be sent to be read on the way.
        """
        match kind(address):
            case Kind.HTTP:
                return self._bearer(urllib.parse.urlsplit(address))
            case Kind.SSH:
                return self._identity()
            case Kind.OPEN:
                return {}

    def _identity(self) -> dict[str, str]:
        if self.ssh_key is None:
            return {}
        argv = [*SSH, "-i", str(self.ssh_key.absolute())]
        if self.known_hosts is not None:
            argv += ["-o", f"UserKnownHostsFile={self.known_hosts.absolute()}"]
        return {"GIT_SSH_COMMAND": shlex.join(argv), "GIT_SSH_VARIANT": "ssh"}

    def _bearer(self, parts: urllib.parse.SplitResult) -> dict[str, str]:
        if self.token is None:
            return {}
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise errors.BadSettings(
                f"The token of HALON_GIT_TOKEN would go to {parts.hostname!r} unencrypted: "
                "name the repository with https://."
            )
        said = f"{USER}:{self.token.get_secret_value()}".encode()
        host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        return {
            "GIT_CONFIG_COUNT": "2",
            # For this host alone, and not where it would send us.
            "GIT_CONFIG_KEY_0": f"http.{host}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {base64.b64encode(said).decode()}",
            "GIT_CONFIG_KEY_1": "http.followRedirects",
            "GIT_CONFIG_VALUE_1": "false",
        }
