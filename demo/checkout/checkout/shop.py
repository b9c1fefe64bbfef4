"""The main flow: an order is read, priced, paid and written down, in this order."""

from pathlib import Path

from checkout import baskets, customers, errors, orders, pricing, vouchers
from checkout.baskets import Catalogue
from checkout.customers import GUEST, Customers
from checkout.delivery import Address
from checkout.orders import OrderBook
from checkout.payment import Charges, PaymentClient
from checkout.settings import Settings


class Shop:
    """What the service does, without a word of HTTP."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        accounts: Customers,
        payment: Charges,
        book: OrderBook,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.accounts = accounts
        self.payment = payment
        self.book = book

    def place(self, body: object) -> dict[str, object]:
        """Take an order: price it, charge the card, write it down."""
        order = orders.read(body, self.catalogue, self.settings.countries)
        customer = self.accounts.find(order.customer)
        voucher = vouchers.find(order.voucher, self.settings.vouchers)
        quote = pricing.quote(order.basket, customer, order.address, self.settings, voucher)

        card = order.card
        if not card and customer.payment_method is not None:
            card = customer.payment_method.token
        if not card:
            raise errors.Rejected("a card is needed")

        # The number comes before the charge: the provider's records then name our order.
        number = orders.new_number()
        receipt = self.payment.charge(quote.total, card, reference=number)
        entry: dict[str, object] = {
            "order": number,
            "customer": customer.number,
            "total": quote.total,
            "delivery": quote.delivery,
            "vat": quote.vat,
            "currency": self.settings.currency,
            "receipt": receipt,
        }
        self.book.add(entry)
        return entry

    def show_cart(self, text: str) -> dict[str, object]:
        """Price a cart written as `sku:quantity,sku:quantity` for a guest at home."""
        items = [_item(part) for part in text.split(",")]
        basket = baskets.fill(items, self.catalogue)
        quote = pricing.quote(basket, GUEST, Address("DE", "10115"), self.settings)
        return {
            "items": items,
            "grams": basket.grams,
            "subtotal": quote.subtotal,
            "delivery": quote.delivery,
            "total": quote.total,
            "currency": self.settings.currency,
        }


def _item(part: str) -> dict[str, object]:
    sku, _, quantity = part.partition(":")
    if quantity and not quantity.isdecimal():
        raise errors.Rejected(f"not a quantity: {quantity!r}")
    return {"sku": sku, "quantity": int(quantity or 1)}


def open_shop(settings: Settings, book: Path | None = None) -> Shop:
    """Put the shop together from its settings; this alone knows the concrete parts."""
    return Shop(
        settings,
        baskets.load_catalogue(),
        customers.load(),
        PaymentClient(settings.payment),
        OrderBook(book),
    )
