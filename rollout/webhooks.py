"""The webhooks that Flagger asks before each step: POST /SERVICE/HOOK, answered yes or no at once.

Hosted by the controller, which holds the deploy credentials, and by the way back where no
controller is left. The answers are `rollout.permits`; nothing here decides. Whoever finds the
address taken waits for it, so that a second controller takes over when the first is gone.
Standard library only.
"""

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rollout import permits

log = logging.getLogger(__name__)
SERVICE = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")
MOST_BYTES = 64 * 1024
SLOWEST_SECONDS = 10.0  # Flagger waits no longer
AGAIN_SECONDS = 0.5  # until a taken address is tried again


def split(address: str) -> tuple[str, int]:
    """Return host and port of "HOST:PORT"; raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is no HOST:PORT")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def hosted(address: str, folder: Path) -> Iterator[None]:
    """Answer for all services below `folder` while inside, or wait for whoever does."""
    stop = threading.Event()
    thread = threading.Thread(target=_host, args=(address, folder, stop), name=f"hooks {address}")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _host(address: str, folder: Path, stop: threading.Event) -> None:
    told = False
    while not stop.is_set():
        try:
            server = _Server(split(address), type("Handler", (_Handler,), {"folder": folder}))
        except OSError as error:
            if not told:
                log.warning("webhooks wait for %s: %s", address, error)
                told = True
            stop.wait(AGAIN_SECONDS)
            continue
        told = False
        with server:
            serving = threading.Thread(target=server.serve_forever, args=(0.1,))
            serving.start()
            stop.wait()
            server.shutdown()
            serving.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # who asks slowly must not keep the controller from ending


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    timeout = SLOWEST_SECONDS
    _one_at_a_time = threading.Lock()  # a step that is allowed once is not allowed twice

    def do_POST(self) -> None:
        """Answer one question of Flagger's."""
        service, _, hook = self.path.partition("?")[0].strip("/").partition("/")
        size = self.headers.get("Content-Length", "")
        if not SERVICE.match(service) or not size.isdecimal() or int(size) > MOST_BYTES:
            self._say(permits.BAD, "Ask POST /SERVICE/HOOK with a small JSON body.")
            return
        try:
            content: object = json.loads(self.rfile.read(int(size)))
        except (OSError, ValueError):
            content = None
        place = self.folder / service
        with self._one_at_a_time:
            memory = permits.remembered(place)
            said = permits.answer(hook, content, permits.read(place), memory, time.time())
            # Strangers are told no and leave no trace, or the disk would be theirs to fill.
            if said.code in (permits.YES, permits.NO) and said.memory != memory:
                permits.remember(place, said.memory)
        self._say(said.code, said.text)

    def _say(self, code: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: Flagger asks several times a minute."""
