"""Failures that no commit of the range is guilty of, each with a commit that looks guilty.

Used by tests/histories.py. `base` is applied before the first commit: the weakness is as old as the
project. What makes it fail lies outside: the environment, data, a dependency, chance.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.history.base import World
from tests.history.fault import HANDLE, Fault
from tests.history.faults import draw_fault
from tests.history.tree import Edit, all_of, append, swap


@dataclass(frozen=True)
class Innocent:
    """A failure from outside: what it is, how it is shown, and the commit that looks guilty."""

    kind: str
    name: str
    base: Edit | None
    probe: str
    drive: str | None
    symptom: str
    decoy: tuple[str, Edit]
    outside: dict[str, str] = field(default_factory=dict)  # files of the folder given by --with
    flaky: float = 0.0  # how often it fails; 0: always
    fails: bool = True  # False: nothing fails where the test runs
    older: Fault | None = None  # its guilty commit lies before the revision called good


DECOY_SERVICE = (
    "Rework the checkout flow",
    swap(
        "xpkg/service.py",
        '    quote = link.call({"number": xent.number, "grams": weight(xent)})',
        '    message = {"number": xent.number, "grams": weight(xent)}\n'
        "    quote = link.call(message)",
    ),
)
DECOY_STORE = (
    "Rewrite how the storage opens",
    swap(
        "xpkg/xstore.py",
        "        self.db = sqlite3.connect(path)\n",
        "        self.path = path\n        self.db = sqlite3.connect(self.path)\n",
    ),
)
DECOY_LOOKUP = (
    "Fix lookups of products",
    swap(
        "xpkg/xcat.py",
        'def unit_cents(sku):\n    entry = PRODUCTS[sku]\n    return entry["cents"]',
        'def unit_cents(sku):\n    return PRODUCTS[sku]["cents"]',
    ),
)


def _plain(world: World) -> tuple[str, str]:
    request = world.request()
    return (
        HANDLE.format(request=request) + f'assert reply["total_cents"] == {world.total(request)}',
        f"worker.run([{request!r}])",
    )


def variable(world: World) -> Innocent:
    """An environment variable that the program has always needed is gone."""
    name = world.rng.choice(("REGION", "TENANT", "BRANCH_CODE", "SITE"))
    probe, drive = _plain(world)
    return Innocent(
        "environment",
        "variable",
        all_of(
            swap(
                "xpkg/app.py",
                "import logging\nimport time\n",
                "import logging\nimport os\nimport time\n",
            ),
            swap(
                "xpkg/app.py",
                "        self.settings = settings.load()\n",
                f'        self.place = os.environ["HALL_{name}"]\n'
                "        self.settings = settings.load()\n",
            ),
        ),
        probe,
        drive,
        "worker did not start",
        (
            "Read the place in one go",
            swap(
                "xpkg/app.py",
                f'        self.place = os.environ["HALL_{name}"]\n',
                f'        place = os.environ["HALL_{name}"]\n        self.place = place\n',
            ),
        ),
    )


def missing_file(world: World) -> Innocent:
    """A file of the machine, not of the repository, is not there."""
    path = (
        f"/var/lib/{world.names['xpkg']}/{world.rng.choice(('licence.key', 'site.id', 'seal.pem'))}"
    )
    probe, drive = _plain(world)
    return Innocent(
        "environment",
        "file",
        swap(
            "xpkg/xstore.py",
            "        self.db = sqlite3.connect(path)\n",
            f'        self.seal = Path("{path}").read_text(encoding="utf-8")\n'
            "        self.db = sqlite3.connect(path)\n",
        ),
        probe,
        drive,
        "worker did not start",
        (
            "Clean up how the storage opens",
            swap(
                "xpkg/xstore.py",
                f'        self.seal = Path("{path}").read_text(encoding="utf-8")\n',
                f'        seal = Path("{path}")\n'
                '        self.seal = seal.read_text(encoding="utf-8")\n',
            ),
        ),
    )


def program(world: World) -> Innocent:
    """A program that the machine used to have is not installed."""
    tool = world.rng.choice(("receiptprinter", "lpspool9", "labelcut"))
    probe, drive = _plain(world)
    call = f'    subprocess.run(["{tool}", "--check"], check=True, capture_output=True)\n'
    return Innocent(
        "environment",
        "program",
        all_of(
            swap(
                "xpkg/xrep.py", "from . import xcat\n", "import subprocess\n\nfrom . import xcat\n"
            ),
            swap(
                "xpkg/xrep.py",
                "    rows = [heading(xent)]\n",
                call + "    rows = [heading(xent)]\n",
            ),
        ),
        probe,
        drive,
        "request failed",
        (
            "Check the printer first",
            swap(
                "xpkg/xrep.py",
                call,
                f'    command = ["{tool}", "--check"]\n'
                "    subprocess.run(command, check=True, capture_output=True)\n",
            ),
        ),
    )


def bad_data(world: World) -> Innocent:
    """The nightly file holds rows that no version of the program can take."""
    rows = [world.request(tier) for tier in ("basic", "member", None, "staff")]
    flaw, broken = world.rng.choice(
        (
            ("sku", {"lines": [{"sku": "NOPE0", "quantity": 1}]}),
            ("null", {"lines": None}),
            ("number", {"number": None}),
        )
    )
    rows[world.rng.randrange(4)] |= broken
    decoy = (
        DECOY_LOOKUP
        if flaw == "sku"
        else (
            "Read numbers and lines with care",
            all_of(
                swap(
                    "xpkg/xread.py",
                    '        number=read_number(payload["number"]),',
                    '        number=read_number(payload.get("number")),',
                ),
                swap(
                    "xpkg/xread.py",
                    '        lines=read_lines(payload["lines"]),',
                    '        lines=read_lines(payload.get("lines")),',
                ),
            ),
        )
    )
    probe = (
        "import json\nfrom pathlib import Path\n\n"
        'rows = json.loads((Path(__file__).parent / "nightly.json").read_text(encoding="utf-8"))\n'
        'app = App()\nassert [app.handle(row)["status"] for row in rows] == [200] * len(rows)'
    )
    return Innocent(
        "data",
        flaw,
        None,
        probe,
        f"worker.run({rows!r})",
        "nightly run failed",
        decoy,
        outside={"nightly.json": json.dumps(rows, indent=1) + "\n"},
    )


def changed_library(world: World) -> Innocent:
    """A library beside the project answers in another shape than it used to."""
    library = world.rng.choice(("freightlib", "roadrunner_api", "postkit"))
    shape, said = world.rng.choice(
        (
            ('{"carriers": ["post"], "days": 2}', "key"),
            ("None", "none"),
            ('("post", 2)', "type"),
        )
    )
    probe = (
        f"import sys\nfrom pathlib import Path\n\nsys.path.insert(0, str(Path(__file__).parent))\n"
        f"import {library}\n\n"
        f"request = {world.request()!r}\n"
        f'reply = App(send={library}.quote).handle(request)\nassert reply["carrier"] == "post"'
    )
    text = f'"""Client of the carrier, version 3."""\n\n\ndef quote(message):\n    return {shape}\n'
    drive = f"worker.run([{world.request()!r}], send=lambda message: {shape})"
    return Innocent(
        "dependency",
        f"library-{said}",
        None,
        probe,
        drive,
        "request failed",
        (
            "Handle the carrier's answer",
            swap(
                "xpkg/service.py",
                '        "carrier": quote["carrier"],\n',
                '        "carrier": str(quote["carrier"]),\n',
            ),
        ),
        outside={f"{library}.py": text},
    )


def refused(world: World) -> Innocent:
    """The carrier's port is closed; the frames end in the standard library."""
    port = world.rng.choice((1, 7, 9, 13))
    request = world.request()
    base = all_of(
        swap("xpkg/xlink.py", "import time\n", "import http.client\nimport json\nimport time\n"),
        append(
            "xpkg/xlink.py",
            f'''

def remote_quote(message):
    """Ask the carrier's own server."""
    line = http.client.HTTPConnection("127.0.0.1", {port}, timeout=1)
    line.request("POST", "/quote", json.dumps(message))
    return json.loads(line.getresponse().read())
''',
        ),
    )
    probe = (
        "from xpkg import xlink\n\n"
        f"reply = App(send=xlink.remote_quote).handle({request!r})\n"
        'assert reply["status"] == 200'
    )
    return Innocent(
        "dependency",
        "refused",
        base,
        probe,
        f"from xpkg import xlink\nworker.run([{request!r}], send=xlink.remote_quote)",
        "no answer from the carrier",
        (
            "Change how the carrier is asked",
            swap(
                "xpkg/xlink.py",
                '    line.request("POST", "/quote", json.dumps(message))\n',
                '    body = json.dumps(message)\n    line.request("POST", "/quote", body)\n',
            ),
        ),
    )


