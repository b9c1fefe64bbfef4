"""What every role of the builtin engine works with: repository, folders, sandbox, ledger and clock.

Opened once per run by the engine and the shell verbs, closed at its end; holds no rule.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import case as cases
from agents import git, sandbox, workspace
from agents.builtin import logs
from agents.builtin.deadline import Deadline
from agents.builtin.preparing import Preparing
from agents.builtin.reproduction import PYTHON_PATH, Replays, Surroundings
from agents.builtin.scene import Scene
from agents.builtin.source import Source
from agents.evidence import Ledger
from incidents import errors

ENGINE = "builtin"
# A replay command says with these that it never reached the service: 2 as of usage, 125 as of git.
REPLAY_CANNOT_RUN = frozenset({2, 125})
REQUESTS = "HALON_REQUESTS"
FIRST_LIMIT_SHARE = 0.1
FIRST_LIMIT = (30.0, 300.0)


@dataclass
class Workbench:
    """The tools of one run."""

    case: cases.Case
    sandbox: sandbox.Sandbox
    repository: git.Repository
    source: Source
    workspaces: workspace.Workspaces
    ledger: Ledger
    deadline: Deadline
    folder: Path
    # What the diagnosis of this run found, so that patch and test need not play it again.
    scene: Scene | None = None
    requests: Path | None = None
    suite: Replays | None = None
    recorded: Replays | None = None
    preparing: Preparing | None = None

    def replays(
        self,
        command: cases.Command,
        *,
        requests: Path | None = None,
        replay: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Replays:
        """Return the replays of a command; `requests` is the file that it shall ask again.

        `env` is what is changed of the environment; a `PYTHONPATH` in it goes before the service's.
        """
        argv = (self._program(command.argv[0]), *command.argv[1:])
        mounts = [*self.case.read_only, *sandbox.interpreter_mounts(argv, self._root())]
        found = dict(self.case.env) | dict(env or {})
        if env and PYTHON_PATH in env:
            mounts.append(Path(env[PYTHON_PATH]))
            own = dict(self.case.env).get(PYTHON_PATH)
            found[PYTHON_PATH] = os.pathsep.join(part for part in (env[PYTHON_PATH], own) if part)
        if requests is not None:
            mounts.append(requests)
            found[REQUESTS] = str(requests)
        low, high = FIRST_LIMIT
        return Replays(
            sandbox=self.sandbox,
            open_tree=self.workspaces.lease,
            command=cases.Command(argv, command.setup),
            surroundings=Surroundings(
                tuple(dict.fromkeys(path.absolute() for path in mounts)),
                tuple(sorted(found.items())),
            ),
            ledger=self.ledger,
            deadline=self.deadline,
            limit_seconds=min(high, max(low, self.deadline.seconds * FIRST_LIMIT_SHARE)),
            cannot_run=REPLAY_CANNOT_RUN if replay else frozenset(),
            prepare=self.preparing.of if self.preparing else None,
        )

    def close(self) -> None:
        """Let go of what other runs may want to remove."""
        if self.preparing:
            self.preparing.close()

    def extend(self, deadline: Deadline) -> None:
        """Go on under another deadline, with everything that was replayed so far."""
        self.deadline = deadline
        replays = (self.scene.replays if self.scene else None, self.suite, self.recorded)
        for one in (*replays, self.preparing):
            if one is not None:
                one.deadline = deadline

    def requests_file(self, failing: Sequence[logs.Failing]) -> Path | None:
        """Write failing requests as JSON lines for the replay, or return None if there are none."""
        lines = request_lines(failing)
        if not lines:
            return None
        path = self.requests = self.folder / "requests.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o644)
        return path

    def _root(self) -> Path:
        """The work tree of the operator, where untracked environments such as `.venv` lie."""
        if self.repository.git_dir.name == ".git":
            return self.repository.git_dir.parent
        return self.case.repository

    def _program(self, name: str) -> str:
        """Return an absolute path for a program that lies untracked in the work tree."""
        local = self._root() / name
        untracked = "/" in name and not name.startswith("/") and local.exists()
        if untracked and name.removeprefix("./") not in self.source.files(self.case.revision):
            return str(local)
        return name


def request_lines(failing: Sequence[logs.Failing]) -> list[str]:
    """Return the failing requests as JSON lines, each once."""
    lines = []
    for item in failing:
        if item.request.truncated:
            continue
        record: dict[str, object] = {"method": item.request.method, "path": item.request.path}
        if item.request.body is not None:
            record["body"] = _body(item.request.body)
        lines.append(json.dumps(record, sort_keys=True))
    return list(dict.fromkeys(lines))


def _body(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextlib.contextmanager
def opened(
    case: cases.Case, box: sandbox.Sandbox, folder: Path, deadline: Deadline
) -> Iterator[Workbench]:
    """Open the tools of one run; raises `errors.HalonError` if the repository cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    with git.Repository(case.repository) as repository:
        repository.head()
        with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as private:
            Path(private).chmod(0o755)
            bench = Workbench(
                case=case,
                sandbox=box,
                repository=repository,
                source=Source(repository),
                workspaces=workspace.Workspaces(repository, folder / "workspaces"),
                ledger=Ledger(),
                deadline=deadline,
                folder=Path(private),
                preparing=_preparing(case, box, repository, folder / "prepared", deadline),
            )
            with contextlib.closing(bench):
                yield bench


def _preparing(
    case: cases.Case,
    box: sandbox.Sandbox,
    repository: git.Repository,
    folder: Path,
    deadline: Deadline,
) -> Preparing | None:
    if case.prepare is None:
        return None
    where = folder.absolute()
    return Preparing(box, repository, case.prepare, where, deadline, case.read_only, case.env)


def need_command(case: cases.Case) -> cases.Command:
    """Return the command that shows the failure; raises PermanentFailure if none is configured."""
    command = case.reproduce or case.test
    if command is None:
        raise errors.PermanentFailure(
            "Nothing can be replayed: give a test command (`--test`, or `test` in halon.toml)."
        )
    return command
