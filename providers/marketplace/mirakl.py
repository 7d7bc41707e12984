"""Orders sold on a marketplace that runs on Mirakl, by its seller API.

Mirakl knows two ways of taking units back. As long as the buyer was not charged, a line is *cancelled* (OR30): no money
has moved, and the cancelation has no state. Once the buyer was charged, an unshipped line is *refunded* (OR28, left out
of the shipment), and that refund has a state until the marketplace has paid the buyer. `can_cancel` of the order says
which it is. Both count as cancelations here.

Taken from Mirakl's own OpenAPI description of the seller API (product mmp on https://developer.mirakl.com, as it was in
August 2026): the paths, the fields of OR11, OR28 and OR30, `Authorization` with the bare key, the states. From OR29 and
OR30 in its description for operators: when a seller may cancel. From integrators' articles (help.useresponse.com), which
quote Mirakl: 429 with `Retry-After` in seconds, and the reason codes that Mirakl starts with.

Not verified, for want of an instance: that OR11 goes on showing price, commission and quantity of a line as they were
sold (Mirakl's example and Stripe's connector for Mirakl have it so); that OR28 and OR30 do everything or nothing; that
OR11 shows their effect at once; the body of an error. Not covered: fees that a buyer pays besides (they are neither
counted nor cancelled), refusing an order that was not accepted yet (OR21), a key that serves several shops. Mirakl has no
idempotency keys.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import httpx2
from pydantic import AliasChoices, BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from domain.base import Value
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.money import Money, exponent
from domain.payment import Payment, Refund, RefundStatus
from domain.request import ReasonCode
from providers.marketplace.port import SaleLine

_WORDS = 120

_GONE = {"CANCELED", "REFUSED", "REFUNDED"}
"""States of a line of which no unit is sold any more."""
_NOT_PAID_YET = {"STAGING", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"}
"""States of a line whose buyer is being charged: soon it can be refunded."""
_NOT_SHIPPED_YET = "SHIPPING"


class _Way(StrEnum):
    """The path of the call, and the name of its list."""

    CANCEL = "cancelations"
    REFUND = "refunds"

    @property
    def path(self) -> str:
        return "/api/orders/cancel" if self is _Way.CANCEL else "/api/orders/refund"

    def standard_reason(self, reason: ReasonCode) -> str:
        """Of the codes that Mirakl starts with: out of stock, or cancelled by the client prior to shipping."""
        if reason is ReasonCode.OUT_OF_STOCK:
            return "35" if self is _Way.CANCEL else "15"
        return "34" if self is _Way.CANCEL else "16"


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
    return sum((part.amount for part in breakdown.parts if part.payable_to_shop), Decimal())


class _Tax(Value):
    code: str
    amount: Decimal
    amount_breakdown: _Breakdown | None = None


_Taxes = Annotated[tuple[_Tax, ...], BeforeValidator(_present)]
_Amount = Annotated[Decimal, BeforeValidator(lambda given: 0 if given is None else given)]


class _Sum(Value):
    """What a line and a cancelation of it have in common, under the names that Mirakl gives each."""

    amount: Annotated[_Amount, Field(validation_alias=AliasChoices("amount", "price"))] = Decimal()
    amount_breakdown: Annotated[
        _Breakdown | None, Field(validation_alias=AliasChoices("amount_breakdown", "price_amount_breakdown"))
    ] = None
    shipping: Annotated[_Amount, Field(validation_alias=AliasChoices("shipping_amount", "shipping_price"))] = Decimal()
    shipping_breakdown: Annotated[
        _Breakdown | None,
        Field(validation_alias=AliasChoices("shipping_amount_breakdown", "shipping_price_amount_breakdown")),
    ] = None
    commission: Annotated[Decimal, Field(validation_alias=AliasChoices("commission_total_amount", "total_commission"))]
    taxes: _Taxes = ()
    shipping_taxes: _Taxes = ()

    def share(self, *, taxes_besides: bool) -> Decimal:
        """The seller's."""
        paid = _payable(self.amount, self.amount_breakdown) + _payable(self.shipping, self.shipping_breakdown)
        if taxes_besides:
            taxes = (*self.taxes, *self.shipping_taxes)
            paid += sum((_payable(tax.amount, tax.amount_breakdown) for tax in taxes), Decimal())
        return paid - self.commission


