"""`make bench`: every figure beside its anchor, measured in the same run.

Each module of this folder gives rows {what, aim, value, anchor, ratio}; this prints them as they
come. A figure is no test: nothing here fails for being slow.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

PARTS = (
    "queue", "web", "slack", "triage", "workspace", "redaction", "rollout", "hotfix", "demo",
    "claude",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the rows of the named parts, of all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args(arguments).parts or PARTS
    if unknown := sorted(set(chosen) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in chosen:
        begun = time.monotonic()
        rows = importlib.import_module(f"bench.{part}").rows()
        print(f"\n{part} ({time.monotonic() - begun:.0f} s)")
        for row in rows:
            print(f"  {row['what']}")
            ratio = "" if row["ratio"] is None else f" · ratio {row['ratio']}"
            print(f"      {row['value']} · anchor {row['anchor']}{ratio} · aim {row['aim']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
