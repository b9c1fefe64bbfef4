"""HAProxy's counters become differences; what began anew or was not read is a gap."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.models import Version
from rollout.monitors.haproxy import HAProxy, Settings
from rollout.monitors.lines import Groups, Reading, haproxy_line
from tests import services

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BUCKET = timedelta(seconds=4)
COLUMNS = (
    "pxname,svname,econ,eresp,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,rtime,-,"
)
GAP = (None, None)


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hap") as folder:
        yield Path(folder)


class Socket:
    """A runtime socket that shows what the test put into `text`."""

    def __init__(self, path: Path) -> None:
        self.path, self.text, self.asked = path, b"", b""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def shows(self, canary: str, stable: str, pid: int = 7) -> None:
        rows = f"app,canary,{canary},3,-,\napp,stable,{stable},3,-,\n"
        self.text = f"Name: HAProxy\nPid: {pid}\n\n# {COLUMNS}\n{rows}\n".encode()

    def _serve(self) -> None:
        while True:
            wire, _ = self._listening.accept()
            with wire:
                self.asked = wire.recv(4096)
                if not self.asked:
                    return
                wire.sendall(self.text)

    def close(self) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.path))
            wire.shutdown(socket.SHUT_WR)
            self._thread.join()
        self._listening.close()


@pytest.fixture
def shown(room: Path) -> Iterator[Socket]:
    made = Socket(room / "s")
    yield made
    made.close()


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(shown: Socket, clock: Clock) -> HAProxy:
    return HAProxy(settings(shown.path), bucket=BUCKET, now=clock)


def settings(path: Path) -> Settings:
    return Settings(socket=str(path), canary=("app/canary",), stable=("app/stable",))


def read(monitor: HAProxy, version: Version, seconds: float) -> list[tuple[int | None, int | None]]:
    found = monitor.buckets(version, START, START + timedelta(seconds=seconds))
    return [(bucket.requests, bucket.errors) for bucket in found]


def test_a_bucket_is_the_difference_between_its_ends(
    shown: Socket, monitor: HAProxy, clock: Clock
) -> None:
    """Connections that failed and answers that were none are requests and errors, too."""
    for second in range(9):
        clock.now = START + timedelta(seconds=second)
        answered = f"{second},0,0,{10 * second},0,{second},{2 * second},0"
        shown.shows(answered, f"0,0,0,{90 * second},0,0,0,0")
        found = read(monitor, Version.CANARY, 8)

    assert [(56, 12), (56, 12)] == found
    assert [(360, 0), (360, 0)] == read(monitor, Version.STABLE, 8)
    (bucket, _) = monitor.buckets(Version.CANARY, START, START + 2 * BUCKET)
    assert (None, None) == (bucket.latencies_ms, bucket.histogram)


def test_no_traffic_that_was_watched_is_zero_and_the_past_is_a_gap(
    shown: Socket, monitor: HAProxy, clock: Clock
) -> None:
    shown.shows("0,0,0,5,0,0,0,0", "0,0,0,5,0,0,0,0")
    for second in range(4, 9):
        clock.now = START + timedelta(seconds=second)
        found = read(monitor, Version.CANARY, 8)

    assert [GAP, (0, 0)] == found


@pytest.mark.parametrize(
    ("after", "pid"),
    [
        ("0,0,0,3,0,0,0,0", 7),  # cleared: fewer than before
        ("0,0,0,90,0,0,0,0", 8),  # another process: more than before by chance
    ],
)
def test_counters_that_began_anew_leave_a_gap(
    shown: Socket, monitor: HAProxy, clock: Clock, after: str, pid: int
) -> None:
    for second in range(13):
        clock.now = START + timedelta(seconds=second)
        anew = second >= 6
        shown.shows(after if anew else "0,0,0,50,0,0,0,0", after, pid if anew else 7)
        found = read(monitor, Version.CANARY, 12)

    assert [(0, 0), GAP, (0, 0)] == found


def test_a_pause_in_reading_leaves_a_gap(shown: Socket, monitor: HAProxy, clock: Clock) -> None:
    shown.shows("0,0,0,5,0,0,0,0", "0,0,0,5,0,0,0,0")
    for second in (0, 1, 2, 3, 4, 5, 9, 11, 12):
        clock.now = START + timedelta(seconds=second)
        found = read(monitor, Version.CANARY, 12)

    assert [(0, 0), GAP, GAP] == found


def test_a_clock_that_goes_back_counts_nothing_twice(
    shown: Socket, monitor: HAProxy, clock: Clock
) -> None:
    for second in (0, 1, 2, 3, 4, 2, 3, 5, 6, 7, 8):
        clock.now = START + timedelta(seconds=second)
        shown.shows(f"0,0,0,{10 * second},0,0,0,0", "0,0,0,5,0,0,0,0")
        found = read(monitor, Version.CANARY, 8)

    assert [(40, 0), (40, 0)] == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not its statistics"),
        (b"Unknown command.\n", "not its statistics"),
        (b"Pid: 7\n# pxname,svname,\n\n", "has no server 'app/canary'"),
        (f"Pid: 7\n# {COLUMNS}\napp,canary,0,0,,,,,,,,-,\n".encode(), "is it in mode http"),
        (f"Pid: 7\n# {COLUMNS}\napp,canary,0,0,1".encode(), "is it in mode http"),
        (b"\xff\xfe\x00", "not its statistics"),
    ],
)
def test_what_is_no_statistics_is_one_sentence(
    shown: Socket, monitor: HAProxy, text: bytes, said: str
) -> None:
    shown.text = text
    with pytest.raises(errors.TemporaryFailure, match=said):
        read(monitor, Version.CANARY, 8)


def test_a_socket_that_is_not_there_is_one_sentence(room: Path) -> None:
    with pytest.raises(errors.TemporaryFailure, match="cannot be asked: No such file"):
        read(HAProxy(settings(room / "gone"), bucket=BUCKET), Version.CANARY, 8)


def test_one_server_cannot_be_both_versions() -> None:
    with pytest.raises(ValidationError, match="names both versions"):
        Settings.model_validate({"socket": "/s", "canary": "app/a", "stable": ["app/b", "app/a"]})


CONFIG = """
global
    stats socket {room}/s mode 600 level user
    log 127.0.0.1:{log} format rfc3164 local0
