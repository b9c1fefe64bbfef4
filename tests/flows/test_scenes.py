"""Every scene of the screenshots is a stored incident whose page says what it must, in words."""

import httpx
import pytest

from tests.flows import screenshots

SAYS: dict[str, tuple[str, ...]] = {
    "just-opened": ("checkout failing for guests", "open", "not measured yet"),
    "diagnosing": ("45 %", "Diagnosing", "Nothing is asked of you."),
    "confirmed": ("CONFIRMED", "3f2a91c", "Read the whole report"),
    "patched": ("Preparing the rollout", "user is not None", "5 of 5 categories passed"),
    "asked": ("Waits for you", "Grow to 50 %", "Take back", "failed on the new version"),
    "baking": ("Baking at 50 %", "more requests are needed", "Take it back"),
    "taken-back": ("Taken back from 10 %", "the last good version", "61 of 402"),
    "held": ("Held at 50 %", "A human is needed", "Take back"),
    "resolved": ("resolved", "The review is drafted", "Read and edit the review"),
}


@pytest.mark.parametrize("scene", SAYS)
def test_the_page_says_what_a_reader_must_know(scene: str) -> None:
    with screenshots.telling(scene) as tale:
        headers = {"Authorization": f"Bearer {tale.house.token()}", "Accept": "text/html"}
        page = httpx.get(f"{tale.house.address}/{tale.incident.id}", headers=headers).text

    missing = [words for words in SAYS[scene] if words not in page]
    assert [] == missing
