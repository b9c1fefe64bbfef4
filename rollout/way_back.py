"""Take a steered production back: `python -I -S way_back.py FILE REVISION FENCE`.

Run by the watchdog, by the rehearsal and by people. FILE was written by the deployer; no settings,
no database, no installed package is needed. FENCE may be `newest`. Exit 0: read back as done;
3: somebody newer commands; 1: not done yet, run it again; 2: usage.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script with -I, nothing but the standard library is in reach
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from incidents import errors
from rollout import flagfile, haproxy, hooks, nginxfile, steering
from rollout.switch import Switch

DONE, NOT_YET, USAGE, SUPERSEDED = 0, 1, 2, 3
SWITCHES: dict[str, Callable[..., Switch]] = {
    haproxy.Backend.kind: haproxy.Backend,
    flagfile.Flag.kind: flagfile.Flag,
    nginxfile.Include.kind: nginxfile.Include,
}


def load(file: Path) -> steering.Steered:
    """Return the production that a deployer wrote down; raises OSError, ValueError and the like."""
    content = json.loads(file.read_text(encoding="utf-8"))
    commands = hooks.Hooks(**content["hooks"])
    return steering.Steered(content["service"], file.parent, commands, _switch(content["switch"]))


def _switch(content: dict[str, Any] | None) -> Switch | None:
    if content is None:
        return None
    kind = content.pop("kind")
    return SWITCHES[kind](**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


def main(arguments: list[str]) -> int:
    """Run from the command line; the answer is one JSON line on stdout."""
    if len(arguments) != 3:
        sys.stderr.write("usage: way_back.py FILE REVISION FENCE\n")
        return USAGE
    try:
        production = load(Path(arguments[0]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"{arguments[0]!r} is no way back: {error}\n")
        return USAGE
    try:
        seen = production.take_back(arguments[1], arguments[2])
    except errors.StaleFence as error:
        sys.stderr.write(f"{error.message}\n")
        return SUPERSEDED
    except errors.HalonError as error:
        sys.stderr.write(f"{error.message}\n")
        return NOT_YET
    answer = {"weight": seen.weight, "stable": seen.stable_revision, "trouble": seen.trouble}
    sys.stdout.write(json.dumps(answer) + "\n")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
