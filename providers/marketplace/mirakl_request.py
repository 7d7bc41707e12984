"""What the seller asks Mirakl for: units of lines, with all that goes back with them (OR28, OR30)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import PlainSerializer

from domain.base import Value
from domain.money import exponent
from domain.request import ReasonCode
from providers.marketplace.mirakl_order import Line, Order, Total


class Way(StrEnum):
    """The name of a call's list."""

    CANCEL = "cancelations"
    REFUND = "refunds"

    @property
    def path(self) -> str:
        return "/api/orders/cancel" if self is Way.CANCEL else "/api/orders/refund"

    def standard_reason(self, reason: ReasonCode) -> str:
        """Of the codes that Mirakl starts with: out of stock, or cancelled by the client prior to shipping."""
        if reason is ReasonCode.OUT_OF_STOCK:
            return "35" if self is Way.CANCEL else "15"
        return "34" if self is Way.CANCEL else "16"


# Mirakl takes numbers. A float is good enough to write one: up to 15 digits it comes out as the decimal that went in.
_Number = Annotated[Decimal, PlainSerializer(float)]
_Part = Callable[[Decimal, Decimal], Decimal]


class _AskedCoded(Value):
    code: str
    amount: _Number


class Asked(Value):
    """One element of the list of either call."""

    order_line_id: str
    quantity: int
    amount: _Number
    shipping_amount: _Number
    currency_iso_code: str
    reason_code: str
    taxes: tuple[_AskedCoded, ...] | None = None
    shipping_taxes: tuple[_AskedCoded, ...] | None = None
    fees: tuple[_AskedCoded, ...] | None = None
    excluded_from_shipment: bool | None = None


class _Portion:
    """What `units` more of a line take along."""

    def __init__(self, order: Order, line: Line, units: int) -> None:
        self._order = order
        gone = order.units_gone(line)
        self._units = (gone, gone + units, line.units)

    def by_unit(self, whole: Decimal, done: Decimal) -> Decimal:
        """The last unit takes what is left."""
        gone, after, all_units = self._units
        total, rest = self._order.money(whole), self._order.money(whole - done)
        if after < all_units:
            rest = min(rest, total.share(after, all_units) - total.share(gone, all_units))
        return Decimal(rest.amount).scaleb(-exponent(rest.currency))

    def with_the_last(self, whole: Decimal, done: Decimal) -> Decimal:
        return whole - done if self._units[1] == self._units[2] else Decimal()

    def by_code(
        self, whole: Mapping[str, Decimal], done: Mapping[str, Decimal], part: _Part
    ) -> tuple[_AskedCoded, ...]:
        return tuple(
            _AskedCoded(code=code, amount=part(amount, done.get(code, Decimal()))) for code, amount in whole.items()
        )

    def taxes(
        self, whole: Mapping[str, Decimal], done: Mapping[str, Decimal], part: _Part
    ) -> tuple[_AskedCoded, ...] | None:
        if not whole or (self._order.taxed_as_a_whole and self._order.order_tax_mode == "TAX_EXCLUDED"):
            return None  # The second: Mirakl computes them on the level of the order, and takes none.
        return self.by_code(whole, done, part)


def ask_for(order: Order, line: Line, units: int, way: Way, reason_code: str) -> Asked:
    portion, sold, done = _Portion(order, line, units), line.sold, Total(line.cancelled)
    return Asked(
        order_line_id=line.order_line_id,
        quantity=units,
        amount=portion.by_unit(sold.amount, done.amount),
        shipping_amount=portion.with_the_last(sold.shipping, done.shipping),
        currency_iso_code=order.currency_iso_code,
        reason_code=reason_code,
        taxes=portion.taxes(sold.taxes, done.taxes, portion.by_unit),
        shipping_taxes=portion.taxes(sold.shipping_taxes, done.shipping_taxes, portion.with_the_last),
        fees=portion.by_code(sold.fees, done.fees, portion.by_unit) or None,
        excluded_from_shipment=True if way is Way.REFUND else None,
    )
