"""The checkout service as a process: its socket, its logs, its end."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo import history
from tests.demo import revisions

ORDER = json.dumps(
    {
        "customer": "1002",
        "items": [{"sku": "mug", "quantity": 1}],
        "delivery": {"country": "DE", "postcode": "10115"},
        "card": "tok_visa",
        "note": "x" * 3000,
    }
)


class SlowProvider(ThreadingHTTPServer):
    """Holds every charge back until told to let go, and knows how many it holds."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Charges)
        self.held = threading.Semaphore(0)
        self.release = threading.Event()

    def wait_for(self, charges: int) -> None:
        """Return once so many charges are held."""
        for _ in range(charges):
            assert self.held.acquire(timeout=10)


class _Charges(BaseHTTPRequestHandler):
    server: SlowProvider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.held.release()
        assert self.server.release.wait(20)
        body = b'{"receipt": "r-1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[SlowProvider]:
    """A provider that answers when told."""
    server = SlowProvider()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def replica(folder: Path, name: str, **environ: str) -> subprocess.Popen[bytes]:
    """A replica on a unix socket of this folder, which is listening when this returns."""
    path = folder / name
    process = subprocess.Popen(
        [sys.executable, "-m", "checkout", "--socket", str(path)],
        cwd=history.SOURCE,
        env=revisions.CLEAN
        | {
            "CHECKOUT_ACCESS_LOG": str(folder / "access.log"),
            "CHECKOUT_ERROR_LOG": str(folder / "error.log"),
            "CHECKOUT_ORDERS": str(folder / "orders.jsonl"),
            **environ,
        },
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            connect(path).close()
            return process
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)


def connect(path: Path) -> http.client.HTTPConnection:
    """A connection to a replica."""
    raw = socket.socket(socket.AF_UNIX)
    try:
        raw.connect(str(path))
    except OSError:
        raw.close()
        raise
    connection = http.client.HTTPConnection("localhost")
    connection.sock = raw
    return connection


def post(path: Path) -> tuple[int, str | None]:
    """Place an order: the status and what becomes of the connection."""
    connection = connect(path)
    connection.request("POST", "/checkout", ORDER)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers["Connection"]


def test_sigterm_loses_no_request(tmp_path: Path, slow: SlowProvider) -> None:
    """Requests being served, one sent on a kept connection: all are answered, then it ends."""
    url = f"http://127.0.0.1:{slow.server_address[1]}"
    process = replica(tmp_path, "s", CHECKOUT_PAYMENT=url)
    kept = connect(tmp_path / "s")
    kept.request("GET", "/cart/mug:1")
    kept.getresponse().read()
    with ThreadPoolExecutor(12) as pool:
        orders = [pool.submit(post, tmp_path / "s") for _ in range(12)]
        slow.wait_for(12)
        kept.request("POST", "/checkout", ORDER)
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while (tmp_path / "s").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(OSError, match="No such file"):
            connect(tmp_path / "s")
        slow.release.set()
        answers = [order.result() for order in orders]
    last = kept.getresponse()
    last.read()
    kept.close()

    assert [(200, "close")] * 12 == answers
    assert (200, "close") == (last.status, last.headers["Connection"])
    assert 0 == process.wait(timeout=20)
    assert 13 == len(revisions.read_lines(tmp_path / "orders.jsonl"))


def test_replicas_share_their_logs_and_every_line_is_whole(tmp_path: Path) -> None:
    """Two replicas without a payment provider: each failure is one line with its request."""
    with revisions.refused_port() as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        running = [
            replica(
                tmp_path, name, CHECKOUT_PAYMENT=url, HALON_VERSION=name, HALON_REVISION=f"r-{name}"
            )
            for name in ("stable", "canary")
        ]
        with ThreadPoolExecutor(8) as pool:
            paths = [tmp_path / name for name in ("stable", "canary")] * 40
            answers = list(pool.map(post, paths))
        for process in running:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=20) for process in running]
    accesses = revisions.read_lines(tmp_path / "access.log")
    errors = revisions.read_lines(tmp_path / "error.log")

    assert ([0, 0], [(502, None)] * 80) == (codes, answers)
    assert {("stable", "r-stable", 502), ("canary", "r-canary", 502)} == {
        (line["version"], line["revision"], line["status"]) for line in accesses
    }
    assert 80 == len(errors) == len({line["request_id"] for line in errors})
    assert {line["request_id"] for line in accesses} == {line["request_id"] for line in errors}
    fields = {"ts", "version", "revision", "method", "path", "status", "ms", "request_id"}
    assert fields == set(accesses[0])
    assert {"method": "POST", "path": "/checkout", "body": json.loads(ORDER)} == errors[0][
        "request"
    ]


def test_replay_says_which_of_its_three_ends_it_came_to(tmp_path: Path, standin: str) -> None:
    """0: all served; 2: it could not ask; 1 is shown with the scenarios, where something fails."""
    requests = tmp_path / "requests.jsonl"
    requests.write_text('{"method": "GET", "path": "/cart/mug:1"}\n')
    fine = revisions.run(
        history.SOURCE, "-m", "checkout.replay", str(requests), CHECKOUT_PAYMENT=standin
    )
    unnamed = revisions.run(history.SOURCE, "-m", "checkout.replay")
    absent = revisions.run(history.SOURCE, "-m", "checkout.replay", str(tmp_path / "none"))

    assert [0, 2, 2] == [fine.returncode, unnamed.returncode, absent.returncode]
    assert "cannot replay" in unnamed.stderr


def test_replay_never_asks_a_live_provider(tmp_path: Path, provider: str) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"method": "POST", "path": "/checkout", "body": ORDER}) + "\n")
    done = revisions.run(
        history.SOURCE, "-m", "checkout.replay", str(requests), CHECKOUT_PAYMENT=provider
    )

    assert (2, True) == (done.returncode, "is no stand-in" in done.stderr)


def test_recorded_requests_of_the_repository_are_served(tmp_path: Path, standin: str) -> None:
    recorded = str(history.SOURCE / "recorded" / "requests.jsonl")
    done = revisions.run(
        history.SOURCE, "-m", "checkout.replay", recorded, CHECKOUT_PAYMENT=standin
    )

    assert 0 == done.returncode
