"""An order as Mirakl lists it (OR11), in the words of the port: what was sold, what is cancelled, and the seller's share.

Mirakl calls the quantity of a cancelation and of a refund informative, so the amounts decide how many units are gone. Nor
does it say what a line shows once units of it are cancelled: its own example has the amounts that it was sold for, and the
authors of Stripe's connector for Mirakl have met those that are left (github.com/stripe/stripe-mirakl-connector, issue 51).
The price of a unit, which a line always has, distinguishes the two.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from domain.base import Value
from domain.money import Money, exponent
from domain.payment import Payment, Refund, RefundStatus

REFUSED = "REFUSED"
_GONE = {"CANCELED", REFUSED, "REFUNDED"}
"""States of a line of which no unit is sold any more."""
_ZERO = Decimal()


def _present(given: Any) -> Any:
    return () if given is None else given


class _Part(Value):
    amount: Decimal
    payable_to_shop: bool = True


class _Breakdown(Value):
    parts: tuple[_Part, ...] = ()


def _payable(amount: Decimal, breakdown: _Breakdown | None) -> Decimal:
    """What of an amount the seller is paid: taxes may be the marketplace's own to hand on."""
    if breakdown is None or not breakdown.parts:
        return amount
    return sum((part.amount for part in breakdown.parts if part.payable_to_shop), _ZERO)


class Coded(Value):
    """A tax, or a fee that the buyer pays besides the price."""

    code: str
    amount: Decimal
    amount_breakdown: _Breakdown | None = None


_AllCoded = Annotated[tuple[Coded, ...], BeforeValidator(_present)]
_Amount = Annotated[Decimal, BeforeValidator(lambda given: 0 if given is None else given)]


def _by_code(all_coded: Iterable[Coded]) -> dict[str, Decimal]:
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for coded in all_coded:
        totals[coded.code] += coded.amount
    return dict(totals)


class Amounts(Value):
    """What a line and a cancelation of it have in common, under the names that Mirakl gives each."""

    amount: Annotated[_Amount, Field(validation_alias=AliasChoices("amount", "price"))] = _ZERO
    amount_breakdown: Annotated[
        _Breakdown | None, Field(validation_alias=AliasChoices("amount_breakdown", "price_amount_breakdown"))
    ] = None
    shipping: Annotated[_Amount, Field(validation_alias=AliasChoices("shipping_amount", "shipping_price"))] = _ZERO
    shipping_breakdown: Annotated[
        _Breakdown | None,
        Field(validation_alias=AliasChoices("shipping_amount_breakdown", "shipping_price_amount_breakdown")),
    ] = None
    commission: Annotated[Decimal, Field(validation_alias=AliasChoices("commission_total_amount", "total_commission"))]
    taxes: _AllCoded = ()
    shipping_taxes: _AllCoded = ()
    fees: _AllCoded = ()

    def share(self, *, taxes_besides: bool) -> Decimal:
        """The seller's."""
        paid = _payable(self.amount, self.amount_breakdown) + _payable(self.shipping, self.shipping_breakdown)
        besides = (*self.fees, *self.taxes, *self.shipping_taxes) if taxes_besides else self.fees
        return (
            paid + sum((_payable(extra.amount, extra.amount_breakdown) for extra in besides), _ZERO) - self.commission
        )


class Total:
    """Several amounts together; taxes and fees by their codes."""

    def __init__(self, parts: Iterable[Amounts]) -> None:
        parts = tuple(parts)
        self.amount = sum((part.amount for part in parts), _ZERO)
        self.shipping = sum((part.shipping for part in parts), _ZERO)
        self.taxes = _by_code(tax for part in parts for tax in part.taxes)
        self.shipping_taxes = _by_code(tax for part in parts for tax in part.shipping_taxes)
        self.fees = _by_code(fee for part in parts for fee in part.fees)


class Cancelation(Amounts):
    """Of either kind; only a refund has a state. `quantity` is what was reported, and may be nothing."""

    id: str
    created_date: datetime
    quantity: Annotated[int, BeforeValidator(lambda given: 0 if given is None else given)] = 0
    state: Annotated[str | None, Field(validation_alias=AliasChoices("refund_state", "state"))] = None


_Cancelations = Annotated[tuple[Cancelation, ...], BeforeValidator(_present)]


class _Promotion(Value):
    deduced_amount: Decimal


