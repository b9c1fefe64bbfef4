"""A tiny HTTP service on a unix socket for the host's tests; its revision says how it behaves.

Started by the host as a replica, from the folder of a revision, with the standard library only. The
file `behaviour.json` of that folder says how it answers.
"""

import argparse
import json
import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: dict[str, float]
    served = 0

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        return

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        given = self.rfile.read(length) if length else self.chunks()
        if self.path == "/healthz":
            self.say(500 if self.behaviour.get("sick") else 200, b"ok")
            return
        if self.path == "/die":
            os._exit(3)
        type(self).served += 1
        time.sleep(self.behaviour.get("seconds", 0.0))
        share = self.behaviour.get("errors", 0.0)
        failed = int(self.served * share) > int((self.served - 1) * share)
        revision = os.environ["HALON_REVISION"]
        self.say(500 if failed else 200, f"{revision} {given.decode()}".encode())

    do_GET = answer  # noqa: N815 - the standard library calls it so
    do_POST = answer  # noqa: N815 - the same
    do_HEAD = answer  # noqa: N815 - the same

    def chunks(self) -> bytes:
        """Read a chunked body whole: who answers before that may cut its sender off."""
        given = b""
        while self.headers.get("transfer-encoding") == "chunked":
            size = int(self.rfile.readline(), 16)
            given += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                break
        return given

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.path == "/chunked":
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in (body, b" more"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    socket = parser.parse_args().socket
    Handler.behaviour = json.loads(Path("behaviour.json").read_text())
    if Handler.behaviour.get("dies"):
        sys.exit(7)
    Server(socket, Handler).serve_forever()


if __name__ == "__main__":
    main()
