"""Settings of the workers and of the controller; neither loads the other's secrets."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

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
    engine: Literal["auto", "builtin", "claude"] = Field(
        "auto", description="who plays the roles; auto: claude where there is a key"
    )
    model_strong: str = Field("claude-opus-5-5", description="the model for judgement")
    model_fast: str = Field("claude-haiku-5-5", description="the model for deterministic work")
    model_effort: Literal["", "low", "medium", "high", "max"] = Field(
        "", description="how hard the model thinks; empty: its own default"
    )
    model_prices: str = Field(
        "",
        description="JSON of dollars per million tokens, for models that no list has: "
        '{"my-model": {"input": 3, "output": 15}}',
    )
    incident_dollars: Decimal = Field(
        Decimal("1.55"), ge=0, description="the most that models may cost for one incident"
    )
    monthly_dollars: Decimal = Field(
        Decimal(100), ge=0, description="the most that models may cost in a calendar month (UTC)"
    )
    agents: Path | None = Field(
        None,
        description="a folder with roles/*.md and skills/*/SKILL.md that go before Halon's own",
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
