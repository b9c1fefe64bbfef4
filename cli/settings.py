"""Reads the settings class of a process or a verb from the environment, all mistakes at once.

Called by every verb that needs settings. Nothing below it reads the environment.
"""

from typing import Any, TypeVar

from pydantic import ValidationError

from incidents import errors
from incidents.settings import Settings

S = TypeVar("S", bound=Settings)


def read(kind: type[S], **given: Any) -> S:
    """Return the settings of a process; raises `errors.BadSettings` naming each variable.

    `given` are fields that do not come from the environment.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        lines = [
            f"  {_variable(kind, str(item['loc'][0]))}: {item['msg']}" for item in error.errors()
        ]
        raise errors.BadSettings("The environment has mistakes:\n" + "\n".join(lines)) from error


def _variable(kind: type[Settings], name: str) -> str:
    known = set(kind.variables())
    return next((v for v in (name.upper(), f"HALON_{name.upper()}") if v in known), name)
