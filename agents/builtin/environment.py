"""What is to blame when no commit is: dependencies, variables, files, addresses.

Called by the diagnosis. Probes are read-only requests to addresses that the operator declared,
made by the host; nothing recorded is ever sent. A name found here is a pointer, not a proof,
unless a probe failed.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from agents.builtin import failures
from agents.case import Dependency
from agents.evidence import Ledger
from incidents import models

PROBE_SECONDS = 2.0
ADDRESS = re.compile(
    r"(?:host=['\"]?|//|\b)((?:\d{1,3}\.){3}\d{1,3}|localhost|[a-z][\w-]*(?:\.[\w-]+)+|\[[0-9a-f:]+\])"
    r"(?:['\"]?,? ?port=|:)(\d{2,5})\b",
    re.IGNORECASE,
)
VARIABLE = re.compile(r"KeyError: ['\"]([A-Z][A-Z0-9_]{2,60})['\"]")
MISSING = re.compile(
    r"(?:FileNotFoundError|PermissionError|NotADirectoryError)[^\n]*?['\"](/[^'\"\n]{1,300})['\"]"
)
CONDITIONS = (
    (re.compile(r"No space left on device|ENOSPC"), "the disk is full"),
    (re.compile(r"Too many open files|EMFILE"), "the process ran out of file handles"),
    (re.compile(r"MemoryError|OutOfMemory|Cannot allocate memory"), "memory ran out"),
    (re.compile(r"certificate (?:verify failed|has expired)", re.IGNORECASE), "a certificate"),
)


@dataclass(frozen=True)
class Probed:
    """One dependency and what its probe said; `alive` is None where none is declared."""

    dependency: Dependency
    alive: bool | None
    words: str
    evidence: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Outside:
    """Something outside the code that the failure points at."""

    what: str
    dependency: str | None = None


def probe(dependencies: Sequence[Dependency], ledger: Ledger) -> tuple[Probed, ...]:
    """Ask each declared probe once, with a short timeout; no redirect or proxy is followed."""
    return tuple(_probe(dependency, ledger) for dependency in dependencies)


def _probe(dependency: Dependency, ledger: Ledger) -> Probed:
    if dependency.probe is None:
        return Probed(dependency, None, "no probe is declared")
    if not dependency.probe.startswith(("http://", "https://")):
        return Probed(dependency, None, "the probe is not an http address")
    began = time.monotonic()
    try:
        with httpx.Client(trust_env=False, timeout=PROBE_SECONDS) as client:
            status = client.get(dependency.probe).status_code
        alive, words = status < 500, f"answered {status}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        alive, words = False, f"did not answer: {str(error) or type(error).__name__}"
    found = ledger.add(
        models.EvidenceKind.PROBE,
        f"probe of {dependency.name}",
        dependency.probe,
        f"GET {dependency.probe}: {words}",
    )
    return Probed(dependency, alive, words, found, time.monotonic() - began)


def implicated(item: Probed, text: str) -> bool:
    """Tell whether the failure's words lead to this dependency: name, address or kind of error."""
    name = item.dependency.name.lower()
    address = re.sub(r"^https?://", "", item.dependency.probe or "").split("/")[0]
    lowered = text.lower()
    return (
        not text
        or name in lowered
        or (bool(address) and address in lowered)
        or (failures.network_words(text))
    )


def outside(text: str, mounts: Sequence[Path], vendor: str | None = None) -> tuple[Outside, ...]:
    """Return what a failure's words name outside of the code, most telling first."""
    found: list[Outside] = []
    if failures.network_words(text):
        found += [
            Outside(f"a connection to {host}:{port}", f"{host}:{port}")
            for host, port in dict.fromkeys(ADDRESS.findall(text))
        ][:3] or [Outside("a connection that could not be made")]
    if "environ" in text:
        names = dict.fromkeys(VARIABLE.findall(text))
        found += [Outside(f"the environment variable {name}") for name in names][:3]
    found += [Outside(f"the file {path}") for path in dict.fromkeys(MISSING.findall(text))][:3]
    found += [
        Outside(f"the data or environment in {folder}") for folder in mounts if str(folder) in text
    ]
    found += [Outside(words) for pattern, words in CONDITIONS if pattern.search(text)]
    if vendor:
        found.append(Outside(f"the dependency whose code raised it ({vendor})"))
    return tuple(dict.fromkeys(found))
