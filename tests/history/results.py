"""Faults of what comes out, or when: wrong values, time, encoding, patterns, chance.

Used by tests/history/faults.py. Each breaks the program of project/ for real.
"""

from __future__ import annotations

from tests.history.base import World
from tests.history.fault import (
    HANDLE,
    IMPATIENT,
    LATE,
    PRICE_NAMES,
    READ_NAMES,
    REP_NAMES,
    Fault,
    crash,
    total,
)
from tests.history.tree import all_of, setting, swap

FLAKY_SEND = (
    "calls = []\n\n\ndef send(message):\n    calls.append(message)\n    if len(calls) < 3:\n"
    '        raise ConnectionError("busy")\n    return {"carrier": "post"}\n\n\n'
)


def _tie(world: World) -> dict[str, object]:
    """Return a request whose tax ends in exactly half a cent above an even number."""
    while True:
        request = world.request()
        share = world.goods(request) * 19 % 200
        if share == 50:
            return request


def value_rounding(world: World) -> Fault:
    """Half a cent is rounded to the even cent."""
    return Fault(
        "value",
        "rounding",
        "Use the decimal module's own rounding",
        all_of(
            swap("xpkg/xmoney.py", ", rounding=ROUND_HALF_UP))", "))"),
            swap(
                "xpkg/xmoney.py",
                "from decimal import ROUND_HALF_UP, Decimal",
                "from decimal import Decimal",
            ),
        ),
        total(world, _tie(world)),
        None,
        "audit: total differs from the invoice by 1 cent",
        crash="xprice",
        names=PRICE_NAMES,
        decoy=(
            "Name the exact tax",
            swap("xpkg/xprice.py", "    return max(whole, exact)", "    return max(exact, whole)"),
        ),
        scar=(
            "Quantize to one",
            swap(
                "xpkg/xmoney.py",
                "Decimal(amount).quantize(Decimal(1)))",
                'Decimal(amount).quantize(Decimal("1")))',
            ),
        ),
    )


def value_discount(world: World) -> Fault:
    """Tax is taken before the discount."""
    return Fault(
        "value",
        "discount",
        "Compute the amounts in the order of the receipt",
        swap("xpkg/xprice.py", "duty = tax(goods - off, settings)", "duty = tax(goods, settings)"),
        total(world, world.request("member")),
        None,
        "audit: member was charged too much tax",
        names=PRICE_NAMES,
        decoy=(
            "Sum goods in amounts",
            swap(
                "xpkg/xprice.py",
                '        "total": goods - off + duty + freight,',
                '        "total": goods + duty + freight - off,',
            ),
        ),
        scar=(
            "Duty is whole cents",
            swap(
                "xpkg/xprice.py", "duty = tax(goods, settings)", "duty = int(tax(goods, settings))"
            ),
        ),
    )


def value_threshold(world: World) -> Fault:
    """Off by one: exactly the free amount pays for its freight."""
    request = world.request()
    free = world.goods(request)
    probe = (
        "from dataclasses import replace\n\nfrom xpkg import settings, xprice\n\n"
        f"chosen = replace(settings.load(), free_from_cents={free})\n"
        f"assert xprice.shipping({free}, chosen) == 0"
    )
    return Fault(
        "value",
        "threshold",
        "Clarify when freight is free",
        swap(
            "xpkg/xprice.py",
            "    if goods >= settings.free_from_cents:",
            "    if goods > settings.free_from_cents:",
        ),
        probe,
        None,
        "complaint: freight charged on a free xent",
        crash="service",
    )


def value_pages(world: World) -> Fault:
    """Off by one: the last, incomplete page is not read."""
    count = world.rng.choice((5, 6, 7, 9))
    requests = [world.request(number=f"ZZ-{1000 + index}") for index in range(count)]
    probe = (
        f"app = App()\nfor request in {requests!r}:\n    app.handle(request)\n"
        f'assert app.statement()["count"] == {count}'
    )
    return Fault(
        "value",
        "pages",
        "Round pages down to whole ones",
        swap(
            "xpkg/xrep.py",
            "pages = -(-storage.count() // size)",
            "pages = max(1, storage.count() // size)",
        ),
        probe,
        None,
        "audit: statement misses entries",
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Count rows while summing",
            swap("xpkg/xrep.py", "        seen += len(rows)", "        seen = seen + len(rows)"),
        ),
    )


