"""Settings of the bot: where the war room listens and the key that approvals are signed with."""

from pydantic import Field, SecretStr

from incidents.settings import Settings


class BotSettings(Settings):
    """What the bot reads. It holds no model key and no deploy credential."""

    approval_key: SecretStr = Field(
        description="64 hex digits shared by bot and controller; `halon up` makes one",
    )
    web_host: str = Field("127.0.0.1", description="where the war room listens")
    web_port: int = Field(8090, ge=0, le=65535, description="0: any free port")
