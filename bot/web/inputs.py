"""What a request carries: its person, its fields, and the key that makes its act happen once.

Called by `bot.web.app`. Reads no more than a limit, and takes forms and flat JSON objects alike.
"""

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from incidents.models import Person

LIMIT = 300_000  # bytes; an edited review is the longest thing that anyone sends
TOO_LONG = f"That is too long; {LIMIT:,} bytes are the most."
NO_OBJECT = "The body is neither a form nor a JSON object."


def person(request: Request) -> Person:
    """Return who sent a request that the guard let through."""
    who = request.state.person
    assert isinstance(who, Person)  # noqa: S101 - the guard let no one else through
    return who


def key(request: Request, fields: dict[str, str]) -> str:
    """Return what makes an act happen once, however often a page sends it."""
    given = request.headers.get("idempotency-key") or fields.get("key")
    return f"web:{person(request)}:{given or uuid.uuid4()}"[:300]


async def body(request: Request) -> dict[str, str]:
    """Return the fields that are text; raises `HTTPException` for what is too long or no object."""
    whole = b""
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > LIMIT:
            raise HTTPException(413, TOO_LONG)
    try:
        text = whole.decode("utf-8")
        is_json = request.headers.get("content-type", "").startswith("application/json")
        fields: Any = json.loads(text) if is_json else dict(parse_qsl(text, True))
    except ValueError:
        raise HTTPException(400, NO_OBJECT) from None
    if not isinstance(fields, dict):
        raise HTTPException(400, NO_OBJECT)
    return {name: value for name, value in fields.items() if isinstance(value, str)}
