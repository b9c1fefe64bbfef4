"""What one run of a test command says: passed, failed and how, or that it never got to the test.

Called by the reproduction for every run; pure. Two runs show the same failure only if the same test
fails with the same type of error and the same message, figures and quoted values put aside.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agents.sandboxes.contract import Completed

MAX_OUTPUT = 400_000  # characters that are read; both ends of a longer output are kept
MAX_FAILURES = 200
MAX_MESSAGE = 300
UNKNOWN = "unknown"  # the exception of a failure that its runner did not name

# pytest: 2 interrupted (errors while collecting), 3 internal, 4 usage, 5 nothing collected.
PYTEST_UNTESTABLE = {2, 3, 4, 5}
NOT_STARTED = {125, 126, 127}
STOPS_EARLY = {"-x", "--exitfirst", "-f", "--failfast"}

# Errors that a sandbox without network causes by itself: never evidence of anything.
NETWORK = re.compile(
    r"ConnectionRefused|ConnectionError|ConnectError|ConnectTimeout|gaierror|NewConnectionError"
    r"|MaxRetryError|URLError|Connection refused|Network is unreachable"
    r"|Name or service not known|Temporary failure in name resolution|No route to host"
)

SUMMARY = re.compile(r"^(FAILED|ERROR) (\S.*?)(?: - (.*))?$")
SECTION = re.compile(r"^_{3,} (.+?) _{3,}$")
BLOCK = re.compile(r"^(FAIL|ERROR): (\S+)(?: \((\S+)\))?")
RAISED = re.compile(r"^(?:E {3,})?(?:\s*\|\s*)?((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (.*))?$")
TYPED = re.compile(
    r"(?:Error|Exception|Warning|Exit|Interrupt|Timeout|Failure|Refused)$|^[A-Z]\w+$"
)
UNCAUGHT = re.compile(
    r"^\s*(?:Uncaught |Caused by: |panic: )?((?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*"
    r"(?:Error|Exception))(?:: (.*))?$"
)
ABSENT = re.compile(r"No module named \S+")
INNER = ("During handling of the above", "The above exception was the direct cause")
MASKS = (
    (re.compile(r"0x[0-9a-fA-F]+"), "<*>"),
    (re.compile(r"\"[^\"]{0,200}\"|'[^']{0,200}'"), "<*>"),
    (re.compile(r"(?<![\w<])/[\w.@%+~-]+(?:/[\w.@%+~-]+)*"), "<*>"),
    (re.compile(r"\d+"), "<n>"),
)
TIMEOUT = "timeout"
START_ERRORS = {"ModuleNotFoundError", "ImportError", "SyntaxError", "IndentationError", "TabError"}


class State(StrEnum):
    """How one run ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNTESTABLE = "untestable"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, order=True)
class Failure:
    """One failing test, or the whole command where no test is named (`test` is empty)."""

    test: str
    exception: str
    message: str = ""
    # The failing assertion's source: two assertions of one test are two failures.
    place: str = ""
    # It failed before the test itself ran (collection, import).
    at_start: bool = False

    def same(self, other: "Failure") -> bool:
        """Tell whether two runs show one and the same failure."""
        return (
            self.kin(other)
            and self.exception == other.exception
            and template(self.message) == template(other.message)
            and (not self.place or not other.place or self.place == other.place)
        )

    def kin(self, other: "Failure") -> bool:
        """Tell whether the same test failed, in whatever way."""
        return self.test == other.test and self.at_start == other.at_start

    @property
    def unstarted(self) -> bool:
        """Tell whether the command may never have got as far as the service."""
        whole = not self.test and self.exception in (*START_ERRORS, TIMEOUT)
        return self.at_start or whole

    def __str__(self) -> str:
        error = f"{self.exception}: {self.message}" if self.message else self.exception
        return f"{self.test}: {error}" if self.test else error


@dataclass(frozen=True)
class Observed:
    """One run as far as its words can be trusted."""

    state: State
    failures: tuple[Failure, ...] = ()
    # Whether tests that are not among the failures are known to have run and passed.
    others_passed: bool = False
    why: str = ""

    @property
    def network(self) -> bool:
        """Tell whether every failure is one that a sandbox without network causes by itself."""
        return bool(self.failures) and all(
            NETWORK.search(f"{item.exception}: {item.message}") for item in self.failures
        )


