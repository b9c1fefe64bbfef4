"""The record of one run of a role: append-only, on disk before anything follows from it.

Written by the loop; read when a killed run goes on. A model's reply is recorded before its tools
run and each result right after its tool, so a run goes on where it died: nothing is asked, run or
paid for twice. It holds only text that was made safe before; what a later life needs as it is, such
as a diff with a customer's address in it, is kept in files beside it that nobody is shown.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from agents.model import Block, Message, Reply, Usage
from incidents import crash, errors

RECORDED = crash.register("transcript.recorded", "a record of a role's run is on disk")
LARGEST_BYTES = 64 * 1024 * 1024


class Kind(StrEnum):
    """What a record tells."""

    START = "start"
    USER = "user"
    ASSISTANT = "assistant"
    FAILED = "failed"  # a question that cost money and gave nothing
    CALL = "call"  # a tool is about to run
    RESULT = "result"
    STOP = "stop"


Record = dict[str, Any]


@dataclass(frozen=True)
class Bill:
    """What one question cost; `reference` is its own, so that it is booked once."""

    reference: str
    model: str
    usage: Usage
    dollars: Decimal


@dataclass
class Transcript:
    """The records of one run, each on disk."""

    path: Path
    records: list[Record] = field(default_factory=list)

    def append(self, kind: Kind, **content: Any) -> Record:
        """Write one record and see that it is on disk."""
        record = {"kind": kind.value, **content}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
        try:
            with self.path.open("ab") as file:
                file.write(line.encode("utf-8", "backslashreplace") + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise errors.PermanentFailure(
                f"The transcript {str(self.path)!r} cannot be written ({error.strerror}); make "
                "room there."
            ) from error
        # Through JSON at once: this life sees exactly what the next will read.
        self.records.append(json.loads(line))
        crash.point(RECORDED, f"{self.path.stem}:{len(self.records)}")
        return self.records[-1]

    @property
    def files(self) -> Path:
        """The private folder of what the records only name."""
        return self.path.parent / f"{self.path.stem}.files"

    def keep(self, value: Any) -> str:
        """Keep a value as it is, and return the name by which `kept` gives it back."""
        raw = json.dumps(value, default=str).encode("utf-8", "backslashreplace")
        name = hashlib.sha256(raw).hexdigest()
        try:
            self.files.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self.files / name).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise errors.PermanentFailure(
                f"The transcript's folder {str(self.files)!r} cannot be written "
                f"({error.strerror}); make room there."
            ) from error
        return name

    def kept(self, name: str) -> Any:
        """Return a value that was kept; raises PermanentFailure if it is gone."""
        try:
            return json.loads((self.files / name).read_bytes())
        except (OSError, ValueError) as error:
            raise errors.PermanentFailure(
                f"A part of the transcript {str(self.path)!r} is gone; move the transcript away, "
                "and the role starts anew."
            ) from error

    def of(self, *kinds: Kind) -> Iterator[Record]:
        """Yield the records of some kinds in order."""
        return (record for record in self.records if record["kind"] in kinds)

    @property
    def start(self) -> Record | None:
        """The first record, None for a run that has not begun."""
        return next(self.of(Kind.START), None)

    @property
    def stop(self) -> Record | None:
        """The record that ended it."""
        return next(self.of(Kind.STOP), None)

    # --- what it adds up to

    @property
    def seconds(self) -> float:
        """Seconds that questions and tools took, in every life of the run."""
        return sum(float(record.get("seconds", 0)) for record in self.records)

    @property
    def turns(self) -> int:
        """Replies so far."""
        return sum(1 for _ in self.of(Kind.ASSISTANT))

    def bills(self) -> tuple[Bill, ...]:
        """Return every bill, those of broken streams too."""
        return tuple(
            Bill(
                record["reference"],
                record["model"],
                Usage(**record["usage"]),
                Decimal(record["dollars"]),
            )
            for record in self.of(Kind.ASSISTANT, Kind.FAILED)
        )

    @property
    def dollars(self) -> Decimal:
        """Dollars so far."""
        return sum((bill.dollars for bill in self.bills()), Decimal(0))

    @property
    def tokens(self) -> int:
        """Tokens so far, cached ones too."""
        return sum(bill.usage.total for bill in self.bills())

    def results(self) -> dict[str, Record]:
        """Return the results by the id of their call."""
        return {record["id"]: record for record in self.of(Kind.RESULT)}

    def open_calls(self) -> list[Block]:
        """Return the calls of the last reply that have no result yet."""
        last = next((r for r in reversed(self.records) if r["kind"] == Kind.ASSISTANT), None)
        if last is None or last["stop"] != "tool_use":
            return []
        done = self.results()
        return [b for b in last["content"] if b.get("type") == "tool_use" and b["id"] not in done]

    def begun(self, call: str) -> bool:
        """Tell whether a tool was about to run in an earlier life."""
        return any(record["id"] == call for record in self.of(Kind.CALL))

    def messages(self) -> tuple[Message, ...]:
        """Return the conversation as the API wants it: turns alternate, results come first."""
        made: list[Message] = []
        for record in self.records:
            if record["kind"] == Kind.ASSISTANT and record["content"]:
                _add(made, "assistant", record["content"])
            elif record["kind"] == Kind.USER:
                _add(made, "user", [{"type": "text", "text": record["text"]}])
            elif record["kind"] == Kind.RESULT:
                _add(made, "user", [_result(record)])
        return tuple(made)

    # --- what it is told

    def replied(self, reply: Reply, model: str, dollars: Decimal, seconds: float) -> None:
        """Record a reply with its bill, before anything is done about it."""
        self.append(
            Kind.ASSISTANT,
            reference=self._reference(reply.id),
            model=model,
            spoke=reply.model,
            content=list(reply.content),
            stop=reply.stop,
            detail=reply.detail,
            usage=asdict(reply.usage),
            dollars=str(dollars),
            seconds=round(seconds, 3),
        )

    def failed(
        self, why: str, model: str, reply_id: str, usage: Usage, dollars: Decimal, seconds: float
    ) -> None:
        """Record a question that gave nothing; what was billed for it is money gone."""
        self.append(
            Kind.FAILED,
            reference=self._reference(reply_id),
            model=model,
            why=why,
            usage=asdict(usage),
            dollars=str(dollars),
            seconds=round(seconds, 3),
        )

    def _reference(self, reply_id: str) -> str:
        """Return a name for a bill that is this record's alone; servers reuse ids, or send none."""
        return f"{self.path.stem}:{len(self.records)}:{reply_id}"[:200]


