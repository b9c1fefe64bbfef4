"""How fast private text is taken out of logs, beside one plain `re.sub` over the same lines.

`python -m bench redaction`. The lines are the ordinary ones of a service's logs with an address in
every tenth, made here from a seed, so that a figure can be repeated.
"""

import random
import re
import time
from collections.abc import Callable
from typing import Any

from incidents.redaction import Counting, redact

LINES, TIMES = 20_000, 3
FORMS = (
    "{time} INFO [worker-{n}] order {id} placed in {n} ms",
    "{time} ERROR payment: gateway answered 502 after {n} ms (attempt 2 of 3)",
    '127.0.0.1 - - [05/Jan/2026:09:06:06 +0000] "GET /api/items/{id}?page=2 HTTP/1.1" 200 {id}',
    '{{"ts":"{time}","level":"warn","trace_id":"{trace}","msg":"slow query","ms":{n}}}',
    '  File "/srv/shop/checkout/pricing.py", line {n}, in total_of',
    "request_id={trace} user_id={id} status=500 duration={n}ms",
    "pod checkout-7d9f restarted {n} times, last exit code 137",
    "kafka: partition orders-{n} offset {id} lag {n}",
    "image registry.internal/shop@sha256:{trace}{trace} pulled in {n} ms",
    "{time} WARN mail to ana{n}@example.org bounced, peer 203.0.113.{n}",
)
ANCHOR = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def rows() -> list[dict[str, Any]]:
    """Return the figure."""
    text = _text(random.Random(7))
    ours = _seconds(lambda: redact(text, Counting()))
    anchor = _seconds(lambda: ANCHOR.sub("", text))
    return [
        {
            "what": f"redaction of {len(text) / 1e6:.1f} MB of log, all rules, one core",
            "aim": "≤ 10 × one rule",
            "value": f"{len(text) / ours / 1e6:.1f} MB/s",
            "anchor": f"one re.sub of a date, {len(text) / anchor / 1e6:.1f} MB/s",
            "ratio": f"{ours / anchor:.1f}",
        }
    ]


def _text(rng: random.Random) -> str:
    return "\n".join(
        FORMS[number % len(FORMS)].format(
            time=f"2026-01-05T09:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
            n=rng.randrange(1, 255),
            id=rng.randrange(10**6, 10**8),
            trace=f"{rng.getrandbits(128):032x}",
        )
        for number in range(LINES)
    )


def _seconds(work: Callable[[], object]) -> float:
    """Return the processor's seconds of the fastest of a few runs."""
    taken = []
    for _ in range(TIMES):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)
