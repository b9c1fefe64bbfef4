"""The payment provider of the demo: the second real process that the checkout service depends on.

`python -m demo.payment --port N [--ledger FILE] [--latency-ms N]`. `GET /healthz` is its probe,
`POST /charge` takes money and writes one ledger line per charge, so that one can count from outside
what was really charged. Started and stopped by `halon demo`; stopped, it is the fire of
`no-code-cause`.
"""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Answers the probe and takes charges."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one piece
    server: "Provider"

    def do_GET(self) -> None:
        """Answer the probe."""
        if self.path == "/healthz":
            self._answer(200, {"status": "ok"})
        else:
            self._answer(404, {"error": f"nothing at {self.path}"})

    def do_POST(self) -> None:
        """Take a charge."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/charge":
            self._answer(404, {"error": f"nothing at {self.path}"})
            return
        try:
            charge = json.loads(body)
            amount, card, reference = charge["amount"], charge["card"], charge["reference"]
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"error": f"not a charge: {error!r}"})
            return
        if card == "tok_declined":
            self._answer(402, {"error": "declined"})
            return
        self._answer(200, {"receipt": self.server.take(amount, reference)})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the ledger says what happened."""


class Provider(ThreadingHTTPServer):
    """Takes charges after a short, slightly uneven wait, as a provider across a network does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, ledger: Path | None, latency_ms: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self._ledger = ledger
        self._latency_ms = latency_ms

    def take(self, amount: int, reference: str) -> str:
        """Write a charge down and return its receipt; one append per charge."""
        time.sleep(self._latency_ms * random.uniform(0.7, 1.6) / 1000)
        receipt = f"r-{uuid.uuid4().hex}"
        if self._ledger is not None:
            line = {"receipt": receipt, "amount": amount, "reference": reference}
            handle = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                os.write(handle, json.dumps(line).encode() + b"\n")
            finally:
                os.close(handle)
        return receipt


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m demo.payment", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 = any free port, printed")
    parser.add_argument("--ledger", type=Path, default=None)
    parser.add_argument("--latency-ms", type=float, default=8.0)
    options = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        provider = Provider(options.port, options.ledger, options.latency_ms)
    except OSError as error:
        print(f"port {options.port}: {error.strerror}; choose another", file=sys.stderr)
        return 3
    threading.Thread(target=provider.serve_forever, args=(0.05,), daemon=True).start()
    print(f"listening on http://127.0.0.1:{provider.server_address[1]}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    provider.shutdown()
    provider.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
