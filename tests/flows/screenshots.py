"""Every state of the war room as a picture, at phone and desk width, dark and light.

`python -m tests.flows.screenshots FOLDER [SCENE …]` writes them to be looked at; a few are kept
under docs/screenshots. Each scene is a stored incident, told by `tests.flows.tale`.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from incidents.store import Store
from tests.bot.web import rooms
from tests.flows.tale import Tale
from tests.incidents.builders import Clock, World

SIZES: dict[str, ViewportSize] = {
    "390": {"width": 390, "height": 844},
    "1280": {"width": 1280, "height": 800},
}
SCHEMES = ("light", "dark")
TIMEOUT_MS = 15_000
PICTURES = """() => Promise.all([...document.images].map((one) => {
    one.loading = "eager"; return one.decode(); }))"""


def nothing_yet(tale: Tale) -> None:
    """First visit; services are configured, nothing has happened."""


def just_opened(tale: Tale) -> None:
    """The line was typed a second ago."""
    tale.earlier()
    tale.opened()


def diagnosing(tale: Tale) -> None:
    """The failure is being replayed."""
    just_opened(tale)
    tale.triaged()
    tale.diagnosing()


def confirmed(tale: Tale) -> None:
    """The cause is proved."""
    diagnosing(tale)
    tale.diagnosed()


def patched(tale: Tale) -> None:
    """Patch and tests are there."""
    confirmed(tale)
    tale.patched()


def asked(tale: Tale) -> None:
    """The canary baked at 10 %, and may grow."""
    patched(tale)
    tale.asked_to_start()
    tale.baking(10, canary=0.0, stable=0.46, seconds=200)
    tale.asked_to_grow(10, 50)


def baking(tale: Tale) -> None:
    """The canary bakes at 50 %."""
    asked(tale)
    tale.baking(50, canary=0.0, stable=0.45, seconds=90)


def taken_back(tale: Tale) -> None:
    """The fix failed in production and went back by itself."""
    patched(tale)
    tale.asked_to_start()
    tale.baking(10, canary=0.15, stable=0.46, seconds=120)
    tale.taken_back()


def held(tale: Tale) -> None:
    """Nothing is measured on the new version."""
    asked(tale)
    tale.baking(50, canary=0.0, stable=0.45, seconds=60)
    tale.held()


def resolved(tale: Tale) -> None:
    """Over; the review is drafted."""
    baking(tale)
    tale.moved(100, canary=0.001, stable=0.0, seconds=120)
    tale.resolved()


SCENES: dict[str, Callable[[Tale], None]] = {
    "nothing-yet": nothing_yet,
    "just-opened": just_opened,
    "diagnosing": diagnosing,
    "confirmed": confirmed,
    "patched": patched,
    "asked": asked,
    "baking": baking,
    "taken-back": taken_back,
    "held": held,
    "resolved": resolved,
    "error": confirmed,
    "not-live": confirmed,
    "review": resolved,
}


@contextmanager
def telling(scene: str) -> Iterator[Tale]:
    """Run a war room in which a scene has happened."""
    with tempfile.TemporaryDirectory(prefix="halon-room-") as folder:
        clock = Clock()
        store = Store(f"sqlite:///{folder}/halon.db", clock)
        store.migrate()
        with rooms.house(World(store, clock, rooms.ACCESS)) as house:
            tale = Tale(house)
            SCENES[scene](tale)
            yield tale
        store.close()


def shoot(browser: Browser, scene: str, folder: Path) -> None:
    """Write the four pictures of a scene."""
    with telling(scene) as tale:
        token = tale.house.token()
        for width, size in SIZES.items():
            for scheme in SCHEMES:
                context = browser.new_context(
                    viewport=size,
                    color_scheme="dark" if scheme == "dark" else "light",
                    device_scale_factor=1,
                )
                page = context.new_page()
                page.goto(f"{tale.house.address}/?token={token}")
                page.wait_for_url(f"{tale.house.address}/")
                set_up(page, scene, tale)
                page.evaluate(PICTURES)
                picture = folder / f"{scene}-{width}-{scheme}.png"
                page.screenshot(path=picture)
                # A page has few colours; a palette of them keeps the repository small.
                drawn = Image.open(picture).convert("RGB")
                drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                    picture, optimize=True
                )
                context.close()


def set_up(page: Page, scene: str, tale: Tale) -> None:
    """Bring the page into the state that the scene is about."""
    if scene == "nothing-yet":
        return
    address = f"{tale.house.address}/{tale.incident.id}"
    if scene == "not-live":
        page.route("**/stream/**", lambda route: route.abort())
    page.goto(address + ("/review" if scene == "review" else ""))
    page.wait_for_load_state("networkidle" if scene == "review" else "load")
    if scene == "confirmed":
        page.locator("details.report > summary").last.click()
        page.locator("article", has_text="CONFIRMED").last.scroll_into_view_if_needed()
        page.evaluate(
            "[...document.querySelectorAll('article')].at(-1).scrollIntoView({block: 'start'})"
        )
    elif scene == "error":
        page.locator("#line").fill("/incident sevrity P1")
        page.keyboard.press("Enter")
        page.locator("#said.wrong").wait_for(timeout=TIMEOUT_MS)
    elif scene == "not-live":
        page.locator("#live").wait_for(state="visible", timeout=TIMEOUT_MS)


def main() -> None:
    """Write the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*", metavar="SCENE")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None:
        sys.exit("Chromium is not on this machine; install it and try again.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scene in chosen.scenes or SCENES:
            shoot(browser, scene, chosen.folder)
        browser.close()


if __name__ == "__main__":
    main()
