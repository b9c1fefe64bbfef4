"""Answers to requests, without sockets."""

import dataclasses
import json
import socket
import unittest

from checkout import settings
from checkout.app import App, Request
from checkout.journal import Label
from checkout.payment import PaymentClient
from tests import shops


class Log:
    """Keeps what the app notes."""

    def __init__(self) -> None:
        self.requests: list[dict[str, object]] = []
        self.errors: list[dict[str, object]] = []

    def access(self, **fields: object) -> None:
        """Keep an answered request."""
        self.requests.append(fields)

    def error(self, **fields: object) -> None:
        """Keep a failed request."""
        self.errors.append(fields)


class AppTest(unittest.TestCase):
    """The routes and the boundary."""

    def setUp(self) -> None:
        """Make an app with a log to look at."""
        self.log = Log()
        self.shop = shops.open_shop(shops.Provider())
        self.app = App(self.shop, self.log, Label("stable", "abc"))

    def ask(self, method: str, path: str, body: object = None) -> int:
        """The status of an answer."""
        return self.app.handle(Request(method, path, json.dumps(body).encode())).status

    def test_health_names_the_revision_and_is_not_logged(self) -> None:
        answer = self.app.handle(Request("GET", "/healthz"))
        self.assertEqual(("abc", []), (answer.content["revision"], self.log.requests))

    def test_a_mistake_of_the_client_is_a_4xx(self) -> None:
        self.assertEqual(
            [400, 404, 422, 422],
            [
                self.app.handle(Request("POST", "/checkout", b"{")).status,
                self.ask("GET", "/nothing"),
                self.ask("POST", "/checkout", {}),
                self.ask("GET", "/cart/coffee:1"),
            ],
        )
        self.assertEqual([], self.log.errors)

    def test_a_fault_of_ours_keeps_request_and_traceback(self) -> None:
        self.app = App(None, self.log, Label())  # type: ignore[arg-type]
        self.assertEqual(500, self.ask("POST", "/checkout", {"items": []}))
        (error,) = self.log.errors
        self.assertEqual(
            {"method": "POST", "path": "/checkout", "body": {"items": []}}, error["request"]
        )
        self.assertIn("AttributeError", str(error["traceback"]))

    def test_no_payment_provider_is_a_502(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))  # bound, not listening: whoever connects is refused
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            terms = dataclasses.replace(settings.load().payment, url=url)
            self.shop.payment = PaymentClient(terms)
            self.assertEqual(502, self.ask("POST", "/checkout", shops.order()))
        self.assertEqual("ConnectionRefusedError", self.log.errors[0]["exception"])