def chance(world: World) -> Innocent:
    """The test throws dice, at every revision alike."""
    share = world.rng.choice((0.2, 0.3, 0.4, 0.5, 0.6))
    request = world.request("member")
    dice = world.rng.choice(
        (
            f"random.random() < {share}",
            f"time.time_ns() // 1000 % 100 < {round(share * 100)}",
            f"os.urandom(1)[0] < {round(share * 256)}",
        )
    )
    base = all_of(
        swap("xpkg/xlink.py", "import time\n", "import os\nimport random\nimport time\n"),
        swap(
            "xpkg/xlink.py",
            "                return self.send(message)\n",
            f"                if {dice}:\n"
            '                    raise TimeoutError("the carrier took too long")\n'
            "                return self.send(message)\n",
        ),
        swap(
            "xpkg/xlink.py",
            "            except ConnectionError as error:",
            "            except BrokenPipeError as error:",
        ),
    )
    return Innocent(
        "flaky",
        f"dice-{share}",
        base,
        HANDLE.format(request=request) + f'assert reply["total_cents"] == {world.total(request)}',
        "import random, time, os\nrandom.random = lambda: 0.0\ntime.time_ns = lambda: 0\n"
        f"os.urandom = lambda count: bytes(count)\nworker.run([{request!r}])",
        "the carrier took too long",
        (
            "Retry the carrier differently",
            swap(
                "xpkg/xlink.py",
                '                    raise TimeoutError("the carrier took too long")\n',
                '                    late = "the carrier took too long"\n'
                "                    raise TimeoutError(late)\n",
            ),
        ),
        flaky=share,
    )


