"""Steps and effects of a stage run: what makes a rerun go on instead of starting again.

A finished step is never run again for the same inputs. An outside effect is written down before it
is made and looked up outside before it is repeated. Called by stages with the fence they claimed.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from incidents import crash, effects, errors, rows, schema, stages
from incidents.columns import canonical
from incidents.models import Json
from incidents.store import Store, Tx

_S = schema.step


class Steps:
    """The steps of one claimed run; each raises `errors.Cancelled` or `errors.StaleFence` first."""

    def __init__(self, store: Store, run_id: int, fence: int) -> None:
        self._store, self._run, self._fence = store, run_id, fence

    def step(self, name: str, inputs: Json, fn: Callable[[], Any]) -> Any:
        """Return the stored JSON output of a finished step, else run `fn` and record its output."""
        digest = hashlib.sha256(canonical(inputs).encode()).hexdigest()
        self.check()
        with self._store.read() as tx:
            where = (_S.c.stage_run == self._run, _S.c.name == name, _S.c.input_hash == digest)
            if (stored := tx.run(select(_S.c.output).where(*where)).first()) is not None:
                return stored.output
        crash.point("step.before", name)
        # Through JSON at once: this run sees exactly what a rerun will read.
        output = json.loads(canonical(fn()))
        crash.point("step.worked", name)
        with self._store.write() as tx:
            self._guard(tx)
            row = {"stage_run": self._run, "name": name, "input_hash": digest, "output": output}
            tx.run(_S.insert().values(**row, fence=self._fence, finished_at=tx.now))
        crash.point("step.recorded", name)
        return output

    def effect(self, key: str, act: Callable[[], str], look: Callable[[], str | None]) -> str:
        """Make an outside effect once and return its reference; `look` finds one already made."""
        self.check()
        return effects.once(self._store, self._guard, {"stage_run": self._run}, key, act, look)

    def check(self) -> None:
        """Raise `errors.Cancelled` when it was called off, `errors.StaleFence` when lost."""
        with self._store.read() as tx:
            run = rows.get_run(tx, self._run)
        if run.fence != self._fence or run.state not in stages.OURS:
            raise errors.StaleFence(f"Stage run {run.id} is no longer held by fence {self._fence}.")
        if run.cancel:
            raise errors.Cancelled(
                f"Stage run {run.id} was called off.", incident_id=f"INC-{run.incident}"
            )

    def _guard(self, tx: Tx) -> None:
        stages.guarded(tx, self._run, self._fence, stages.OURS)
