"""What every route answers with when something is not as it should be: a page, or a JSON object.

Called by `bot.web.guard` and `bot.web.app`. Says what is wrong and what to do, and carries the
same headers as everything else, since errors are answered outside the guard.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from bot.web import pages

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def wants_page(request: Request) -> bool:
    """Return whether a browser asks for a page rather than a program for data."""
    return "text/html" in request.headers.get("accept", "")


def trouble(request: Request, status: int, headline: str, what_to_do: str) -> Response:
    """Return what went wrong and what to do."""
    if not wants_page(request):
        said = {"error": headline, "do": what_to_do.replace("`", "")}
        return JSONResponse(said, status, HEADERS)
    drawn = pages.render(
        "trouble",
        status=status,
        headline=headline,
        what_to_do=what_to_do,
        home=status not in (401, 403),
    )
    return HTMLResponse(drawn, status, HEADERS)


def bounce(to: str) -> Response:
    """Return a page that goes on to another of ours: a navigation that starts here."""
    return HTMLResponse(pages.render("bounce", to=to))
