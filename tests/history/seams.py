"""Faults between files: configuration, imports, SQL.

Used by tests/history/faults.py. Each breaks the program of project/ for real.
"""

from __future__ import annotations

from tests.history.base import World
from tests.history.fault import (
    PRICE_NAMES,
    REP_NAMES,
    STORE_NAMES,
    Fault,
    crash,
    total,
)
from tests.history.tree import all_of, drop, put, setting, swap


def config_currency(world: World) -> Fault:
    """The currency is written in a way the code does not know."""
    return Fault(
        "config",
        "currency",
        "Spell out the currency",
        setting(world.config, "currency", "Euro"),
        crash="xmoney",
        names=["SYMBOLS", "percent", "round_cents", "show"],
        decoy=(
            "Look the symbol up directly",
            swap(
                "xpkg/xmoney.py",
                "    symbol = SYMBOLS[currency]\n",
                "    symbol = SYMBOLS[str(currency)]\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def config_page(world: World) -> Fault:
    """A page size of zero, meant as 'no limit'."""
    request = world.request()
    probe = f'app = App()\napp.handle({request!r})\nassert app.statement()["count"] == 1'
    return Fault(
        "config",
        "page",
        "No limit on pages",
        setting(world.config, "page_size", "0"),
        probe,
        f"app = App()\napp.handle({request!r})\napp.statement()",
        "statement failed",
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Round pages up",
            swap(
                "xpkg/xrep.py",
                "    pages = -(-storage.count() // size)",
                "    pages = -((-storage.count()) // size)",
            ),
        ),
    )


def config_tax(world: World) -> Fault:
    """A tax rate with a digit too few: no crash, wrong totals."""
    return Fault(
        "config",
        "tax",
        "Adjust rates",
        setting(world.config, "tax_percent", "9"),
        total(world, world.request()),
        None,
        "audit: tax is lower than declared",
        names=PRICE_NAMES,
        decoy=(
            "Name the exact tax",
            swap("xpkg/xprice.py", "    return max(whole, exact)", "    return max(exact, whole)"),
        ),
    )


def import_name(world: World) -> Fault:
    """A function is renamed; a module that imports it by name was overlooked."""
    return Fault(
        "import",
        "name",
        "Call amounts for people by a better name",
        all_of(
            swap("xpkg/xmoney.py", "def show(cents, currency):", "def display(cents, currency):"),
            swap("tests/test_xmoney.py", "xmoney.show(105", "xmoney.display(105"),
        ),
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Import money helpers together",
            swap(
                "xpkg/xrep.py",
                "from .xmoney import show\n",
                "from .xmoney import (\n    show,\n)\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def import_circle(world: World) -> Fault:
    """The models ask pricing for a constant, and pricing's road leads back to the models."""
    return Fault(
        "import",
        "circle",
        "Check tiers where buyers are made",
        all_of(
            swap(
                "xpkg/models.py",
                "from dataclasses import dataclass, field\n",
                "from dataclasses import dataclass, field\n\nfrom .xread import MOST\n",
            ),
            swap(
                "xpkg/models.py",
                'ANONYMOUS = Buyer(name="guest")\n',
                'ANONYMOUS = Buyer(name="guest")\nLIMIT = MOST\n',
            ),
        ),
        crash="xread",
        decoy=(
            "Sort the imports of the reader",
            swap(
                "xpkg/xread.py",
                "from .models import ANONYMOUS, BadRequest, Buyer, Line, Xent\n",
                "from .models import ANONYMOUS, BadRequest, Buyer\n"
                "from .models import Line, Xent\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def import_moved(world: World) -> Fault:
    """A module moves; whoever imports it is told, but for one."""
    text = (
        '"""Words for people."""\n\nFULL = "."\n\n\n'
        "def shorten(words, width):\n    return words[:width]\n"
    )
    return Fault(
        "import",
        "moved",
        "Group the words",
        all_of(
            drop("xpkg/xtext.py"),
            drop("tests/test_xtext.py"),
            put("xpkg/words/__init__.py", text),
        ),
        crash="xrep",
        decoy=(
            "Sort the imports of the receipts",
            swap(
                "xpkg/xrep.py",
                "from .xtext import plural, shorten\n",
                "from .xtext import plural\nfrom .xtext import shorten\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def sql_column(world: World) -> Fault:
    """A column is renamed in the schema, not in the query."""
    request = world.request()
    return Fault(
        "sql",
        "column",
        "Name times like everywhere else",
        swap("xpkg/schema.sql", "    placed_at TEXT NOT NULL", "    created_at TEXT NOT NULL"),
        f"app = App()\napp.handle({request!r})\nassert app.newest() == [{request['number']!r}]",
        f"app = App()\napp.handle({request!r})\napp.newest()",
        "query failed",
        crash="xstore",
        names=STORE_NAMES,
        decoy=(
            "Fetch the newest in one go",
            swap(
                "xpkg/xstore.py",
                "        rows = self.db.execute(query, (limit,)).fetchall()\n",
                "        found = self.db.execute(query, (limit,))\n"
                "        rows = found.fetchall()\n",
            ),
        ),
    )


def sql_placeholder(world: World) -> Fault:
    """A column too many for its question marks."""
    return Fault(
        "sql",
        "placeholder",
        "Keep the time of a xent",
        swap(
            "xpkg/xstore.py",
            '"INSERT INTO xents (number, buyer, total_cents) VALUES (?, ?, ?)"',
            '"INSERT INTO xents (number, buyer, total_cents, placed_at) VALUES (?, ?, ?)"',
        ),
        crash="xstore",
        names=STORE_NAMES,
        scar=(
            "Wrap the insert",
            swap(
                "xpkg/xstore.py",
                '"INSERT INTO xents (number, buyer, total_cents, placed_at) VALUES (?, ?, ?)"',
                '"INSERT INTO xents (number, buyer, total_cents, placed_at) "\n'
                '                "VALUES (?, ?, ?)"',
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def sql_quote(world: World) -> Fault:
    """A name with an apostrophe breaks a query that was put together by hand."""
    request = world.request("basic")
    request["buyer"] = {"name": "O'Hara", "email": "o@example.org"}
    return Fault(
        "sql",
        "quote",
        "Log the full query",
        swap(
            "xpkg/xstore.py",
            'WHERE buyer = ?"\n        row = self.db.execute(query, (name,)).fetchone()',
            'WHERE buyer = \'" + name + "\'"\n        row = self.db.execute(query).fetchone()',
        ),
        crash="xstore",
        names=STORE_NAMES,
        **crash(world, request),  # type: ignore[arg-type]
    )


def sql_table(world: World) -> Fault:
    """A table is renamed in the schema only."""
    return Fault(
        "sql",
        "table",
        "Say what the lines belong to",
        swap("xpkg/schema.sql", "CREATE TABLE lines (", "CREATE TABLE xent_lines ("),
        crash="xstore",
        names=STORE_NAMES,
        decoy=(
            "List the lines before writing them",
            swap(
                "xpkg/xstore.py",
                "            self.db.executemany(\n",
                "            write = self.db.executemany\n            write(\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )
