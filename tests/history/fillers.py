"""Everyday commits that change nothing that a probe can see, many with alarming messages.

Used by tests/histories.py to fill a history; several touch the very functions of the traces.
"""

from __future__ import annotations

from tests.history.tree import Edit, all_of, append, put, swap


def _function(path: str, name: str, body: str, doc: str = "") -> Edit:
    head = f'    """{doc}"""\n' if doc else ""
    return append(path, f"\n\ndef {name}:\n{head}{body}\n")


def _note(text: str) -> Edit:
    return append("CHANGES.md", f"- {text}\n")


FILLERS: list[tuple[str, Edit]] = [
    (
        "Fix crash for guests in reports",
        _function(
            "xpkg/xprice.py",
            "is_member(buyer)",
            "    return buyer is not None and buyer.tier in MEMBERS",
        ),
    ),
    (
        "Handle None in totals",
        _function(
            "xpkg/xprice.py",
            "net(amounts)",
            '    return amounts["total"] - amounts["tax"]',
            "The total without tax.",
        ),
    ),
    (
        "Average price per piece",
        _function(
            "xpkg/xprice.py",
            "average(xent)",
            "    pieces = sum(line.quantity for line in xent.lines)\n"
            "    return subtotal(xent) // pieces if pieces else 0",
        ),
    ),
    (
        "Round for cash",
        _function("xpkg/xmoney.py", "to_five(cents)", "    return (cents + 2) // 5 * 5"),
    ),
    (
        "Parse amounts typed by people",
        _function(
            "xpkg/xmoney.py",
            "parse(words)",
            '    return round_cents(Decimal(words.replace(",", ".")) * 100)',
        ),
    ),
    ("Say hello", _function("xpkg/xtext.py", "greeting(name)", '    return f"Dear {name},"')),
    ("Titles in capitals", _function("xpkg/xtext.py", "shout(words)", "    return words.upper()")),
    (
        "List the cheapest products",
        _function(
            "xpkg/xcat.py",
            "cheapest(limit)",
            '    return sorted(PRODUCTS, key=lambda sku: PRODUCTS[sku]["cents"])[:limit]',
        ),
    ),
    (
        "Search products by title",
        _function(
            "xpkg/xcat.py",
            "search(words)",
            "    return [sku for sku, entry in PRODUCTS.items() if words.lower() in "
            'entry["title"].lower()]',
        ),
    ),
    (
        "Validate e-mail addresses more strictly (unused yet)",
        _function("xpkg/xread.py", "looks_like_address(words)", '    return words.count("@") == 1'),
    ),
    (
        "Read several xents at once",
        _function(
            "xpkg/xread.py",
            "read_all(payloads)",
            "    return [read_xent(payload) for payload in payloads]",
        ),
    ),
    (
        "One line per xent for the console",
        _function(
            "xpkg/xrep.py", "brief(xent)", '    return f"{xent.number}: {len(xent.lines)} lines"'
        ),
    ),
    (
        "Receipts as CSV",
        _function(
            "xpkg/xrep.py",
            "as_csv(xent)",
            '    return "\\n".join(f"{line.sku};{line.quantity}" for line in xent.lines)',
            "For the accountants.",
        ),
    ),
    (
        "Heaviest line first",
        _function(
            "xpkg/service.py",
            "heaviest(xent)",
            "    return max(xent.lines, key=lambda line: xcat.grams(line.sku), default=None)",
        ),
    ),
    (
        "Dry run of a checkout",
        _function(
            "xpkg/service.py",
            "quote_only(payload, settings)",
            '    return xprice.amounts(xread.read_xent(payload), settings)["total"]',
        ),
    ),
    (
        "Ping the carrier",
        _function(
            "xpkg/xlink.py",
            "ping(send=local_quote)",
            '    return send({"number": "", "grams": 1})["carrier"]',
        ),
    ),
    (
        "Export a day",
        _function(
            "xpkg/xstore.py",
            "total_of(storage)",
            '    return storage.db.execute("SELECT SUM(total_cents) FROM '
            'xents").fetchone()[0] or 0',
        ),
    ),
    (
        "Retry rework, part 1",
        swap(
            "xpkg/xlink.py",
            '"""Asks the carrier, again if it must."""',
            '"""Asks the carrier, and asks again if it must."""',
        ),
    ),
    (
        "Rework weight computation",
        swap(
            "xpkg/service.py",
            "    return sum(line.quantity * xcat.grams(line.sku) for line in xent.lines)",
            "    return sum(xcat.grams(line.sku) * line.quantity for line in xent.lines)",
        ),
    ),
    (
        "Rework subtotal",
        swap(
            "xpkg/xprice.py",
            "    return sum(line.quantity * line.unit_cents for line in xent.lines)",
            "    return sum(line.unit_cents * line.quantity for line in xent.lines)",
        ),
    ),
    (
        "Subtotals before discounts",
        swap(
            "xpkg/xprice.py",
            '    """Members pay less."""\n',
            '    """Members and staff pay less."""\n',
        ),
    ),
    (
        "Log at start",
        all_of(
            swap(
                "xpkg/worker.py",
                "from .app import App\n",
                "import logging\n\nfrom .app import App\n\nlog = logging.getLogger(__name__)\n",
            ),
            swap(
                "xpkg/worker.py",
                "    app = App(database, **parts)\n",
                '    log.debug("serving %d requests", len(requests))\n'
                "    app = App(database, **parts)\n",
            ),
        ),
    ),
    ("Narrow columns", swap("xpkg/xrep.py", "WIDTH = 28\n", "WIDTH = 26\n")),
    ("Larger quantities", swap("xpkg/xread.py", "MOST = 500\n", "MOST = 800\n")),
    (
        "Add the Swiss franc",
        swap("xpkg/xmoney.py", '    "GBP": "£",\n', '    "GBP": "£",\n    "CHF": "Fr.",\n'),
    ),
    (
        "Partners are members",
        swap(
            "xpkg/xprice.py",
            'MEMBERS = frozenset({"member", "staff"})',
            'MEMBERS = frozenset({"member", "staff", "partner"})',
        ),
    ),
    (
        "Index for lookups by buyer",
        append("xpkg/schema.sql", "\nCREATE INDEX xents_by_buyer ON xents (buyer);\n"),
    ),
    (
        "Table for notes",
        append(
            "xpkg/schema.sql",
            "\nCREATE TABLE notes (\n    number TEXT NOT NULL,\n    note TEXT NOT NULL\n);\n",
        ),
    ),
    (
        "Describe how to run it",
        append("README.md", "\n## Test\n\n    python -m unittest discover\n"),
    ),
    ("Who to ask", append("README.md", "\n## Questions\n\nAsk the team's channel.\n")),
    ("URGENT: note the incident of last week", _note("Last week's outage was the carrier's")),
    ("Changelog", _note("Prices in more currencies")),
    ("Changelog again", _note("Faster statements")),
    (
        "Vouchers, first step",
        put(
            "xpkg/coupons.py",
            '"""Coupons; nothing asks for them yet."""\n\nCODES = {"SPRING": 5}\n\n\n'
            "def percent_of(code):\n    return CODES.get(code, 0)\n",
        ),
    ),
    (
        "Feature flags",
        put(
            "xpkg/flags.py",
            '"""Switches."""\n\nNEW_CHECKOUT = False\n\n\ndef on(name):\n'
            "    return bool(globals().get(name))\n",
        ),
    ),
    (
        "Metrics for the dashboard",
        put(
            "xpkg/metrics.py",
            '"""Counters in memory."""\n\nfrom collections import Counter\n\n'
            "SEEN = Counter()\n\n\ndef count(name):\n    SEEN[name] += 1\n",
        ),
    ),
    (
        "Health endpoint",
        put(
            "xpkg/health.py",
            '"""Says that it lives."""\n\n\ndef check(app):\n'
            '    return {"ok": app.storage.count() >= 0}\n',
        ),
    ),
    (
        "Test the discounts",
        put(
            "tests/test_tiers.py",
            "import unittest\n\nfrom xpkg.models import ANONYMOUS\n\n\n"
            "class Tiers(unittest.TestCase):\n"
            "    def test_guests_are_basic(self):\n"
            '        self.assertEqual(ANONYMOUS.tier, "basic")\n',
        ),
    ),
]

