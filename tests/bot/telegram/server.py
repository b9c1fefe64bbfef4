"""Telegram's server on a loopback port, with what can go wrong on the way to it.

`plan` decides which call meets which fault; by default none does. Served in threads of the test's
own process, so that a test looks into its memory while a real bot talks to it.
"""

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.bot.telegram.botapi import BotApi, Params


class Fault(StrEnum):
    """One way to fail."""

    LIMITED = "429, nothing was done"
    REFUSED = "502, nothing was done"
    BROKEN = "500, although it was done"
    CUT_BEFORE = "the connection is cut, nothing was done"
    CUT_AFTER = "the connection is cut, although it was done"


Plan = Callable[[str], Fault | None]


def share(part: float, seed: int) -> Plan:
    """Let this part of all calls fail, each in one of the ways; the same seed, the same faults."""
    dice = random.Random(seed)

    def plan(method: str) -> Fault | None:
        return dice.choice(list(Fault)) if dice.random() < part else None

    return plan


@dataclass
class Loopback:
    """The running server."""

    api: BotApi
    url: str
    plan: Plan = lambda method: None
    met: list[tuple[str, Fault]] = field(default_factory=list)
    away: bool = False  # nobody answers at all


@contextmanager
def serving(api: BotApi) -> Iterator[Loopback]:
    """Serve until the test ends."""
    running = Loopback(api, "")

    class Handler(_Handler):
        loopback = running

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        running.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token, _, method = self.path.removeprefix("/bot").partition("/")
        with self.loopback.api.changed:
            fault = Fault.CUT_BEFORE if self.loopback.away else self.loopback.plan(method)
            if fault is not None:
                self.loopback.met.append((method, fault))
        if fault is Fault.LIMITED:
            self._send(429, _error(429, "Too Many Requests: retry after 1", retry_after=1))
        elif fault is Fault.REFUSED:
            self._send(502, _error(502, "Bad Gateway"))
        elif fault is Fault.CUT_BEFORE:
            self._cut()
        else:
            params = parsed(self.headers.get("Content-Type", ""), body)
            status, said = self.loopback.api.call(token, method, params)
            if fault is Fault.BROKEN:
                self._send(500, _error(500, "Internal Server Error"))
            elif fault is Fault.CUT_AFTER:
                self._cut()
            else:
                self._send(status, said)

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _send(self, status: int, said: Params) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def parsed(kind: str, body: bytes) -> Params:
    """The parameters of a request, files as (name, content)."""
    if not kind.startswith("multipart/"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    whole = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
    found: Params = {}
    for part in BytesParser(policy=HTTP).parsebytes(whole).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        file = part.get_filename()
        found[name] = content.decode() if file is None else (file, content)
    return found


def _error(status: int, description: str, **parameters: int) -> Params:
    said: Params = {"ok": False, "error_code": status, "description": description}
    return said | ({"parameters": parameters} if parameters else {})
