"""An incident in Slack as a person sees it, as pictures at phone and desk width.

`python -m tests.flows.slack_pictures FOLDER [SCENE …]` tells stored incidents through the real
poster and client into the double of Slack's Web API, reads the thread back and draws what was
kept. What Slack's apps draw is only imitated: words, marks, buttons and files are the real ones.
"""

import argparse
import asyncio
import base64
import html
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import compose
from bot.poster import Poster
from bot.slack import place
from bot.slack.calls import Calls
from bot.slack.port import SlackPort
from incidents.policy import Access
from tests import slack_workspace
from tests.bot.office import KEY
from tests.bot.slack.desks import QUICK
from tests.bot.web import rooms
from tests.flows import screenshots
from tests.slack_workspace import TOKEN, Workspace

Json = dict[str, Any]
SCENES = ("confirmed", "asked", "taken-back", "resolved")
STYLE = """
* { box-sizing: border-box; margin: 0 }
body { font: 15px/1.46 Lato, "Noto Sans", "DejaVu Sans", sans-serif; color: #1d1c1d;
  background: #fff; padding: 92px 0 16px }
header { position: fixed; inset: 0 0 auto 0; background: #fff; border-bottom: 1px solid #ddd;
  padding: 10px 20px; z-index: 1; height: 84px; overflow: hidden }
h1 { font-size: 18px } header p { font-size: 13px; color: #616061; white-space: nowrap }
article { display: flex; gap: 8px; padding: 7px 20px; max-width: 860px }
article > i { width: 36px; height: 36px; border-radius: 8px; background: #1d1c1d; color: #fff;
  display: grid; place-items: center; font-style: normal; font-weight: 900; flex: none }
article > div { min-width: 0; flex: 1 }
.by { font-weight: 900 } .by small { font-weight: 400; color: #616061; font-size: 12px }
.by em { background: #e8e8e8; border-radius: 2px; font: 10px sans-serif; padding: 1px 3px }
.pinned { background: #fef9ec } .pin { font-size: 12px; color: #616061; padding-left: 44px }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin-bottom: 6px }
code { font: 12px/1.5 "DejaVu Sans Mono", monospace; color: #e01e5a; background: #f6f6f6;
  border: 1px solid #ddd; border-radius: 3px; padding: 1px 3px }
pre { font: 12px/1.5 "DejaVu Sans Mono", monospace; background: #f6f6f6; padding: 8px;
  border: 1px solid #ddd; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere }
a { color: #1264a3; text-decoration: none }
.dot { display: inline-block; width: 13px; height: 13px; border-radius: 50%;
  vertical-align: -1px }
.red { background: #dd2e44 } .green { background: #2eb67d }
button { font: 700 13px sans-serif; padding: 6px 12px; border-radius: 4px; margin-right: 8px;
  border: 1px solid #bbb; background: #fff; min-height: 32px }
.primary { background: #007a5a; color: #fff; border-color: #007a5a }
.danger { background: #e01e5a; color: #fff; border-color: #e01e5a }
.react { display: inline-block; border: 1px solid #ddd; background: #f8f8f8; font-size: 12px;
  border-radius: 12px; padding: 2px 8px; margin: 2px 4px 0 0 }
.file { border: 1px solid #ddd; border-radius: 8px; padding: 9px 12px; margin: 4px 0;
  max-width: 420px }
.file small { color: #616061 } img { max-width: 100%; border-radius: 8px; display: block }
@media (max-width: 500px) { article, header { padding-left: 12px; padding-right: 12px } }
"""
SIGNS = {
    ":red_circle:": '<span class="dot red"></span>',
    ":large_green_circle:": '<span class="dot green"></span>',
    ":raised_hand:": "✋",
}


def told(workspace: Workspace, scene: str) -> list[Json]:
    """Return the thread, its card first, after a stored incident was told in Slack."""
    workspace.faults.reset()
    channel = workspace.channel(f"on-call-{re.sub('[^a-z]+', '-', scene)}")
    with screenshots.telling(scene) as tale:
        client = AsyncWebClient(TOKEN, base_url=workspace.base_url, retry_handlers=[])
        port = SlackPort(Calls(client), lambda incident: ())
        deliveries = tale.world.deliveries
        access = Access(rooms.ACCESS.services, chat_configured=True)
        gathering = compose(tale.world.store, access, KEY, ()).poster.gathering
        poster = Poster(port, deliveries, gathering, QUICK)
        deliveries.follow(tale.incident.number, place.conversation(channel))

        async def post() -> None:
            quiet = 0
            while quiet < 5:
                busy = await poster.turn() or deliveries.waiting("slack:")
                quiet = 0 if busy else quiet + 1
                await asyncio.sleep(0.02)

        asyncio.run(post())
        (card,) = (one for one in workspace.faults.calls if one.method == "pins.add")
    where, ts = str(card.said["channel"]), str(card.said["timestamp"])
    found = workspace.thread(where, ts if where == channel else None)
    found = [one for one in found if one.get("subtype") in (None, "file_share")]
    top = next(one for one in found if one["ts"] == ts)
    return [top, *(one for one in found if one["ts"] != ts)]


