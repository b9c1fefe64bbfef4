"""The seals: HMAC-SHA256 over what an approval names, and over where a rollout stands.

An approval's is made by `approvals.decide` in the bot and checked in the controller before it acts;
a rollout's is the controller's own. Only these two hold the key, so a worker that reads hostile
logs and may write to the database can forge neither a yes nor a step that was never decided.
"""

import hashlib
import hmac
from datetime import UTC, datetime

from incidents.columns import canonical
from incidents.models import Approval, Rollout

# People's requests and the fence of a leader are written by others, and at worst stop a rollout.
UNSEALED = frozenset({"fence", "request", "request_by", "seal"})
NAMED = (
    "id",
    "incident",
    "service",
    "act",
    "scope",
    "patch_digest",
    "artefact_digest",
    "plan_hash",
    "rollout",
    "verdict",
    "gate",
    "author",
    "expires_at",
    "decided_by",
    "decided_at",
)


def sign(key: bytes, approval: Approval) -> str:
    """Return the seal of an approval to which somebody has said yes, hex."""
    named = {name: _text(getattr(approval, name)) for name in NAMED}
    if approval.quorum is not None:
        named |= {"quorum": str(approval.quorum), "agreed": canonical(agreed(approval))}
    return hmac.new(key, canonical(named).encode(), hashlib.sha256).hexdigest()


def agreed(approval: Approval) -> list[str]:
    """Return who has said yes, of a quorum, as the database keeps it."""
    return [str(person) for person in approval.agreed]


def verify(key: bytes, approval: Approval) -> bool:
    """Return whether an approval carries the seal of exactly what it says, and of enough people."""
    return is_signed(key, approval) and len(approval.agreed) >= (approval.quorum or 0)


def is_signed(key: bytes, approval: Approval) -> bool:
    """Return whether an approval carries the seal of exactly what it says, even of too few."""
    if approval.mac is None or approval.decided_by is None or approval.decided_at is None:
        return False
    return hmac.compare_digest(sign(key, approval), approval.mac)


def seal(key: bytes, rollout: Rollout) -> str:
    """Return the controller's seal of a rollout as it stands, hex."""
    names = (name for name in rollout.__dataclass_fields__ if name not in UNSEALED)
    sealed = {name: _text(getattr(rollout, name)) for name in names if name != "plan"}
    content = {"rollout": sealed, "plan": rollout.plan}
    return hmac.new(key, canonical(content).encode(), hashlib.sha256).hexdigest()


def is_sealed(key: bytes, rollout: Rollout) -> bool:
    """Return whether the controller wrote exactly this rollout."""
    return rollout.seal is not None and hmac.compare_digest(seal(key, rollout), rollout.seal)


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return None if value is None else str(value)
