"""The client of the payment provider: one HTTP call per charge.

A provider that cannot be reached stays the error it is (ConnectionRefusedError, TimeoutError), with
a note that says who did not answer. A charge is never repeated here: it may have been made.
"""

import http.client
import json
from typing import Protocol
from urllib.parse import urlsplit

from checkout import errors
from checkout.settings import Payment


class ProviderFailed(Exception):
    """The provider answered, but with an error of its own."""


class Charges(Protocol):
    """What the shop needs of a payment provider."""

    def charge(self, cents: int, card: str, reference: str) -> str:
        """Take the money and return the provider's receipt."""


class PaymentClient:
    """The provider behind an HTTP address."""

    def __init__(self, terms: Payment) -> None:
        self._url = terms.url
        self._address = urlsplit(terms.url).netloc
        self._timeout = terms.timeout_seconds

    def charge(self, cents: int, card: str, reference: str) -> str:
        """Charge a card and return the receipt; a declined card is the customer's affair."""
        body = {"amount": cents, "card": card, "reference": reference}
        status, answer = self._call("POST", "/charge", json.dumps(body))
        if status == 402:
            raise errors.Rejected("the card was declined", status=402)
        if status != 200:
            raise ProviderFailed(f"payment provider at {self._url} answered {status}")
        return str(answer["receipt"])

    def _call(self, method: str, path: str, body: str) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError as error:
            error.add_note(f"payment provider at {self._url} did not answer")
            raise
        finally:
            connection.close()
