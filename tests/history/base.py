"""The invented project that histories are made of: a package that takes requests and bills them.

Its source lies in project/ as a template (a/b.py is a__b.py.txt): words beginning with x (xpkg,
xent, xprice, ...) are names drawn by seed. It is a real program; every fault breaks it for real.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

WORDS: dict[str, tuple[str, ...]] = {
    "xpkg": (
        "parcels",
        "tillhouse",
        "boxoffice",
        "clinicdesk",
        "yardshop",
        "papermill",
        "ferrydesk",
    ),
    "xent": ("order", "booking", "consignment", "admission", "voucher", "shipment"),
    "xprice": ("pricing", "charges", "tariff", "amounts_of", "fees"),
    "xstore": ("archive", "ledger", "persistence", "records", "memory"),
    "xlink": ("carrier", "gateway", "courier", "upstream", "dispatcher"),
    "xread": ("intake", "decoding", "forms", "incoming", "requests_in"),
    "xrep": ("receipts", "reporting", "documents", "printing", "summaries"),
    "xcat": ("catalog", "assortment", "price_list", "inventory", "stock"),
    "xmoney": ("money", "cents", "arithmetic", "rounding"),
    "xtext": ("text", "phrases", "wording", "labels"),
}
DEFAULTS = {
    "currency": "EUR",
    "tax_percent": "19",
    "free_from_cents": "20000",
    "shipping_cents": "490",
    "attempts": "3",
    "pause_ms": "8",
    "page_size": "4",
    "member_percent": "10",
}

PROJECT = Path(__file__).with_name("project")
WRAP = """
        except (LookupError, TypeError, AttributeError) as error:
            raise RequestFailed(f"request {payload.get('number')!r} failed") from error"""


@dataclass(frozen=True)
class World:
    """What a seed has drawn before the history begins."""

    rng: random.Random
    names: dict[str, str]
    products: dict[str, dict[str, object]]
    config: str  # path of the configuration file
    layout: str  # "" or "src/"
    wraps: bool

    def request(self, tier: str | None = "basic", **more: object) -> dict[str, object]:
        """Return a request that the program serves, a guest's if there is no tier."""
        rng = self.rng
        serial = rng.randrange(10**3, 10**6)
        body: dict[str, object] = {"number": f"{rng.choice(('AB', 'QX', 'KD'))}-{serial}"}
        if tier is not None:
            name = rng.choice(("Ada", "Bo", "Chidi", "Dunja", "Emre"))
            body["buyer"] = {"name": name, "email": f"{name.lower()}@example.org", "tier": tier}
        skus = rng.sample(sorted(self.products), rng.randint(1, 3))
        body["lines"] = [{"sku": sku, "quantity": rng.randint(1, 4)} for sku in skus]
        return body | more

    def goods(self, request: dict[str, object]) -> int:
        """Return the price of the goods in cents, computed apart from the program."""
        lines = request["lines"]
        assert isinstance(lines, list)
        return sum(int(str(self.products[x["sku"]]["cents"])) * int(x["quantity"]) for x in lines)

    def total(self, request: dict[str, object], *, tax: int = 19, free: int = 20000) -> int:
        """Return what the request must cost in cents, computed apart from the program."""
        goods = self.goods(request)
        buyer = request.get("buyer")
        tier = buyer.get("tier") if isinstance(buyer, dict) else None
        if tier in ("member", "staff"):
            goods -= (goods * 10 + 50) // 100
        return goods + (goods * tax + 50) // 100 + (0 if goods >= free else 490)


def draw_world(rng: random.Random) -> World:
    """Draw the names, the products and the shape of the project."""
    names = {token: rng.choice(words) for token, words in WORDS.items()}
    names["Xent"] = names["xent"].capitalize()
    products: dict[str, dict[str, object]] = {}
    while len(products) < 6:
        sku = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(3)) + str(
            rng.randint(1, 99)
        )
        title = (
            rng.choice(("Lamp", "Chair", "Kettle", "Rope", "Tent", "Ladder"))
            + f" no. {len(products)}"
        )
        products[sku] = {
            "title": title,
            "cents": rng.randrange(301, 4999),
            "grams": rng.randrange(80, 2400),
        }
    suffix = rng.choice(("json", "ini", "toml"))
    config = f"config/{rng.choice(('app', 'service', 'production', 'defaults'))}.{suffix}"
    return World(rng, names, products, config, rng.choice(("", "", "src/")), rng.random() < 0.3)


def files_of(world: World) -> dict[str, str]:
    """Return the project's files with template words still in them (see `spell`)."""
    files = {
        path.stem.replace("__", "/").replace("xpkg//init/", "xpkg/__init__"): path.read_text(
            "utf-8"
        )
        for path in sorted(PROJECT.iterdir())
    }
    name = world.config.rpartition("/")[2]
    suffix = name.rpartition(".")[2]
    imports, load = {
        "json": ("import json", 'raw = json.loads(path.read_text(encoding="utf-8"))'),
        "ini": (
            "import configparser",
            'parser = configparser.ConfigParser()\n    parser.read(path, encoding="utf-8")\n'
            '    raw = parser["app"]',
        ),
        "toml": ("import tomllib", 'raw = tomllib.loads(path.read_text(encoding="utf-8"))["app"]'),
    }[suffix]
    text = files["xpkg/settings.py"].replace("XIMPORTS", imports).replace("XLOAD", load)
    files["xpkg/settings.py"] = text.replace("xconf", name)
    files["xpkg/app.py"] = files["xpkg/app.py"].replace("XWRAP", WRAP if world.wraps else "")
    if suffix == "json":
        rows = ",\n".join(f'  "{key}": "{value}"' for key, value in DEFAULTS.items())
        files[world.config] = "{\n" + rows + "\n}\n"
    else:
        quote = '"' if suffix == "toml" else ""
        rows = "\n".join(f"{key} = {quote}{value}{quote}" for key, value in DEFAULTS.items())
        files[world.config] = f"[app]\n{rows}\n"
    files["xpkg/products.json"] = json.dumps(world.products, indent=2) + "\n"
    inside = (
        'str(Path(__file__).resolve().parents[1] / "src")'
        if world.layout
        else ("str(Path(__file__).resolve().parents[1])")
    )
    files["tests/__init__.py"] = (
        f"import sys\nfrom pathlib import Path\n\nsys.path.insert(0, {inside})\n"
    )
    return files


def spell(world: World, text: str) -> str:
    """Put the drawn names in place of the template's words."""
    for token in sorted(world.names, key=len, reverse=True):
        text = text.replace(token, world.names[token])
    return text
