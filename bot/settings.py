"""Settings of the bot: where the war room listens, the chats, and the key that seals approvals."""

from typing import Literal

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
    web_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="the war room as people reach it, for links in chats; empty: no links",
    )
    slack_bot_token: SecretStr | None = Field(
        None,
        validation_alias="SLACK_BOT_TOKEN",
        description="xoxb-…; with it Halon lives in Slack, see README",
    )
    slack_app_token: SecretStr | None = Field(
        None,
        validation_alias="SLACK_APP_TOKEN",
        description="xapp-… with connections:write, for Socket Mode",
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        validation_alias="SLACK_SIGNING_SECRET",
        description="only for SLACK mode http: what requests are signed with",
    )
    slack_mode: Literal["socket", "http"] = Field(
        "socket",
        description="socket needs no public address; http takes requests at /slack/events",
    )
    slack_channel: str | None = Field(
        None,
        pattern=r"^[CG][A-Z0-9]{2,20}$",
        description="id of the channel in which incidents are told, such as C024BE91L; "
        "empty: the channel where one was opened",
    )
    slack_api_base_url: str = Field(
        "https://slack.com/api/",
        validation_alias="SLACK_API_BASE_URL",
        pattern=r"^https?://",
        description="any server that speaks Slack's API, for calls and for opening the socket",
    )

    telegram_bot_token: SecretStr | None = Field(
        None,
        validation_alias="TELEGRAM_BOT_TOKEN",
        description="of @BotFather; with it Halon lives in Telegram, see README",
    )
    telegram_group: int | None = Field(
        None, lt=0, description="id of the group in which incidents are told, -100…"
    )
    telegram_mode: Literal["polling", "webhook"] = Field(
        "polling",
        description="polling needs no public address; webhook takes updates at /telegram",
    )
    telegram_webhook_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="only for webhook: the address at which Telegram reaches the war room's server",
    )
    telegram_webhook_secret: SecretStr | None = Field(
        None,
        description="only for webhook: what Telegram sends along, so that nobody else is heard",
    )
    telegram_yes: str = Field("👍", description="the standard reaction that says yes")
    telegram_no: str = Field("👎", description="the standard reaction that says no")
    telegram_per_minute: int = Field(
        20, gt=3, description="messages a minute; Telegram takes 20 in a group"
    )
    telegram_api_base_url: str = Field(
        "https://api.telegram.org/bot",
        validation_alias="TELEGRAM_API_BASE_URL",
        pattern=r"^https?://",
        description="any server that speaks the Bot API; the token is appended to it",
    )
    telegram_file_base_url: str = Field(
        "https://api.telegram.org/file/bot",
        validation_alias="TELEGRAM_FILE_BASE_URL",
        pattern=r"^https?://",
        description="the same for files",
    )

    @property
    def slack_configured(self) -> bool:
        """Whether Halon lives in Slack; raises `errors.BadSettings` where only half is set."""
        needed = {"SLACK_BOT_TOKEN": self.slack_bot_token}
        if self.slack_mode == "socket":
            needed["SLACK_APP_TOKEN"] = self.slack_app_token
        else:
            needed["SLACK_SIGNING_SECRET"] = self.slack_signing_secret
        if self.slack_bot_token is None and self.slack_app_token is None:
            return False
        missing = [name for name, value in needed.items() if not (value and str(value))]
        if missing:
            raise errors.BadSettings(
                f"Slack ({self.slack_mode} mode) also needs {' and '.join(missing)}; "
                "`halon manifest slack` says where each comes from."
            )
        return True

    @property
    def chat_wanted(self) -> bool:
        """Whether a chat has a token, complete or not: then the war room's operator is not all."""
        tokens = (self.slack_bot_token, self.slack_app_token, self.telegram_bot_token)
        return any(one is not None and one.get_secret_value() for one in tokens)

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
