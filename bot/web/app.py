"""The war room's routes: pages, the stream, what people say, and the same as JSON.

Made by `bot.app` with `create(room)`. Everything is behind `bot.web.guard`. Store calls run in
threads, so that one slow disk does not stop the loop; what people say goes through `bot.line`.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bot import completion
from bot.line import Line
from bot.said import Said
from bot.web import answers, api, figure, inputs, pages, parts, port, seen
from bot.web import facts as facts_of
from bot.web.guard import Guard
from bot.web.live import Live
from bot.web.room import Room
from incidents import errors, report_text, reports
from incidents.models import Answer, EntryKind, Incident, Json, Person, Stage

STATIC = Path(__file__).parent / "static"
STALE_SECONDS = 30.0
SVG = "image/svg+xml"
PICTURES = (SVG, "image/png")
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'"  # a file loads and runs nothing
STATUS_OF: tuple[tuple[type[errors.HalonError], int], ...] = (
    (errors.NotFound, 404),
    (errors.NotAllowed, 403),
    (errors.WrongState, 409),
    (errors.TemporaryFailure, 503),
)


class WarRoom:
    """The routes over one room."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.live = Live(room)
        self._line = Line(room.speaker.carry_out)

    async def home(self, request: Request) -> Response:
        """The incidents, or on the first visit what this is."""
        return await self._home(request)

    async def incident(self, request: Request) -> Response:
        """One incident: thread, facts, and what waits for the reader."""
        return await self._incident(request, await self._found(request))

    async def stream(self, request: Request) -> Response:
        """Server-sent events of one incident, or of the list alone."""
        number = request.path_params.get("number")
        incident = None if number is None else await self._found(request)
        seen = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        after = int(seen) if seen.isascii() and seen.isdecimal() else 0
        events: AsyncIterator[str] = self.live.events(incident, inputs.person(request), after)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def say(self, request: Request) -> Response:
        """Carry out a typed line."""
        body = await inputs.body(request)
        line, thread = body.get("line", ""), body.get("thread") or None
        who, key = inputs.person(request), inputs.key(request, body)
        said = await self._line.take(self.room.speaker.saying(line, who, thread, key))
        return await self._answer(request, said, thread, line)

    async def vote(self, request: Request) -> Response:
        """Answer a question."""
        body = await inputs.body(request)
        if body.get("answer") not in set(Answer):
            raise HTTPException(422, "An answer is 'yes' or 'no'.")
        try:
            expected = seen.read(body["seen"]) if "seen" in body else None
        except ValueError:
            raise HTTPException(422, "The page sent no question that it can have shown.") from None
        wish = self.room.speaker.voting(
            body.get("approval", ""),
            inputs.person(request),
            Answer(body["answer"]),
            inputs.key(request, body),
            expected,
        )
        said = await self._line.take(wish)
        return await self._answer(request, said, body.get("thread"), "")

    async def withdraw(self, request: Request) -> Response:
        """Take one's yes back."""
        body = await inputs.body(request)
        who, key = inputs.person(request), inputs.key(request, body)
        wish = self.room.speaker.withdrawing(body.get("approval", ""), who, key)
        said = await self._line.take(wish)
        return await self._answer(request, said, body.get("thread"), "")

    async def review(self, request: Request) -> Response:
        """The review as a text to edit."""
        incident = await self._found(request)
        moment = await self.live.moment(incident.number)
        published = moment.facts.last(EntryKind.PUBLISHED)
        report = moment.facts.report(Stage.REVIEW)
        if report is None:
            raise errors.NotFound(
                f"{incident.id} has no review yet; it is written after `/incident resolve`."
            )
        text = str(published.content.get("text") or "") if published else ""
        text = text or report_text.markdown(reports.load(report))
        return self._review(incident, text, None, moment.facts.now)

    async def publish(self, request: Request) -> Response:
        """Publish the review as it was edited."""
        body = await inputs.body(request)
        text = body.get("text", "").replace("\r\n", "\n")
        who, key = inputs.person(request), inputs.key(request, body)
        incident = await self._find(body.get("incident", ""), who)
        said = await self._line.take(self.room.speaker.publishing(incident.id, text, who, key))
        if not said.accepted and answers.wants_page(request):
            return self._review(incident, text, said, await asyncio.to_thread(self.room.now))
        return await self._answer(request, said, incident.id, "")

    async def complete(self, request: Request) -> Response:
        """What could be typed next."""
        names = sorted(self.room.access().services)
        thread = request.query_params.get("thread") or None
        rows = completion.complete(request.query_params.get("line", ""), names, thread)
        found = [
            {"insert": row.insert, "words": row.words, "does": row.does, "example": row.example}
            for row in rows
        ]
        return JSONResponse({"completions": found})

    async def file(self, request: Request) -> Response:
        """A report, diff or picture of a message; nothing of it is ever run by the browser."""
        read = partial(self.room.posts.file, request.path_params["post"])
        number, stored = await asyncio.to_thread(read, request.path_params["number"])
        await self._find(f"INC-{number}", inputs.person(request))
        file = port.file_from_json(stored)
        shown = file.media in PICTURES
        how = "inline" if shown else f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
        media = file.media if shown else "text/plain; charset=utf-8"
        headers = {"Content-Disposition": how, "Content-Security-Policy": ALONE}
        content = figure.following(file.content) if file.media == SVG else file.content
        return Response(content, media_type=media, headers=headers)

    async def api_list(self, request: Request) -> Response:
        """The incidents that the reader may see."""
        found = await self.live.incidents(inputs.person(request))
        return JSONResponse({"incidents": [api.incident(one) for one in found]})

    async def api_incident(self, request: Request) -> Response:
        """One incident, read anew."""
        incident = await self._found(request)
        read = partial(facts_of.read, self.room, incident.number)
        return JSONResponse(api.whole(await asyncio.to_thread(read)))

    async def api_timeline(self, request: Request) -> Response:
        """The entries of one incident, with the chain's hashes."""
        incident = await self._found(request)
        entries = await asyncio.to_thread(self.room.timeline.entries, incident.number)
        return JSONResponse({"entries": [api.entry(one) for one in entries]})

    async def health(self, request: Request) -> Response:
        """Whether the database answers and the others live; 503 when one of them does not."""
        try:
            await asyncio.to_thread(self.room.now)
            ages = await asyncio.to_thread(self._ages)
            database = True
        except errors.HalonError:
            ages, database = dict[str, float | None](), False
        stale = sorted(name for name, age in ages.items() if age and age > STALE_SECONDS)
        found = {name: trouble() for name, trouble in self.room.troubles.items()}
        walls = await asyncio.to_thread(self.room.sandbox)
        found["sandbox"] = (walls.reason or None) if walls else None
        troubles = {name: why for name, why in found.items() if why is not None}
        whole = database and not stale and not troubles
        said = {"ok": whole, "database": database, "seconds_since": ages, "stale": stale}
        said |= {"troubles": troubles, "sandbox": walls.name if walls else None}
        return JSONResponse(said, 200 if whole else 503)

    def _ages(self) -> dict[str, float | None]:
        return {name: beat() for name, beat in self.room.beats.items()}

    async def _found(self, request: Request) -> Incident:
        return await self._find(f"INC-{request.path_params['number']}", inputs.person(request))

    async def _find(self, text: str, person: Person) -> Incident:
        return await asyncio.to_thread(facts_of.find, self.room, text, person)

    async def _answer(
        self, request: Request, said: Said, thread: str | None, line: str
    ) -> Response:
        for name in {said.incident, thread} - {None}:
            if (digits := str(name).removeprefix("INC-")).isdecimal():
                self.live.forget(int(digits))
        if not answers.wants_page(request):
            return JSONResponse(_said(said), 200 if said.accepted else 422)
        if said.accepted and said.incident and (said.incident != thread or not line):
            return RedirectResponse(f"/{said.incident}", 303)
        typed = "" if said.accepted else line
        if not thread:
            return await self._home(request, said, typed)
        incident = await self._find(thread, inputs.person(request))
        return await self._incident(request, incident, said, typed)

    async def _home(self, request: Request, said: Said | None = None, typed: str = "") -> Response:
        incidents = await self.live.incidents(inputs.person(request))
        now = await asyncio.to_thread(self.room.now)
        return _page(
            "home",
            said,
            incidents=incidents,
            parts={"list": parts.listing(incidents, None)},
            services=sorted(self.room.access().services),
            now=now,
            typed=typed,
            thread="",
        )

    async def _incident(
        self, request: Request, incident: Incident, said: Said | None = None, typed: str = ""
    ) -> Response:
        person = inputs.person(request)
        moment = await self.live.moment(incident.number)
        beside = parts.beside(moment.facts, moment.questions, person, moment.access)
        beside["list"] = parts.listing(await self.live.incidents(person), incident.id)
        return _page(
            "incident",
            said,
            incident=moment.facts.incident,
            posts=[
                parts.post(post, moment.approval_of(post), moment.facts, person)
                for post in moment.thread
            ],
            parts=beside,
            after=moment.version,
            now=moment.facts.now,
            typed=typed,
            thread=incident.id,
        )

    def _review(self, incident: Incident, text: str, said: Said | None, now: object) -> Response:
        return _page("review", said, incident=incident, typed=text, now=now)


