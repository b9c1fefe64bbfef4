"""Asks recorded requests again, in this process, against the stand-in of the payment provider.

`python -m checkout.replay [FILE.jsonl]`, or the file named by HALON_REQUESTS. A line is a request
`{"method", "path", "body"}` or a line of the error log that contains one. Exit 0: all were served;
1: at least one was answered with a 5xx, its traceback is printed; 2: the replay could not run.
Start `python -m checkout.standin` first, or let CHECKOUT_PAYMENT name another stand-in.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from checkout import settings, shop
from checkout.app import App, Request
from checkout.journal import Label

PATIENCE_SECONDS = 5.0  # a stand-in that was started a moment ago needs this long at most


class CannotRun(Exception):
    """The replay says nothing about the service: it never reached it."""


class FirstTracebacks:
    """A log that keeps one traceback per kind of failure."""

    def __init__(self) -> None:
        self.kept: dict[object, object] = {}

    def access(self, **fields: object) -> None:
        """Not kept: the answers are counted where they are returned."""

    def error(self, **fields: object) -> None:
        """Keep the first traceback of its exception type."""
        self.kept.setdefault(fields["exception"], fields["traceback"])


def read(path: Path) -> list[Request]:
    """Read the recorded requests of a file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        requests = [_request(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotRun(f"no requests in {str(path)!r}: {error!r}") from error
    if not requests:
        raise CannotRun(f"no requests in {str(path)!r}: the file is empty")
    return requests


def _request(record: dict[str, object]) -> Request:
    found = record.get("request", record)
    if not isinstance(found, dict):
        raise ValueError(f"not a request: {found!r}")
    body = found.get("body")
    text = body if isinstance(body, str) else json.dumps(body)
    return Request(str(found["method"]), str(found["path"]), text.encode())


def wait_for_standin(url: str) -> None:
    """Return once the stand-in answers; a replay without it would prove nothing."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with direct.open(f"{url}/healthz", timeout=1) as answer:
                if json.loads(answer.read()).get("standin"):
                    return
            raise CannotRun(f"at {url} is no stand-in: recorded requests are never sent elsewhere")
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise CannotRun(f"no stand-in at {url}: {error}") from error
            time.sleep(0.05)


def replay(requests: list[Request], payment_url: str | None) -> int:
    """Ask each request once; print what failed and return the exit code."""
    terms = settings.load(payment_url=payment_url)
    wait_for_standin(terms.payment.url)
    log = FirstTracebacks()
    app = App(shop.open_shop(terms), log, Label("replay"))
    failed = sum(app.handle(request).status >= 500 for request in requests)
    for text in log.kept.values():
        print(text)
    print(f"{failed} of {len(requests)} requests failed")
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """Replay the file of the arguments or of the environment."""
    name = arguments[0] if arguments else os.environ.get("HALON_REQUESTS")
    try:
        if not name:
            raise CannotRun("name a file of requests, or set HALON_REQUESTS")
        return replay(read(Path(name)), os.environ.get("CHECKOUT_PAYMENT"))
    except CannotRun as error:
        print(f"cannot replay: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
