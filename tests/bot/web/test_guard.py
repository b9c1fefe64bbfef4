"""Who may come in: tokens, the browser's cookie, and pages of other sites."""

import httpx
import pytest

from incidents.policy import OPERATOR
from tests.bot.web import rooms

HTML = {"Accept": "text/html"}


def test_without_a_token_one_is_told_where_to_get_one(house: rooms.House) -> None:
    with house.client(None) as client:
        page, data = client.get("/", headers=HTML), client.get("/api/incidents")

    assert (401, 401) == (page.status_code, data.status_code)
    assert "halon up" in page.text
    assert "You are not signed in to this war room." == data.json()["error"]


def test_a_token_that_was_revoked_opens_nothing(house: rooms.House) -> None:
    with house.client() as client:
        before = client.get("/api/incidents").status_code
        house.world.tokens.revoke(OPERATOR.user)
        after = client.get("/api/incidents").status_code

    assert (200, 401) == (before, after)


def test_the_address_of_halon_up_signs_in_once_and_leaves_no_token_in_the_address(
    house: rooms.House,
) -> None:
    secret = house.token(one_time=True)
    with house.client(None) as browser, house.client(None) as thief:
        first = browser.get("/", params={"token": secret}, headers=HTML)
        inside = browser.get("/", headers=HTML)
        second = thief.get("/", params={"token": secret}, headers=HTML)

    assert "httponly" in first.headers["set-cookie"].lower()
    assert "samesite=strict" in first.headers["set-cookie"].lower()
    assert f'url={house.address}/"' in first.text
    assert (200, 401) == (inside.status_code, second.status_code)
    assert "used before" in second.text


def test_the_owner_may_open_the_same_address_again(house: rooms.House) -> None:
    secret = house.token(one_time=True)
    with house.client(None) as browser:
        browser.get("/", params={"token": secret}, headers=HTML)
        again = browser.get("/", params={"token": secret}, headers=HTML)

    assert 200 == again.status_code


def test_a_link_from_another_site_is_asked_again_from_here_so_that_the_cookie_comes_along(
    house: rooms.House,
) -> None:
    with house.client(None) as client:
        led = client.get("/INC-1", headers={**HTML, "Sec-Fetch-Site": "cross-site"})
        own = client.get("/INC-1", headers={**HTML, "Sec-Fetch-Site": "same-origin"})

    assert (200, 401) == (led.status_code, own.status_code)
    assert 'http-equiv="refresh"' in led.text


@pytest.mark.parametrize("path", ["/say", "/vote", "/withdraw", "/publish"])
def test_a_post_of_another_site_does_nothing_even_with_a_good_token(
    house: rooms.House, path: str
) -> None:
    with house.client() as client:
        answer = client.post(
            path,
            json={"line": "/incident P0 checkout failing"},
            headers={"Origin": "http://evil.example"},
        )

    assert 403 == answer.status_code
    assert "came from another site, so nothing was done" in answer.json()["error"]
    assert [] == list(house.world.incidents.list())


def test_a_stream_is_not_for_pages_of_other_sites(house: rooms.House) -> None:
    house.open()
    with house.client() as client:
        answer = client.get("/stream/INC-1", headers={"Origin": "http://evil.example"})

    assert 403 == answer.status_code


def test_a_cookie_without_an_origin_may_read_and_not_write(house: rooms.House) -> None:
    with house.client(None) as browser:
        browser.get("/", params={"token": house.token()}, headers=HTML)
        reads = browser.get("/api/incidents").status_code
        writes = browser.post("/say", json={"line": "/incident list"})
        own = browser.post(
            "/say", json={"line": "/incident list"}, headers={"Origin": house.address}
        )

    assert (200, 403, 200) == (reads, writes.status_code, own.status_code)


def test_a_name_that_someone_points_at_this_machine_is_refused(house: rooms.House) -> None:
    with house.client() as client:
        answer = client.get("/api/incidents", headers={"Host": "evil.example"})

    assert 403 == answer.status_code
    assert "'evil.example'" in answer.json()["error"]


def test_every_answer_carries_the_headers_that_protect_its_reader(house: rooms.House) -> None:
    house.open()
    with house.client() as client:
        answers = [client.get(path) for path in ("/", "/INC-1", "/static/room.js", "/nowhere")]
        answers.append(httpx.get(house.address))

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "nosniff" == answer.headers["x-content-type-options"]
        assert "no-referrer" == answer.headers["referrer-policy"]


def test_no_page_has_a_script_or_style_of_its_own(house: rooms.House) -> None:
    incident = house.open()
    house.ask(incident)
    with house.client() as client:
        pages = [client.get(path, headers=HTML).text for path in ("/", "/INC-1", "/nowhere")]

    assert all("<style" not in page and " style=" not in page for page in pages)
    assert all(page.count("<script") == page.count("<script src=") for page in pages)
