"""What a role is asked from the shell: repository, logs, trace, test command, made into a case.

The one place of these options. `of_a_case` gives them to a verb, which gets the case instead.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from agents import case as cases

MAX_TRACE_BYTES = 4 * 1024 * 1024
TAGS = "deploy*"

Repo = Annotated[
    Path, typer.Option("--repo", help="The service's git repository; it is only read.")
]
Log = Annotated[
    list[Path] | None,
    typer.Option("--log", help="A log file, plain or compressed; may be repeated."),
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", help="A file with a stack trace; - reads standard input.")
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        help='The command that shows the failure, such as "pytest -q"; exit 0 means healthy. '
        "It is run in the sandbox, without a shell and without a network.",
    ),
]
Good = Annotated[
    str | None,
    typer.Option("--good", help="A revision that was good, before the broken one."),
]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", help="A further folder that the command reads; never a suspect."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]
Revision = Annotated[str, typer.Option("--revision", help="The broken revision.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="How long it may take.")]
Which = Annotated[
    str,
    typer.Option(
        "--sandbox",
        envvar="HALON_SANDBOX",
        help="Where the repository's code runs: auto, bubblewrap, namespaces or none.",
    ),
]


def of_a_case(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb with the options of a case in the place of its first argument, the case."""
    shared = list(inspect.signature(case_of, eval_str=True).parameters.values())
    own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
    names = [one.name for one in shared]

    @functools.wraps(verb)
    def run(**given: Any) -> None:
        verb(case_of(**{name: given.pop(name) for name in names}), **given)

    listed = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*shared, *own)]
    run.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    return run


def case_of(
    repo: Repo,
    log: Log = None,
    trace: TraceFile = None,
    test: Test = None,
    good: Good = None,
    with_: With = None,
    revision: Revision = "HEAD",
) -> cases.Case:
    """Return the case that the options describe; raises `typer.BadParameter`."""
    for folder in with_ or ():
        if not folder.is_dir():
            raise typer.BadParameter(f"there is no folder {str(folder)!r}", param_hint="--with")
    for file in log or ():
        _must_be_there(file)
    try:
        command = cases.command(test)
    except ValueError as error:
        raise typer.BadParameter(f"{error}: {test!r}", param_hint="--test") from error
    if test is not None and command is None:
        raise typer.BadParameter("the command is empty; leave it out", param_hint="--test")
    return cases.Case(
        repository=repo,
        revision=revision,
        good=good,
        logs=tuple(log or ()),
        traces=(_read(trace),) if trace else (),
        test=command,
        read_only=tuple(folder.resolve() for folder in with_ or ()),
        tags=TAGS,
    )


def _must_be_there(file: Path) -> None:
    try:
        file.stat()
    except OSError as error:
        said = f"{str(file)!r} cannot be read: {error.strerror}"
        raise typer.BadParameter(said, param_hint="--log") from error


def _read(path: Path) -> str:
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_TRACE_BYTES)
        else:
            # O_NONBLOCK: opening a pipe that nobody writes to must not wait for one who does.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            os.set_blocking(handle, True)
            with os.fdopen(handle, "rb") as file:
                raw = file.read(MAX_TRACE_BYTES)
    except OSError as error:
        said = f"{str(path)!r} cannot be read: {error.strerror}"
        raise typer.BadParameter(said, param_hint="--trace") from error
    if not raw.strip():
        raise typer.BadParameter(f"{str(path)!r} is empty", param_hint="--trace")
    return raw.decode("utf-8", "replace")
