"""Takes a change back line by line where git finds a conflict: later edits beside its lines stay.

Called by the remedies once a plain revert was refused. Later edits of the very same lines go with
the change. Pure but for `files`; whether the outcome holds is shown by replays, never here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from agents.builtin.source import Source

MOST_LINES = 5000  # a comparison of longer files takes too long


@dataclass(frozen=True)
class Edit:
    """Lines [first, last) of the change's version become these."""

    first: int
    last: int
    lines: tuple[bytes, ...]
    back: bool  # it takes the change back; otherwise it came later

    def meets(self, first: int, last: int) -> bool:
        """Tell whether a line of the range is edited here too; to be beside it is not enough."""
        if self.first == self.last or first == last:
            return max(self.first, first) < min(self.last, last) or (
                min(self.first, first) < max(self.first, first) < max(self.last, last)
            )
        return max(self.first, first) < min(self.last, last)


def files(source: Source, head: str, commit: str) -> dict[str, bytes | None] | None:
    """Return what the files of a commit are without it at `head`; None where that is not text."""
    parents = source.parents(commit)
    if not parents:
        return None
    show = source.repository.show
    made: dict[str, bytes | None] = {}
    for path in source.paths(commit):
        before, changed, now = (show(one, path) for one in (parents[0], commit, head))
        if now == changed:
            made[path] = before
        elif now != before and None not in (before, changed, now):
            woven = without(before or b"", changed or b"", now or b"")
            if woven is None:
                return None
            made[path] = woven
    return made


def without(before: bytes, changed: bytes, now: bytes) -> bytes | None:
    """Return `now` with the lines that went from `before` to `changed` as they were before."""
    texts = [text.splitlines(keepends=True) for text in (before, changed, now)]
    if any(b"\0" in text for text in (before, changed, now)) or max(map(len, texts)) > MOST_LINES:
        return None
    old, base, new = texts
    back, later = list(_edits(base, old, back=True)), list(_edits(base, new, back=False))
    spans = _spans(back, later)
    own = {(edit.first, edit.last) for edit in back}
    grown = [span for span in spans if span not in own]
    edits = [edit for edit in back if not any(_within(edit, span) for span in grown)]
    edits += [Edit(a, b, tuple(_rewritten(base, back, a, b)), back=True) for a, b in grown]
    edits += [edit for edit in later if not any(edit.meets(*span) for span in spans)]
    return b"".join(_rewritten(base, edits, 0, len(base)))


def _edits(base: Sequence[bytes], other: Sequence[bytes], *, back: bool) -> Iterator[Edit]:
    matcher = SequenceMatcher(None, base, other, autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag != "equal":
            yield Edit(first, last, tuple(other[start:end]), back)


def _spans(back: Sequence[Edit], later: Sequence[Edit]) -> list[tuple[int, int]]:
    """Return the ranges that go back, each grown by the later edits that it meets."""
    spans = [(edit.first, edit.last) for edit in back]
    while True:
        met = [[(e.first, e.last) for e in later if e.meets(*span)] for span in spans]
        grown = _joined([_grown(span, one) for span, one in zip(spans, met, strict=True)])
        if grown == spans:
            return spans
        spans = grown


def _grown(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return min([span[0], *(a for a, _ in others)]), max([span[1], *(b for _, b in others)])


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _within(edit: Edit, span: tuple[int, int]) -> bool:
    return span[0] <= edit.first and edit.last <= span[1]


def _rewritten(base: Sequence[bytes], edits: Sequence[Edit], first: int, last: int) -> list[bytes]:
    """Return lines [first, last) with the edits that lie in them; what goes back stands first."""
    lines: list[bytes] = []
    at = first
    for edit in sorted(edits, key=lambda one: (one.first, one.last, not one.back)):
        if edit.first < at or edit.last > last:
            continue
        lines += base[at : edit.first]
        lines += edit.lines
        at = edit.last
    return lines + list(base[at:last])
