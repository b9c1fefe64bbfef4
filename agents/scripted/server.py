"""Speaks the Messages API over HTTP, streamed as the real one streams, answering by a script.

Used by the tests, the flows and the bench with the real SDK's client, and by anyone who wants to
see the loop work without a key. It bills tokens by length and plays the prompt cache, and it can
fail in every way that the real server does. It listens on loopback only.
"""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Block = dict[str, Any]

CHARACTERS_PER_TOKEN = 3.6
PIECE = 400  # characters of one delta
KEY = "sk-ant-scripted"


@dataclass(frozen=True)
class Asked:
    """One request as a script sees it."""

    body: dict[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.body["model"])

    @property
    def system(self) -> str:
        """The system prompt."""
        return "\n".join(block["text"] for block in self.body.get("system", ()))

    @property
    def role(self) -> str:
        """The role that is played, as the prompt's first line names it."""
        first = self.system.partition("\n")[0]
        return first.removeprefix("Role: ") if first.startswith("Role: ") else ""

    @property
    def turn(self) -> int:
        """How many replies the conversation holds already."""
        return sum(message["role"] == "assistant" for message in self.body["messages"])

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were declared."""
        return [tool["name"] for tool in self.body.get("tools", ())]

    def task(self) -> str:
        """Return the first message."""
        return "\n".join(_texts(self.body["messages"][0]["content"]))

    def results(self) -> list[Block]:
        """Return the tool results of the last message."""
        content = self.body["messages"][-1]["content"]
        return [block for block in content if block.get("type") == "tool_result"]

    def told(self) -> str:
        """Return every text of the last message, results included."""
        return "\n".join(_texts(self.body["messages"][-1]["content"]))


@dataclass(frozen=True)
class Turn:
    """A reply; `cut_after` breaks the connection after so many events, `stop` overrides."""

    content: tuple[Block, ...]
    stop: str = ""
    cut_after: int | None = None
    stop_details: dict[str, Any] | None = None


@dataclass(frozen=True)
class Failure:
    """An error in place of a reply; `in_stream` sends it in the middle of one."""

    status: int
    kind: str
    message: str = "scripted"
    retry_after: str | None = None
    in_stream: bool = False


Script = Callable[[Asked], Turn | Failure]


def says(text: str, stop: str = "end_turn") -> Turn:
    """Return a reply in words."""
    return Turn(({"type": "text", "text": text},), stop)


def calls(*wanted: tuple[str, Any], text: str = "") -> Turn:
    """Return a reply that calls tools, in parallel if there are several."""
    spoken: list[Block] = [{"type": "text", "text": text}] if text else []
    used = [{"type": "tool_use", "name": name, "input": given} for name, given in wanted]
    return Turn((*spoken, *used), "tool_use")


@dataclass
class Scripted:
    """A running server; `asked` are the requests in order, `answered` counts replies per model."""

    script: Script
    key: str = KEY
    known_models: frozenset[str] | None = None
    asked: list[Asked] = field(default_factory=list)
    _cache: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator["Scripted"]:
        """Listen on a free port of loopback while the block lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="scripted")
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, body: dict[str, Any]) -> tuple[Turn | Failure, dict[str, int]]:
        """Return what the script says to a request, and the tokens it is billed for."""
        with self._lock:
            asked = Asked(body)
            self.asked.append(asked)
            usage = self._usage(body)
        if self.known_models is not None and asked.model not in self.known_models:
            return Failure(404, "not_found_error", f"model: {asked.model}"), usage
        return self.script(asked), usage

    def _usage(self, body: dict[str, Any]) -> dict[str, int]:
        """Return the tokens of a request: read from the cache up to the longest known mark."""
        prefix, digest = 0, hashlib.sha256()
        marks: list[tuple[int, str]] = []
        for part in _parts(body):
            bare = {name: value for name, value in part.items() if name != "cache_control"}
            text = json.dumps(bare, sort_keys=True)
            prefix += _tokens(text)
            digest.update(text.encode())
            if "cache_control" in part:
                marks.append((prefix, digest.hexdigest()))
        read = max((length for length, name in marks if name in self._cache), default=0)
        last = marks[-1][0] if marks else 0
        self._cache |= {name for _, name in marks}
        return {
            "input_tokens": prefix - max(last, read),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": max(0, last - read),
            "output_tokens": 1,
        }


