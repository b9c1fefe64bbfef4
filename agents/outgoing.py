"""The one door between Halon and a model: private text stays, secrets go, all that leaves is kept.

Made once per run of the model's engine. `show` turns hostile text into text for a model; `leave`
turns a request into the only thing that a model's client accepts (`Leaving`), having recorded it.
It must never let a request of a service with `model = false` out.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.untrusted import Fence, ModelText, Source
from incidents import errors
from incidents.redaction import Redactor

Json = Mapping[str, Any]
# Keeps a request's body, for `halon incident show --sent-to-model`; raises if it cannot.
Record = Callable[[Json], None]


class ModelNotAllowed(errors.NotAllowed):
    """The service's text may not go to a model; the builtin engine plays the role."""


@dataclass(frozen=True)
class Leaving:
    """A request that passed the door; made by `Outgoing.leave` alone."""

    body: Json


class Outgoing:
    """What one run may tell a model; `allowed` is the service's `model` setting."""

    def __init__(
        self, fence: Fence, redactor: Redactor, record: Record, *, allowed: bool, service: str = ""
    ) -> None:
        self.fence = fence
        self._redactor, self._record = redactor, record
        self._allowed, self._service = allowed, service
        self._passed: dict[str, Any] = {}

    def show(self, source: Source, text: str, origin: str = "") -> ModelText:
        """Return a stranger's text as a model may see it: redacted, visible, in delimiters."""
        self._check()
        return self.fence.wrap(source, self._redactor.text(text), self._redactor.text(origin))

    def restore(self, text: str) -> str:
        """Return a model's words with redaction's tokens as values: for edits and searches only."""
        return self._redactor.restore(text)

    def leave(self, body: Json) -> Leaving:
        """Record a request and let it go; raises `ModelNotAllowed`.

        What a model wrote itself comes back to it here, so the whole is redacted once more: a tool
        call may name a value that `restore` had put back.
        """
        self._check()
        clean = {
            name: [self._clean(name, item) for item in value]
            if isinstance(value, list | tuple)
            else self._clean(name, value)
            for name, value in body.items()
        }
        self._record(clean)
        return Leaving(clean)

    def _clean(self, name: str, value: Any) -> Any:
        """Redact one part once: a conversation repeats all of itself with every turn."""
        text = json.dumps([name, value])
        if text not in self._passed:
            self._passed[text] = self._redactor.json({name: json.loads(text)[1]})[name]
        return self._passed[text]

    def _check(self) -> None:
        if not self._allowed:
            raise ModelNotAllowed(
                f"The text of {self._service or 'this service'} may not go to a model: "
                "`model = false` in halon.toml. The builtin engine works without one."
            )