def create(room: Room) -> Starlette:
    """Return the war room over a room; `app.state.live` ends its streams."""
    war = WarRoom(room)
    app = Starlette(
        routes=[
            Route("/", war.home),
            Route("/INC-{number:int}", war.incident),
            Route("/INC-{number:int}/review", war.review),
            Route("/stream", war.stream),
            Route("/stream/INC-{number:int}", war.stream),
            Route("/say", war.say, methods=["POST"]),
            Route("/vote", war.vote, methods=["POST"]),
            Route("/withdraw", war.withdraw, methods=["POST"]),
            Route("/publish", war.publish, methods=["POST"]),
            Route("/complete", war.complete),
            Route("/files/{post:int}/{number:int}", war.file),
            Route("/api/incidents", war.api_list),
            Route("/api/incidents/INC-{number:int}", war.api_incident),
            Route("/api/incidents/INC-{number:int}/timeline", war.api_timeline),
            Route("/healthz", war.health),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, room=room)],
        exception_handlers={
            HTTPException: _http_trouble,
            errors.HalonError: _halon_trouble,
            Exception: _bug,
        },
    )
    app.state.live = war.live
    return app


def _page(template: str, said: Said | None, **values: object) -> Response:
    wrong = said is not None and not said.accepted
    answer = None if said is None else _said(said)["html"]
    drawn = pages.render(template, answer=answer, wrong=wrong, **values)
    return HTMLResponse(drawn, 422 if wrong else 200)


def _said(said: Said) -> Json:
    drawn = pages.render("reply", text=said.text, try_this=said.try_this, wrong=not said.accepted)
    return {
        "reply": said.text,
        "accepted": said.accepted,
        "incident": said.incident,
        "try_this": said.try_this,
        "html": drawn,
    }


async def _http_trouble(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return answers.trouble(request, 404, "There is no such page.", "Look at all incidents.")
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return answers.trouble(request, status, detail, "Change it and send it again.")


async def _halon_trouble(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS_OF if isinstance(error, kind)), 500)
    do = "Try again in a moment." if status == 503 else "Look at all incidents."
    message = error.message if isinstance(error, errors.HalonError) else str(error)
    return answers.trouble(request, status, message, do)


async def _bug(request: Request, error: Exception) -> Response:
    return answers.trouble(
        request,
        500,
        "The war room made a mistake; nothing already recorded is lost.",
        "Reload the page. If it stays, `halon incident show` works without the war room; "
        "the bot's log has the details.",
    )
