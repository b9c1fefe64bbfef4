"""What the pages know of an incident is what its timeline tells: redacted."""

from tests.bot.web import rooms


def test_the_review_to_be_edited_is_the_redacted_one(house: rooms.House) -> None:
    incident = rooms.reviewed(house, "It failed for ann@example.com.")
    with house.client() as client:
        page = client.get(f"/{incident.id}/review", headers={"Accept": "text/html"})

    assert 200 == page.status_code
    assert "ann@example.com" not in page.text
    assert "email-1" in page.text
