"""Starts git on the host, hardened; every call of git in Halon's agents goes through `call`.

Used by agents/git.py and agents/workspace.py. It must never read the operator's or the machine's
git configuration, run a hook, a filter, a helper or a pager, ask a question, or search for a
repository.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from incidents import errors

SECONDS = 60.0
# Each of these was seen, or is documented, to start a program that a repository's own files name.
SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.sshCommand=false",
    "core.alternateRefsCommand=",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.pager=cat",
    "core.editor=false",
    "core.untrackedCache=false",
    "core.quotePath=false",
    "credential.helper=",
    "commit.gpgSign=false",
    "gpg.program=false",
    "log.showSignature=false",
    "protocol.ext.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "color.ui=false",
    "advice.detachedHead=false",
)
IDENTITY = {
    "GIT_AUTHOR_NAME": "Halon",
    "GIT_AUTHOR_EMAIL": "halon@localhost",
    "GIT_COMMITTER_NAME": "Halon",
    "GIT_COMMITTER_EMAIL": "halon@localhost",
}


class GitFailed(errors.PermanentFailure):
    """A git command ended badly; the message holds the first line of what git said."""

    @property
    def reason(self) -> str:
        """Give what git said, without the command and the folder that we ran it in."""
        return self.message.partition("': ")[2] or self.message


@dataclass(frozen=True)
class Answer:
    """What one git command returned."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Give the output as text; bytes that are not UTF-8 survive a round trip to a file name."""
        return decoded(self.out).strip()

    @property
    def complaint(self) -> str:
        """Give the first line of what git complained about."""
        lines = self.err.decode(errors="replace").strip().splitlines()
        return lines[0].removeprefix("fatal: ").removeprefix("error: ") if lines else ""


def decoded(raw: bytes) -> str:
    """Decode a file name or sha as Python decodes file names, so that it can be encoded back."""
    return raw.decode("utf-8", "surrogateescape")


def call(
    args: Sequence[str],
    *,
    git_dir: Path,
    env: Mapping[str, str] | None = None,
    config: Sequence[str] = (),
    content: bytes | None = None,
    codes: tuple[int, ...] = (0,),
    seconds: float = SECONDS,
) -> Answer:
    """Run one git command on exactly `git_dir`; GitFailed unless it ends with one of `codes`."""
    argv = ["git", f"--git-dir={git_dir}", "--no-pager", "--literal-pathspecs"]
    for setting in (*SETTINGS, f"safe.directory={git_dir}", *config):
        argv += ["-c", setting]
    try:
        done = subprocess.run(
            [*argv, *args],
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            capture_output=True,
            env={**_environment(git_dir), **(env or {})},
            cwd=git_dir if git_dir.is_dir() else git_dir.parent,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {args[0]} on {str(git_dir)!r} took over {seconds:g} s.") from error
    except FileNotFoundError as error:
        raise GitFailed("The program 'git' is not installed; install it.") from error
    answer = Answer(done.returncode, done.stdout, done.stderr)
    if answer.code not in codes:
        reason = answer.complaint or f"exit code {answer.code}"
        raise GitFailed(f"git {args[0]} failed on {str(git_dir)!r}: {reason}.")
    return answer


def _environment(git_dir: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(git_dir.parent),
        **IDENTITY,
    }
