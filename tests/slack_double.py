"""Slack's own side for tests: the socket that it opens, and the few methods that acts ask for.

A real HTTP and WebSocket server in a thread of its own, so that a test may stop it dead and start
it again on the same port. Unacknowledged envelopes are sent again, as Slack does. `forward` names a
server that answers the Web API instead; what a method shall answer here can be set, failures too.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web

Json = dict[str, Any]
APP_TOKEN, BOT_TOKEN, SECRET = "xapp-1-A1-secret", "xoxb-1-secret", "signing-secret"
BOT, BOT_ID, TEAM = "UHALON", "BHALON", "T1"
REDELIVERED_AFTER = 3.0  # Slack waits about as long for an acknowledgement
SCOPES = "commands,chat:write,users:read"


@dataclass
class Called:
    """One call of the Web API, or one answer to a response_url (method `response_url`)."""

    method: str
    said: Json
    at: float = field(default_factory=time.monotonic)


@dataclass
class Sent:
    """One envelope: when it was first sent, and when and with what it was acknowledged."""

    envelope: Json
    sent_at: float
    acked: Future[float] = field(default_factory=Future)  # seconds until then
    payload: Json | None = None
    times: int = 0


class SlackDouble:
    """The server; use `running`."""

    def __init__(self) -> None:
        self.port = 0
        self.forward: str | None = None  # base address of a server for the Web API
        self.calls: list[Called] = []
        self.users: dict[str, Json] = defaultdict(dict)
        self.answers: dict[str, Callable[[Json], web.Response | Json]] = {}
        self.sent: dict[str, Sent] = {}
        self.opened = 0  # connections that were opened
        self.granted = SCOPES  # of the bot token
        self.mute = False  # keep connections and say nothing, not even a pong
        self._numbers = itertools.count(1)
        self._sockets: set[web.WebSocketResponse] = set()
        self._tickets: set[str] = set()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """What `SLACK_API_BASE_URL` is set to."""
        return f"http://127.0.0.1:{self.port}/api/"

    def response_url(self, name: str = "r1") -> str:
        """An address that takes answers, as commands and buttons carry it."""
        return f"http://127.0.0.1:{self.port}/respond/{name}"

    # --- the server's life

    def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(20)

    def stop(self) -> None:
        """Die: every connection is cut without a word."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self._loop = None

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post("/api/apps.connections.open", self._open)
        app.router.add_route("*", "/api/{method}", self._method)
        app.router.add_post("/respond/{name}", self._respond)
        app.router.add_get("/link", self._link)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _die(self) -> None:
        for one in list(self._sockets):
            if (transport := one._req.transport if one._req else None) is not None:
                transport.abort()
        self._sockets.clear()
        if self._runner is not None:
            await self._runner.cleanup()
        mine = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    # --- the socket

    async def _open(self, request: web.Request) -> web.Response:
        self._note("apps.connections.open", {})
        if request.headers.get("Authorization") != f"Bearer {APP_TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if (own := self.answers.get("apps.connections.open")) is not None:
            return self._response(own({}))
        ticket = str(next(self._numbers))
        self._tickets.add(ticket)
        url = f"ws://127.0.0.1:{self.port}/link?ticket={ticket}"
        return web.json_response({"ok": True, "url": url})

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=401)  # each address is good for one connection
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.opened += 1
        hello = {"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}
        if not self.mute:
            await socket.send_json(hello)
            self._sockets.add(socket)
            for one in [one for one in self.sent.values() if not one.acked.done()]:
                await self._give(one)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.PING and not self.mute:
                await socket.pong(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                self._acked(json.loads(message.data))
        self._sockets.discard(socket)
        return socket

    def _acked(self, said: Json) -> None:
        one = self.sent.get(said.get("envelope_id", ""))
        if one is not None and not one.acked.done():
            one.payload = said.get("payload")
            one.acked.set_result(time.monotonic() - one.sent_at)

    def send(self, kind: str, payload: Json, envelope_id: str | None = None) -> Sent:
        """Send an envelope of `events_api`, `slash_commands` or `interactive`."""
        made = envelope_id or f"env-{next(self._numbers)}"
        envelope = {"type": kind, "envelope_id": made, "payload": payload}
        one = Sent(envelope | {"accepts_response_payload": True}, time.monotonic())
        with self._lock:
            self.sent[made] = one
        self._run(self._deliver(one))
        return one

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask for a new connection, as Slack does every hour or so."""
        said = {"type": "disconnect", "reason": reason}
        for one in list(self._sockets):
            self._run(one.send_json(said))

    async def _deliver(self, one: Sent) -> None:
        while not one.acked.done():
            await self._give(one)
            await asyncio.sleep(REDELIVERED_AFTER)

    async def _give(self, one: Sent) -> None:
        live = [socket for socket in self._sockets if not socket.closed]
        if live and not self.mute:
            retry = {"retry_attempt": one.times, "retry_reason": "timeout"} if one.times else {}
            one.times += 1
            try:
                await live[-1].send_json(one.envelope | retry)
            except ConnectionError:
                self._sockets.discard(live[-1])

    def _run(self, work: Any) -> None:
        if self._loop is None:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop)

    # --- the Web API

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if self.forward is not None:
            return await self._forwarded(request, method)
        said = await _arguments(request)
        self._note(method, said)
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if (own := self.answers.get(method)) is not None:
            return self._response(own(said))
        return self._response(self._usual(method, said))

    def _usual(self, method: str, said: Json) -> Json:
        if method == "auth.test":
            return {"ok": True, "user_id": BOT, "user": "halon"} | {
                "bot_id": BOT_ID,
                "team_id": TEAM,
                "team": "Shop",
            }
        if method == "users.info":
            user = {"id": said["user"], "team_id": TEAM, "is_bot": False}
            return {"ok": True, "user": user | self.users.get(said["user"], {})}
        if method == "chat.postMessage":
            return {"ok": True, "ts": f"1700000000.{next(self._numbers):06}"}
        return {"ok": True}

    async def _forwarded(self, request: web.Request, method: str) -> web.Response:
        body = await request.read()
        kept = {"Authorization", "Content-Type"}
        headers = {name: value for name, value in request.headers.items() if name in kept}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                f"{str(self.forward).rstrip('/')}/{method}",
                params=request.query,
                data=body,
                headers=headers,
            ) as answer,
        ):
            passed = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() in ("content-type", "retry-after", "x-oauth-scopes")
            }
            return web.Response(body=await answer.read(), status=answer.status, headers=passed)

    async def _respond(self, request: web.Request) -> web.Response:
        self._note("response_url", await request.json() | {"name": request.match_info["name"]})
        return web.Response(text="ok")

    def _response(self, answer: web.Response | Json) -> web.Response:
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer, headers={"x-oauth-scopes": self.granted})

    def _note(self, method: str, said: Json) -> None:
        with self._lock:
            self.calls.append(Called(method, said))

    def called(self, method: str) -> list[Json]:
        """What a method was called with, in order."""
        with self._lock:
            return [one.said for one in self.calls if one.method == method]

    # --- what people do

    def slash(self, line: str, user: str, **more: Any) -> Sent:
        """Somebody types a slash command."""
        return self.send("slash_commands", slash(line, user, self.response_url(), **more))

    def event(self, event: Json, event_id: str | None = None) -> Sent:
        """Something happened in a channel."""
        return self.send("events_api", callback(event, event_id or f"Ev{next(self._numbers)}"))


@contextmanager
def running() -> Iterator[SlackDouble]:
    """Run a server for as long as the test takes."""
    double = SlackDouble()
    double.start()
    try:
        yield double
    finally:
        double.stop()


# --- the shapes of what Slack sends, the same over the socket and over HTTP

_triggers = itertools.count(1)


def slash(line: str, user: str, response_url: str, **more: Any) -> Json:
    """Return a slash command's form; `channel` and `trigger_id` may be given."""
    command, _, text = line.partition(" ")
    return {
        "token": "old",
        "team_id": TEAM,
        "channel_id": more.get("channel", "C1"),
        "channel_name": "general",
        "user_id": user,
        "user_name": user.lower(),
        "command": command,
        "text": text,
        "api_app_id": "A1",
        "response_url": response_url,
        "trigger_id": more.get("trigger_id") or f"{next(_triggers)}.{time.time_ns()}.abc",
    }


def callback(event: Json, event_id: str) -> Json:
    """Return an event as Slack wraps it."""
    return {
        "token": "old",
        "team_id": TEAM,
        "api_app_id": "A1",
        "type": "event_callback",
        "event": event,
        "event_id": event_id,
        "event_time": 1700000000,
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
    }


def mention(text: str, user: str, channel: str, ts: str, thread: str | None = None) -> Json:
    """Return an `app_mention` of ours."""
    made = {"type": "app_mention", "user": user, "text": f"<@{BOT}> {text}", "team": TEAM}
    placed = made | {"channel": channel, "ts": ts, "event_ts": ts}
    return placed | ({"thread_ts": thread} if thread else {})


def reaction(
    emoji: str, user: str, channel: str, ts: str, *, at: str = "1.0", gone: bool = False
) -> Json:
    """Return a reaction that was added to a message, or taken away."""
    return {
        "type": "reaction_removed" if gone else "reaction_added",
        "user": user,
        "reaction": emoji,
        "item": {"type": "message", "channel": channel, "ts": ts},
        "item_user": BOT,
        "event_ts": at,
    }


def button(
    action_id: str, value: str, user: str, channel: str, ts: str, response_url: str, **more: Any
) -> Json:
    """Return a press of a button."""
    return {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": user, "team_id": more.get("team", TEAM)},
        "api_app_id": "A1",
        "trigger_id": f"{next(_triggers)}.{time.time_ns()}.abc",
        "response_url": response_url,
        "channel": {"id": channel},
        "container": {"type": "message", "message_ts": ts, "channel_id": channel},
        "actions": [
            {
                "type": "button",
                "action_id": action_id,
                "block_id": "b",
                "value": value,
                "action_ts": more.get("at", "1700000001.5"),
            }
        ],
    }


def form(callback_id: str, fields: dict[str, str], user: str, view: str = "V1") -> Json:
    """Return a form that was sent."""
    values = {name: {name: {"type": "x", "value": text}} for name, text in fields.items()}
    return {
        "type": "view_submission",
        "team": {"id": TEAM},
        "user": {"id": user, "team_id": TEAM},
        "api_app_id": "A1",
        "view": {
            "id": view,
            "type": "modal",
            "callback_id": callback_id,
            "private_metadata": "C1",
            "state": {"values": values},
        },
    }


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Return the headers by which Slack signs a request over HTTP."""
    timestamp = str(int(time.time() if at is None else at))
    base = b"v0:" + timestamp.encode() + b":" + body
    digest = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}


def posted(payload: Json) -> tuple[bytes, str]:
    """Return a payload as Slack posts it, with its content type."""
    if "command" in payload:
        return urlencode(payload).encode(), "application/x-www-form-urlencoded"
    if payload.get("type") == "event_callback":
        return json.dumps(payload).encode(), "application/json"
    form = urlencode({"payload": json.dumps(payload)}).encode()
    return form, "application/x-www-form-urlencoded"


async def _arguments(request: web.Request) -> Json:
    if request.content_type == "application/json":
        found: Json = await request.json()
        return found
    body = dict(parse_qsl((await request.read()).decode()))
    return {**request.query, **{name: _loaded(value) for name, value in body.items()}}


def _loaded(value: str) -> Any:
    if value[:1] not in "[{":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
