"""Finds what a command needs to start: the program, the interpreter behind it, their folders.

Used by the variants for every command and stand-in. It must never open a home folder or a system
folder as a whole: a program that lies loosely in one is mounted alone.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
STANDARD_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
PYTHONS = ("python", "python3")
# What a folder of an installation has, and a home folder has not.
PREFIX_MARKS = (
    "pyvenv.cfg",
    "conda-meta",
    "lib/node_modules",
    "lib/jvm",
    "lib/rustlib",
    "pkg/tool",
    "jmods",
    "lib/ruby",
)
SHEBANG_BYTES = 256
DEPTH = 6
ASK = "import sys; print(sys.executable, sys.prefix, sys.base_prefix, sep='\\n')"


def interpreter_mounts(argv: Sequence[str], tree: Path) -> tuple[Path, ...]:
    """Give the paths that must be readable inside so that `argv[0]` starts, plus the tree's own
    `.venv`, `venv` and `node_modules`; system folders are always there and never listed.
    """
    found = [tree / name for name in (".venv", "venv", "node_modules") if (tree / name).is_dir()]
    program = find(argv[0], tree, found)
    if program is not None:
        found += needed_by(program)
    for folder in [path for path in found if (path / "pyvenv.cfg").is_file()]:
        found += needed_by(folder / "bin" / "python")
    return tuple(dict.fromkeys(path for path in found if not is_system(path)))


def find(name: str, tree: Path, mounts: Iterable[Path] = ()) -> Path | None:
    """Find the program that `name` starts: in the tree, the mounts, then on the operator's PATH."""
    if "/" in name:
        path = tree / name
        return path if path.exists() else None
    for folder in bins(mounts):
        if os.access(folder / name, os.X_OK):
            return folder / name
    on_path = shutil.which(name)
    if on_path is not None and not _is_shim(Path(on_path)):
        return Path(on_path)
    if name in PYTHONS:
        return (on_path and _asked(on_path)) or Path(sys.executable)
    return None


def bins(mounts: Iterable[Path]) -> list[Path]:
    """Give the folders of programs that lie in mounted prefixes and in `node_modules`."""
    folders = []
    for mount in mounts:
        folders += [mount / name for name in ("bin", ".bin") if (mount / name).is_dir()]
    return folders


def search_path(argv0: Iterable[str], tree: Path, mounts: Sequence[Path]) -> str:
    """Give the PATH inside: the mounts' programs, those of the commands, the system's, Halon's."""
    last = [*map(Path, STANDARD_PATH), Path(sys.executable).parent]
    folders = bins(mounts)
    for name in (*argv0, *PYTHONS):
        program = find(name, tree, mounts)
        if program is not None and "/" not in name and program.parent not in last:
            folders.append(program.parent)
    folders += last
    return ":".join(dict.fromkeys(str(folder) for folder in folders))


def environment(
    argv0: Iterable[str], tree: Path, mounts: Sequence[Path], added: Mapping[str, str], home: str
) -> dict[str, str]:
    """Give the clean environment of a command, with what the profile adds."""
    modules = [str(mount) for mount in mounts if mount.name == "node_modules"]
    return {
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "PATH": search_path(argv0, tree, mounts),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own tmpfs
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        **({"NODE_PATH": ":".join(modules)} if modules else {}),
        **added,
    }


def needed_by(program: Path, depth: int = DEPTH) -> list[Path]:
    """Follow a program through links, its prefix, its `#!` line and its virtual environment."""
    if depth == 0 or not os.path.lexists(program):
        return []
    program = program.absolute()
    prefix = _prefix(program)
    found = [prefix or program]
    if program.is_symlink():
        target = Path(os.path.normpath(program.parent / program.readlink()))
        found += needed_by(target, depth - 1)
    real = program.resolve()
    if real != program:
        found += needed_by(real, depth - 1)
    else:
        for word in _shebang(program):
            found += needed_by(word, depth - 1)
    if prefix is not None:
        found += [path for home in _venv_home(prefix) for path in needed_by(home, depth - 1)]
    return list(dict.fromkeys(found))


def is_system(path: Path) -> bool:
    """Tell whether a path lies in the system folders that every sandbox shows."""
    return any(path.is_relative_to(folder) for folder in SYSTEM)


def _prefix(program: Path) -> Path | None:
    """Give the installation that a program belongs to, or None when it lies loosely in a folder."""
    prefix = program.parent.parent
    # Not Path.home(), which raises for a user id without a name, as containers have.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    if program.parent.name not in ("bin", "Scripts") or home.is_relative_to(prefix):
        return None
    if prefix == home / ".local" or prefix == Path("/"):
        return None
    has_python = any(prefix.glob("lib/python3*/os.py"))
    return prefix if has_python or any((prefix / m).exists() for m in PREFIX_MARKS) else None


def _venv_home(prefix: Path) -> list[Path]:
    """Give the interpreter that a virtual environment was made from, by its pyvenv.cfg."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(errors="replace").splitlines()
    except OSError:
        return []
    values = {key.strip(): value.strip() for key, _, value in (li.partition("=") for li in lines)}
    home = Path(values.get("home", ""))
    return [home / name for name in PYTHONS if home.is_absolute() and (home / name).exists()][:1]


def _shebang(program: Path) -> list[Path]:
    try:
        with program.open("rb") as file:
            first = file.readline(SHEBANG_BYTES)
    except OSError:
        return []
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    if len(words) > 1 and words[0].endswith("/env"):
        found = find(words[1], program.parent)
        return [found] if found else []
    return [Path(word) for word in words[:1]]


def _is_shim(program: Path) -> bool:
    """Tell whether a program only chooses another one (pyenv, asdf, mise), by its folder's name."""
    return program.parent.name == "shims"


@functools.cache
def _asked(program: str) -> Path | None:
    """Ask a Python on the operator's own PATH where it really lies."""
    try:
        answer = subprocess.run(
            [program, "-I", "-c", ASK],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    executable = Path(answer.stdout.partition("\n")[0])
    return executable if executable.is_absolute() and executable.exists() else None
