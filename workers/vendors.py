"""What the settings say of a model: whether one is called for, and its two tiers.

Called by `workers.engines`, the shell verbs and the doctor. It knows no database, so that a verb
without a server need not load one, and loads the vendor's client only where it is used.
"""

import importlib
from collections.abc import Callable
from typing import Any

from agents.model import Model, Tier
from incidents import errors
from workers.settings import WorkerSettings

AUTO, BUILTIN, CLAUDE = "auto", "builtin", "claude"


def wants_claude(settings: WorkerSettings) -> bool:
    """Tell whether the settings call for a model; raises BadSettings without a key for it."""
    if settings.engine == CLAUDE and settings.anthropic_api_key is None:
        raise errors.BadSettings(
            "HALON_ENGINE=claude needs ANTHROPIC_API_KEY; set it, or leave HALON_ENGINE at auto."
        )
    return settings.engine != BUILTIN and settings.anthropic_api_key is not None


def preload() -> Any:
    """Load the vendor's client, which takes over a second: once, and only where it is used."""
    return importlib.import_module("agents.messages_api")


def models(settings: WorkerSettings) -> dict[Tier, Model]:
    """Return the two models of the settings."""
    make: Callable[..., Model] = preload().MessagesApi
    key = settings.anthropic_api_key
    secret = key.get_secret_value() if key else ""
    names = {Tier.STRONG: settings.model_strong, Tier.FAST: settings.model_fast}
    return {
        tier: make(name, secret, settings.anthropic_base_url, settings.model_effort)
        for tier, name in names.items()
    }
