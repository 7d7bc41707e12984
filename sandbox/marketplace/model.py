"""Sales and what is cancelled of them: the stand-in's own words and the messages of its `/sandbox` endpoints.

Amounts are integers of minor units, in the currency of the sale.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

MARKETPLACE_KEY = "sandbox-marketplace-key"
TAX = "VAT"
"""The code of the one tax there is."""


class LineState(StrEnum):
    """Those of Mirakl's that occur here."""

    WAITING_DEBIT_PAYMENT = "WAITING_DEBIT_PAYMENT"
    SHIPPING = "SHIPPING"
    SHIPPED = "SHIPPED"
    CANCELED = "CANCELED"
    REFUNDED = "REFUNDED"


class RefundState(StrEnum):
    WAITING_REFUND = "WAITING_REFUND"
    WAITING_REFUND_PAYMENT = "WAITING_REFUND_PAYMENT"
    REFUNDED = "REFUNDED"


class Kind(StrEnum):
    CANCELATION = "CANCELATION"
    REFUND = "REFUND"


class Actor(StrEnum):
    SELLER = "seller"
    MARKETPLACE = "marketplace"
    BUYER = "buyer"


REASONS = {Kind.CANCELATION: {"34", "35"}, Kind.REFUND: {"14", "15", "16", "17", "18", "19"}}
"""The codes that Mirakl starts with."""


class Cancelation(BaseModel):
    """Of this many `units`; `quantity` is what is reported of them, 0 where nobody said. `state` is that of a refund."""

    id: str
    kind: Kind
    units: int
    quantity: int
    amount: int
    shipping: int = 0
    tax: int = 0
    fees: dict[str, int] = {}
    commission: int
    reason_code: str
    state: RefundState | None
    at: datetime


class SoldLine(BaseModel):
    """`price` is of all units, without tax, `commission` is the marketplace's on price and shipping. `fees` are what the
    buyer pays besides, each under its code."""

    id: str
    quantity: Annotated[int, Field(ge=1)]
    price: int
    shipping: int = 0
    tax: int = 0
    fees: dict[str, int] = {}
    commission: int = 0
    state: LineState = LineState.SHIPPING
    cancelled: list[Cancelation] = []

    @property
    def units_left(self) -> int:
        return self.quantity - sum(cancelation.units for cancelation in self.cancelled)

    @property
    def price_left(self) -> int:
        return self.price - sum(cancelation.amount for cancelation in self.cancelled)

    @property
    def shipping_left(self) -> int:
        return self.shipping - sum(cancelation.shipping for cancelation in self.cancelled)

    @property
    def tax_left(self) -> int:
        return self.tax - sum(cancelation.tax for cancelation in self.cancelled)

    @property
    def commission_left(self) -> int:
        return self.commission - sum(cancelation.commission for cancelation in self.cancelled)

    @property
    def fees_left(self) -> dict[str, int]:
        return {
            code: fee - sum(cancelation.fees.get(code, 0) for cancelation in self.cancelled)
            for code, fee in self.fees.items()
        }


class Sale(BaseModel):
    """`charged`: the marketplace has taken the buyer's money already, so that units are refunded and not cancelled.
    `tax_for_seller`: the seller is paid the taxes; otherwise the marketplace hands them on itself. `takes_off`: a line shows
    the amounts that are left of it, and not those that it was sold for."""

    order_id: str
    currency: str
    lines: Annotated[list[SoldLine], Field(min_length=1)]
    charged: bool = True
    tax_for_seller: bool = True
    takes_off: bool = False


class Withdrawal(BaseModel):
    """What `by` takes back of a line, besides the seller: the price of a number of units, or an `amount`. `reports_quantity`
    False: Mirakl calls a quantity informative."""

    line_id: str
    quantity: Annotated[int, Field(ge=0)]
    amount: Annotated[int, Field(ge=1)] | None = None
    by: Actor = Actor.MARKETPLACE
    reports_quantity: bool = True


class EffectKind(StrEnum):
    CANCELLED = "line.cancelled"
    REFUND_REQUESTED = "line.refund_requested"
    REFUNDED = "line.refunded"


class Effect(BaseModel):
    """Something that was committed. `object` is the order id, `reference` the id of the cancelation."""

    kind: EffectKind
    object: str
    line_id: str
    reference: str
    quantity: int
    by: Actor
    at: datetime


class Operation(StrEnum):
    """What can be made to fail. Each is the name of its route."""

    ORDERS_READ = "orders.read"
    ORDERS_CANCEL = "orders.cancel"
    ORDERS_REFUND = "orders.refund"


class FaultKind(StrEnum):
    REFUSE = "refuse"
    HTTP_401 = "http_401"
    """The key does not hold any more."""
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    HTTP_500_AFTER_COMMIT = "http_500_after_commit"
    DROP_BEFORE_COMMIT = "drop_before_commit"
    DROP_AFTER_COMMIT = "drop_after_commit"


class Fault(BaseModel):
    """It begins `after` some calls. `seconds` is the Retry-After of `http_429`. `order_id` None means any order."""

    operation: Operation
    fault: FaultKind
    times: Annotated[int, Field(ge=1)] = 1
    after: Annotated[int, Field(ge=0)] = 0
    order_id: str | None = None
    seconds: int = 2