def page(workspace: Workspace, thread: list[Json]) -> str:
    """Return a thread as a page."""
    title = html.escape(_shown_text(thread[0])[:60])
    drawn = "".join(_drawn(workspace, one, at == 0) for at, one in enumerate(thread))
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><header><h1>Thread</h1>"
        f"<p>{title}</p></header>{drawn}"
    )


def _shown_text(one: Json) -> str:
    return html.unescape(str(one["text"]))


def _drawn(workspace: Workspace, one: Json, pinned: bool) -> str:
    blocks = "".join(_block(block) for block in one.get("blocks") or ())
    body = blocks or f'<div class="text">{_mrkdwn(one["text"])}</div>' * bool(one["text"])
    files = "".join(_file(workspace, file) for file in one.get("files") or ())
    signs = {"white_check_mark": "✅", "x": "❌"}
    reactions = "".join(
        f'<span class="react">{signs.get(r["name"], r["name"])} {r["count"]}</span>'
        for r in one.get("reactions") or ()
    )
    mark = '<p class="pin">📌 Pinned by Halon</p>' * pinned
    edited = "(edited)" if one.get("edited") else ""
    return (
        f'{mark}<article class="{"pinned" if pinned else ""}"><i>H</i><div><p class="by">Halon '
        f"<em>APP</em> <small>{edited}</small></p>{body}{files}{reactions}</div></article>"
    )


def _block(block: Json) -> str:
    if block["type"] == "actions":
        return "".join(
            f'<button class="{one.get("style", "")}">{html.escape(one["text"]["text"])}</button>'
            for one in block["elements"]
        )
    return f'<div class="text">{_mrkdwn(block["text"]["text"])}</div>'


def _mrkdwn(text: str) -> str:
    """Draw mrkdwn as Slack does; its leaves are escaped already."""
    out = []
    for at, part in enumerate(text.split("```")):
        if at % 2:
            out.append(f"<pre>{part.strip(chr(10))}</pre>")
            continue
        part = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r'<a href="\1">\2</a>', part)
        part = re.sub(r"<@(\w+)>", r"<a>@\1</a>", part)
        part = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", part)
        part = re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", part)
        part = re.sub(r"(?<!\w)_([^_\n]+)_(?!\w)", r"<em>\1</em>", part)
        for name, sign in SIGNS.items():
            part = part.replace(name, sign)
        out.append(part.strip("\n") if len(text.split("```")) > 1 else part)
    return "".join(out)


def _file(workspace: Workspace, file: Json) -> str:
    title = html.escape(str(file["title"]))
    if str(file["name"]).endswith(".png"):
        content = workspace.file(file)
        drawn = base64.b64encode(content).decode("ascii")
        return f'<p class="text">{title}</p><img src="data:image/png;base64,{drawn}">'
    size = f"{max(1, int(file['size']) // 1024)} KB"
    name = html.escape(str(file["name"]))
    return f'<div class="file"><b>{title}</b><br><small>{name} · {size}</small></div>'


def shoot(browser: Browser, shown: str, name: str, folder: Path) -> None:
    """Write a page at both widths."""
    for width, size in screenshots.SIZES.items():
        window = browser.new_page(viewport=size)
        window.set_content(shown)
        target = folder / f"slack-{name.replace(' ', '-')}-{width}.png"
        window.screenshot(path=target, full_page=True)
        with Image.open(target) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(
                target, optimize=True
            )
        window.close()


def main() -> int:
    """Draw the scenes that were asked for."""
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("scenes", nargs="*", default=SCENES)
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, str] = {}
    for scene in given.scenes:  # each in a workspace of its own: their incidents are twins
        with (
            tempfile.TemporaryDirectory() as room,
            slack_workspace.running(Path(room)) as workspace,
        ):
            pages[scene] = page(workspace, told(workspace, scene))
    with sync_playwright() as playwright:  # afterwards, since it has a loop of its own
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for scene, shown in pages.items():
            shoot(browser, shown, scene, given.folder)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
