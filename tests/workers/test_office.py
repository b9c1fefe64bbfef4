"""What every process works with says in one sentence which service it does not know."""

import pytest

from incidents import errors
from tests.workers.desks import Place


def test_a_configured_service_is_returned(place: Place) -> None:
    place.write_services(branch="release")
    with place.opened() as desk:
        assert "release" == desk.service("checkout").branch


@pytest.mark.parametrize(
    ("name", "said"),
    [(None, r"open it again with `service:NAME`"), ("shop", r"'shop' \(it names: checkout\)")],
)
def test_a_service_that_is_not_configured_says_what_to_do(
    place: Place, name: str | None, said: str
) -> None:
    place.write_services()
    with place.opened() as desk, pytest.raises(errors.PermanentFailure, match=said):
        desk.service(name)


def test_the_data_folder_is_told_as_an_absolute_path(place: Place) -> None:
    place.write_services()
    with place.opened() as desk:
        assert desk.folder.is_absolute()
