"""A metrics server on the loopback that answers as it is told, and can fail in every way."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs

ANSWERS = Path(__file__).with_name("answers")


@dataclass(frozen=True)
class Asked:
    """One question as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Reply:
    """What is said: `cut` bytes are left off the end, `hang` says nothing until the test is over,
    `drip` sends one byte at a time."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    hang: bool = False
    drip: bool = False
    clock: timedelta = timedelta()


def recorded(name: str, **other: object) -> Reply:
    """Return the reply whose body is stored under a name."""
    return Reply((ANSWERS / f"{name}.json").read_bytes(), **other)  # type: ignore[arg-type]


class MetricsServer:
    """`reply` is called with each question; `asked` keeps them."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.reply: Callable[[Asked], Reply] = lambda _: Reply()
        self.over = Event()
        self.address = ""

    def says(self, *replies: Reply) -> None:
        """Answer the questions in this order, over and over."""
        first = len(self.asked)
        self.reply = lambda _: replies[(len(self.asked) - 1 - first) % len(replies)]

    def json(self, place: int = -1) -> dict[str, object]:
        """Return the body of a question."""
        found: dict[str, object] = json.loads(self.asked[place].body)
        return found


@contextmanager
def serve() -> Iterator[MetricsServer]:
    """Yield a server on a free port of the loopback."""
    server = MetricsServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            server.asked.append(Asked(self.path, headers, self.rfile.read(length)))
            self._say(server.reply(server.asked[-1]))

        def _say(self, reply: Reply) -> None:
            if reply.hang:
                server.over.wait()
                self.close_connection = True
                return
            self.send_response_only(reply.status)
            now = datetime.now(UTC) + reply.clock
            headers = {"Date": format_datetime(now, usegmt=True), **reply.headers}
            for key, value in {"Content-Length": str(len(reply.body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if reply.drip:
                for byte in reply.body:
                    self.wfile.write(bytes([byte]))
                    if server.over.wait(0.02):
                        break
            else:
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = bool(reply.cut or reply.drip)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # the client gave up, as it should

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