# Rule: At a marketplace amounts say how many units of a line are gone [what it was sold for]
class Line(Amounts):
    order_line_id: str
    order_line_state: str
    quantity: int
    price_unit: Decimal | None = None
    promotions: Annotated[tuple[_Promotion, ...], BeforeValidator(_present)] = ()
    cancelations: _Cancelations = ()
    refunds: _Cancelations = ()

    @property
    def cancelled(self) -> list[Cancelation]:
        """Oldest first."""
        return sorted(
            (*self.cancelations, *self.refunds), key=lambda cancelation: (cancelation.created_date, cancelation.id)
        )

    @cached_property
    def parts(self) -> tuple[Amounts, ...]:
        """What the line was sold for: what it shows, with the cancelations whose amounts it does not show any more."""
        candidates: list[tuple[Cancelation, ...]] = [(), self.cancelations, (*self.cancelations, *self.refunds)]
        if 0 < self.amount <= _price(self.cancelations) and self.order_line_state not in _GONE:
            # All that it shows is cancelled, and yet some of it is still to be shipped.
            candidates = candidates[1:]
        elif self.price_unit is None:
            candidates = candidates[: 1 if self.amount else 2]
        by_units = (self.price_unit or _ZERO) * self.quantity
        expected = (by_units, by_units - sum((promotion.deduced_amount for promotion in self.promotions), _ZERO))

        def distance(taken_off: tuple[Cancelation, ...]) -> Decimal:
            return min(abs(self.amount + _price(taken_off) - price) for price in expected)

        return (self, *min(candidates, key=distance))

    @property
    def sold(self) -> Total:
        return Total(self.parts)

    @property
    def units(self) -> int:
        """How many were sold. Where the amounts are those that are left, the quantity may be as well."""
        whole, price_unit = self.sold.amount, self.price_unit or _ZERO
        if not price_unit or abs(price_unit * self.quantity - self.amount) >= abs(price_unit * self.quantity - whole):
            return self.quantity
        return self.quantity + round((whole - self.amount) / price_unit)


def _price(amounts: Iterable[Amounts]) -> Decimal:
    return sum((part.amount for part in amounts), _ZERO)


class Order(Value):
    order_id: str
    currency_iso_code: str
    can_cancel: bool = False
    order_tax_mode: str | None = None
    taxed_as_a_whole: Annotated[bool, Field(validation_alias="order_taxes"), BeforeValidator(bool)] = False
    order_lines: tuple[Line, ...]

    @model_validator(mode="after")
    def _in_money(self) -> "Order":
        """An amount that the currency does not have is found here, where it is an answer that makes no sense."""
        self.payment()
        return self

    def money(self, amount: Decimal) -> Money:
        return Money.parse(str(amount), self.currency_iso_code)

    def share(self, of: Amounts) -> Money:
        return self.money(of.share(taxes_besides=self.order_tax_mode != "TAX_INCLUDED"))

    def refund(self, cancelation: Cancelation) -> Refund:
        settled = cancelation.state in {None, "REFUNDED"}
        return Refund(
            reference=cancelation.id,
            amount=self.share(cancelation),
            status=RefundStatus.SUCCEEDED if settled else RefundStatus.PENDING,
            reason="" if settled else str(cancelation.state),
            created_at=cancelation.created_date,
        )

    def payment(self) -> Payment:
        zero = Money.zero(self.currency_iso_code)
        refunds = tuple(self.refund(cancelation) for line in self.order_lines for cancelation in line.cancelled)
        sold = (part for line in self.order_lines if line.order_line_state != REFUSED for part in line.parts)
        return Payment(
            reference=self.order_id,
            captured=sum((self.share(part) for part in sold), start=zero),
            capturable=zero,
            refunded=sum((refund.amount for refund in refunds), start=zero),
            refunds=refunds,
        )

    # Rule: At a marketplace amounts say how many units of a line are gone
    def units_gone(self, line: Line) -> int:
        if line.order_line_state in _GONE:
            return line.units
        if not line.sold.amount:
            return min(line.units, sum(cancelation.quantity for cancelation in line.cancelled))
        return min(line.units, int(self._units(line, _price(line.cancelled)).to_integral_value(ROUND_FLOOR)))

    def covering(self, line: Line, before: int, target: int) -> list[Cancelation]:
        """The cancelations behind the units from `before` to `target`: those of which at least a half lies there, and those
        that have at least a half of what is there."""
        found, paid, reported = [], _ZERO, 0
        for cancelation in line.cancelled:
            if line.sold.amount:
                begin, end = (
                    self._units(line, paid, exactly=True),
                    self._units(line, paid + cancelation.amount, exactly=True),
                )
            else:
                begin, end = Decimal(reported), Decimal(reported + cancelation.quantity)
            paid, reported = paid + cancelation.amount, reported + cancelation.quantity
            inside = min(end, Decimal(target)) - max(begin, Decimal(before))
            if inside > 0 and 2 * inside >= min(end - begin, Decimal(target - before)):
                found.append(cancelation)
        return found

    def _units(self, line: Line, paid: Decimal, *, exactly: bool = False) -> Decimal:
        """How many units are worth that much. A price that was divided was rounded: up to a minor unit for each is
        tolerated, but less than half a unit."""
        whole = line.sold.amount
        rounding = Decimal(line.units).scaleb(-exponent(self.currency_iso_code))
        tolerated = _ZERO if exactly else min(rounding, whole / (2 * line.units + 1))
        return (paid + tolerated) * line.units / whole
