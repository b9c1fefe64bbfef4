"""What `halon doctor` looks at on this machine: Python, git, folder, Redis, database, walls, port.

Each check returns findings and changes nothing that lasts. Called by cli/doctor.py only.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agents import sandbox
from agents.prices import Prices
from bot.web import server
from cli import folder as folders
from cli import redis as redis_servers
from cli.finding import Finding, fine, note, shown, wrong
from incidents import errors, filesystem
from incidents.settings import Settings
from incidents.store import Store
from workers import jobs, vendors
from workers.settings import WorkerSettings

GIT = (2, 38)  # `git merge-tree --write-tree`
LEAST_FREE_BYTES = 1 << 30
PYTHONS = ((3, 11), (3, 12))
SQLITE = "sqlite:///"
BUILT_AFTER = 1_767_225_600  # 1 January 2026: an earlier clock is not set
SKEW_SECONDS = 5.0


def python() -> Finding:
    """Look at the interpreter and the platform."""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < PYTHONS[0]:
        return wrong("Python", said, "Install CPython 3.11 or 3.12 and make Halon's venv with it.")
    if platform.system() != "Linux":
        return wrong("Python", said, "Run Halon on Linux, or in its container.")
    if platform.machine() != "x86_64" or sys.version_info[:2] not in PYTHONS:
        mend = "Install redis-server or set REDIS_URL: Halon brings no Redis of its own here."
        return note("Python", said, mend)
    return fine("Python", said)


def git() -> Finding:
    """Look for a git that can merge without a working tree."""
    mend = "Install git 2.38 or newer."
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return wrong("git", "not found", mend)
    match = re.search(r"(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < GIT:
        return wrong("git", f"{said}: too old", mend)
    return fine("git", said.removeprefix("git version "))


def folder(settings: Settings) -> Finding:
    """Look whether the data folder, or the folder it will lie in, can be written and has room."""
    wanted = settings.folder.absolute()
    there = next(path for path in (wanted, *wanted.parents) if path.exists())
    what = f"data folder {wanted}"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return wrong(what, f"{there} cannot be written", "Name another with HALON_FOLDER.")
    free = shutil.disk_usage(there).free
    said = f"{free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return wrong(what, said, "Make room: Halon wants 1 GiB for mirrors, trees and its log.")
    if wanted.exists() and wanted.stat().st_mode & 0o077:
        mend = f"Run `chmod 700 {wanted}`: it holds the key that approvals are signed with."
        return note(what, f"{said}, open to others", mend)
    return fine(what, said)


def redis(settings: Settings) -> Iterator[Finding]:
    """Look which Redis is meant and, where one answers, whether it takes work."""
    if settings.redis_url is not None:
        yield _server(settings.redis_url, f"REDIS_URL {shown(settings.redis_url)}", ours=False)
        return
    try:
        server = redis_servers.find()
    except errors.HalonError as error:
        yield wrong("Redis", "none", error.message)
        return
    yield fine("Redis", f"{server.version}, {server.found} ({server.binary})")
    wanted = settings.folder.absolute()
    if wanted.exists() and redis_servers.socket_path(wanted).exists():
        yield _server(redis_servers.url(wanted), "Redis of our own", ours=True)


def _server(address: str, what: str, *, ours: bool) -> Finding:
    try:
        seen = jobs.look(address)
    except errors.TemporaryFailure as error:
        if ours:
            return note(what, "not running; `halon up` starts it")
        return wrong(what, error.message, "Start that server, or correct REDIS_URL.")
    said = f"{seen.version}, append-only file {'on' if seen.append_only else 'off'}"
    if seen.refuses is not None:
        return wrong(what, f"{said}, refuses writes: {seen.refuses}", "Make room on its machine.")
    if seen.version_pair < redis_servers.MINIMUM:
        return wrong(what, f"{said}: too old", "Use Redis or Valkey 6.2 or newer.")
    return fine(what, f"{said}, takes writes")


def database(settings: Settings) -> Finding:
    """Look whether the database answers and which schema it has; makes none."""
    address = settings.database
    what = f"database {shown(address)}"
    if address.startswith(SQLITE):
        file = Path(address.removeprefix(SQLITE))
        if (kind := filesystem.network(file.parent)) is not None:
            mend = "Put HALON_FOLDER on a local disk, or set DATABASE_URL to a PostgreSQL."
            return wrong(what, f"lies on a network file system ({kind})", mend)
        if not file.exists():
            return fine(what, "not made yet; `halon up` makes it")
    try:
        store = Store(address)
        try:
            current, newest = store.schema()
        finally:
            store.close()
    except errors.PermanentFailure as error:
        return wrong(what, error.message, "See the sentence before this one.")
    except errors.HalonError as error:
        return wrong(what, error.message, "Start the database, or correct DATABASE_URL.")
    if current is None:
        return fine(what, "answers, empty; `halon up` makes its tables")
    if current != newest:
        return note(what, f"schema {current}, this Halon has {newest}", "`halon up` brings it up.")
    return fine(what, f"answers, schema {current}")


def walls(settings: Settings) -> Iterator[Finding]:
    """Try every sandbox; one that works is enough, unless the settings name another."""
    if settings.sandbox == "none":
        mend = "Unset HALON_SANDBOX on a machine that holds anything of worth."
        yield note("sandbox", "switched off: a repository's code runs as this user", mend)
        return
    tried = sandbox.probe()
    wanted = [one for one in tried if settings.sandbox in ("auto", one.name)]
    works = any(one.works for one in wanted)
    for one in tried:
        what = f"sandbox {one.name}"
        if one.works:
            rooted = "; Halon is root here, what it runs is nobody before it starts"
            yield fine(what, "works" + (rooted if os.geteuid() == 0 else ""))
        elif works or one not in wanted:
            yield note(what, f"does not work: {one.reason}")
        else:
            yield wrong(what, f"does not work: {one.reason}", sandbox.MEND)
    yield fine("kernel", platform.release())


def port(settings: Settings, host: str, number: int) -> Finding:
    """Look whether the war room can have its port, unless it has it already."""
    what = f"war room {host}:{number}"
    if folders.in_use(settings.folder):
        return fine(what, "Halon runs on this data folder; its port was not tried")
    try:
        server.bind(host, number).close()
    except errors.PermanentFailure as error:
        told, _, mend = error.message.partition("; ")
        return wrong(what, told, mend[:1].upper() + mend[1:] or "Choose another port.")
    return fine(what, "free")


def clock(database_now: Callable[[], float] | None = None) -> Finding:
    """Look whether the clock is set, and agrees with the database's where there is one."""
    now = time.time()
    if now < BUILT_AFTER:
        return wrong("clock", time.strftime("%Y-%m-%d", time.gmtime(now)), "Set the clock by NTP.")
    if database_now is not None:
        try:
            skew = database_now() - time.time()
        except errors.HalonError:
            return fine("clock", "set; the database's could not be asked")
        if abs(skew) > SKEW_SECONDS:
            return wrong("clock", f"{skew:+.0f} s off the database's", "Set both clocks by NTP.")
    return fine("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def engine(settings: WorkerSettings) -> Finding:
    """Say which engine will speak, and whether it can count its money; no key is shown."""
    what = "engine"
    try:
        claude = vendors.wants_claude(settings)
    except errors.BadSettings as error:
        return wrong(what, error.message, "Set ANTHROPIC_API_KEY, or HALON_ENGINE=auto.")
    if not claude:
        why = "ANTHROPIC_API_KEY is not set" if settings.engine == "auto" else "HALON_ENGINE"
        return note(what, f"the builtin engine plays every role ({why})")
    names = (settings.model_strong, settings.model_fast)
    try:
        prices = Prices(settings.model_prices)
        for name in names:
            prices.check(name)
    except errors.BadSettings as error:
        return wrong(what, error.message, "Name the price, or choose another model.")
    where = settings.anthropic_base_url or "the Anthropic API"
    return fine(
        what,
        f"claude by {' and '.join(dict.fromkeys(names))} at {where}, the builtin where it cannot; "
        f"at most ${settings.incident_dollars} an incident, ${settings.monthly_dollars} a month",
    )
