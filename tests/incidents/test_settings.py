"""What a team writes into halon.toml about its own data is checked where it enters."""

import pytest

from incidents import errors
from incidents.settings import parse_services, personal

TABLE = {"name": "shop", "repository": "/srv/shop"}


@pytest.mark.parametrize(("pattern", "said"), [("(", "is no pattern"), ("x*", "finds nothing")])
def test_a_pattern_that_cannot_be_meant_is_a_mistake(pattern: str, said: str) -> None:
    with pytest.raises(errors.BadSettings, match=said):
        parse_services({"service": [TABLE | {"personal": [pattern]}]}, where="halon.toml")


def test_patterns_of_all_services_are_collected_once() -> None:
    services = parse_services(
        {
            "service": [
                TABLE | {"personal": [r"CUST-\d+"]},
                {"name": "pay", "repository": "/srv/pay", "personal": [r"CUST-\d+", "ACC[0-9]+"]},
            ]
        },
        where="halon.toml",
    )

    assert [r"CUST-\d+", "ACC[0-9]+"] == [pattern.pattern for pattern in personal(services)]
