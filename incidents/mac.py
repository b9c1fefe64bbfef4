"""The seal of an approval: HMAC-SHA256 over everything that it names, its voter and the time.

Made by `approvals.decide` in the bot, checked in the controller before it acts. Only these two hold
the key, so a worker that reads hostile logs and may write to the database cannot forge a yes.
"""

import hashlib
import hmac
from datetime import UTC, datetime

from incidents.columns import canonical
from incidents.models import Approval

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
    """Return the seal of a decided approval, hex."""
    named = {name: _text(getattr(approval, name)) for name in NAMED}
    return hmac.new(key, canonical(named).encode(), hashlib.sha256).hexdigest()


def verify(key: bytes, approval: Approval) -> bool:
    """Return whether an approval carries the seal of exactly what it says."""
    if approval.mac is None or approval.decided_by is None or approval.decided_at is None:
        return False
    return hmac.compare_digest(sign(key, approval), approval.mac)


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return None if value is None else str(value)