def _parts(body: dict[str, Any]) -> Iterator[Block]:
    """Yield a request's parts in the order in which the cache sees them."""
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        for block in message["content"]:
            yield {"role": message["role"], **block}


def _tokens(text: str) -> int:
    return max(1, round(len(text) / CHARACTERS_PER_TOKEN))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if block.get("type") == "text":
            yield block["text"]
        elif block.get("type") == "tool_result":
            yield from _texts(block["content"])


def _handler(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: stdout belongs to whoever started this."""

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            given = self.headers.get("authorization", "").removeprefix("Bearer ")
            if scripted.key not in (given, self.headers.get("x-api-key")):
                self._fail(Failure(401, "authentication_error", "invalid x-api-key"))
                return
            if not self.path.split("?")[0].endswith("/v1/messages"):
                self._fail(Failure(404, "not_found_error", self.path))
                return
            body = json.loads(raw)
            if (wrong := _wrong(body)) is not None:
                self._fail(Failure(400, "invalid_request_error", wrong))
                return
            turn, usage = scripted.answer(body)
            if isinstance(turn, Failure) and not turn.in_stream:
                self._fail(turn)
                return
            number = len(scripted.asked)
            self._stream(_events(turn, usage, body["model"], number), turn)

        def _fail(self, failure: Failure) -> None:
            said = {"type": "error", "error": {"type": failure.kind, "message": failure.message}}
            text = json.dumps(said).encode()
            self.send_response(failure.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            if failure.retry_after is not None:
                self.send_header("retry-after", failure.retry_after)
            self.end_headers()
            self.wfile.write(text)

        def _stream(self, events: Iterator[Block], turn: Turn | Failure) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            cut = turn.cut_after if isinstance(turn, Turn) else None
            for sent, event in enumerate(events):
                if cut is not None and sent >= cut:
                    self.close_connection = True  # no closing chunk: torn, not ended
                    self.connection.close()
                    return
                text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

    return Handler


def _events(
    turn: Turn | Failure, usage: dict[str, int], model: str, number: int
) -> Iterator[Block]:
    message: Block = {
        "id": f"msg_{number:05}", "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    yield {"type": "message_start", "message": message}
    if isinstance(turn, Failure):
        yield {"type": "error", "error": {"type": turn.kind, "message": turn.message}}
        return
    output = 0
    for index, block in enumerate(turn.content):
        whole = _named(block, f"toolu_{number:05}_{index}")
        shell, deltas = _pieces(whole)
        yield {"type": "content_block_start", "index": index, "content_block": shell}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        output += _tokens(json.dumps(whole))
    closing: Block = {"stop_reason": turn.stop or "end_turn", "stop_sequence": None}
    if turn.stop_details is not None:
        closing["stop_details"] = turn.stop_details
    yield {"type": "message_delta", "delta": closing, "usage": {"output_tokens": max(1, output)}}
    yield {"type": "message_stop"}


def _named(block: Block, name: str) -> Block:
    return {"id": name, **block} if block["type"] == "tool_use" else block


def _pieces(block: Block) -> tuple[Block, list[Block]]:
    """Return a block's beginning and the deltas that fill it."""
    if block["type"] == "tool_use":
        given = block["input"]
        text = given if isinstance(given, str) else json.dumps(given)
        parts = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        return {**block, "input": {}}, deltas
    text = block["text"]
    parts = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": p} for p in parts]


def _wrong(body: dict[str, Any]) -> str | None:
    """Return what the real server would refuse in a conversation, None for a sound one."""
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        return "messages: the first message must be the user's"
    for before, after in itertools.pairwise(messages):
        if before["role"] == after["role"]:
            return "messages: roles must alternate"
        wanted = {b["id"] for b in before["content"] if b.get("type") == "tool_use"}
        given = {b["tool_use_id"] for b in after["content"] if b.get("type") == "tool_result"}
        if before["role"] == "assistant" and wanted != given:
            return f"messages: tool_use {sorted(wanted ^ given)} without its tool_result"
    if messages[-1]["role"] != "user":
        return "messages: the last message must be the user's"
    if any(not message["content"] for message in messages):
        return "messages: content must not be empty"
    marked = sum("cache_control" in part for part in _parts(body))
    return "cache_control: at most 4 blocks" if marked > 4 else None
