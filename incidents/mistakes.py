"""The mistakes of halon.toml in a person's words, each with its mend.

Called by `incidents.settings` when pydantic refuses the file; pure. It never quotes a whole table:
a file of settings may hold a secret in the wrong place.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

LONGEST = 80
NAMES = "use lower-case letters, digits, dots, dashes and underscores, with a letter or digit first"


def lines(
    error: ValidationError, table: Mapping[str, Any], model: type[BaseModel]
) -> Iterator[str]:
    """Yield one indented line per mistake; `table` is the parsed file, with the services' names."""
    for item in error.errors():
        # A part in brackets names one kind of a value that may be of several.
        place = [part for part in item["loc"] if "[" not in str(part)]
        yield f"  {_where(place, table)}{_what(place, item, model)}"


def _where(place: Sequence[int | str], table: Mapping[str, Any]) -> str:
    if len(place) < 2 or place[0] != "service" or not isinstance(place[1], int):
        return ""
    service = table["service"][place[1]]
    name = service.get("name") if isinstance(service, dict) else None
    return f"service {name!r}: " if isinstance(name, str) else f"service number {place[1] + 1}: "


def _what(place: Sequence[int | str], item: Any, model: type[BaseModel]) -> str:
    keys = [str(part) for part in place if isinstance(part, str)]
    inner = keys[1:] if keys[:1] == ["service"] and len(keys) > 1 else keys
    key = ".".join(inner) or "the file"
    match item["type"]:
        case "extra_forbidden":
            return f"there is no key `{key}`{_meant(keys, model)}; correct it or take it out"
        case "missing":
            return f"the key `{key}` is missing; add it"
        case "string_pattern_mismatch":
            return f"`{key}` is {_shown(item['input'])}; {NAMES}"
        case "tuple_type" if keys == ["service"]:
            return "a service's table begins with `[[service]]`, with two brackets"
        case "tuple_type":
            return f'`{key}` is {_shown(item["input"])}; write a list, as in ["…"]'
        case "value_error":
            return f"`{key}` {str(item['msg']).removeprefix('Value error, ')}"
        case _:
            message = str(item["msg"])
            return f"`{key}` is {_shown(item['input'])}; {message[:1].lower()}{message[1:]}"


def _meant(keys: Sequence[str], model: type[BaseModel]) -> str:
    """Return the key that was probably meant, among those of the table that it stands in."""
    for key in keys[:-1]:
        found = model.model_fields.get(key)
        inside = next(_models(found.annotation), None) if found else None
        if inside is None:
            return ""
        model = inside
    close = difflib.get_close_matches(keys[-1], model.model_fields, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"