class _Cancelation(_Sum):
    """Of either kind; only a refund has a state. `quantity` is what was told, and may be nothing."""

    id: str
    created_date: datetime
    quantity: Annotated[int, BeforeValidator(lambda given: 0 if given is None else given)] = 0
    state: Annotated[str | None, Field(validation_alias=AliasChoices("refund_state", "state"))] = None


class _Line(_Sum):
    order_line_id: str
    order_line_state: str
    quantity: int
    cancelations: Annotated[tuple[_Cancelation, ...], BeforeValidator(_present)] = ()
    refunds: Annotated[tuple[_Cancelation, ...], BeforeValidator(_present)] = ()

    @property
    def cancelled(self) -> list[_Cancelation]:
        """Oldest first."""
        return sorted((*self.cancelations, *self.refunds), key=lambda one: (one.created_date, one.id))

    @property
    def units_gone(self) -> int:
        paid_back = sum((one.amount for one in self.cancelled), Decimal())
        if self.order_line_state in _GONE or 0 < self.amount <= paid_back:
            return self.quantity
        return min(self.quantity, sum(one.quantity for one in self.cancelled))


class _Order(Value):
    order_id: str
    currency_iso_code: str
    can_cancel: bool = False
    order_tax_mode: str | None = None
    taxed_as_a_whole: Annotated[bool, Field(validation_alias="order_taxes"), BeforeValidator(bool)] = False
    order_lines: tuple[_Line, ...]

    @model_validator(mode="after")
    def _in_money(self) -> "_Order":
        """An amount that the currency does not have is found here, where it is an answer that makes no sense."""
        self.payment()
        return self

    def money(self, amount: Decimal) -> Money:
        return Money.parse(str(amount), self.currency_iso_code)

    def share(self, of: _Sum) -> Money:
        return self.money(of.share(taxes_besides=self.order_tax_mode != "TAX_INCLUDED"))

    def refund(self, one: _Cancelation) -> Refund:
        settled = one.state in {None, "REFUNDED"}
        return Refund(
            reference=one.id,
            amount=self.share(one),
            status=RefundStatus.SUCCEEDED if settled else RefundStatus.PENDING,
            reason="" if settled else str(one.state),
            created_at=one.created_date,
        )

    def payment(self) -> Payment:
        zero = Money.zero(self.currency_iso_code)
        refunds = tuple(self.refund(one) for line in self.order_lines for one in line.cancelled)
        sold = (line for line in self.order_lines if line.order_line_state != "REFUSED")
        return Payment(
            reference=self.order_id,
            captured=sum((self.share(line) for line in sold), start=zero),
            capturable=zero,
            refunded=sum((refund.amount for refund in refunds), start=zero),
            refunds=refunds,
        )


class _Orders(Value):
    orders: tuple[_Order, ...]


class _Problem(Value):
    message: str = ""


# Mirakl takes numbers. A float is good enough to write one: up to 15 digits it comes out as the decimal that went in.
_Number = Annotated[Decimal, PlainSerializer(float)]


class _AskedTax(Value):
    code: str
    amount: _Number


class _Asked(Value):
    """One element of the list of either call."""

    order_line_id: str
    quantity: int
    amount: _Number
    shipping_amount: _Number
    currency_iso_code: str
    reason_code: str
    taxes: tuple[_AskedTax, ...] | None = None
    shipping_taxes: tuple[_AskedTax, ...] | None = None
    excluded_from_shipment: bool | None = None


