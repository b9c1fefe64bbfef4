"""A real Prometheus that scrapes a real exporter: counts, births, histograms and gaps."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest

from incidents.models import Bucket, Version
from rollout.monitors.prometheus import BEYOND, Prometheus, Settings
from tests import services

pytestmark = pytest.mark.service
T = TypeVar("T")
PATIENCE = 30.0  # seconds until a condition that holds after one or two is given up
CONFIG = """
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
"""


class Exporter(ThreadingHTTPServer):
    """Counts on with every scrape, so that shares are known although times are not."""

    daemon_threads = True
    scrapes = 0
    born = False  # seven errors of the canary, in a series that was not there before
    down = False

    def text(self) -> str:
        self.scrapes += 1
        lines = []
        for version, factor in (("canary", 10), ("stable", 90)):
            total = self.scrapes * factor
            lines.append(f'requests_total{{version="{version}",code="200"}} {total}')
            lines.append(f'took_seconds_bucket{{version="{version}",le="0.1"}} {total * 8 // 10}')
            lines.append(f'took_seconds_bucket{{version="{version}",le="+Inf"}} {total}')
        if self.born:
            lines.append('requests_total{version="canary",code="500"} 7')
        return "\n".join(lines) + "\n"


class Page(BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        body = b"" if self.server.down else self.server.text().encode()
        self.send_response_only(500 if self.server.down else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter(("127.0.0.1", 0), Page)
    thread = Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[str]:
    """Yield the address of a Prometheus that scrapes a port."""
    program = services.need(services.program("prometheus"), "prometheus")
    config, log = folder / "prometheus.yml", folder / "log"
    config.write_text(CONFIG.format(port=port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             "--web.listen-address=127.0.0.1:0"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        listening = re.compile(r'"Listening on" address=(127\.0\.0\.1:\d+)')
        found = until(lambda: listening.search(log.read_text()), lambda: log.read_text())
        yield f"http://{found[1]}"
    finally:
        process.kill()
        process.wait()


def until(seen: Callable[[], T | None], said: Callable[[], object]) -> T:
    """Return what is seen at last; `said` tells why it never was."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := seen():
            return found
        time.sleep(0.05)
    raise AssertionError(said())


def test_real_scrapes_become_counts_births_and_gaps(tmp_path: Path, exporter: Exporter) -> None:
    with prometheus(tmp_path, exporter.server_address[1]) as address:
        monitor = Prometheus(
            Settings(
                address=address,
                requests='requests_total{version="$group"}',
                errors='requests_total{version="$group",code=~"5.."}',
                times='took_seconds_bucket{version="$group"}',
                scrape=0.1,
                step=0.5,
                delay=0.4,
                sparse_errors=True,
            )
        )
        begun = datetime.now(UTC)

        def read(version: Version) -> list[Bucket]:
            return monitor.buckets(version, begun, datetime.now(UTC))

        def measured(version: Version) -> list[Bucket]:
            return [bucket for bucket in read(version) if bucket.requests]

        def after(count: int) -> Callable[[], bool]:
            target = len(measured(Version.CANARY)) + count
            return lambda: len(measured(Version.CANARY)) >= target

        until(after(2), lambda: read(Version.CANARY))
        assert 0 == sum(bucket.errors or 0 for bucket in measured(Version.CANARY))
        exporter.born = True
        until(
            lambda: any(bucket.errors for bucket in measured(Version.CANARY)),
            lambda: read(Version.CANARY),
        )
        until(after(1), lambda: read(Version.CANARY))
        canary, stable = measured(Version.CANARY), measured(Version.STABLE)
        exporter.down = True
        until(
            lambda: [b.requests for b in read(Version.CANARY)[-2:]] == [None, None],
            lambda: read(Version.CANARY),
        )
        monitor.close()

    assert 7 == sum(bucket.errors or 0 for bucket in canary)
    other = {bucket.start: bucket for bucket in stable}
    shares = [
        (other[b.start].requests or 0) / (b.requests or 1) for b in canary if b.start in other
    ]
    assert pytest.approx([9.0] * len(shares), rel=0.15) == shares
    for bucket in stable:
        assert bucket.histogram is not None
        (low, fast), (high, every) = bucket.histogram
        assert (100.0, BEYOND) == (low, high)
        assert pytest.approx(bucket.requests, rel=0.05) == every
        assert pytest.approx(0.8 * every, rel=0.05) == fast
