"""Real remote repositories on loopback that let in only who holds the key or the token.

`over_ssh` runs OpenSSH's server with a host key and a user key of its own; `over_http` serves git's
own HTTP program behind a password. Both belong to a test and end with it.
"""

import base64
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import services

SECONDS = 20.0


@dataclass(frozen=True)
class SshServer:
    """Where it listens and the key that it takes."""

    port: int
    key: Path
    process: subprocess.Popen[bytes]

    def address(self, repository: Path) -> str:
        return f"ssh://{os.environ.get('USER') or 'root'}@127.0.0.1:{self.port}{repository}"


@contextmanager
def over_ssh(folder: Path) -> Iterator[SshServer]:
    """Serve this machine's repositories to the holder of one key."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if program is None or os.geteuid() != 0:
        services.missing("OpenSSH's server, started by root")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what its package makes at boot
    host, key = folder / "host_key", folder / "user_key"
    for one in (host, key):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(one)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    (folder / "authorized").write_bytes(key.with_suffix(".pub").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": str(host),
        "AuthorizedKeysFile": str(folder / "authorized"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        _answers(port, process, folder / "sshd.log")
        yield SshServer(port, key, process)
    finally:
        process.terminate()
        process.wait(SECONDS)


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, "sshd does not listen"
            time.sleep(0.02)
        else:
            return


class _Guarded(http.server.BaseHTTPRequestHandler):
    """Hands requests with the right password to `git http-backend`."""

    root: Path
    wanted: str

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        if self.headers.get("Authorization") != self.wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REMOTE_USER": "halon",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def over_http(root: Path, token: str) -> Iterator[str]:
    """Serve the repositories below a folder to who brings the token; yield the address."""
    said = base64.b64encode(f"halon:{token}".encode()).decode()
    kind = type("Guarded", (_Guarded,), {"root": root, "wanted": f"Basic {said}"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