class _Portion:
    """What `units` more of a line take along."""

    def __init__(self, order: _Order, line: _Line, units: int) -> None:
        self._order = order
        self._units = (line.units_gone, line.units_gone + units, line.quantity)

    def by_unit(self, whole: Decimal, done: Decimal) -> Decimal:
        """The last unit takes what is left."""
        gone, after, all_units = self._units
        total, rest = self._order.money(whole), self._order.money(whole - done)
        if after < all_units:
            rest = min(rest, total.share(after, all_units) - total.share(gone, all_units))
        return Decimal(rest.amount).scaleb(-exponent(rest.currency))

    def with_the_last(self, whole: Decimal, done: Decimal) -> Decimal:
        return whole - done if self._units[1] == self._units[2] else Decimal()

    def taxes(
        self, whole: Sequence[_Tax], done: Iterable[_Tax], part: Callable[[Decimal, Decimal], Decimal]
    ) -> tuple[_AskedTax, ...] | None:
        if not whole or (self._order.taxed_as_a_whole and self._order.order_tax_mode == "TAX_EXCLUDED"):
            return None  # The second: Mirakl computes them on the level of the order, and takes none.
        cancelled: defaultdict[str, Decimal] = defaultdict(Decimal)
        for tax in done:
            cancelled[tax.code] += tax.amount
        return tuple(_AskedTax(code=tax.code, amount=part(tax.amount, cancelled[tax.code])) for tax in whole)


def _asked(order: _Order, line: _Line, units: int, way: _Way, reason_code: str) -> _Asked:
    portion, cancelled = _Portion(order, line, units), line.cancelled
    return _Asked(
        order_line_id=line.order_line_id,
        quantity=units,
        amount=portion.by_unit(line.amount, sum((one.amount for one in cancelled), Decimal())),
        shipping_amount=portion.with_the_last(line.shipping, sum((one.shipping for one in cancelled), Decimal())),
        currency_iso_code=order.currency_iso_code,
        reason_code=reason_code,
        taxes=portion.taxes(line.taxes, (tax for one in cancelled for tax in one.taxes), portion.by_unit),
        shipping_taxes=portion.taxes(
            line.shipping_taxes, (tax for one in cancelled for tax in one.shipping_taxes), portion.with_the_last
        ),
        excluded_from_shipment=True if way is _Way.REFUND else None,
    )


class MiraklMarketplace:
    """`Marketplace` on Mirakl. `base_url` is the marketplace's instance (`https://….mirakl.net`), `timeout` in seconds.

    `reason_code` is the marketplace's own code for whatever the seller cancels: one for cancelations where buyers are
    charged on shipment, one for refunds where they are charged earlier. None takes the codes that Mirakl starts with, of
    which one says that the goods are out of stock, and one that the buyer changed their mind.
    """

    def __init__(self, base_url: str, api_key: str, *, reason_code: str | None = None, timeout: float = 10.0) -> None:
        self._http = httpx2.AsyncClient(
            timeout=timeout, headers={"Authorization": api_key, "Accept": "application/json"}
        )
        self._base_url = base_url.rstrip("/")
        self._reason_code = reason_code

    async def aclose(self) -> None:
        await self._http.aclose()

    async def read_sale(self, reference: str) -> Payment:
        return (await self._order(reference)).payment()

    async def cancel(
        self, reference: str, lines: Sequence[SaleLine], reason: ReasonCode, *, key: str
    ) -> tuple[Refund, ...]:
        """Mirakl has no place for `key`: what is cancelled there is counted instead, before and after."""
        order = await self._order(reference)
        if missing := _missing(order, lines):
            way = _way(order, missing)
            code = self._reason_code or way.standard_reason(reason)
            await self._ask(order, way, [_asked(order, line, units, way, code) for line, units in missing])
            try:
                order = await self._order(reference)
            except Unavailable as unseen:
                raise OutcomeUnknown(
                    f"Mirakl took the cancellation of order {reference} and could not be read afterwards.",
                    unseen.retry_after,
                ) from None
            if _missing(order, lines):
                raise OutcomeUnknown(f"Mirakl took the cancellation of order {reference} and does not show it yet.")
        return tuple(order.refund(one) for line in lines for one in _covering(_line(order, line), line))

    async def _order(self, reference: str) -> _Order:
        doing = f"reading order {reference}"
        url = httpx2.URL(f"{self._base_url}/api/orders", params={"order_ids": reference})
        try:
            answer = await self._http.get(url)
        except httpx2.TransportError:
            raise Unavailable(f"Mirakl cannot be reached for {doing}.") from None
        if not answer.is_success:
            raise _failure(answer, doing, writes=False)
        try:
            found = _Orders.model_validate(json.loads(answer.content, parse_float=Decimal)).orders
        except ValueError:  # also what pydantic raises
            raise Unavailable(f"Mirakl's answer makes no sense while {doing}.") from None
        for order in found:
            if order.order_id == reference:
                return order
        raise Refused(
            ErrorCode.PAYMENT_NOT_FOUND, f"Mirakl knows no order {reference} of this shop. Check the sale's reference."
        )

    async def _ask(self, order: _Order, way: _Way, asked: Sequence[_Asked]) -> None:
        doing = f"cancelling units of order {order.order_id}"
        body: dict[str, Any] = {way.value: [one.model_dump(mode="json", exclude_none=True) for one in asked]}
        if order.order_tax_mode is not None:
            body["order_tax_mode"] = order.order_tax_mode
        try:
            answer = await self._http.put(f"{self._base_url}{way.path}", json=body)
        except httpx2.TransportError:
            raise OutcomeUnknown(f"Mirakl did not answer while {doing}; it may have happened.") from None
        if not answer.is_success:
            raise _failure(answer, doing, writes=True)


