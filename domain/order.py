"""The order as the order management system (OMS) keeps it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.base import Rare, Value
from domain.country import CountryAsWritten
from domain.earlier import EarlierReversal
from domain.money import CurrencyCode, Money
from domain.shipment import Shipment


class OrderState(StrEnum):
    OPEN = "open"
    PARTIALLY_CANCELLED = "partially_cancelled"
    CANCELLED = "cancelled"


class OrderFlag(StrEnum):
    FRAUD_REVIEW = "fraud_review"
    EU_CONSUMER = "eu_consumer"


class SaleCondition(StrEnum):
    """Under which condition a line was sold. The policy says what that means for a customer who changes their mind."""

    REGULAR = "regular"
    FINAL_SALE = "final_sale"
    CUSTOMISED = "customised"


class TenderKind(StrEnum):
    """`marketplace`: the marketplace took the buyer's money, settles it and gives it back. Ours is the seller's share."""

    CARD = "card"
    GIFT_CARD = "gift_card"
    STORE_CREDIT = "store_credit"
    MARKETPLACE = "marketplace"

    @property
    def is_stored_value(self) -> bool:
        """Its money is on an account of the merchant's own."""
        return self in {self.GIFT_CARD, self.STORE_CREDIT}


class Tender(Value):
    """What the customer paid a part of the order with. `reference` is the payment at the gateway for a card, the account
    of a gift card or store credit, the sale's number at the marketplace. `earlier_reversals` are what earlier
    cancellations did to that payment; the order management system does not know them."""

    tender_id: str
    kind: TenderKind
    amount: Money
    reference: str
    earlier_reversals: tuple[EarlierReversal, ...] = ()

    def is_paid_with(self, other: "Tender") -> bool:
        """Whether both are parts of one card payment."""
        cards = self.kind is TenderKind.CARD is other.kind and self.reference == other.reference
        return cards and self.tender_id != other.tender_id and self.amount.currency == other.amount.currency


class OrderLine(Value):
    """`total` is what the customer owes for all `quantity` units, with tax (`tax` is the part of it that is tax) and before
    a discount on the order as a whole. `cancelled` units have left the order already."""

    line_id: str
    sku: str
    title: str
    quantity: Annotated[int, Field(ge=1)]
    total: Money
    tax: Money
    cancelled: Annotated[int, Field(ge=0)] = 0
    condition: SaleCondition = SaleCondition.REGULAR

    @property
    def remaining(self) -> int:
        return self.quantity - self.cancelled

    def after(self, units: int) -> "OrderLine":
        """The line when so many more units have left the order."""
        return self.model_copy(update={"cancelled": self.cancelled + units})

    # Rule: A unit of a line is worth its share, and the last unit takes the rest
    def value_of(self, quantity: int) -> Money:
        """What the next `quantity` units to cancel are worth, by cumulative shares: the last unit takes the rest."""
        return self.total.share(self.cancelled + quantity, self.quantity) - self.total.share(
            self.cancelled, self.quantity
        )

    def tax_of(self, quantity: int) -> Money:
        return self.tax.share(self.cancelled + quantity, self.quantity) - self.tax.share(self.cancelled, self.quantity)


class Contact(Value):
    """Where the customer is written to. `language` as an IETF language tag."""

    email: str
    language: str = "en"


class Order(Value):
    """`shipping` is the shipping charge with its tax (`shipping_tax`). `discount` is on the order as a whole, goods and
    shipping; one on goods alone is in their lines. `country` is where it is delivered to (ISO 3166-1, two letters). What the
    order management system does not know, because our own cancellations did it, is laid over (domain/known_order.py):
    `shipping_credited` is the part of the shipping charge that they gave back, `given_without_approval` what they gave back
    without a second person, and `held_by` names the one that is under way. `not_closable` says why nothing could be taken
    out of it at this moment, such as because staff is changing it: no money moves before that has ended."""

    order_id: str
    customer_id: str
    placed_at: datetime
    currency: CurrencyCode
    lines: tuple[OrderLine, ...]
    tenders: tuple[Tender, ...]
    shipments: tuple[Shipment, ...]
    shipping: Money
    shipping_tax: Money | None = None
    discount: Money | None = None
    country: CountryAsWritten | None = None
    flags: frozenset[OrderFlag] = frozenset()
    contact: Contact | None = None
    shipping_credited: Money | None = None
    given_without_approval: Rare[Money] = None
    held_by: str | None = None
    not_closable: Rare[str] = None

    @property
    def state(self) -> OrderState:
        """By the units that have left the order."""
        if all(line.remaining == 0 for line in self.lines):
            return OrderState.CANCELLED
        return OrderState.PARTIALLY_CANCELLED if any(line.cancelled for line in self.lines) else OrderState.OPEN

    @property
    def shipping_given_back(self) -> Money:
        return Money.zero(self.currency) if self.shipping_credited is None else self.shipping_credited

    def is_of(self, customer_id: str | None) -> bool:
        """None: whoever asks is no customer, and may ask about any order."""
        return customer_id in {None, self.customer_id}

    @property
    def price(self) -> Money:
        """What goods and shipping cost before the discount on the order as a whole."""
        return Money.total((line.total for line in self.lines), self.currency) + self.shipping

    # Rule: A discount on the order is divided among its lines and the shipping charge
    def discounted(self) -> "Order":
        """The order with its discount in what it was granted on, the lines and the shipping charge, by what they cost.
        Always the same way, because it goes by the order as it was sold. Their taxes shrink too."""
        if not self.discount:
            return self
        *parts, of_shipping = self.discount.split([*(line.total.amount for line in self.lines), self.shipping.amount])
        lines = tuple(
            line.model_copy(
                update={"total": line.total - part, "tax": _tax_after(line.tax, line.total, line.total - part)}
            )
            for line, part in zip(self.lines, parts, strict=True)
        )
        shipping = self.shipping - of_shipping
        tax = _tax_after(self.shipping_tax, self.shipping, shipping) if self.shipping_tax is not None else None
        return self.model_copy(update={"lines": lines, "shipping": shipping, "shipping_tax": tax, "discount": None})

    # Rule: An order has one tender for each payment
    def by_payment(self) -> "Order":
        """The order with one tender for each payment: what a shop keeps as several tenders on one payment, under the first
        one's id, is one sum at the gateway, which captures, releases and refunds it together."""
        tenders: list[Tender] = []
        for tender in self.tenders:
            at = next((at for at, first in enumerate(tenders) if tender.is_paid_with(first)), None)
            if at is None:
                tenders.append(tender)
            else:
                tenders[at] = tenders[at].model_copy(update={"amount": tenders[at].amount + tender.amount})
        return self.model_copy(update={"tenders": tuple(tenders)})

    def line(self, line_id: str) -> OrderLine | None:
        return next((line for line in self.lines if line.line_id == line_id), None)


def _tax_after(tax: Money, before: Money, after: Money) -> Money:
    return tax.share(after.amount, before.amount) if before else tax
