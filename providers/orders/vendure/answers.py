"""What Vendure's Admin API answers, as far as the adapter reads it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import ConfigDict, Field

from domain.order import SaleCondition
from domain.units import units_by_line
from providers.orders.vendure.api import Answer

_SHIPPED = {"Shipped", "Delivered"}
CANCELLED = "Cancelled"
_FAILED = "Failed"


class _Code(Answer):
    code: str


class _Product(Answer):
    facet_values: tuple[_Code, ...] = ()


class VariantFields(Answer):
    sale_condition: SaleCondition | None = None


class _Variant(_Product):
    name: str
    sku: str
    product: _Product
    custom_fields: VariantFields | None = None

    @property
    def facet_codes(self) -> frozenset[str]:
        return frozenset(value.code for value in (*self.facet_values, *self.product.facet_values))


class Line(Answer):
    """Amounts are of the units that remain, or of one unit."""

    id: str
    quantity: int
    order_placed_quantity: int
    unit_price: int
    unit_price_with_tax: int
    prorated_line_price: int
    prorated_line_price_with_tax: int
    product_variant: _Variant


class _Customer(Answer):
    id: str
    email_address: str


class _Address(Answer):
    country_code: str | None = None


class _Surcharge(Answer):
    price: int
    price_with_tax: int


class _RefundData(Answer):
    """Other payment methods may keep anything here."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    cancellation_id: str | None = None


class _Refund(Answer):
    """`metadata` names the cancellation that has noted it."""

    state: str
    total: int
    transaction_id: str | None = None
    metadata: _RefundData | None = None

    @property
    def noted_by(self) -> str | None:
        return self.metadata.cancellation_id if self.metadata else None

    def is_of_staff(self, reference: str) -> bool:
        """Whether it is this refund, made in Vendure itself."""
        return self.noted_by is None and self.state != _FAILED and self.transaction_id == reference


class Payment(Answer):
    id: str
    method: str
    amount: int
    state: str
    transaction_id: str | None = None
    refunds: tuple[_Refund, ...] = ()

    def refunded_by_others(self, cancellation_id: str) -> int:
        """What Vendure has of it as given back, without what this cancellation has noted."""
        others = (refund for refund in self.refunds if refund.noted_by != cancellation_id)
        return sum(refund.total for refund in others if refund.state != _FAILED)

    @property
    def pays(self) -> bool:
        return self.state in {"Authorized", "Settled"}


class UnitsOfLine(Answer):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    order_line_id: str
    quantity: int

    @property
    def line_id(self) -> str:
        return self.order_line_id


class FulfillmentFields(Answer):
    carrier: str | None = None
    label_reference: str | None = None


class Fulfillment(Answer):
    id: str
    state: str
    method: str
    tracking_code: str | None = None
    lines: tuple[UnitsOfLine, ...]
    custom_fields: FulfillmentFields | None = None

    @property
    def is_cancelled(self) -> bool:
        return self.state == CANCELLED


class _HistoryKind(StrEnum):
    CANCELLATION = "ORDER_CANCELLATION"
    FULFILLMENT = "ORDER_FULFILLMENT_TRANSITION"


class _HistoryData(Answer):
    """Its ids are those of the database, which may be numbers where all other ids are texts."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    lines: tuple[UnitsOfLine, ...] = ()
    fulfillment_id: str | None = None
    to: str | None = None


class HistoryEntry(Answer):
    type: _HistoryKind
    data: _HistoryData


class History(Answer):
    total_items: int
    items: tuple[HistoryEntry, ...]


class OrderFields(Answer):
    held_by_cancellation: str | None = None
    fraud_review: bool | None = None
    eu_consumer: bool | None = None


class VendureOrder(Answer):
    id: str
    code: str
    state: str
    next_states: tuple[str, ...]
    order_placed_at: datetime | None = None
    currency_code: str
    customer: _Customer | None = None
    shipping_address: _Address | None = None
    lines: tuple[Line, ...]
    surcharges: tuple[_Surcharge, ...]
    shipping: int
    shipping_with_tax: int
    payments: tuple[Payment, ...] | None = None
    fulfillments: tuple[Fulfillment, ...] | None = None
    history: History
    custom_fields: OrderFields | None = None

    @property
    def paid_by(self) -> Sequence[Payment]:
        return [payment for payment in self.payments or () if payment.pays]

    def find_fulfillment(self, fulfillment_id: str) -> Fulfillment | None:
        return next((found for found in self.fulfillments or () if found.id == fulfillment_id), None)

    def was_shipped(self, fulfillment: Fulfillment) -> bool:
        """At any time. Once it is cancelled, its state does not say so any more."""
        return fulfillment.state in _SHIPPED or any(
            entry.data.fulfillment_id == fulfillment.id and entry.data.to in _SHIPPED for entry in self.history.items
        )

    def list_own_parts(self, fulfillment: Fulfillment) -> Sequence[UnitsOfLine]:
        """The units of this order in it."""
        own = {line.id for line in self.lines}
        return [part for part in fulfillment.lines if part.line_id in own]

    def is_shared(self, fulfillment: Fulfillment) -> bool:
        """Goods of other orders are in it too: staff may pack several orders together."""
        return len(self.list_own_parts(fulfillment)) < len(fulfillment.lines)

    @property
    def can_become_cancelled(self) -> bool:
        return self.state == CANCELLED or CANCELLED in self.next_states

    @property
    def cancelled_units(self) -> Counter[str]:
        """By line, the units that were ever cancelled."""
        return units_by_line(part for entry in self.history.items for part in entry.data.lines)


class _Orders(Answer):
    items: tuple[VendureOrder, ...]


class _Channel(Answer):
    default_language_code: str


class _ServerConfig(Answer):
    money_strategy_precision: int


class _GlobalSettings(Answer):
    server_config: _ServerConfig


class FoundOrders(Answer):
    orders: _Orders
    active_channel: _Channel
    global_settings: _GlobalSettings


class _Plugin(Answer):
    version: str


class FoundPlugin(Answer):
    order_cancellation_plugin: _Plugin


class ErrorResult(Answer):
    """Vendure answers an error in place of the result. Without `error_code` it is no error."""

    error_code: str | None = None
    message: str = ""
    transition_error: str = ""
    fulfillment_handler_error: str = ""

    @property
    def reason(self) -> str:
        return self.transition_error or self.fulfillment_handler_error or self.message


class ChangeResult(Answer):
    result: ErrorResult


class HoldAnswer(StrEnum):
    HELD = "HELD"
    HELD_BY_ANOTHER = "HELD_BY_ANOTHER"
    RELEASED = "RELEASED"


class HoldResult(Answer):
    result: HoldAnswer


class Done(Answer):
    """The change was made. Nothing of the answer is read."""


class Snapshot(Answer):
    """An order, with what it takes to convert it."""

    order: VendureOrder
    placed_at: datetime
    language: str
    precision: int = Field(ge=0)