def template(message: str) -> str:
    """Return the message with figures, addresses, paths and quoted values put aside."""
    for mask, sign in MASKS:
        message = mask.sub(sign, message)
    return " ".join(message.split())


def observe(
    done: Completed, *, timeout_seconds: float, cannot_run: frozenset[int] = frozenset()
) -> Observed:
    """Read one run of a command; `cannot_run` are exit codes that say it never ran."""
    if done.timed_out:
        name = Failure("", TIMEOUT, f"no end within {timeout_seconds:.0f} s")
        return Observed(State.TIMED_OUT, (name,), why=name.message)
    if done.exit_code is None or done.problem:
        return Observed(State.UNTESTABLE, why=done.problem or "the run was killed")
    text = _bounded(done.output)
    lines = text.splitlines()
    if done.exit_code == 0:
        if re.search(r"^(NO TESTS RAN|Ran 0 tests)", text, re.MULTILINE):
            return Observed(State.UNTESTABLE, why="no test was found")
        return Observed(State.PASSED, others_passed=True)
    if done.exit_code in NOT_STARTED or done.exit_code in cannot_run or _never_began(text):
        return Observed(State.UNTESTABLE, why=_last(lines) or "the command could not be started")
    early = bool(STOPS_EARLY.intersection(done.argv)) or "stopping after" in text
    if pytest := _pytest(lines):
        return _of_tests(pytest, done.exit_code, early=early, codes=PYTEST_UNTESTABLE)
    if unittest := _unittest(lines):
        return _of_tests(unittest, done.exit_code, early=early, codes=set())
    if conftest := _conftest(text):
        return Observed(State.FAILED, (conftest,))
    if _is_pytest(text) and done.exit_code in PYTEST_UNTESTABLE:
        return Observed(State.UNTESTABLE, why=_last(lines) or f"pytest ended with {done.exit_code}")
    return _of_command(lines, done)


def network_words(text: str) -> bool:
    """Tell whether a text speaks of a connection that was refused or could not be made."""
    return NETWORK.search(text) is not None


def _of_tests(
    found: tuple[Failure, ...], exit_code: int, *, early: bool, codes: set[int]
) -> Observed:
    at_start = any(item.at_start for item in found)
    state = State.FAILED
    if exit_code in codes and not at_start:
        state = State.UNTESTABLE
    return Observed(state, found[:MAX_FAILURES], others_passed=not at_start and not early)


def _of_command(lines: list[str], done: Completed) -> Observed:
    found = tuple(dict.fromkeys(_tracebacks(lines)))
    if not found:
        found = tuple(
            Failure("", match[1], (match[2] or "")[:MAX_MESSAGE])
            for line in lines
            if (match := UNCAUGHT.match(line))
        )[-1:]
    if not found and (absent := ABSENT.search(_last(lines))):
        # `python -m NAME` says it without a traceback.
        found = (Failure("", "ModuleNotFoundError", absent[0][:MAX_MESSAGE]),)
    if not found:
        code = done.exit_code or 0
        name = f"signal {-code}" if code < 0 else f"exit {code}"
        found = (Failure("", name, _last(lines)[:MAX_MESSAGE]),)
    return Observed(State.FAILED, found[:MAX_FAILURES])


def _pytest(lines: list[str]) -> tuple[Failure, ...]:
    """Return the failures of pytest's short summary, with the source of each failing assertion."""
    sections = _sections(lines)
    start = next(
        (i for i, line in enumerate(lines) if "short test summary info" in line), len(lines)
    )
    found = []
    for line in lines[start + 1 :]:
        if not (match := SUMMARY.match(line)):
            continue
        kind, test, error = match[1], match[2], match[3] or ""
        section, raised = sections.get(_section_name(test), ("", ""))
        exception, message = _typed(raised or error)
        at_start = kind == "ERROR" and "::" not in test
        if at_start:
            exception, message = _start_error(sections, test, exception, message)
        place = section if exception == "AssertionError" else ""
        found.append(Failure(test, exception, message[:MAX_MESSAGE], place, at_start))
    return tuple(found)


def _section_name(test: str) -> str:
    return ".".join(test.split("::")[1:]) if "::" in test else f"ERROR collecting {test}"


def _start_error(
    sections: dict[str, tuple[str, str]], test: str, exception: str, message: str
) -> tuple[str, str]:
    _, raised = sections.get(f"ERROR collecting {test}", ("", ""))
    return _typed(raised) if raised else (exception, message)