def _add(made: list[Message], role: str, blocks: list[Block]) -> None:
    if made and made[-1]["role"] == role:
        made[-1]["content"] = [*made[-1]["content"], *blocks]
    else:
        made.append({"role": role, "content": list(blocks)})


def _result(record: Record) -> Block:
    return {
        "type": "tool_result",
        "tool_use_id": record["id"],
        "content": [{"type": "text", "text": record["text"]}],
        **({"is_error": True} if record["error"] else {}),
    }


def opened(path: Path) -> Transcript:
    """Open a transcript, new or of a run that died; a torn last line is cut off.

    Raises PermanentFailure when an earlier line cannot be read: then nobody knows what was done.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        raw = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise errors.PermanentFailure(
            f"The transcript {str(path)!r} cannot be read ({error.strerror})."
        ) from error
    whole, _, torn = raw.rpartition(b"\n")
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(raw) - len(torn))
            os.fsync(file.fileno())
    records: list[Record] = []
    for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
        try:
            record = json.loads(line)
            Kind(record["kind"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.PermanentFailure(
                f"Line {number} of the transcript {str(path)!r} cannot be read; move the file "
                "away, and the role starts anew."
            ) from error
        records.append(record)
    if not path.exists():
        path.touch(mode=0o600)
    return Transcript(path, records)
