"""An incident's topic in Telegram as a person sees it on a phone, as pictures.

`python -m tests.flows.telegram_pictures FOLDER` tells stored incidents through the real poster and
client into our server, and draws what it was sent; a few pictures are kept under docs/screenshots.
What Telegram's apps draw is only imitated: the words, marks, buttons and files are the real ones.
"""

import argparse
import asyncio
import base64
import html
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from bot.app import compose
from bot.telegram.app import Account
from bot.telegram.application import Line
from incidents.policy import Access
from tests.bot.office import KEY
from tests.bot.telegram.botapi import BOT, GROUP, TOKEN, BotApi, Message
from tests.bot.telegram.seam import Seam
from tests.bot.web import rooms
from tests.flows import screenshots

STYLE = """
* { box-sizing: border-box; margin: 0 }
body { font: 16px/1.32 -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: #000;
  background: #a8c49a; padding: 108px 8px 12px }
header { position: fixed; inset: 0 0 auto 0; background: #fff; height: 100px; z-index: 1 }
h1 { font-size: 17px; padding: 10px 16px 0 52px; line-height: 20px }
h1 + p { font-size: 13px; color: #707579; padding: 0 16px 0 52px }
header i { position: absolute; left: 14px; top: 12px; width: 28px; height: 28px;
  border-radius: 8px; background: #fb6f5f }
.pinned { border-top: 1px solid #ddd; margin-top: 8px; padding: 5px 16px; font-size: 13px;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.pinned b { color: #3390ec; display: block }
article { max-width: 354px; margin-bottom: 6px }
.bubble { background: #fff; border-radius: 14px; padding: 7px 10px 8px; overflow: hidden }
.text { white-space: pre-wrap; overflow-wrap: anywhere }
code, pre { font: 13.5px/1.35 ui-monospace, "DejaVu Sans Mono", monospace; color: #3a6d99 }
pre { background: #f0f4f8; border-left: 3px solid #3390ec; border-radius: 4px; padding: 5px 7px;
  color: #223; white-space: pre-wrap; margin: 2px 0 }
blockquote { background: #eef5fd; border-left: 3px solid #3390ec; border-radius: 4px;
  padding: 5px 8px; margin: 2px 0; font-size: 14.5px; max-height: 78px; overflow: hidden }
a { color: #3390ec; text-decoration: none }
img { display: block; width: 374px; max-width: calc(100% + 20px); margin: -7px -10px 6px }
.file { display: flex; gap: 10px; align-items: center }
.file span { width: 42px; height: 42px; border-radius: 50%; background: #3390ec; color: #fff;
  display: grid; place-items: center; flex: none }
.file small { color: #707579 }
.row { display: flex; gap: 4px }
.key { flex: 1; text-align: center; background: #5b7a4fcc; color: #fff; font-weight: 600;
  border-radius: 10px; padding: 9px; margin-top: 4px; font-size: 15px }
"""


def told(scene: str) -> BotApi:
    """Return the server after a stored incident was told in Telegram."""
    api = BotApi()
    with screenshots.telling(scene) as tale:
        line = Line(TOKEN, request=Seam(api), polling=Seam(api))
        access = Access(rooms.ACCESS.services, True)
        account = Account(line, GROUP, per_minute=100_000)
        bot = compose(tale.world.store, access, KEY, (), None, account)
        assert bot.telegram is not None
        assert bot.telegram_poster is not None
        telegram, poster = bot.telegram, bot.telegram_poster
        poster.deliveries.follow(tale.incident.number, telegram.conversation)

        async def post() -> None:
            await telegram.client.app.initialize()
            await telegram.group.refresh(telegram.bot)
            while await poster.turn() or poster.deliveries.waiting("telegram:"):
                tale.past(seconds=0.01)
                await asyncio.sleep(0.01)
            await telegram.client.app.shutdown()

        asyncio.run(post())
    return api


def page(api: BotApi) -> str:
    """Return the topic of the newest incident as a page."""
    topic = list(api.group.topics.values())[-1]
    mine = [one for one in api.group.messages.values() if one.thread == topic.id]
    said = [one for one in mine if one.sender == BOT and one.kind != "service"]
    pinned = html.escape(said[0].text.replace("\n", " ")[:90])
    shown = "".join(_drawn(one) for one in said)
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><header><i></i>"
        f"<h1>{html.escape(topic.name)}</h1><p>On call</p>"
        f'<div class="pinned"><b>Pinned message</b>{pinned}</div></header>{shown}'
    )


def _drawn(message: Message) -> str:
    text = f'<div class="text">{message.html}</div>'
    name, content = message.file or ("", b"")
    if message.kind == "photo":
        text = f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}">{text}'
    elif message.kind == "document":
        size = f"{max(1, len(content) // 1024)} KB"
        text = (
            f'<div class="file"><span>↓</span><div><b>{html.escape(name)}</b><br>'
            f"<small>{size}</small></div></div>{text}"
        )
    keys = "".join(
        '<div class="row">'
        + "".join(f'<span class="key">{html.escape(key["text"])}</span>' for key in row)
        + "</div>"
        for row in message.keys
    )
    return f'<article><div class="bubble">{text}</div>{keys}</article>'


def shoot(browser: Browser, scene: str, shown: str, folder: Path, *, whole: bool) -> None:
    """Write the end of a topic as a phone shows it, or all of it."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=1)
    drawn = context.new_page()
    drawn.set_content(shown)
    drawn.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    picture = folder / f"telegram-{scene}-390{'-whole' if whole else ''}.png"
    drawn.screenshot(path=picture, full_page=whole)
    colours = Image.open(picture).convert("RGB")
    few = colours.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)
    context.close()


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*", default=["confirmed", "asked", "resolved"])
    parser.add_argument("--whole", action="store_true", help="not only what fits a phone")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None:
        sys.exit("Chromium is not on this machine; install it and try again.")
    pages = {scene: page(told(scene)) for scene in chosen.scenes}  # before a loop runs here
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scene, shown in pages.items():
            shoot(browser, scene, shown, chosen.folder, whole=chosen.whole)
        browser.close()


if __name__ == "__main__":
    main()
