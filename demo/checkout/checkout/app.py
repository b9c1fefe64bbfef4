"""Requests to answers, without sockets: used by `server` in production and by `replay`.

`App.handle` is the boundary of the service: whatever fails below becomes a 5xx and one line in the
error log, and the next request is served as if nothing had been.
"""

import json
import time
import traceback
from dataclasses import dataclass
from typing import Protocol

from checkout import errors
from checkout.journal import Label
from checkout.payment import ProviderFailed
from checkout.shop import Shop


@dataclass(frozen=True)
class Request:
    """One HTTP request, read to its end."""

    method: str
    path: str
    body: bytes = b""
    request_id: str = "-"


@dataclass(frozen=True)
class Response:
    """The answer: a status and a JSON object."""

    status: int
    content: dict[str, object]


class Log(Protocol):
    """Where the app notes what it did."""

    def access(self, **fields: object) -> None:
        """Note an answered request."""

    def error(self, **fields: object) -> None:
        """Note a request that could not be served."""


class App:
    """The routes of the service."""

    def __init__(self, shop: Shop, log: Log, label: Label) -> None:
        self._shop = shop
        self._log = log
        self._label = label

    def handle(self, request: Request) -> Response:
        """Answer a request; never raises."""
        begin = time.perf_counter()
        response = self._answer(request)
        # Probes are not users: they would water down the error rate of a quiet service.
        if request.path != "/healthz":
            self._log.access(
                method=request.method,
                path=request.path,
                status=response.status,
                ms=round((time.perf_counter() - begin) * 1000, 2),
                request_id=request.request_id,
            )
        return response

    def _answer(self, request: Request) -> Response:
        try:
            return Response(200, self._route(request))
        except errors.Rejected as rejected:
            return Response(rejected.status, {"error": str(rejected)})
        except TimeoutError as error:
            return self._failed(request, 504, "payment provider too slow", error)
        except (ConnectionError, ProviderFailed) as error:
            return self._failed(request, 502, "payment provider unavailable", error)
        except Exception as error:
            return self._failed(request, 500, "internal error", error)

    def _route(self, request: Request) -> dict[str, object]:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["healthz"]:
                return {"status": "ok", "revision": self._label.revision}
            case "GET", ["cart", text]:
                return self._shop.show_cart(text)
            case "POST", ["checkout"]:
                return self._shop.place(_read_json(request.body))
            case _:
                raise errors.Rejected(f"nothing at {request.method} {request.path}", status=404)

    def _failed(self, request: Request, status: int, text: str, error: Exception) -> Response:
        self._log.error(
            message=f"{request.method} {request.path.partition('?')[0]} failed: {text}",
            exception=type(error).__name__,
            traceback="".join(traceback.format_exception(error)),
            request_id=request.request_id,
            request={
                "method": request.method,
                "path": request.path,
                "body": _readable(request.body),
            },
        )
        return Response(status, {"error": text, "request_id": request.request_id})


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise errors.Rejected("the body is not JSON", status=400) from error


def _readable(body: bytes) -> object:
    """Return a body as the log keeps it: as JSON where it is JSON, else as text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")
