"""What the settings say of Telegram, checked before anything is started.

Called by `bot.app` and `halon doctor`. Every mistake is one sentence with its mend.
"""

from bot.settings import BotSettings
from bot.telegram.app import Account, Webhook, validated
from bot.telegram.application import Line
from incidents import errors


def of(settings: BotSettings) -> Account | None:
    """Return what lets us into Telegram, None without a token; raises `errors.BadSettings`."""
    line = reached(settings)
    if line is None:
        return None
    if settings.telegram_group is None:
        raise errors.BadSettings(
            "Telegram also needs HALON_TELEGRAM_GROUP, the id of the group in which incidents are "
            "told, such as -1001234567890; `halon doctor` names the groups that the bot is in."
        )
    validated(settings.telegram_yes, settings.telegram_no)
    return Account(
        line,
        settings.telegram_group,
        _webhook(settings),
        settings.telegram_yes,
        settings.telegram_no,
        settings.telegram_per_minute,
    )


def reached(settings: BotSettings) -> Line | None:
    """Return how Telegram is reached, None without a token."""
    if settings.telegram_bot_token is None:
        return None
    return Line(
        settings.telegram_bot_token.get_secret_value(),
        settings.telegram_api_base_url.rstrip("/"),
        settings.telegram_file_base_url.rstrip("/"),
    )


def _webhook(settings: BotSettings) -> Webhook | None:
    if settings.telegram_mode == "polling":
        return None
    secret = settings.telegram_webhook_secret
    if settings.telegram_webhook_url is None or secret is None:
        raise errors.BadSettings(
            "Telegram in webhook mode also needs HALON_TELEGRAM_WEBHOOK_URL, the public https "
            "address of the war room's server, and HALON_TELEGRAM_WEBHOOK_SECRET, 1 to 256 "
            "letters, digits, _ or -."
        )
    return Webhook(settings.telegram_webhook_url.rstrip("/"), secret.get_secret_value())
