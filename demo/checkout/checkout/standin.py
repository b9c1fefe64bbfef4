"""A stand-in for the payment provider, for replays and for work at a desk: accepts every charge.

`python -m checkout.standin [--port N]`: by default on the port of `config/settings.json`, so that a
replay in the same sandbox finds it. It keeps nothing and must never be used in production.
"""

import argparse
import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from checkout import settings


class Handler(BaseHTTPRequestHandler):
    """Answers like the provider, without an account behind it."""

    def do_GET(self) -> None:
        """Say that the stand-in is up."""
        self._answer({"status": "ok", "standin": True})

    def do_POST(self) -> None:
        """Accept a charge."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer({"receipt": f"standin-{uuid.uuid4().hex}"})

    def _answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def main(arguments: list[str]) -> int:
    """Serve until killed."""
    configured = urlsplit(settings.load().payment.url).port
    parser = argparse.ArgumentParser(prog="python -m checkout.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=configured, help="0 = any free port")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args(arguments).port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