BIG: list[tuple[str, Edit]] = [
    (
        "Release: new documents, exports and reminders",
        all_of(
            put(
                "xpkg/exports.py",
                '"""Exports."""\n\nfrom . import xcat\n\n\n'
                + "\n\n".join(
                    f'def export_{index}(xent):\n    """Layout {index}."""\n'
                    f"    return [(line.sku, line.quantity * {index}) for line in xent.lines]\n"
                    for index in range(1, 25)
                ),
            ),
            put(
                "xpkg/reminders.py",
                '"""Reminders."""\n\n'
                + "\n\n".join(
                    f"def after_{day}_days(xent):\n"
                    f'    return f"{{xent.number}} is {day} days late"\n'
                    for day in range(2, 20)
                ),
            ),
            append(
                "xpkg/service.py",
                "\n\ndef remind(xent):\n    from . import reminders\n\n"
                "    return reminders.after_7_days(xent)\n",
            ),
            append("xpkg/app.py", '\n\ndef version():\n    return "2.0"\n'),
            append(
                "xpkg/xprice.py",
                "\n\ndef estimate(lines):\n"
                "    return sum(each.quantity * each.unit_cents for each in lines)\n",
            ),
            append("xpkg/xrep.py", '\n\ndef footer():\n    return "Thank you"\n'),
        ),
    ),
    (
        "Big checkout rewrite, step 2 of 5",
        all_of(
            put(
                "xpkg/flow.py",
                '"""The next checkout, not used yet."""\n\n'
                + "\n\n".join(
                    f"def step_{index}(state):\n    state = dict(state)\n"
                    f'    state["step"] = {index}\n    return state\n'
                    for index in range(30)
                ),
            ),
            append(
                "xpkg/service.py",
                "\n\ndef steps():\n    from . import flow\n\n"
                '    return [name for name in vars(flow) if name.startswith("step_")]\n',
            ),
            append("xpkg/xread.py", "\n\ndef echo(payload):\n    return dict(payload)\n"),
            append(
                "xpkg/xstore.py", '\n\ndef vacuum(storage):\n    storage.db.execute("VACUUM")\n'
            ),
            append("xpkg/xcat.py", "\n\ndef known(sku):\n    return sku in PRODUCTS\n"),
        ),
    ),
]

BROKEN: Edit = append(
    "xpkg/models.py",
    "\n\ndef pending(xents:\n    return [each for each in xents if not each.lines]\n",
)
MENDED: Edit = swap("xpkg/models.py", "def pending(xents:\n", "def pending(xents):\n")
