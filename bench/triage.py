"""Log triage against `LC_ALL=C grep -c` on the same file in the same run, and its memory.

`python -m bench.triage [--megabytes N]` prints the rows; `rows()` is what `make bench` collects.
Two logs are made in a temporary folder: plain lines with tracebacks (1.4 % error records, a fault
that starts in the middle) and JSON access lines with error lines among them.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from agents.builtin import logs

MEGABYTE = 1_000_000
ROUNDS = 5  # each at its best: other work on the machine only adds
MINUTES = 240
ONSET = 150  # the minute in which the planted fault begins
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MARK = b"@@@@-@@-@@T@@:@@:@@"  # in the place of a time

TRACE = (
    b"Traceback (most recent call last):\n"
    b'  File "/srv/shop/checkout/api.py", line 41, in handle\n    return place(order)\n'
    b'  File "/srv/shop/checkout/orders.py", line 118, in place\n    total = price(order.cart)\n'
    b'  File "/srv/shop/checkout/prices.py", line 27, in price\n    return cart.customer.tier\n'
    b"AttributeError: 'NoneType' object has no attribute 'tier'"
)
BACKGROUND = (
    b"Traceback (most recent call last):\n"
    b'  File "/srv/shop/mail/send.py", line 77, in send\n    connection.login(user)\n'
    b'  File "/usr/lib/python3.11/smtplib.py", line 750, in login\n    raise last\n'
    b"TimeoutError: timed out"
)


class Maker(Protocol):
    """Makes the lines of one second."""

    def __call__(self, rng: random.Random, size: int, *, faulty: bool) -> bytes:
        """Return about `size` bytes with `MARK` for each time."""


def rows(megabytes: int = 1000) -> list[dict[str, object]]:
    """Return the figures: what, aim, value, anchor, ratio."""
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="halon-triage-") as folder:
        for name, second in (("plain", plain_second), ("JSON", json_second)):
            path = Path(folder) / f"{name}.log"
            write_log(path, megabytes * MEGABYTE, second)
            found += measure(path, name, megabytes)
            path.unlink()
    return found


def measure(path: Path, name: str, megabytes: int) -> list[dict[str, object]]:
    """Time grep and the triage in turns, each at its best, and take the memory of all processes."""
    anchors, seconds, peaks = [], [], []
    for _ in range(ROUNDS):
        anchors.append(grep(path))
        took, peak = triage(path)
        seconds.append(took)
        peaks.append(peak)
    anchor, value = min(anchors), min(seconds)
    size = f"{megabytes / 1000:g} GB {name} log"
    return [
        {
            "what": f"{size} → templates, counts, onset",
            "aim": "≤ 10 × grep -c",
            "value": f"{value:.2f} s",
            "anchor": f"grep -c {anchor:.3f} s",
            "ratio": round(value / anchor, 2),
        },
        {
            "what": f"{size}: memory of all processes",
            "aim": "< 300 MB",
            "value": f"{max(peaks):.0f} MB",
            "anchor": "300 MB",
            "ratio": round(max(peaks) / 300, 2),
        },
    ]


def grep(path: Path) -> float:
    """Return the seconds grep takes to count a literal, one that is quick for it on any log."""
    began = time.perf_counter()
    subprocess.run(
        ["grep", "-c", "--", "ERROR", os.fspath(path)],
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
        stdout=subprocess.PIPE,  # into /dev/null grep would stop at the first hit
        check=False,  # it ends with 1 where nothing was found
    )
    return time.perf_counter() - began


def triage(path: Path) -> tuple[float, float]:
    """Return seconds and peak megabytes of one reading in a process of its own."""
    argv = [sys.executable, "-m", "bench.triage", "--read", os.fspath(path)]
    text = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
    found = json.loads(text)
    if abs(found["onset_minute"] - ONSET) > 1:
        raise SystemExit(f"the planted onset was missed: {found}")
    return found["seconds"], found["megabytes"]


def read(path: str) -> dict[str, float]:
    """Read a log in this process and return what it took and where the onset was seen."""
    began = time.perf_counter()
    reading = logs.read([path])
    seconds = time.perf_counter() - began
    peak = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    onset = (reading.onset.at - START) / timedelta(minutes=1) if reading.onset else -1.0
    return {"seconds": seconds, "megabytes": peak / 1024, "onset_minute": onset}


def write_log(path: Path, size: int, make: Maker) -> None:
    """Write about `size` bytes that cover `MINUTES`, each second made from one of a few
    patterns.
    """
    rng = random.Random(2026)
    per_second = size // (MINUTES * 60)
    quiet = [make(rng, per_second, faulty=False) for _ in range(40)]
    loud = [make(rng, per_second, faulty=True) for _ in range(40)]
    with path.open("wb") as file:
        for index in range(MINUTES * 60):
            moment = (START + timedelta(seconds=index)).strftime("%Y-%m-%dT%H:%M:%S").encode()
            pattern = rng.choice(loud if index >= ONSET * 60 else quiet)
            file.write(pattern.replace(MARK, moment))


def plain_second(rng: random.Random, size: int, *, faulty: bool) -> bytes:
    """Return the plain lines of one second; 1.4 % are error records over the whole log."""
    lines: list[bytes] = []
    length = 0
    while length < size:
        chance = rng.random()
        if faulty and chance < 0.035:
            line = MARK + b",%03d ERROR [shop.checkout] order %d failed\n" % (
                rng.randrange(1000), rng.randrange(10**7)) + TRACE  # fmt: skip
        elif chance > 0.9985:
            line = MARK + b",%03d ERROR [shop.mail] no receipt for %032x\n" % (
                rng.randrange(1000), rng.getrandbits(128)) + BACKGROUND  # fmt: skip
        else:
            line = MARK + b",%03d INFO [shop.access] POST /checkout/%d 200 %d ms user=%08x" % (
                rng.randrange(1000), rng.randrange(10**6), rng.randrange(90),
                rng.getrandbits(32))  # fmt: skip
        lines.append(line)
        length += len(line) + 1
    return b"\n".join(lines) + b"\n"


def json_second(rng: random.Random, size: int, *, faulty: bool) -> bytes:
    """Return the JSON lines of one second: access lines, and an error line for each failure."""
    lines: list[bytes] = []
    length = 0
    while length < size:
        failed = rng.random() < (0.03 if faulty else 0.0005)
        access = {
            "ts": f"{MARK.decode()}.{rng.randrange(1000):03d}Z", "version": "v12",
            "revision": "9f3c1a7", "method": "POST", "path": "/checkout",
            "status": 500 if failed else 200, "ms": rng.randrange(90),
            "request_id": f"{rng.getrandbits(128):032x}",
        }  # fmt: skip
        line = json.dumps(access).encode()
        if failed:
            error = {
                "ts": access["ts"], "level": "error", "message": "unhandled exception",
                "traceback": TRACE.decode() if faulty else BACKGROUND.decode(),
                "request": {
                    "method": "POST", "path": "/checkout", "body": {"cart": rng.randrange(99)},
                },
                "revision": "9f3c1a7", "version": "v12",
            }  # fmt: skip
            line += b"\n" + json.dumps(error).encode()
        lines.append(line)
        length += len(line) + 1
    return b"\n".join(lines) + b"\n"


def main() -> None:
    """Print the rows, or, as a child, read one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--read", help="read this file and print what it took")
    chosen = parser.parse_args()
    if chosen.read:
        print(json.dumps(read(chosen.read)))
        return
    for row in rows(chosen.megabytes):
        print(
            f"{row['what']}: {row['value']} ({row['anchor']}, × {row['ratio']}; aim {row['aim']})"
        )


if __name__ == "__main__":
    main()
