"""What Slack's client raises, as our own errors: the one file that knows how Slack says no.

Used by both halves of bot/slack around every call of the Web API. The difference that matters is
between what was surely not done, what may have been done, and what will never be done.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from incidents import errors

SOON = timedelta(seconds=2)
LATER = ("ratelimited", "rate_limited", "service_unavailable", "request_timeout")
PERHAPS = ("internal_error", "fatal_error")  # Slack's words: some of it may have been done
GONE = (
    "message_not_found",
    "thread_not_found",
    "channel_not_found",
    "is_archived",
    "cant_update_message",
    "edit_window_closed",
)


class Refused(errors.PermanentFailure):
    """Slack will not do this; `reason` is its own word for it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Gone(errors.NotFound):
    """The message or the place is not there any more; `reason` is Slack's word for it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@asynccontextmanager
async def translated(method: str) -> AsyncIterator[None]:
    """Turn what the vendor's client raises into our own errors."""
    try:
        yield
    except SlackApiError as error:
        raise _failure(method, error) from error
    except aiohttp.ClientConnectorError as error:
        raise errors.TemporaryFailure(
            f"Slack cannot be reached for {method}.", retry_after=SOON
        ) from error
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise errors.OutcomeUnknown(
            f"Slack did not answer {method} ({said}).", retry_after=SOON
        ) from error


def _failure(method: str, error: SlackApiError) -> errors.HalonError:
    answer = error.response
    data = answer.data if isinstance(getattr(answer, "data", None), dict) else {}
    reason = str(data.get("error", ""))
    status = int(getattr(answer, "status_code", 0) or 0)
    told = f"{reason or status or 'no JSON'}"
    if status == 429 or reason in LATER:
        wait = str(answer.headers.get("Retry-After", ""))
        again = timedelta(seconds=int(wait)) if wait.isdecimal() else SOON
        return errors.TemporaryFailure(
            f"Slack refused {method} for now ({told}).", retry_after=again
        )
    if status >= 500 or reason in PERHAPS or not reason:
        return errors.OutcomeUnknown(f"Slack failed at {method} ({told}).", retry_after=SOON)
    if reason == "missing_scope":
        needed = data.get("needed", "?")
        return Refused(
            f"Slack refused {method}: the app lacks the scope {needed}; `halon manifest slack` "
            "prints the manifest that has it, then install the app again.",
            reason,
        )
    if reason in GONE:
        return Gone(f"Slack refused {method}: {reason}.", reason)
    return Refused(f"Slack refused {method}: {reason}.", reason)