def _sections(lines: list[str]) -> dict[str, tuple[str, str]]:
    """Return per section of pytest's report its deepest source line and the error raised."""
    found: dict[str, tuple[str, str]] = {}
    name, source, raised = "", "", ""
    for line in lines:
        if match := SECTION.match(line):
            name = re.sub(r"^ERROR at (?:setup|teardown) of ", "", match[1])
            source, raised = "", ""
        elif not name:
            continue
        elif line.startswith(">"):
            source, raised = " ".join(line[1:].split()), ""
        elif line.startswith("E   ") and (match := RAISED.match(line)) and TYPED.search(match[1]):
            # The last error line of a section is the one that reached the test.
            raised = line[4:].strip()
        elif line.startswith("E   ") and not raised and line[4:].strip().startswith("assert "):
            raised = "AssertionError: " + line[4:].strip()
        if name:
            found[name] = (source, raised)
    return found


def _typed(error: str) -> tuple[str, str]:
    head, _, rest = error.partition(": ")
    head = head.strip()
    if head.startswith("assert ") or head == "assert":
        return "AssertionError", error
    if re.fullmatch(r"(?:\w+\.)*\w+", head):
        return head.rpartition(".")[2], rest.strip()
    return ("Failed" if error else UNKNOWN), error.strip()


def _unittest(lines: list[str]) -> tuple[Failure, ...]:
    """Return the failures of unittest's report."""
    found = []
    for index, line in enumerate(lines):
        if not (match := BLOCK.match(line)) or not lines[index - 1].startswith("====="):
            continue
        end = next(
            (
                at
                for at in range(index + 2, len(lines))
                if lines[at].startswith("=====") or lines[at].startswith("Ran ")
            ),
            len(lines),
        )
        block = lines[index + 1 : end]
        test = match[3] or match[2]
        if test.split(".")[-1] != match[2] and match[2].isidentifier():
            test = f"{test}.{match[2]}"  # Python 3.10 and older name only the class
        at_start = "_FailedTest" in line
        chain = list(_tracebacks(block))
        last = chain[-1] if chain else Failure("", match[1])
        place = _source_of_last_frame(block) if last.exception == "AssertionError" else ""
        if at_start:
            test = test.replace("unittest.loader._FailedTest.", "")
        found.append(Failure(test, last.exception, last.message, place, at_start))
    return tuple(found)


def _tracebacks(lines: list[str]) -> Iterable[Failure]:
    """Yield the error of every Python traceback; of a chain only the one that came out."""
    open_at: int | None = None
    waiting: Failure | None = None
    for line in lines:
        if line.lstrip(" |+").startswith("Traceback (most recent call last)"):
            open_at = len(line) - len(line.lstrip(" |+"))
            continue
        if open_at is None:
            if any(line.strip().startswith(words) for words in INNER):
                waiting = None
            continue
        body = line[open_at:]
        if not body.strip() or body.startswith((" ", "|", "+")):
            continue
        if match := RAISED.match(body.rstrip()):
            if waiting is not None:
                yield waiting
            name = match[1].rpartition(".")[2]
            waiting = Failure("", name, (match[2] or "").strip()[:MAX_MESSAGE])
        open_at = None
    if waiting is not None:
        yield waiting


def _source_of_last_frame(block: list[str]) -> str:
    source = ""
    for index, line in enumerate(block[:-1]):
        if line.lstrip().startswith('File "'):
            source = " ".join(block[index + 1].split())
    return source


def _conftest(text: str) -> Failure | None:
    """Return the error that kept pytest from loading a conftest file."""
    if "ImportError while loading conftest" not in text:
        return None
    errors = [line[4:].strip() for line in text.splitlines() if line.startswith("E   ")]
    exception, message = _typed(errors[-1] if errors else "ImportError")
    return Failure("conftest.py", exception, message[:MAX_MESSAGE], at_start=True)


def _never_began(text: str) -> bool:
    return bool(
        re.search(
            r"can't open file '.*': \[Errno 2\]|No module named '?(?:pytest|nose)\b", text[-2000:]
        )
    )


def _is_pytest(text: str) -> bool:
    return (
        "pytest" in text or re.search(r"no tests ran|errors? during collection", text) is not None
    )


def _last(lines: list[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _bounded(text: str) -> str:
    if len(text) <= MAX_OUTPUT:
        return text
    return text[: MAX_OUTPUT // 2] + "\n" + text[-MAX_OUTPUT // 2 :]
