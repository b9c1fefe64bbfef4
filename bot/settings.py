"""Settings of the bot: where the war room listens and the key that approvals are signed with."""

from pydantic import Field, SecretStr

from incidents import errors
from incidents.settings import Settings

KEY_BYTES = 32


class BotSettings(Settings):
    """What the bot reads. It holds no model key and no deploy credential."""

    approval_key: SecretStr = Field(
        description="64 hex digits shared by bot and controller; `halon up` makes one",
    )
    web_host: str = Field("127.0.0.1", description="where the war room listens")
    web_port: int = Field(8090, ge=0, le=65535, description="0: any free port")
    web_hosts: str = Field(
        "",
        description="further names under which the war room may be asked for, apart by commas",
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
