"""The war room in a real Chromium: keyboard, vote, live thread, and honesty when it is not live.

Not the whole life of an incident (that is the demo's flow): the store, the commands and the server
are real, the messages are posted as the poster does.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from bot.port import Message, Tone
from incidents.models import ApprovalState
from incidents.policy import OPERATOR
from incidents.store import Store
from tests.bot.web import rooms
from tests.incidents.builders import Clock, World

pytestmark = pytest.mark.chromium
expect.set_options(timeout=30_000)  # a busy machine draws slowly; what is wrong stays wrong
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everything of the store, on the database's own clock."""
    store = Store(f"sqlite:///{tmp_path / 'halon.db'}")
    store.migrate()
    yield World(store, Clock(), rooms.ACCESS)
    store.close()


@pytest.fixture
def house(world: World) -> Iterator[rooms.House]:
    """A war room that runs."""
    with rooms.house(world) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """The installed Chromium, headless."""
    with sync_playwright() as playwright:
        # As root it refuses its own sandbox; it sees nothing but our pages here.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, house: rooms.House) -> Iterator[Page]:
    """A browser that came in by the address of `halon up`; anything on its console is a failure."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{house.address}/?token={house.token(one_time=True)}")
    page.wait_for_url(f"{house.address}/")  # loaded, and without the token in the address
    yield page
    context.close()
    unexpected = [one for one in said if "ERR_" not in one and "status of 422" not in one]
    assert [] == unexpected


def test_an_incident_is_opened_by_keyboard_alone(page: Page, house: rooms.House) -> None:
    """`/` focuses, completion shows the words, Tab takes one, Enter sends."""
    page.keyboard.press("/")
    expect(page.locator("#line")).to_be_focused()
    options = page.get_by_role("option")
    expect(options.first).to_contain_text("/incident P0 TEXT")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Tab")
    expect(page.locator("#line")).to_have_value("/incident P0 ")
    page.keyboard.type("checkout failing")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="checkout failing")).to_be_visible()
    assert "checkout failing" == house.world.incidents.get(1).title


def test_escape_closes_the_completion_and_keeps_the_line(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.locator("#line")).to_have_value("/")


def test_an_error_appears_at_the_input_and_keeps_what_was_typed(page: Page) -> None:
    page.locator("#line").fill("/incident P9 checkout failing")
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_contain_text("'P9' is no severity")
    expect(page.locator("#line")).to_have_value("/incident P9 checkout failing")
    page.get_by_role("button", name="/incident P1 checkout failing").click()
    expect(page.locator("#line")).to_have_value("/incident P1 checkout failing")


def test_a_message_arrives_without_a_reload(page: Page, house: rooms.House) -> None:
    incident = house.open()
    page.goto(f"{house.address}/INC-1")
    house.post(incident, Message("The cause is **CONFIRMED**", tone=Tone.FAILING), "k")

    expect(page.get_by_role("log")).to_contain_text("The cause is CONFIRMED")


def test_a_click_on_the_reaction_votes_and_a_second_one_takes_it_back(
    page: Page, house: rooms.House
) -> None:
    _, approval = house.ask(house.open())
    page.goto(f"{house.address}/INC-1")
    yes = page.get_by_role("button", name="Yes")
    expect(yes).to_have_attribute("aria-pressed", "false")
    yes.click()
    mine = page.get_by_role("button", name="Yes, by web:operator")
    expect(mine).to_have_attribute("aria-pressed", "true")
    assert ApprovalState.GRANTED == house.world.approvals.get(approval.id).state
    mine.click()
    expect(page.get_by_text("The yes was withdrawn")).to_be_visible()

    assert ApprovalState.WITHDRAWN == house.world.approvals.get(approval.id).state


def test_what_waits_stays_in_reach_on_a_phone_and_is_answered_there(
    page: Page, house: rooms.House
) -> None:
    incident = house.open()
    for place in range(30):
        house.post(incident, Message(f"News {place}", ("and why it is so",)), f"k{place}")
    _, approval = house.ask(incident)
    page.set_viewport_size(PHONE)
    page.goto(f"{house.address}/INC-1")
    page.evaluate("window.scrollTo(0, 0)")
    button = page.get_by_role("button", name="Start at 10 %")

    expect(button).to_be_in_viewport()
    expect(page.locator("#line")).to_be_in_viewport()
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("pproved")
    assert OPERATOR == house.world.approvals.get(approval.id).decided_by


def test_a_phone_never_scrolls_sideways(page: Page, house: rooms.House) -> None:
    incident = house.open(title="x" * 200)
    diff = "+" + "long line " * 40
    house.post(incident, Message("y" * 300, ("z" * 300,), diff=diff), "k")
    page.set_viewport_size(PHONE)
    page.goto(f"{house.address}/INC-1")

    assert 390 >= page.evaluate("document.documentElement.scrollWidth")


def test_a_reader_of_old_messages_is_not_moved_and_is_told_of_new_ones(
    page: Page, house: rooms.House
) -> None:
    incident = house.open()
    for place in range(40):
        house.post(incident, Message(f"News {place}", ("and why it is so",)), f"k{place}")
    page.goto(f"{house.address}/INC-1")
    page.evaluate("window.scrollTo(0, 300)")
    before = page.evaluate("window.scrollY")
    house.post(incident, Message("The newest"), "new")
    told = page.get_by_role("button", name="New messages")
    expect(told).to_be_visible()

    assert before == page.evaluate("window.scrollY")
    told.click()
    expect(page.get_by_text("The newest")).to_be_in_viewport()


def test_a_dropped_stream_is_said_and_caught_up(browser: Browser, world: World) -> None:
    """The server goes away and comes back on the same port; meanwhile something was said."""
    room = rooms.room_of(world)
    house = rooms.House(world, room, "")
    incident = house.open()
    house.post(incident, Message("Before"), "k1")
    page = browser.new_context().new_page()
    with rooms.running(room) as (address, _):
        page.goto(f"{address}/?token={house.token(one_time=True)}")
        page.wait_for_url(f"{address}/")
        page.goto(f"{address}/INC-1")
        expect(page.get_by_text("Before")).to_be_visible()
        expect(page.locator("#live")).to_be_hidden()
    told = page.locator("#live")
    expect(told).to_have_text(rooms.NOT_LIVE, timeout=20_000)
    house.post(incident, Message("Meanwhile"), "k2")
    with rooms.running(room, int(address.rpartition(":")[2])):
        expect(page.get_by_text("Meanwhile")).to_be_visible(timeout=20_000)
        expect(told).to_be_hidden()
        assert 2 == page.locator("article").count()
        page.context.close()


def test_a_published_review_is_the_text_that_the_human_left(page: Page, house: rooms.House) -> None:
    incident = rooms.reviewed(house)
    page.goto(f"{house.address}/{incident.id}")
    page.get_by_role("link", name="Read and edit the review").click()
    text = page.get_by_label("Text (Markdown)")
    assert "# Review: checkout failing" in text.input_value()
    text.fill("# What happened\n\nA human wrote this.")
    page.get_by_role("button", name="Publish the review").click()
    page.wait_for_url(f"{house.address}/{incident.id}")

    kinds = [(one.kind, one.actor) for one in house.world.timeline.entries(incident.number)]
    assert ("published", OPERATOR) == kinds[-1]
    last = house.world.timeline.entries(incident.number)[-1]
    assert "# What happened\n\nA human wrote this." == last.content["text"]
