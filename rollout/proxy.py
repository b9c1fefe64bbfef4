"""The HTTP/1.1 front of the host: one connection in, a backend chosen per request, one line logged.

Called by `rollout.host`. Forwards bytes and never interprets a body. A request that no backend has
seen is tried on another one, so a dying replica costs nobody an answer where that is safe.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

MAX_HEAD = 64 * 1024
CHUNK = 64 * 1024
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 60.0
ATTEMPTS = 3
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE = {b"GET", b"HEAD", b"OPTIONS"}
_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect"}


class BadMessage(Exception):
    """The peer does not speak HTTP/1.1 as we can forward it."""


class Backend(Protocol):
    """Where one request goes: a replica, in the role it has at this moment."""

    @property
    def version(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def socket(self) -> str: ...
    def enter(self) -> None: ...
    def leave(self) -> None: ...


@dataclass
class Head:
    """Start line and headers of a message, names in lower case."""

    start: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def get(self, name: bytes) -> bytes | None:
        """Return a header's only value; raises BadMessage when two values differ."""
        values = {value for key, value in self.headers if key == name}
        if len(values) > 1:
            raise BadMessage(f"{name.decode()} is given twice")
        return values.pop() if values else None

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the comma separated words of a header in lower case."""
        joined = b",".join(value for key, value in self.headers if key == name)
        return {word.strip().lower() for word in joined.split(b",")}


@dataclass(frozen=True)
class Line:
    """What the access log says about one request or one failed attempt at it."""

    version: str
    revision: str
    method: str
    path: str
    status: int
    seconds: float
    retried: bool = False


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Return the head of the next message, or None when the peer closed before one began."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial.strip():
            return None
        raise BadMessage("the connection ended inside a head") from error
    except asyncio.LimitOverrunError as error:
        raise BadMessage("the head is too large") from error
    lines = raw.lstrip(b"\r\n")[:-4].split(b"\r\n")
    head = Head(lines[0])
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadMessage("a header line is malformed")
        head.headers.append((name.lower(), value.strip()))
    return head


def body_length(head: Head) -> int | None:
    """Return the length of a request's body, -1 for chunked; 0 without one."""
    coding, length = head.get(b"transfer-encoding"), head.get(b"content-length")
    if coding is not None:
        # Both at once is how requests are smuggled past a proxy.
        if length is not None or coding.lower() != b"chunked":
            raise BadMessage("the body's length is ambiguous")
        return -1
    if length is None:
        return 0
    if not length.isdigit():
        raise BadMessage("the content-length is no number")
    return int(length)


