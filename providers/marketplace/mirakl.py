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

from collections.abc import Sequence
from typing import Any

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.payment import Payment, Refund
from domain.request import ReasonCode
from providers.breaker import Breaker
from providers.marketplace.mirakl_api import MiraklApi
from providers.marketplace.mirakl_order import Cancelation, Line, Order
from providers.marketplace.mirakl_request import Asked, Way, ask_for
from providers.marketplace.port import SaleLine

_NOT_PAID_YET = {"STAGING", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"}
"""States of a line whose buyer is being charged: soon it can be refunded."""
_NOT_SHIPPED_YET = "SHIPPING"


# Rule: A marketplace's order is cancelled there, and the marketplace gives the money back [by its own rules]
class MiraklMarketplace:
    """`Marketplace` on Mirakl. `base_url` is the marketplace's instance (`https://….mirakl.net`), `timeout` in seconds.

    `reason_code` is the marketplace's own code for whatever the seller cancels: one for cancelations where buyers are
    charged on shipment, one for refunds where they are charged earlier. None takes the codes that Mirakl starts with, of
    which one says that the goods are out of stock, and one that the buyer changed their mind. Between two calls of the list
    of orders lie `orders_every` seconds: a minute, by Mirakl's contract.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        reason_code: str | None = None,
        timeout: float = 10.0,
        orders_every: float = 60.0,
    ) -> None:
        self._api = MiraklApi(base_url, api_key, timeout=timeout, orders_every=orders_every)
        self._reason_code = reason_code

    @property
    def breaker(self) -> Breaker:
        return self._api.breaker

    async def aclose(self) -> None:
        await self._api.aclose()

    async def read_sale(self, reference: str, *, fresh: bool = True) -> Payment:
        return (await self._api.read_order(reference, fresh=fresh)).payment()

    async def cancel(
        self, reference: str, lines: Sequence[SaleLine], reason: ReasonCode, *, key: str
    ) -> tuple[Refund, ...]:
        """Mirakl has no place for `key`: what is cancelled there is counted instead, before and after."""
        order = await self._api.read_order(reference, fresh=False)
        if missing := _missing(order, lines):
            way = _way(order, missing)
            code = self._reason_code or way.standard_reason(reason)
            await self._send_demands(order, way, [ask_for(order, line, units, way, code) for line, units in missing])
            try:
                order = await self._api.read_order(reference, fresh=False)
            except Unavailable as unseen:
                raise OutcomeUnknown(
                    f"Mirakl took the cancellation of order {reference}, which is not read yet. {unseen.message}",
                    unseen.retry_after,
                ) from None
            if _missing(order, lines):
                raise OutcomeUnknown(f"Mirakl took the cancellation of order {reference} and does not show it yet.")
        return tuple(order.refund(cancelation) for line in lines for cancelation in _covering(order, line))

    async def _send_demands(self, order: Order, way: Way, asked: Sequence[Asked]) -> None:
        body: dict[str, Any] = {way.value: [demand.model_dump(mode="json", exclude_none=True) for demand in asked]}
        if order.order_tax_mode is not None:
            body["order_tax_mode"] = order.order_tax_mode
        await self._api.write(order.order_id, way.path, body)


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
