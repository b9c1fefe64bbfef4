"""A team's deploy tool for the tests: one program for every hook, run by the deployer for real.

`python -I -S hook.py FOLDER`. The world is FOLDER/world.json; rules in it say how the team's tool
misbehaves. With `service` it starts and stops real servers on unix sockets, as a team would.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def main(folder: Path) -> int:
    """Do what HALON_HOOK says."""
    name = os.environ["HALON_HOOK"]
    world = change(folder, lambda world: world.update(calls=[*world.get("calls", []), seen(name)]))
    rules: dict[str, Any] = world.get("rules", {}).get(name, {})
    if rules.get("hang"):
        time.sleep(60)
    if rules.get("fails", 0) > 0:
        change(folder, lambda world: world["rules"][name].update(fails=rules["fails"] - 1))
        sys.stderr.write("loading\nthe registry is down.\n\n")
        return int(rules.get("exit", 1))
    if name == "observe":
        sys.stdout.write(rules.get("print") or json.dumps(observed(folder, world)))
    elif not rules.get("lies"):
        change(folder, lambda world: act(folder, name, world))
    return 0


def seen(name: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key.startswith("HALON_")}
    return {"hook": name, **kept, "SECRET": os.environ.get("SECRET", ""), "cwd": str(Path.cwd())}


def change(folder: Path, how: Any) -> dict[str, Any]:
    """Change the world under a lock, since hooks of two commanders may meet."""
    with (folder / "world.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "world.json"
        world: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        how(world)
        making = folder / ".world.json"
        making.write_text(json.dumps(world), encoding="utf-8")
        making.replace(file)
        return world


def act(folder: Path, name: str, world: dict[str, Any]) -> None:
    new = os.environ["HALON_REVISION"]
    if name == "prepare":
        run(folder, world, "canary", new)
    elif name == "set_weight":
        world["weight"] = int(os.environ["HALON_PERCENT"])
    elif name == "promote":
        run(folder, world, "stable", new)
        if "service" not in world:
            world.update(weight=0, canary=None)
    elif name == "take_back":
        world["weight"] = 0
        run(folder, world, "canary", None)
        if world["stable"] != os.environ["HALON_TO"]:
            run(folder, world, "stable", os.environ["HALON_TO"])
    elif name in ("freeze", "unfreeze"):
        world["frozen"] = name == "freeze"


def run(folder: Path, world: dict[str, Any], side: str, revision: str | None) -> None:
    """Make a side run a revision, None: nothing. A world without servers only notes it.

    A graceful team brings the new server up beside the old one, and lets that one answer what it
    has: no request is lost.
    """
    old = world.get(f"{side}_pid")
    if world.get("graceful") and revision is not None and alive(old) and world[side] != revision:
        world[f"{side}_pid"] = start(folder, world, side, revision, beside=True)
        time.sleep(world["graceful"])  # what is under way is answered well within it
        stop(old)
        world[side] = revision
        return
    if "service" in world and (revision is None or world.get(side) != revision):
        stop(world.get(f"{side}_pid"))
        world[f"{side}_pid"] = None
        (folder / f"{side}.sock").unlink(missing_ok=True)
    if "service" in world and revision is not None and not alive(world.get(f"{side}_pid")):
        world[f"{side}_pid"] = start(folder, world, side, revision)
    world[side] = revision


def start(
    folder: Path, world: dict[str, Any], side: str, revision: str, *, beside: bool = False
) -> int:
    name, at = folder / f"{side}.sock", folder / revision
    socket = folder / f"{side}.new" if beside else name
    at.mkdir(exist_ok=True)
    if not (at / "behaviour.json").exists():
        (at / "behaviour.json").write_text("{}", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", world["service"], "--socket", str(socket)],
        cwd=at,
        env={"HALON_REVISION": revision},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its stdout stays the hook's: as a pipe it would never end
    )
    until = time.monotonic() + 10
    while not socket.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    if beside:
        socket.replace(name)  # from here on every new connection is the new server's
    return process.pid


def stop(pid: int | None) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int | None) -> bool:
    if not pid:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def observed(folder: Path, world: dict[str, Any]) -> dict[str, Any]:
    answer = {key: world.get(key) for key in ("weight", "stable", "canary")}
    if "service" not in world:
        return {**answer, "healthy": world.get("healthy", True)}
    for side in ("stable", "canary"):
        running = alive(world.get(f"{side}_pid"))
        answer[side] = world[side] if running else None
        answer[f"{side}_healthy"] = running
    del answer["weight"]
    return answer


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
