"""The tools that a role has: every call of a model passes here, and none gets past it.

Made once per run for a role; called by the loop. A tool that is not in the box is refused in words
that the model can use; so are impossible arguments. Long answers lose their middle, and the same
call on the same state is answered from the first.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from agents import telling
from agents.tools import contract
from agents.tools.contract import Answer, Tool
from incidents import errors

LONGEST = 12_000  # characters of one answer
SUBMIT = "Submit"
NO_TEXT = re.compile("[\0\ud800-\udfff]")
REPEATED = "(as answered before, nothing has changed since)"


@dataclass
class Box:
    """The tools of one role in one run."""

    role: str
    tools: Sequence[Tool]
    teller: telling.Teller
    _answers: dict[str, Answer] = field(default_factory=dict)

    def specs(self) -> tuple[dict[str, Any], ...]:
        """Return the declarations, in a fixed order, so that they stay in the cache."""
        return tuple(tool.spec() for tool in self.tools)

    def key(self, name: str, given: object) -> str:
        """Return what makes two calls the same: name, arguments, and what the answer depends on."""
        tool = self._tool(name)
        state = tool.state() if tool else ""
        text = json.dumps([name, given, state], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]

    def call(self, name: str, given: object) -> Answer:
        """Answer a call; never raises for what the model asked."""
        tool = self._tool(name)
        if tool is None:
            return Answer(self._no_such(name), error=True)
        if _unspeakable(given):
            return Answer(f"{name} cannot be called with signs that are no text.", error=True)
        key = self.key(name, given)
        if key in self._answers and not tool.writes:
            first = self._answers[key]
            return Answer(
                f"(as answered before, nothing has changed since)\n{first.text}", first.error
            )
        try:
            arguments = tool.arguments.model_validate(given)
        except ValidationError as error:
            return Answer(_mistakes(name, error), error=True)
        try:
            answer = tool.run(arguments)
        except (errors.StaleFence, errors.Cancelled):
            raise
        except contract.Refused as error:
            answer = Answer(error.quoted, error=True, source=error.source, lead=error.message)
        except errors.HalonError as error:
            answer = Answer(error.message, error=True)
        told = Answer(self._told(answer), answer.error, answer.kept)
        if not tool.writes:
            self._answers[key] = told
        return told

    def take_up(self, name: str, key: str, answer: Answer) -> None:
        """Take over an answer of an earlier life, and what its tool kept."""
        tool = self._tool(name)
        if tool is None:
            return
        if answer.kept is not None:
            tool.restore(answer.kept)
        if not tool.writes:
            self._answers.setdefault(key, answer)

    def _tool(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    def _no_such(self, name: str) -> str:
        names = ", ".join(tool.name for tool in self.tools)
        return (
            f"Refused: the role {self.role} has no tool {name[:60]!r}. It has: {names}. "
            "What these cannot do is not done in this role; name it as a gap instead."
        )

    def _told(self, answer: Answer) -> str:
        text = cut(answer.text)
        if answer.source:
            text = self.teller.tell(answer.source, text, answer.origin)
        return f"{answer.lead}\n{text}" if answer.lead else text


def cut(text: str, longest: int = LONGEST) -> str:
    """Return text with its middle left out if it is too long, and say how much is missing."""
    if len(text) <= longest:
        return text
    half = longest // 2
    missing = len(text) - 2 * half
    return f"{text[:half]}\n[… {missing} characters left out; ask for less …]\n{text[-half:]}"


def _unspeakable(given: object) -> bool:
    """Tell whether arguments hold what no program and no file of text takes: NUL, half signs."""
    if isinstance(given, dict):
        return any(_unspeakable(part) for pair in given.items() for part in pair)
    if isinstance(given, list):
        return any(_unspeakable(part) for part in given)
    return isinstance(given, str) and NO_TEXT.search(given) is not None


def _mistakes(name: str, error: ValidationError) -> str:
    lines = [
        f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)[:8]
    ]
    return f"{name} cannot be called like this: {'; '.join(lines)}. Correct that and call again."