def _line(order: _Order, wanted: SaleLine) -> _Line:
    for line in order.order_lines:
        if line.order_line_id == wanted.line_id:
            return line
    raise Refused(ErrorCode.REFUND_REFUSED, f"Order {order.order_id} has no line {wanted.line_id} at the marketplace.")


def _missing(order: _Order, lines: Sequence[SaleLine]) -> list[tuple[_Line, int]]:
    """The lines that still have to be cancelled, and how many units of each."""
    missing = []
    for wanted in lines:
        line, target = _line(order, wanted), wanted.cancelled_before + wanted.quantity
        if target > line.quantity:
            raise Refused(
                ErrorCode.REFUND_REFUSED,
                f"Line {wanted.line_id} of order {order.order_id} was sold in {line.quantity} units at the marketplace; "
                f"{target} cannot be cancelled.",
            )
        if target > line.units_gone:
            missing.append((line, target - line.units_gone))
    return missing


def _way(order: _Order, missing: Sequence[tuple[_Line, int]]) -> _Way:
    if order.can_cancel:
        return _Way.CANCEL
    states = {line.order_line_state for line, _ in missing}
    if states == {_NOT_SHIPPED_YET}:
        return _Way.REFUND
    if states & _NOT_PAID_YET:
        raise Unavailable(f"The marketplace is still charging the buyer of order {order.order_id}.")
    raise Refused(
        ErrorCode.REFUND_REFUSED,
        f"The marketplace cancels nothing of order {order.order_id} any more, or not yet: {', '.join(sorted(states))}. "
        "Settle it in its back office, then resolve the step.",
    )


def _covering(line: _Line, wanted: SaleLine) -> list[_Cancelation]:
    """The cancelations behind the units asked for, of a line of which that many are gone. Those that tell no quantity are
    behind whatever the others leave open."""
    covering, before, target = [], 0, wanted.cancelled_before + wanted.quantity
    for one in line.cancelled:
        after = before + one.quantity
        if after > wanted.cancelled_before and before < target:
            covering.append(one)
        before = after
    if before < target:
        covering += [one for one in line.cancelled if not one.quantity]
    return covering


def _failure(answer: httpx2.Response, doing: str, *, writes: bool) -> StepError:
    """What an answer without success means."""
    status = answer.status_code
    if status in {401, 403}:
        return Refused(
            ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
            f"Mirakl rejected the API key while {doing}. Check it in the settings, then retry the step.",
        )
    if status == 429:
        return Unavailable(f"Mirakl is limiting our rate; {doing} did not happen.", _retry_after(answer))
    if not 400 <= status < 500:
        if writes:
            return OutcomeUnknown(f"Mirakl failed while {doing}; it may have happened.", _retry_after(answer))
        return Unavailable(f"Mirakl failed while {doing} ({status}).", _retry_after(answer))
    try:
        words = _Problem.model_validate_json(answer.content).message[:_WORDS]
    except ValidationError:
        words = ""
    return Refused(
        ErrorCode.REFUND_REFUSED if writes else ErrorCode.PAYMENT_NOT_FOUND,
        f"Mirakl said no while {doing} ({status}{f': {words}' if words else ''}). Check the marketplace's address and "
        "reason code in the settings, and the order in its back office.",
    )


def _retry_after(answer: httpx2.Response) -> float | None:
    """Only the form in seconds is used."""
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
