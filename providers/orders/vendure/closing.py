"""Closing an order in Vendure: fulfilments first, then the lines."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from domain.closing import Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.keys import EffectKey
from providers.orders.vendure import documents
from providers.orders.vendure.answers import CANCELLED, Changed, Done, Line, VendureOrder
from providers.orders.vendure.api import SaysNo
from providers.orders.vendure.reading import units_sold
from providers.orders.vendure.shop import VendureShop
from providers.orders.vendure.turns import Turn, one_at_a_time

_LOOKS = 3


# Rule: A close of an order in Vendure is one transaction where the plugin is there
async def close_with_plugin(shop: VendureShop, order_id: str, closing: Closing, *, key: EffectKey) -> None:
    """Repeated, or twice at once, it does nothing more: it goes by what is to be left."""
    order = (await shop.get(order_id)).order
    _check_unlocked(order, closing)
    lines: list[JsonValue] = [
        # Of what was placed: below zero where staff has added more units than leave.
        {"orderLineId": line.id, "cancelled": line.order_placed_quantity - left}
        for line, left in _units_to_leave(order, closing)
    ]
    close: dict[str, JsonValue] = {
        "orderId": order.id,
        "cancellationId": key.cancellation_id,
        "lines": lines,
        "fulfillmentIds": list(_fulfillments_to_cancel(order, closing)),
        "cancelShipping": closing.shipping_back,
    }
    try:
        await shop.change(documents.CLOSE_ORDER, Done, f"closing order {order_id}", key=key, input=close)
    except SaysNo as no:
        raise _locked(order_id, str(no)) from None


async def close_plain(shop: VendureShop, order_id: str, closing: Closing, *, key: EffectKey) -> None:
    """Several calls, none of them with a condition: it looks right before, and others may change the order in between."""
    async with one_at_a_time(shop.url, order_id) as turn:
        close = _PlainClose(shop, order_id, closing, key, turn)
        try:
            await close.run()
        except SaysNo as no:
            raise close.describe(_locked(order_id, str(no))) from None
        except (Unavailable, Refused) as failure:
            raise close.describe(failure) from None


class _PlainClose:
    def __init__(self, shop: VendureShop, order_id: str, closing: Closing, key: EffectKey, turn: Turn) -> None:
        self._shop = shop
        self._order_id = order_id
        self._closing = closing
        self._key = key
        self._turn = turn
        self._has_changed = False

    def describe(self, failure: Unavailable | Refused) -> Unavailable | Refused | OutcomeUnknown:
        return OutcomeUnknown(failure.message) if self._has_changed else failure

    async def run(self) -> None:
        order = await self._read_order()
        _check_unlocked(order, self._closing)
        for fulfillment_id in _fulfillments_to_cancel(order, self._closing):
            if not _is_on_hand(order, fulfillment_id):
                await self._cancel_fulfillment(fulfillment_id)
        for _ in range(_LOOKS):
            if await self._cancel_lines(await self._read_order()):
                return
        raise Unavailable(f"Others take units out of order {self._order_id} at this moment; it is closed again later.")

    async def _read_order(self) -> VendureOrder:
        return (await self._shop.get(self._order_id)).order

    async def _cancel_fulfillment(self, fulfillment_id: str) -> None:
        try:
            await self._turn.finish(self._shop.cancel_fulfillment(self._order_id, fulfillment_id, key=self._key))
        except SaysNo:
            found = (await self._read_order()).fulfillment(fulfillment_id)
            if found is not None and not found.is_cancelled:
                raise
        self._has_changed = True

    async def _cancel_lines(self, order: VendureOrder) -> bool:
        """False: a line has become shorter than it was a moment ago."""
        lines: list[JsonValue] = [
            {"orderLineId": line.id, "quantity": line.quantity - left}
            for line, left in _units_to_leave(order, self._closing)
            if line.quantity > left
        ]
        if not lines:
            return True
        cancel: dict[str, JsonValue] = {
            "orderId": order.id,
            "lines": lines,
            "reason": self._key.cancellation_id,
            "cancelShipping": self._closing.shipping_back,
        }
        doing = f"cancelling units of order {self._order_id}"
        call = self._shop.change(documents.CANCEL_ORDER, Changed, doing, key=self._key, input=cancel)
        result = (await self._turn.finish(call)).result
        if result.error_code == "QUANTITY_TOO_GREAT_ERROR":
            return False
        if result.error_code == "ORDER_STATE_TRANSITION_ERROR":
            self._has_changed = True  # the lines have left it, and only its state is as it was
        if result.error_code:
            raise SaysNo(result.words)
        return True


def _fulfillments_to_cancel(order: VendureOrder, closing: Closing) -> Sequence[str]:
    """Those that were stopped in the warehouse, and those whose goods have arrived there: their lines leave the order. What
    is on its way back stays, because its goods would be for sale."""
    arrived = closing.gone.intersection(line.shipment_id for line in closing.lines if line.shipment_id)
    ended = (order.fulfillment(shipment_id) for shipment_id in sorted((closing.stopped - closing.gone) | arrived))
    return [fulfillment.id for fulfillment in ended if fulfillment and not fulfillment.is_cancelled]


def _is_on_hand(order: VendureOrder, fulfillment_id: str) -> bool:
    """Whether plain Vendure counts what was shipped as on hand again: it did so when the units left their lines, and would
    once more when the fulfilment is cancelled."""
    fulfillment = order.fulfillment(fulfillment_id)
    left = {line.id: line.quantity for line in order.lines}
    return (
        fulfillment is not None
        and order.had_left(fulfillment)
        and any(part.quantity > left.get(part.line_id, 0) for part in fulfillment.lines)
    )


def _units_to_leave(order: VendureOrder, closing: Closing) -> Sequence[tuple[Line, int]]:
    """Each line of the closing, with how many units are to be left of it. Never more than there are."""
    targets: Mapping[str, int] = closing.targets
    return [
        (line, min(max(units_sold(order, line) - targets[line.id], 0), line.quantity))
        for line in order.lines
        if line.id in targets
    ]


# Rule: A locked order is not closed [in Vendure]
def _check_unlocked(order: VendureOrder, closing: Closing) -> None:
    """In some states, such as `Modifying`, Vendure does not let an order become cancelled. Refused: ORDER_LOCKED."""
    left = {line.id: units for line, units in _units_to_leave(order, closing)}
    ends = all(left.get(line.id, line.quantity) == 0 for line in order.lines)
    if ends and order.state != CANCELLED and CANCELLED not in order.next_states:
        raise _locked(order.code, f"it is in the state {order.state}")


def _locked(order_id: str, why: str) -> Refused:
    return Refused(
        ErrorCode.ORDER_LOCKED,
        f"Order {order_id} cannot be changed in Vendure: {why.rstrip('.')}. Put that right there, then retry the step.",
    )
