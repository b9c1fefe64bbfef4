"""What Halon asks of Slack to act on what came in: who somebody is, and an answer for one alone.

Called by `bot.slack.acts`. The only file of the inbound half that calls the Web API; what Slack's
client raises leaves it as `TemporaryFailure` or `PermanentFailure`. It retries nothing itself.
"""

from collections.abc import Sequence

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.slack.failures import SOON, translated
from incidents import errors
from incidents.models import Json

SECONDS = 10
THERE = ("already_in_channel", "cant_invite_self")
Blocks = Sequence[Json]


class Asking:
    """Calls of the Web API that an act needs."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def me(self) -> Json:
        """Return who we are, with the scopes that were granted under `scopes`."""
        async with translated("auth.test"):
            said = await self._client.auth_test()
            granted = said.headers.get("x-oauth-scopes", "")
            return {**_table(said.data), "scopes": granted}

    async def user(self, user: str) -> Json:
        """Return what Slack knows of a person."""
        async with translated("users.info"):
            return _table((await self._client.users_info(user=user))["user"])

    async def channel(self, channel: str) -> Json:
        """Return what Slack knows of a channel, membership included."""
        async with translated("conversations.info"):
            return _table((await self._client.conversations_info(channel=channel))["channel"])

    async def message(self, channel: str, ts: str, thread: str = "") -> Json | None:
        """Return one message, None when it is not there."""
        async with translated("conversations.history"):
            if thread:
                found = await self._client.conversations_replies(
                    channel=channel, ts=thread, oldest=ts, latest=ts, inclusive=True, limit=2
                )
            else:
                found = await self._client.conversations_history(
                    channel=channel, oldest=ts, latest=ts, inclusive=True, limit=1
                )
            messages = [_table(one) for one in found.get("messages") or ()]
        return next((one for one in messages if one.get("ts") == ts), None)

    async def permalink(self, channel: str, ts: str) -> str:
        """Return the address of a message."""
        async with translated("chat.getPermalink"):
            said = await self._client.chat_getPermalink(channel=channel, message_ts=ts)
            return str(said["permalink"])

    async def whisper(
        self, channel: str, user: str, thread: str, text: str, blocks: Blocks = ()
    ) -> None:
        """Tell one person something where others do not see it."""
        async with translated("chat.postEphemeral"):
            await self._client.chat_postEphemeral(
                channel=channel,
                user=user,
                text=text,
                blocks=list(blocks) or None,
                thread_ts=thread or None,
            )

    async def direct(self, user: str, text: str, blocks: Blocks = ()) -> None:
        """Tell one person something in the app's own messages."""
        async with translated("chat.postMessage"):
            await self._client.chat_postMessage(
                channel=user, text=text, blocks=list(blocks) or None, unfurl_links=False
            )

    async def answer(self, address: str, text: str, blocks: Blocks = ()) -> None:
        """Answer a command or a button where it was typed, for its person alone."""
        async with translated("response_url"):
            hook = AsyncWebhookClient(address, timeout=SECONDS, retry_handlers=[])
            said = await hook.send(
                text=text,
                blocks=list(blocks) or None,
                response_type="ephemeral",
                replace_original=False,
            )
            if said.status_code >= 500 or said.status_code == 429:
                raise errors.TemporaryFailure("Slack did not take an answer.", retry_after=SOON)
            if said.status_code >= 400:
                raise errors.PermanentFailure(f"Slack refused an answer: {said.body}.")

    async def publish(self, user: str, view: Json) -> None:
        """Show a person their app home."""
        async with translated("views.publish"):
            await self._client.views_publish(user_id=user, view=view)

    async def open_form(self, trigger: str, view: Json) -> None:
        """Open a form; a trigger is good for three seconds and one form."""
        async with translated("views.open"):
            await self._client.views_open(trigger_id=trigger, view=view)

    async def invite(self, channel: str, users: Sequence[str]) -> None:
        """Bring people into a channel; who is there already stays."""
        async with translated("conversations.invite"):
            try:
                await self._client.conversations_invite(
                    channel=channel, users=list(users), force=True
                )
            except SlackApiError as error:
                if error.response.get("error") not in THERE:
                    raise


def _table(value: object) -> Json:
    return value if isinstance(value, dict) else {}
