"""Who may come in: host, origin and token of every request, before any page sees it; and the
headers that keep a browser from being turned against us.

The outermost layer of `bot.web.app`. A page of another site can neither read nor post here, also
not through a name that it lets point to 127.0.0.1. Never logs a token.
"""

import asyncio
from datetime import timedelta

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web import answers
from bot.web.room import Room
from incidents.models import Person

SESSION = timedelta(days=7)
OPEN_PATHS = ("/static/", "/healthz")
STREAMS = "/stream"
SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Lets a request through with its person in `request.state.person`, or answers it."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app, self._room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (door := self._room.doors.get(scope["path"])) is not None:
            await door(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = await self._answer(request)
        await (answer or self._app)(scope, receive, _with_headers(scope, send))

    async def _answer(self, request: Request) -> Response | None:
        path = request.url.path
        if path == "/healthz":
            return None
        if request.url.hostname not in {host.strip("[]") for host in self._room.hosts}:
            return answers.trouble(
                request,
                403,
                f"This war room is not known as {request.headers.get('host', '')!r}.",
                f"Open it as {self._room.hosts[0]}, or add the name to HALON_WEB_HOSTS.",
            )
        if (request.method not in SAFE_METHODS or path.startswith(STREAMS)) and not _own(request):
            return answers.trouble(
                request,
                403,
                "This request came from another site, so nothing was done.",
                "Use the war room's own page, or send `Authorization: Bearer TOKEN`.",
            )
        if path.startswith(OPEN_PATHS):
            return None
        if request.method == "GET" and (secret := request.query_params.get("token")):
            return await self._sign_in(request, secret)
        person = await self._person(request)
        if person is not None:
            request.state.person = person
            return None
        return self._stranger(request)

    async def _sign_in(self, request: Request, secret: str) -> Response:
        session = await asyncio.to_thread(self._room.tokens.redeem, secret, SESSION)
        if session is None:
            if await self._person(request) is not None:  # the address opened twice by its owner
                return answers.bounce(str(request.url.remove_query_params("token")))
            return answers.trouble(
                request,
                401,
                "This address was used before, or is too old.",
                "Take a new one: `halon token add NAME` prints it.",
            )
        # Not a redirect: a Strict cookie would not be sent along when another site led here.
        answer = answers.bounce(str(request.url.remove_query_params("token")))
        answer.set_cookie(
            cookie_name(request),
            session,
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def _person(self, request: Request) -> Person | None:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        secret = bearer.strip() if kind.lower() == "bearer" else None
        secret = secret or request.cookies.get(cookie_name(request))
        return await asyncio.to_thread(self._room.tokens.check, secret) if secret else None

    def _stranger(self, request: Request) -> Response:
        led_here = request.headers.get("sec-fetch-site") == "cross-site"
        if led_here and request.method == "GET" and answers.wants_page(request):
            return answers.bounce(str(request.url))  # asked again from here, the cookie comes along
        return answers.trouble(
            request,
            401,
            "You are not signed in to this war room.",
            "Open the address that `halon up` printed, or get one of your own: "
            "`halon token add NAME`.",
        )


def cookie_name(request: Request) -> str:
    """Name the cookie by port too: browsers share cookies between the ports of one host."""
    return f"halon_{request.url.port or request.url.scheme}"


def _own(request: Request) -> bool:
    """Return whether a request comes from our own page, or from a program with a bearer token."""
    origin = request.headers.get("origin")
    if origin not in (None, "null"):
        return origin == f"{request.url.scheme}://{request.headers.get('host')}"
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
    return origin is None and (bearer or request.method in SAFE_METHODS)


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in answers.HEADERS.items():
                headers.setdefault(name, value)
            if not scope["path"].startswith("/static/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
