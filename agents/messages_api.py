"""Asks a model through the Anthropic SDK: streamed, never retried here, errors translated.

The only file of Halon that imports the SDK. Used by the composition of the claude engine; any
server that speaks the Messages API will do. It must never decide whether to ask again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
from anthropic.types import RawMessageDeltaEvent, RawMessageStartEvent

from agents.model import Billed, ModelFailed, Reply, Trouble, Usage
from agents.outgoing import Leaving

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 120.0  # between two pieces of a stream
CACHED = {"type": "ephemeral"}
KEY_STATES = frozenset({401, 402, 403})
BUSY_STATES = frozenset({408, 409, 429})
NO_MESSAGE = (
    "The model's server answered without a message; see that ANTHROPIC_BASE_URL names one that "
    "speaks the Messages API. It is asked again."
)
# In the middle of a stream an error comes under the status of its beginning, which was 200.
BUSY_KINDS = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})


class MessagesApi:
    """Implements `agents.model.Model` for one model's name."""

    def __init__(self, name: str, key: str, base_url: str | None = None, effort: str = "") -> None:
        self.name = name
        self._more: dict[str, Any] = {"output_config": {"effort": effort}} if effort else {}
        self._key, self._base_url = key, base_url

    def ask(self, leaving: Leaving, left: Callable[[], float]) -> Reply:
        """Return the reply to a question; raises ModelFailed with what it cost so far."""
        billed = Billed()
        try:
            return self._streamed(leaving, left, billed)
        except ModelFailed as error:
            error.billed = billed
            raise
        except anthropic.APIStatusError as error:
            raise self._translated(error, billed) from error
        except (anthropic.APIError, httpx2.HTTPError) as error:
            said = f"The connection to the model broke ({_words(error)}); it is tried again."
            raise ModelFailed(Trouble.CUT, said, billed=billed) from error
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            # The SDK puts pieces together as they come, and says so when they do not fit.
            said = f"The model's reply cannot be read ({_words(error)}); it is asked again."
            raise ModelFailed(Trouble.UNREADABLE, said, billed=billed) from error

    def _streamed(self, leaving: Leaving, left: Callable[[], float], billed: Billed) -> Reply:
        body = leaving.body
        asked: dict[str, Any] = {
            "model": self.name,
            "max_tokens": body["max_tokens"],
            "system": [{"type": "text", "text": body["system"], "cache_control": CACHED}],
            "messages": _marked(tuple(body["messages"])),
            **({"tools": list(body["tools"])} if body["tools"] else {}),
            **self._more,
        }
        seconds = left()
        if seconds <= 0:
            raise ModelFailed(Trouble.LATE, "The run's time is up.")
        limit = httpx2.Timeout(min(seconds, SILENCE_SECONDS), connect=min(seconds, CONNECT_SECONDS))
        begun = False
        with self._client() as client, client.messages.stream(**asked, timeout=limit) as stream:
            for event in stream:
                begun = begun or isinstance(event, RawMessageStartEvent)
                _count(event, billed)
                if left() <= 0:
                    raise ModelFailed(Trouble.LATE, "The run's time was up in the middle.")
            if not begun:  # a page of a proxy, or JSON where a stream was asked for
                raise ModelFailed(Trouble.UNREADABLE, NO_MESSAGE)
            whole = stream.current_message_snapshot
        if whole.stop_reason is None:
            said = "The model's reply ended in the middle; it is asked again."
            raise ModelFailed(Trouble.CUT, said)
        details = getattr(whole, "stop_details", None)
        return Reply(
            id=whole.id,
            model=whole.model,
            content=tuple(_plain(block.to_dict()) for block in whole.content),
            stop=whole.stop_reason,
            usage=billed.usage,
            detail=str(getattr(details, "category", None) or ""),
        )

    def _client(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(
            api_key=self._key,
            base_url=self._base_url,
            max_retries=0,
            # A gateway may read only the older of the two headers.
            default_headers={"X-Api-Key": self._key} if self._base_url else None,
        )

    def _translated(self, error: anthropic.APIStatusError, billed: Billed) -> ModelFailed:
        status, said = error.status_code, _words(error)
        if status in KEY_STATES:
            trouble, mend = Trouble.KEY, "check ANTHROPIC_API_KEY and the account's credit"
        elif status == 404:
            trouble = Trouble.UNKNOWN_MODEL
            mend = f"correct HALON_MODEL_STRONG or HALON_MODEL_FAST (asked for {self.name!r})"
        elif status == 413:
            trouble, mend = Trouble.TOO_LARGE, "the run ends with what it has"
        elif status in BUSY_STATES or status >= 500 or error.type in BUSY_KINDS:
            trouble, mend = Trouble.BUSY, "it is tried again while there is time"
        else:
            trouble, mend = Trouble.BAD_REQUEST, "check the model's name and the base address"
        text = f"The model's server answered {status} ({said}); {mend}."
        after = _seconds(error.response.headers)
        return ModelFailed(trouble, text, retry_after=after, billed=billed)


def _count(event: object, billed: Billed) -> None:
    """Take over what the server has billed by now; the counts of a delta are totals."""
    if isinstance(event, RawMessageStartEvent):
        use = event.message.usage
        billed.id = event.message.id
        billed.usage = Usage(
            fresh=use.input_tokens or 0,
            cache_read=use.cache_read_input_tokens or 0,
            cache_write=use.cache_creation_input_tokens or 0,
            output=use.output_tokens or 0,
        )
    elif isinstance(event, RawMessageDeltaEvent):
        told, was = event.usage, billed.usage
        billed.usage = Usage(
            fresh=_or(told.input_tokens, was.fresh),
            cache_read=_or(told.cache_read_input_tokens, was.cache_read),
            cache_write=_or(told.cache_creation_input_tokens, was.cache_write),
            output=_or(told.output_tokens, was.output),
        )


def _or(told: int | None, was: int) -> int:
    return was if told is None else told


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block as it is sent back: without what the SDK adds for its callers."""
    return {name: value for name, value in block.items() if name != "parsed_output"}


def _marked(messages: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return the messages, the last block marked: all before it is read from the cache next time.

    A message before it is marked too, since a later one that grew is found by its older mark.
    """
    marked = [dict(message) for message in messages]
    users = [message for message in marked if message["role"] == "user"]
    for message in users[-2:]:
        blocks = [dict(block) for block in message["content"]]
        blocks[-1]["cache_control"] = CACHED
        message["content"] = blocks
    return marked


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long the server asks to wait; a date or nonsense counts as not said."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    return None


def _words(error: Exception) -> str:
    """Return an error on one line; a server's page of HTML is none of a person's business."""
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    text = " ".join(str(said or error or type(error).__name__).split())
    return text if len(text) <= 200 else text[:200] + " …"
