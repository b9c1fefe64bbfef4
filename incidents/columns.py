"""The column types of the schema: the one place where values are converted for the database.

SQLite gives times back naive, stores `Numeric` as a float and takes any text; PostgreSQL refuses
NUL in text. These types make both behave alike: aware UTC, exact millionths, canonical JSON.
"""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from incidents.models import Person, Platform

MILLION = 1_000_000
E = TypeVar("E", bound=StrEnum)


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | PurePath | Person):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def parse_person(text: str) -> Person:
    """Return the person that "slack:U1" names."""
    platform, _, user = text.partition(":")
    return Person(Platform(platform), user)


class Utc(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; SQLite gets bare UTC, so that text order is time order."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time needs its zone: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(TypeDecorator[Decimal]):
    """Dollars as whole millionths; finer amounts are refused rather than rounded in silence."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Count the millionths."""
        if value is None:
            return None
        millionths = value * MILLION
        if millionths != millionths.to_integral_value():
            raise ValueError(f"{value} dollars are finer than a millionth")
        return int(millionths)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Give dollars back."""
        return None if value is None else Decimal(value) / MILLION


class CanonicalJson(TypeDecorator[Any]):
    """JSON as its canonical text, so what is read hashes as what was written."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        """Write the canonical text; None is NULL."""
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any | None:
        """Read it back."""
        return None if value is None else json.loads(value)


class Words(TypeDecorator[str]):
    """Text of people and machines; what a database cannot store becomes the replacement sign."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace NUL and lone surrogates."""
        if value is None:
            return None
        whole = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return whole.replace("\x00", "\ufffd")


class Fixed(TypeDecorator[E]):
    """A member of a StrEnum, stored by its value."""

    impl = Text
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        """Store the value; a text that is no member is refused here, not found later."""
        return None if value is None else self.members(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Give the member back."""
        return None if value is None else self.members(value)


class Who(TypeDecorator[Person]):
    """A person as "<platform>:<user id>"."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Person | None, dialect: Dialect) -> str | None:
        """Store platform and id; whether it was a guest is a question of the moment."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Person | None:
        """Give the person back."""
        return None if value is None else parse_person(value)