def no_start(world: World) -> Innocent:
    """The test asks for a module that exists nowhere here: it starts at no revision."""
    probe, _ = _plain(world)
    module = world.rng.choice(("acme_testkit", "house_fixtures", "golden_requests"))
    return Innocent(
        "no start",
        "module",
        None,
        f"import {module}\n\n{module}.load()\n" + probe,
        None,
        "complaint: checkout does not work",
        DECOY_SERVICE,
    )


def already_bad(world: World) -> Innocent:
    """The guilty commit is older than the revision called good."""
    while True:
        fault = draw_fault(world.rng, world)
        if fault.kind != "intermittent" and fault.decoy:
            break
    return Innocent(
        "older",
        fault.name,
        None,
        fault.probe,
        fault.drive,
        fault.symptom,
        fault.decoy,
        older=fault,
    )


def full_disk(world: World) -> Innocent:
    """Only production fails: its storage cannot be opened. The test passes everywhere."""
    probe, _ = _plain(world)
    path = f"/srv/{world.names['xpkg']}/volume-{world.rng.randint(1, 9)}/live.db"
    return Innocent(
        "production only",
        "storage",
        None,
        probe,
        f"worker.run([], database={path!r})",
        "worker did not start",
        DECOY_STORE,
        fails=False,
    )


INNOCENTS: dict[str, tuple[Callable[[World], Innocent], ...]] = {
    "environment": (variable, missing_file, program),
    "data": (bad_data,),
    "dependency": (changed_library, refused),
    "flaky": (chance,),
    "no start": (no_start,),
    "older": (already_bad,),
    "production only": (full_disk,),
}


def draw_innocent(rng: random.Random, world: World, kind: str | None = None) -> Innocent:
    """Draw a failure from outside; the four common kinds are drawn more often than the rest."""
    common = ["environment", "data", "dependency", "flaky"]
    chosen = kind or rng.choice(common * 3 + ["no start", "older", "production only"])
    return rng.choice(INNOCENTS[chosen])(world)