defaults
    mode http
    log global
    option httplog
    option httpclose
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend shop
    bind unix@{room}/in
    default_backend app
backend app
    retries 0
    use-server canary if {{ hdr(x-to) canary }}
    use-server gone if {{ hdr(x-to) gone }}
    server stable 127.0.0.1:{port} weight 100
    server canary 127.0.0.1:{port} weight 0
    server gone 127.0.0.1:1 weight 0
"""


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/silent":
            self.close_connection = True
            return
        self.send_response_only(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def real(room: Path, log: socket.socket) -> Iterator[httpx.Client]:
    """Yield a client of a real HAProxy before a real service; `log` gets its log."""
    program = services.need(services.program("haproxy", beside=[Path("/usr/sbin")]), "haproxy")
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = Thread(target=backend.serve_forever, args=(0.02,))
    thread.start()
    config = room / "cfg"
    config.write_text(
        CONFIG.format(room=room, port=backend.server_address[1], log=log.getsockname()[1])
    )
    process = subprocess.Popen([program, "-f", config, "-db"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while not (room / "s").exists() or not (room / "in").exists():
            assert time.monotonic() < end, "HAProxy did not start"
            assert process.poll() is None, f"HAProxy ended with {process.returncode}"
            time.sleep(0.02)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(room / "in"))) as client:
            yield client
    finally:
        process.kill()
        process.wait()
        backend.shutdown()
        backend.server_close()
        thread.join()


@pytest.fixture
def log() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


@pytest.mark.service
def test_a_real_haproxys_log_is_read(room: Path, log: socket.socket) -> None:
    reading = Reading(Groups(("app/canary",), ("app/stable",)))
    with real(room, log) as client:
        before = time.time()
        answers: dict[tuple[Version | None, int], float | None] = {}
        for path, to in (("200", "canary"), ("503", "canary"), ("404", "stable"), ("200", "gone")):
            client.get(f"http://shop/{path}", headers={"x-to": to})
        while len(answers) < 4:
            raw = log.recv(65536)
            if b" shop app/" in raw:
                line = haproxy_line(raw, reading)
                assert line is not None, raw
                assert before - 1 < line.at < time.time() + 1
                answers[line.version, line.status] = line.milliseconds

    expected = {
        (Version.CANARY, 200), (Version.CANARY, 503), (Version.STABLE, 404), (None, 503)
    }  # fmt: skip
    assert expected == set(answers)


@pytest.mark.service
def test_a_real_haproxy_is_counted_exactly(room: Path, clock: Clock, log: socket.socket) -> None:
    """Also what it says for a server that broke off, and for one that is not there."""
    canary, gone = {"x-to": "canary"}, {"x-to": "gone"}
    with real(room, log) as client:
        monitor = HAProxy(settings(room / "s"), bucket=BUCKET, now=clock)
        absent = Settings(socket=str(room / "s"), canary=("app/gone",), stable=("app/stable",))
        other = HAProxy(absent, bucket=BUCKET, now=clock)

        def ask(path: str, headers: dict[str, str], times: int) -> set[int]:
            return {
                client.get(f"http://shop/{path}", headers=headers).status_code for _ in range(times)
            }

        read(monitor, Version.CANARY, 4), read(other, Version.CANARY, 4)
        ask("200", canary, 20), ask("500", canary, 3), ask("404", canary, 2)
        assert {502} == ask("silent", canary, 4)
        assert {503} == ask("200", gone, 5)
        ask("200", {}, 30)
        clock.now = START + BUCKET

        assert [(29, 7)] == read(monitor, Version.CANARY, 4)
        assert [(30, 0)] == read(monitor, Version.STABLE, 4)
        assert [(5, 5)] == read(other, Version.CANARY, 4)
