"""What can go wrong between us and Slack: a proxy before a server of Slack's Web API.

Refuses as Slack does what is over its limits, and fails in every way that a network and a busy
vendor know: 429 with Retry-After, errors before and after the call was carried out, connections cut
before and after, no answer at all. `plan` decides which call meets what; by default none does.
"""

import asyncio
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

Json = dict[str, Any]


class Fault(StrEnum):
    """One way to fail."""

    LIMITED = "429, nothing was done"
    REFUSED = "503, nothing was done"
    BROKEN = "500, although it was done"
    CUT_BEFORE = "the connection is cut, nothing was done"
    CUT_AFTER = "the connection is cut, although it was done"
    HANGS = "no answer, nothing was done"
    HANGS_AFTER = "no answer, although it was done"


DONE_ANYWAY = (Fault.BROKEN, Fault.CUT_AFTER, Fault.HANGS_AFTER)
BLOCKS = ("section", "actions", "context", "divider", "header", "image")
PAST = "X-Past-Faults"  # a header of the test's own calls
Plan = Callable[[str], Fault | None]


@dataclass
class Called:
    """One call of a method: what was said, and what it met."""

    method: str
    said: Json
    fault: Fault | None = None
    error: str = ""


@dataclass
class Faults:
    """The proxy; a context manager that serves in a thread of its own."""

    server: str
    plan: Plan = lambda method: None
    refuses: dict[str, str] = field(default_factory=dict)  # method → Slack's word for its refusal
    outside: set[str] = field(default_factory=set)  # private channels that we are not in
    calls: list[Called] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Fail at nothing and forget what was called."""
        self.plan = lambda method: None
        self.refuses = {}
        self.outside.clear()
        self.calls.clear()

    def __enter__(self) -> "Faults":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _listen(self) -> None:
        self._client = aiohttp.ClientSession()
        app = web.Application(client_max_size=50_000_000)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        method = request.path.rpartition("/")[2] if request.path.startswith("/api/") else "upload"
        said = _said(request, body)
        if PAST in request.headers:
            return await self._forward(request, body, said, method)
        called = Called(method, said)
        self.calls.append(called)
        called.fault = fault = self.plan(method)
        if fault is Fault.LIMITED:
            again = {"Retry-After": "1"}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429,
                                     headers=again)  # fmt: skip
        if fault is Fault.REFUSED:
            return web.Response(status=503, text="upstream connect error")
        if fault is Fault.CUT_BEFORE:
            return self._cut(request)
        if fault is Fault.HANGS:
            return await self._hang(request)
        hidden = "channel_not_found" if said.get("channel") in self.outside else ""
        called.error = self.refuses.get(method) or hidden or over(method, said)
        if called.error:
            more = {"needed": "some:scope"} if called.error == "missing_scope" else {}
            return web.json_response({"ok": False, "error": called.error, **more})
        answer = await self._forward(request, body, said, method)
        if fault is Fault.BROKEN:
            return web.json_response({"ok": False, "error": "internal_error"}, status=500)
        if fault is Fault.CUT_AFTER:
            return self._cut(request)
        if fault is Fault.HANGS_AFTER:
            return await self._hang(request)
        return answer

    def _cut(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _hang(self, request: web.Request) -> web.Response:
        """Say nothing until the other side has gone."""
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.02)
        return web.Response()

    async def _lost_its_head(self, request: web.Request, said: Json) -> bool:
        if not said.get("thread_ts"):
            return False
        asked = {"channel": said["channel"], "ts": said["thread_ts"]}
        headers = {"Authorization": request.headers.get("Authorization", "")}
        url = f"{self.server}/api/conversations.replies"
        async with self._client.post(url, data=asked, headers=headers) as answer:
            found = (await answer.json()).get("messages") or []
        return all(one.get("ts") != said["thread_ts"] for one in found)

    async def _forward(
        self, request: web.Request, body: bytes, said: Json, method: str
    ) -> web.Response:
        path, verb, data = request.path_qs, request.method, body
        if method == "users.conversations":  # the server lacks it; ours are those we have made
            path = "/api/conversations.list?limit=1000&types=public_channel,private_channel"
        kept = ["authorization", "content-type"]
        if method == "chat.postMessage" and await self._lost_its_head(request, said):
            data = json.dumps({**said, "thread_ts": None}).encode()  # as Slack does, silently
        headers = {name: value for name, value in request.headers.items() if name.lower() in kept}
        if "?" in path and path.startswith("/api/"):  # Slack takes both, the server only forms
            verb, (path, _, query) = "POST", path.partition("?")
            data = query.encode("ascii")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if method == "conversations.create":  # the client writes 1, the server reads true
            data = data.replace(b"is_private=1", b"is_private=true")
        async with self._client.request(
            verb, self.server + path, data=data, headers=headers
        ) as answer:
            content = await answer.read()
            kind = answer.headers.get("Content-Type", "application/json")
            return web.Response(body=content, status=answer.status, headers={"Content-Type": kind})


def some(rate: float, seed: int, only: tuple[Fault, ...] = tuple(Fault)) -> Plan:
    """Return a plan by which a share of all calls fails, each kind as often."""
    chance = random.Random(seed)

    def plan(method: str) -> Fault | None:
        return chance.choice(only) if chance.random() < rate else None

    return plan


def once(method: str, fault: Fault, after: int = 0) -> Plan:
    """Return a plan by which one call of a method fails, after so many that do not."""
    seen = {"calls": 0}

    def plan(called: str) -> Fault | None:
        seen["calls"] += called == method
        return fault if called == method and seen["calls"] == after + 1 else None

    return plan


def over(method: str, said: Json) -> str:
    """Return Slack's word for a message over its limits, an empty text for one within."""
    if method not in ("chat.postMessage", "chat.update", "chat.postEphemeral"):
        return ""
    blocks = said.get("blocks") or []
    if len(str(said.get("text") or "")) > 40_000:
        return "msg_too_long"
    if not said.get("text") and not blocks:
        return "no_text"
    if len(blocks) > 50 or any(not _fits(block) for block in blocks):
        return "invalid_blocks"
    total = sum(len(str(_text(block))) for block in blocks)
    return "msg_blocks_too_long" if total > 13_200 else ""


def _fits(block: Json) -> bool:
    kind = block.get("type")
    if kind == "section":
        return 1 <= len(_text(block)) <= 3000
    if kind == "actions":
        elements = block.get("elements") or []
        return 1 <= len(elements) <= 25 and all(_button_fits(one) for one in elements)
    if kind == "context":
        return 1 <= len(block.get("elements") or []) <= 10
    return kind in BLOCKS


def _button_fits(one: Json) -> bool:
    label = str(one.get("text", {}).get("text", ""))
    styled = one.get("style") in (None, "primary", "danger")
    return 1 <= len(label) <= 75 and len(one.get("value", "")) <= 2000 and styled


def _text(block: Json) -> str:
    text = block.get("text")
    return str(text.get("text", "")) if isinstance(text, dict) else ""


def _said(request: web.Request, body: bytes) -> Json:
    kind = request.content_type
    if kind == "application/json":
        read: Json = json.loads(body or b"{}")
    elif kind == "application/x-www-form-urlencoded":
        read = dict(parse_qsl(body.decode("utf-8", "replace")))
    else:
        read = {}
    if isinstance(read.get("blocks"), str):
        read["blocks"] = json.loads(read["blocks"])
    return dict(request.query) | read
