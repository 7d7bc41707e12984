"""Orders sold on a marketplace that runs on Mirakl, by its seller API.

Mirakl knows two ways of taking units back. As long as the buyer was not charged, a line is *cancelled* (OR30): no money
has moved, and the cancelation has no state. Once the buyer was charged, an unshipped line is *refunded* (OR28, left out
of the shipment), and that refund has a state until the marketplace has paid the buyer. `can_cancel` of the order says
which it is. Both count as cancelations here.

Taken from Mirakl's own OpenAPI description of the seller API (product mmp on https://developer.mirakl.com, as it was in
August 2026): the paths, the fields of OR11, OR28 and OR30, `Authorization` with the bare key, the states. From OR29 and
OR30 in its description for operators: when a seller may cancel. From integrators' articles (help.useresponse.com), which
quote Mirakl: 429 with `Retry-After` in seconds, and the reason codes that Mirakl starts with.

The fees of a line are part of its total price, are given back as their own list, and count for the seller.

Not verified, for want of an instance: that OR28 and OR30 do everything or nothing; that OR11 shows their effect at once; the
body of an error; that no fee is one that the marketplace keeps. Not covered: refusing an order that was not accepted yet
(OR21), a key that serves several shops. Mirakl has no idempotency keys.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx2
from pydantic import ValidationError

from domain.base import Value
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.payment import Payment, Refund
from domain.request import ReasonCode
from providers.marketplace.mirakl_order import Cancelation, Line, Order
from providers.marketplace.mirakl_request import Asked, Way, ask_for
from providers.marketplace.port import SaleLine

_WORDS = 120

_NOT_PAID_YET = {"STAGING", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"}
"""States of a line whose buyer is being charged: soon it can be refunded."""
_NOT_SHIPPED_YET = "SHIPPING"


class _Orders(Value):
    orders: tuple[Order, ...]


class _Problem(Value):
    message: str = ""


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
            await self._ask(order, way, [ask_for(order, line, units, way, code) for line, units in missing])
            try:
                order = await self._order(reference)
            except Unavailable as unseen:
                raise OutcomeUnknown(
                    f"Mirakl took the cancellation of order {reference} and could not be read afterwards.",
                    unseen.retry_after,
                ) from None
            if _missing(order, lines):
                raise OutcomeUnknown(f"Mirakl took the cancellation of order {reference} and does not show it yet.")
        return tuple(order.refund(one) for line in lines for one in _covering(order, line))

    async def _order(self, reference: str) -> Order:
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

    async def _ask(self, order: Order, way: Way, asked: Sequence[Asked]) -> None:
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


def _line(order: Order, wanted: SaleLine) -> Line:
    for line in order.order_lines:
        if line.order_line_id == wanted.line_id:
            return line
    raise Refused(ErrorCode.REFUND_REFUSED, f"Order {order.order_id} has no line {wanted.line_id} at the marketplace.")


def _covering(order: Order, wanted: SaleLine) -> list[Cancelation]:
    target = wanted.cancelled_before + wanted.quantity
    return order.covering(_line(order, wanted), wanted.cancelled_before, target)


def _missing(order: Order, lines: Sequence[SaleLine]) -> list[tuple[Line, int]]:
    """The lines that still have to be cancelled, and how many units of each."""
    missing = []
    for wanted in lines:
        line, target = _line(order, wanted), wanted.cancelled_before + wanted.quantity
        if target > line.units:
            raise Refused(
                ErrorCode.REFUND_REFUSED,
                f"Line {wanted.line_id} of order {order.order_id} was sold in {line.units} units at the marketplace; "
                f"{target} cannot be cancelled.",
            )
        if target > order.units_gone(line):
            missing.append((line, target - order.units_gone(line)))
    return missing


def _way(order: Order, missing: Sequence[tuple[Line, int]]) -> Way:
    if order.can_cancel:
        return Way.CANCEL
    states = {line.order_line_state for line, _ in missing}
    if states == {_NOT_SHIPPED_YET}:
        return Way.REFUND
    if states & _NOT_PAID_YET:
        raise Unavailable(f"The marketplace is still charging the buyer of order {order.order_id}.")
    raise Refused(
        ErrorCode.REFUND_REFUSED,
        f"The marketplace cancels nothing of order {order.order_id} any more, or not yet: {', '.join(sorted(states))}. "
        "Settle it in its back office, then resolve the step.",
    )


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
