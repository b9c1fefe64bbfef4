"""Halon's end of a sandboxed command: starts the launcher, streams the output, keeps the deadline.

Called by every variant. It must never wait without an end, and never leave a process behind.
"""

import contextlib
import marshal
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.sandboxes import capture, cgroups, contract, disk

ROOT = Path(__file__).resolve().parents[2]
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from agents.sandboxes import launcher; "
    "launcher.main(int(sys.argv[2]), int(sys.argv[3]))"
)
# Building the walls takes milliseconds; a machine under heavy load gets this much.
START_SECONDS = 20.0
# After the sandbox is told to end, its pipes close within milliseconds.
END_SECONDS = 5.0
CHUNK = 65536


@dataclass
class Report:
    """What the launcher and the process inside have written so far."""

    rest: bytes = b""
    started_at: float | None = None
    exit_code: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    total_cpu: float = 0.0
    total_peak: int = 0
    problem: str = ""
    broken: str = ""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the report."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace").split("\t"))

    def _take(self, words: list[str]) -> None:
        match words:
            case ["started"]:
                self.started_at = time.monotonic()
            case ["ended", code, seconds, cpu, peak]:
                self.exit_code, self.seconds = int(code), float(seconds)
                self.cpu_seconds, self.peak_bytes = float(cpu), int(peak)
            case ["cost", cpu, peak]:
                self.total_cpu, self.total_peak = float(cpu), int(peak) * 1024
            case ["problem", text]:
                self.problem = text
            case ["broken", text]:
                self.broken = text
            case _:
                self.broken = f"unreadable report {words!r}"


@dataclass
class Streams:
    """The output of one command, kept within its limit three times: together and apart."""

    limit: int
    output: capture.Capture = field(init=False)
    stdout: capture.Capture = field(init=False)
    stderr: capture.Capture = field(init=False)

    def __post_init__(self) -> None:
        self.output = capture.Capture(self.limit)
        self.stdout = capture.Capture(self.limit)
        self.stderr = capture.Capture(self.limit)


def run(
    name: str, argv: Sequence[str], spec: dict[str, Any], limits: contract.Limits
) -> contract.Completed:
    """Run one specification in a launcher; SandboxBroken when the walls cannot be built."""
    streams, report = Streams(limits.output_bytes), Report()
    setup_seconds = sum(stand_in["seconds"] for stand_in in spec["setup"])
    with cgroups.made(limits) as folders:
        spec = {**spec, "argv": list(argv), "cgroups": folders, "parent": os.getpid()}
        watch = disk.Disk(Path(spec["cwd"]), limits) if _writes(spec) else None
        start = START_SECONDS + setup_seconds
        timed_out = _stream(spec, start, limits.seconds, streams, report, watch)
    if report.broken or (report.started_at is None and not report.problem):
        reason = report.broken or streams.stderr.text().strip() or "it did not start in time"
        raise contract.SandboxBroken(
            f"The sandbox {name!r} could not be built, so {argv[0]!r} was not run: {reason}. "
            "Run `halon doctor`, or choose another sandbox with HALON_SANDBOX."
        )
    return _completed(name, argv, report, streams, timed_out=timed_out)


def _writes(spec: dict[str, Any]) -> bool:
    return any(target == spec["cwd"] and mode == "rw" for _, target, mode in spec["mounts"])


def _completed(
    name: str, argv: Sequence[str], report: Report, streams: Streams, *, timed_out: bool
) -> contract.Completed:
    ended = report.exit_code is not None
    problem = report.problem
    if not (ended or timed_out or problem):
        problem = "the sandbox was killed before the command ended"
    elapsed = time.monotonic() - (report.started_at or time.monotonic())
    return contract.Completed(
        argv=tuple(argv),
        exit_code=report.exit_code,
        timed_out=timed_out and not ended,
        output=streams.output.text(),
        stdout=streams.stdout.text(),
        stderr=streams.stderr.text(),
        seconds=report.seconds if ended else elapsed,
        cpu_seconds=report.cpu_seconds if ended else report.total_cpu,
        peak_memory_bytes=report.peak_bytes if ended else report.total_peak,
        sandbox=name,
        problem=problem,
    )


def _stream(
    spec: dict[str, Any],
    start_seconds: float,
    seconds: float,
    streams: Streams,
    report: Report,
    watch: disk.Disk | None,
) -> bool:
    """Drive one launcher to its end; tell whether the deadline had to end it."""
    reader, writer = os.pipe()
    source = _as_file(marshal.dumps(spec))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOT, str(ROOT), str(source), str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(source, writer),
            env={},
            cwd="/",
            start_new_session=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(source)
        os.close(writer)
    with process, os.fdopen(reader, "rb", buffering=0) as reports:
        try:
            return _follow(
                process, reports.fileno(), start_seconds, seconds, streams, report, watch
            )
        finally:
            _end(process)


def _follow(
    process: subprocess.Popen[bytes],
    reports: int,
    start_seconds: float,
    seconds: float,
    streams: Streams,
    report: Report,
    watch: disk.Disk | None,
) -> bool:
    assert process.stdout is not None  # noqa: S101 - both were asked for as pipes
    assert process.stderr is not None  # noqa: S101
    deadline, timed_out, was_started = time.monotonic() + start_seconds, False, False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, streams.stdout)
        selector.register(process.stderr, selectors.EVENT_READ, streams.stderr)
        selector.register(reports, selectors.EVENT_READ, report)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                if timed_out:
                    return True
                timed_out, deadline = True, time.monotonic() + END_SECONDS
                _tell(process)
            wait = left if watch is None else min(left, disk.EVERY_SECONDS)
            for key, _ in selector.select(max(0.0, wait)):
                _take(selector, key, streams)
            if watch is not None and (problem := watch.problem()):
                report.problem, watch = problem, None
                _tell(process)
            if report.started_at is not None and not was_started and not timed_out:
                was_started, deadline = True, report.started_at + seconds
    if watch is not None:
        report.problem = watch.last() or report.problem
    return timed_out


def _take(selector: selectors.BaseSelector, key: selectors.SelectorKey, streams: Streams) -> None:
    chunk = os.read(key.fd, CHUNK)
    if not chunk:
        selector.unregister(key.fileobj)
        return
    key.data.add(chunk)
    if isinstance(key.data, capture.Capture):
        streams.output.add(chunk)


def _tell(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure of the launcher's end: gently, for its report of the cost, then at once."""
    if process.poll() is None:
        _tell(process)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _as_file(content: bytes) -> int:
    fd = os.memfd_create("halon-spec")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
