"""Settings of the workers and of the controller; neither loads the other's secrets."""

from pathlib import Path

from pydantic import Field, SecretStr

from incidents import errors
from incidents.remotes import Credentials
from incidents.settings import Settings

KEY_BYTES = 32


class RemoteSettings(Settings):
    """What fetches and pushes: how it is let into repositories that are not open to everyone."""

    git_ssh_key: Path | None = Field(
        None, description="a private key without a passphrase, for ssh:// and host:path addresses"
    )
    git_token: SecretStr | None = Field(
        None, description="an access token, sent as password to https:// addresses"
    )

    @property
    def credentials(self) -> Credentials:
        """What opens the services' repositories; hosts first seen are noted in the data folder."""
        return Credentials(self.git_ssh_key, self.folder / "known_hosts", self.git_token)


class WorkerSettings(RemoteSettings):
    """What a worker reads: model key, budgets. It holds no chat token and no deploy credential."""

    anthropic_api_key: SecretStr | None = Field(
        None,
        validation_alias="ANTHROPIC_API_KEY",
        description="empty: the builtin engine plays every role",
    )
    anthropic_base_url: str | None = Field(
        None, validation_alias="ANTHROPIC_BASE_URL", description="any server that speaks the API"
    )


class ControllerSettings(RemoteSettings):
    """What the controller reads: the key that approvals are verified with."""

    approval_key: SecretStr = Field(
        description="64 hex digits shared by bot and controller; `halon up` makes one",
    )

    @property
    def key(self) -> bytes:
        """The approval key; raises `errors.BadSettings` when it is none."""
        try:
            key = bytes.fromhex(self.approval_key.get_secret_value())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise errors.BadSettings(
                f"HALON_APPROVAL_KEY must be {2 * KEY_BYTES} hex digits, the same for bot and "
                "controller; `halon up` makes one, or take `openssl rand -hex 32`."
            )
        return key
