"""A server for tests that remembers what it was asked, and may fail, be slow or send away."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """One version's own address."""

    status: int = 200
    seconds: float = 0.0
    requests: list[tuple[str, str]] = field(default_factory=list)
    marks: set[str | None] = field(default_factory=set)
    address: str = ""


@contextmanager
def serving(**how: float) -> Iterator[Asked]:
    """Serve on a port of its own while inside."""
    found = Asked(**how)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.requests.append((self.command, self.path))
            found.marks.add(self.headers["X-Halon-Replay"])
            time.sleep(found.seconds)
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_GET  # noqa: N815 - the names are the library's

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
