"""HTTP/1.1 with keep-alive on a unix socket or a TCP port, until SIGTERM.

Stopping loses no request: first no new connection comes in, then everything that was sent is
answered (with `Connection: close`), then the process ends.
"""

import argparse
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from checkout import settings, shop
from checkout.app import App, Request
from checkout.journal import Journal, Label

IDLE_SECONDS = 75  # a keep-alive connection that says nothing for so long is closed
LINGER_SECONDS = 0.2  # while stopping: time for a request that is already on its way to arrive
DRAIN_SECONDS = 15  # while stopping: the longest wait for answers


class Handler(BaseHTTPRequestHandler):
    """Carries requests from a connection to the app and answers back."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body leave in one piece
    server: "Server"

    def parse_request(self) -> bool:
        """Note that the connection is no longer idle: its first line has come in."""
        self.server.mark(self.connection, busy=True)
        return super().parse_request()

    def handle_one_request(self) -> None:
        """Serve one request; afterwards the connection is idle again."""
        try:
            super().handle_one_request()
        finally:
            self.server.mark(self.connection, busy=False)

    def do_GET(self) -> None:
        """Answer any method; the app knows the routes."""
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal():
            self.send_error(400, "Content-Length must be a number")
            return
        body = self.rfile.read(int(length))
        request_id = self.headers.get("X-Request-Id") or uuid.uuid4().hex
        request = Request(self.command, self.path, body, request_id[:64])
        response = self.server.app.handle(request)
        content = json.dumps(response.content).encode()
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Request-Id", request.request_id)
        self.send_header("X-Revision", self.server.label.revision)
        self.send_header("X-Version", self.server.label.version)
        if self.server.draining:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the app keeps the access log."""


class Server(ThreadingHTTPServer):
    """A server that knows which of its connections are busy."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int] | str, app: App, label: Label) -> None:
        self.app = app
        self.label = label
        self.draining = False
        self._connections: dict[socket.socket, bool] = {}
        self._changed = threading.Condition()
        self._path = Path(address) if isinstance(address, str) else None
        if self._path is not None:
            self.address_family = socket.AF_UNIX
            self._path.unlink(missing_ok=True)
        super().__init__(address, Handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        """Bind without looking up a host name: a unix socket has none."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Count a connection from the moment it was accepted."""
        if self.address_family == socket.AF_INET:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.mark(request, busy=False)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget a connection once it is closed."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about a client that went away: there is nobody left to answer."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def mark(self, connection: socket.socket, *, busy: bool) -> None:
        """Note whether a connection is in the middle of a request."""
        with self._changed:
            self._connections[connection] = busy
            self._changed.notify_all()

    def drain(self) -> bool:
        """Stop accepting, answer everything that was sent; False if the time ran out."""
        self.draining = True
        self.shutdown()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._accept_the_waiting()
        self.socket.close()
        time.sleep(LINGER_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        with self._changed:
            while self._connections:
                self._close_idle()
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return False
        return True

    def _accept_the_waiting(self) -> None:
        # They are connected as far as they know; closing the listener now would cut them off.
        self.socket.setblocking(False)
        while True:
            try:
                connection, address = self.get_request()
            except OSError:
                return
            connection.setblocking(True)
            self.process_request(connection, address)

    def _close_idle(self) -> None:
        # Only the reading half: a request that has come in all the same is read and answered.
        for connection, busy in self._connections.items():
            if not busy:
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    continue


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; 0 if every request was answered by then."""
    options = _parser().parse_args(arguments)
    label = Label(options.version, options.revision)
    journal = Journal(label, options.access_log, options.error_log)
    opened = shop.open_shop(settings.load(payment_url=options.payment), options.orders)
    address = options.socket or ("127.0.0.1", options.port)

    # Blocked before the first thread starts, so that every thread inherits it and only the
    # main thread takes the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = Server(address, App(opened, journal, label), label)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    if not options.socket:
        print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0 if server.drain() else 1


def _parser() -> argparse.ArgumentParser:
    environ = os.environ
    parser = argparse.ArgumentParser(prog="python -m checkout", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--socket", default=environ.get("CHECKOUT_SOCKET"), help="a unix socket")
    where.add_argument("--port", type=int, default=int(environ.get("CHECKOUT_PORT", "8080")))
    parser.add_argument("--payment", default=environ.get("CHECKOUT_PAYMENT"), help="a URL")
    parser.add_argument("--access-log", type=_path, default=environ.get("CHECKOUT_ACCESS_LOG"))
    parser.add_argument("--error-log", type=_path, default=environ.get("CHECKOUT_ERROR_LOG"))
    parser.add_argument("--orders", type=_path, default=environ.get("CHECKOUT_ORDERS"))
    parser.add_argument("--revision", default=environ.get("HALON_REVISION", "unknown"))
    parser.add_argument("--version", default=environ.get("HALON_VERSION", "stable"))
    return parser


def _path(text: str) -> Path | None:
    return Path(text) if text else None