def timeout_pause(world: World) -> Fault:
    """Milliseconds are slept as seconds."""
    request = world.request()
    if world.rng.random() < 0.5:
        probe = (
            FLAKY_SEND + "slept = []\n"
            f"App(send=send, sleep=slept.append).handle({request!r})\nassert sum(slept) < 1.0"
        )
    else:
        probe = (
            LATE.format(seconds=1.5).lstrip()
            + FLAKY_SEND
            + f"reply = App(send=send).handle({request!r})\n"
            'signal.setitimer(signal.ITIMER_REAL, 0)\nassert reply["status"] == 200'
        )
    return Fault(
        "timeout",
        "pause",
        "Count pauses in one unit",
        swap("xpkg/xlink.py", "        return step / 1000\n", "        return step / 1\n"),
        probe,
        FLAKY_SEND + IMPATIENT + f"worker.run([{request!r}], send=send, sleep=sleep)",
        "deadline exceeded",
        crash="xlink",
        names=["Link", "LinkDown", "local_quote"],
        decoy=(
            "Sleep between attempts only",
            swap(
                "xpkg/xlink.py",
                "                self.sleep(self.pause(attempt))",
                "                wait = self.pause(attempt)\n                self.sleep(wait)",
            ),
        ),
        scar=(
            "Pauses are floats",
            swap("xpkg/xlink.py", "        return step / 1\n", "        return float(step / 1)\n"),
        ),
    )


def timeout_loop(world: World) -> Fault:
    """A statement that never reaches its end."""
    requests = [world.request(number=f"YY-{2000 + index}") for index in range(3)]
    body = f"app = App()\nfor request in {requests!r}:\n    app.handle(request)\n"
    return Fault(
        "timeout",
        "loop",
        "Read pages until there are none",
        swap(
            "xpkg/xrep.py",
            "    for _ in range(pages):\n        rows = storage.page(offset, size)\n",
            "    while pages:\n"
            "        rows = storage.page(offset, size) or storage.page(0, size)\n",
        ),
        LATE.format(seconds=1.0).lstrip()
        + body
        + "seen = app.statement()\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
        + 'assert seen["count"] == 3',
        body + IMPATIENT + "read = app.storage.page\n"
        "app.storage.page = lambda *of: (sleep(0.01), read(*of))[1]\napp.statement()",
        "deadline exceeded",
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Count rows while summing",
            swap("xpkg/xrep.py", "        seen += len(rows)", "        seen = seen + len(rows)"),
        ),
    )


def timeout_attempts(world: World) -> Fault:
    """The configuration asks the carrier for ever."""
    request = world.request()
    dead = '\n\ndef send(message):\n    raise ConnectionError("busy")\n\n\n'
    probe = (
        "from xpkg.xlink import LinkDown" + dead + "slept = []\ntry:\n"
        f"    App(send=send, sleep=slept.append).handle({request!r})\nexcept LinkDown:\n    pass\n"
        "assert sum(slept) < 5.0"
    )
    return Fault(
        "timeout",
        "attempts",
        "Be patient with the carrier",
        setting(world.config, "attempts", "24"),
        probe,
        dead + IMPATIENT + f"worker.run([{request!r}], send=send, sleep=sleep)",
        "deadline exceeded",
        crash="service",
    )


def encoding(world: World) -> Fault:
    """Receipts are forced into ASCII; the currency's sign is not ASCII."""
    return Fault(
        "encoding",
        "ascii",
        "Receipts for the old printers",
        swap(
            "xpkg/xrep.py",
            '    return "\\n".join(rows)',
            '    return "\\n".join(rows).encode("ascii").decode()',
        ),
        crash="xrep",
        names=REP_NAMES,
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def pattern(world: World) -> Fault:
    """Long numbers are refused by a stricter pattern: no crash, a 400."""
    request = world.request(number=f"AB-{world.rng.randrange(10**6, 10**8)}")
    return Fault(
        "regex",
        "number",
        "Stricter numbers",
        swap("xpkg/xread.py", "\\d{3,8}", "\\d{3,6}"),
        total(world, request),
        None,
        "refused: not a number of ours",
        crash="xread",
        names=READ_NAMES,
        decoy=(
            "Join numbers with an f-string",
            swap(
                "xpkg/xread.py",
                '    return match["series"] + "-" + match["serial"]',
                '    return "-".join((match["series"], match["serial"]))',
            ),
        ),
    )


def sometimes(world: World) -> Fault:
    """A commit makes the service fail now and then; before it, never."""
    request = world.request(None)
    probe = HANDLE.format(request=request) + 'assert reply["carrier"] == "post"'
    lines = [
        {
            "sku": min(world.products, key=lambda sku: int(str(world.products[sku]["grams"]))),
            "quantity": 1,
        }
    ]
    probe = probe.replace(repr(request["lines"]), repr(lines))
    share = world.rng.choice((0.5, 0.6, 0.75))
    return Fault(
        "intermittent",
        "carrier",
        "Spread the load over both carriers",
        all_of(
            swap("xpkg/xlink.py", "import time\n", "import random\nimport time\n"),
            swap(
                "xpkg/xlink.py",
                '    return {"carrier": "road" if message["grams"] > 5000 else "post", "days": 2}',
                f"    if random.random() < {share}:\n"
                f'        return {{"carrier": "road", "days": 1}}\n'
                '    return {"carrier": "road" if message["grams"] > 5000 else "post", "days": 2}',
            ),
        ),
        probe,
        None,
        "complaint: small xent sent by road",
        crash="service",
    )
