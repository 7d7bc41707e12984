"""The order as the order management system (OMS) keeps it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.base import Value
from domain.money import CurrencyCode, Money
from domain.shipment import Shipment


class OrderState(StrEnum):
    OPEN = "open"
    PARTIALLY_CANCELLED = "partially_cancelled"
    CANCELLED = "cancelled"


class OrderFlag(StrEnum):
    FRAUD_REVIEW = "fraud_review"
    FINAL_SALE = "final_sale"
    EU_CONSUMER = "eu_consumer"


class TenderKind(StrEnum):
    CARD = "card"
    GIFT_CARD = "gift_card"
    STORE_CREDIT = "store_credit"


class Tender(Value):
    """What the customer paid a part of the order with. `reference` is the payment at the gateway for a card, the
    account in the order book for a gift card or store credit."""

    tender_id: str
    kind: TenderKind
    amount: Money
    reference: str


class OrderLine(Value):
    """`total` is what the customer owes for all `quantity` units, after order discounts and with tax (`tax` is the part
    of it that is tax). `cancelled` units have left the order already."""

    line_id: str
    sku: str
    title: str
    quantity: Annotated[int, Field(ge=1)]
    total: Money
    tax: Money
    cancelled: Annotated[int, Field(ge=0)] = 0

    @property
    def remaining(self) -> int:
        return self.quantity - self.cancelled

    def value_of(self, quantity: int) -> Money:
        """What the next `quantity` units to cancel are worth, by cumulative shares: the last unit takes the rest."""
        return self.total.share(self.cancelled + quantity, self.quantity) - self.total.share(
            self.cancelled, self.quantity
        )

    def tax_of(self, quantity: int) -> Money:
        return self.tax.share(self.cancelled + quantity, self.quantity) - self.tax.share(self.cancelled, self.quantity)


class Order(Value):
    """`shipping` is the shipping charge with its tax; `shipping_credited` the part given back already.
    `held_by` names the cancellation that froze the order."""

    order_id: str
    customer_id: str
    placed_at: datetime
    currency: CurrencyCode
    state: OrderState
    lines: tuple[OrderLine, ...]
    tenders: tuple[Tender, ...]
    shipments: tuple[Shipment, ...]
    shipping: Money
    shipping_credited: Money
    flags: frozenset[OrderFlag] = frozenset()
    held_by: str | None = None

    def line(self, line_id: str) -> OrderLine | None:
        return next((line for line in self.lines if line.line_id == line_id), None)