async def body(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    """Yield a body as it stands on the wire; `length` -1 is chunked, -2 runs to the end."""
    if length == -2:
        while piece := await reader.read(CHUNK):
            yield piece
        return
    if length >= 0:
        async for piece in _exactly(reader, length):
            yield piece
        return
    while True:
        line = await reader.readuntil(b"\r\n")
        yield line
        try:
            size = int(line.split(b";")[0].strip(), 16)
        except ValueError as error:
            raise BadMessage("a chunk has no size") from error
        if size < 0:
            raise BadMessage("a chunk has a negative size")
        if size == 0:
            while line != b"\r\n":
                line = await reader.readuntil(b"\r\n")
                yield line
            return
        async for piece in _exactly(reader, size + 2):
            yield piece


async def _exactly(reader: asyncio.StreamReader, count: int) -> AsyncIterator[bytes]:
    while count > 0:
        piece = await reader.read(min(count, CHUNK))
        if not piece:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(piece)
        yield piece


class NoAnswer(Exception):
    """A backend gave no answer; `sent`: it may have begun to work on the request."""

    def __init__(self, sent: bool, timeout: bool = False) -> None:
        super().__init__("no answer")
        self.sent = sent
        self.timeout = timeout


class Proxy:
    """Serves clients; `choose` names the backend for each request, avoiding those that failed."""

    def __init__(
        self, choose: Callable[[tuple[str, ...]], Backend | None], log: Callable[[Line], None]
    ) -> None:
        self._choose = choose
        self._log = log
        self._clients: dict[asyncio.Task[None], bool] = {}  # whether one is inside a request
        self._closing = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one client connection until it ends."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream callback always runs in a task
        self._clients[task] = False
        try:
            while not self._closing and await self._one(task, reader, writer):
                self._clients[task] = False
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client went away; what a backend did is logged already
        except BadMessage as error:
            await _say(writer, 400, str(error), close=True)
        finally:
            del self._clients[task]
            writer.close()

    async def close(self, grace: float) -> None:
        """Let running requests end within `grace` seconds, then end every connection."""
        self._closing = True
        for task, busy in list(self._clients.items()):
            if not busy:
                task.cancel()
        busy_ones = [task for task, busy in self._clients.items() if busy]
        if busy_ones:
            await asyncio.wait(busy_ones, timeout=grace)
        rest = list(self._clients)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _one(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Forward one request; return whether the connection stays open."""
        async with asyncio.timeout(IDLE_SECONDS):
            head = await read_head(reader)
        if head is None:
            return False
        self._clients[task] = True
        parts = head.start.split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not _TOKEN.fullmatch(parts[0]):
            raise BadMessage("the request line is malformed")
        length = body_length(head) or 0
        old = parts[2] == b"HTTP/1.0"
        keep = not old and b"close" not in head.tokens(b"connection")
        if b"100-continue" in head.tokens(b"expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange = _Exchange(self, head, parts[0], parts[1], length, reader, writer)
        return await exchange.run(keep, old) and keep


@dataclass
class _Exchange:
    """One request on its way through backends, until one has answered."""

    proxy: Proxy
    head: Head
    method: bytes
    path: bytes
    length: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    started: float = field(default_factory=time.monotonic)
    body_read: bool = False

    async def run(self, keep: bool, old: bool) -> bool:
        tried: tuple[str, ...] = ()
        for attempt in range(ATTEMPTS):
            backend = self.proxy._choose(tried)
            if backend is None:
                break
            backend.enter()
            try:
                return await self._through(backend, keep, old)
            except NoAnswer as error:
                tried = (*tried, backend.socket)
                harmless = not error.sent or (self.method in _SAFE and self.length == 0)
                again = harmless and not self.body_read and attempt + 1 < ATTEMPTS
                status = 504 if error.timeout else 502
                again = again and not error.timeout and self.proxy._choose(tried) is not None
                self._note(backend.version, backend.revision, status, retried=again)
                if not again:
                    await _say(self.writer, status, "the service gave no answer", close=True)
                    return False
            finally:
                backend.leave()
        self._note("none", "", 503)
        await _say(self.writer, 503, "no replica of the service is healthy", close=True)
        return False

    def _note(self, version: str, revision: str, status: int, retried: bool = False) -> None:
        seconds = time.monotonic() - self.started
        method, path = self.method.decode("latin-1"), self.path.decode("latin-1")
        self.proxy._log(Line(version, revision, method, path, status, seconds, retried))

    async def _through(self, backend: Backend, keep: bool, old: bool) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                up_reader, up_writer = await asyncio.open_unix_connection(
                    backend.socket, limit=MAX_HEAD
                )
        except (OSError, TimeoutError) as error:
            raise NoAnswer(sent=False) from error
        try:
            answer, status = await self._ask(up_reader, up_writer)
            return await self._answer(backend, answer, status, up_reader, keep, old)
        finally:
            up_writer.close()

    async def _ask(
        self, up_reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter
    ) -> tuple[Head, int]:
        """Send the request to a backend and return the head of its answer."""
        dropped = _HOP | self.head.tokens(b"connection")
        lines = [b" ".join((self.method, self.path, b"HTTP/1.1"))]
        lines += [b"%s: %s" % pair for pair in self.head.headers if pair[0] not in dropped]
        up_writer.write(b"\r\n".join([*lines, b"connection: close", b"", b""]))
        if self.length:
            self.body_read = True
            async for piece in body(self.reader, self.length):
                try:
                    up_writer.write(piece)
                    await up_writer.drain()
                except OSError:
                    break  # it may have answered without reading the body
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    answer = await read_head(up_reader)
                    if answer is None:
                        raise NoAnswer(sent=True)
                    status = _status(answer)
                    if status >= 200:
                        return answer, status
        except TimeoutError as error:
            raise NoAnswer(sent=True, timeout=True) from error
        except (OSError, BadMessage) as error:
            raise NoAnswer(sent=True) from error

    async def _answer(
        self,
        backend: Backend,
        answer: Head,
        status: int,
        up_reader: asyncio.StreamReader,
        keep: bool,
        old: bool,
    ) -> bool:
        """Pass a backend's answer on to the client; return whether its end was marked."""
        length = _answer_length(self.method, status, answer)
        chunk_it = length == -2 and not old
        keep = keep and (length != -2 or chunk_it) and not self.proxy._closing
        dropped = _HOP | answer.tokens(b"connection")
        lines = [b"HTTP/1.1 " + answer.start.partition(b" ")[2]]
        lines += [b"%s: %s" % pair for pair in answer.headers if pair[0] not in dropped]
        if chunk_it:
            lines.append(b"transfer-encoding: chunked")
        lines.append(b"connection: " + (b"keep-alive" if keep else b"close"))
        self.writer.write(b"\r\n".join([*lines, b"", b""]))
        pieces = body(up_reader, length)
        whole = False
        try:
            while True:
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    break
                except (TimeoutError, OSError, BadMessage, asyncio.IncompleteReadError):
                    # The client has part of an answer; only a broken connection can tell it so.
                    self._note(backend.version, backend.revision, 502)
                    self.writer.transport.abort()
                    return False
                self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunk_it else piece)
                try:
                    await self.writer.drain()
                except OSError:
                    self._note(backend.version, backend.revision, 499)
                    return False
            whole = True
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]
            if whole:
                self._note(backend.version, backend.revision, status)
        if chunk_it:
            self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()
        return keep


def _status(answer: Head) -> int:
    parts = answer.start.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise BadMessage("the status line is malformed")
    status = int(parts[1])
    if not 100 <= status <= 599 or status == 101:
        raise BadMessage("the status cannot be forwarded")
    return status


def _answer_length(method: bytes, status: int, answer: Head) -> int:
    if method == b"HEAD" or status in (204, 304):
        return 0
    if answer.get(b"transfer-encoding") is None and answer.get(b"content-length") is None:
        return -2
    return body_length(answer) or 0


async def _say(writer: asyncio.StreamWriter, status: int, text: str, *, close: bool) -> None:
    body_bytes = (text + "\n").encode()
    word = {400: "Bad Request", 502: "Bad Gateway", 503: "Service Unavailable"}.get(status, "Error")
    writer.write(
        f"HTTP/1.1 {status} {word}\r\ncontent-type: text/plain\r\n"
        f"content-length: {len(body_bytes)}\r\n"
        f"connection: {'close' if close else 'keep-alive'}\r\n\r\n".encode()
        + body_bytes
    )
    with contextlib.suppress(OSError):  # the client went away before it could be told
        await writer.drain()
