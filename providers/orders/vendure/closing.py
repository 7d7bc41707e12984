"""Closing an order in Vendure: the fulfillments first, then the lines."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from domain.closing import Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.keys import EffectKey
from providers.orders.vendure import documents
from providers.orders.vendure.answers import ChangeResult, Done, Line, VendureOrder
from providers.orders.vendure.api import VendureRefusal
from providers.orders.vendure.order_lock import OrderLock, lock_order
from providers.orders.vendure.reading import units_sold
from providers.orders.vendure.shop import VendureShop

_ATTEMPTS = 3


# Rule: A close of an order in Vendure is one transaction where the plugin is there
async def close_with_plugin(vendure: VendureShop, order_id: str, closing: Closing, *, key: EffectKey) -> None:
    """It says how many units are to remain, so a second call changes nothing, even at the same moment."""
    order = (await vendure.get(order_id)).order
    lines: list[JsonValue] = [
        {"orderLineId": line.id, "remaining": remaining} for line, remaining in _remaining_units(order, closing)
    ]
    close: dict[str, JsonValue] = {
        "orderId": order.id,
        "cancellationId": key.cancellation_id,
        "lines": lines,
        "fulfillmentIds": list(_fulfillments_to_cancel(order, closing)),
        "cancelShipping": closing.shipping_back,
    }
    try:
        await vendure.change(documents.CLOSE_ORDER, Done, f"closing order {order_id}", key=key, input=close)
    except VendureRefusal as refusal:
        raise _locked(order_id, str(refusal)) from None


async def close_plain(vendure: VendureShop, order_id: str, closing: Closing, *, key: EffectKey) -> None:
    """Several calls, for which Vendure takes no condition: the order is read right before, and may change in between."""
    async with lock_order(vendure.url, order_id) as lock:
        close = _PlainClose(vendure, order_id, closing, key, lock)
        try:
            await close.run()
        except VendureRefusal as refusal:
            raise close.to_error(_locked(order_id, str(refusal))) from None
        except (Unavailable, Refused) as failure:
            raise close.to_error(failure) from None


class _PlainClose:
    """One attempt at a close without the plugin."""

    def __init__(self, vendure: VendureShop, order_id: str, closing: Closing, key: EffectKey, lock: OrderLock) -> None:
        self._vendure = vendure
        self._order_id = order_id
        self._closing = closing
        self._key = key
        self._lock = lock
        self._has_changed = False

    def to_error(self, failure: Unavailable | Refused) -> Unavailable | Refused | OutcomeUnknown:
        """OutcomeUnknown once something has changed; before that, the failure as it is."""
        return OutcomeUnknown(failure.message) if self._has_changed else failure

    async def run(self) -> None:
        order = await self._read_order()
        _check_can_become_cancelled(order, self._closing)
        for fulfillment_id in _fulfillments_to_cancel(order, self._closing):
            if not _was_restocked(order, fulfillment_id):
                await self._cancel_fulfillment(fulfillment_id)
        for _ in range(_ATTEMPTS):
            if await self._cancel_lines(await self._read_order()):
                return
        raise Unavailable(
            f"Others are taking units out of order {self._order_id} at this moment; it will be closed again later."
        )

    async def _read_order(self) -> VendureOrder:
        return (await self._vendure.get(self._order_id)).order

    async def _cancel_fulfillment(self, fulfillment_id: str) -> None:
        try:
            await self._lock.finish(self._vendure.cancel_fulfillment(self._order_id, fulfillment_id, key=self._key))
        except VendureRefusal:
            found = (await self._read_order()).find_fulfillment(fulfillment_id)
            if found is not None and not found.is_cancelled:
                raise
        self._has_changed = True

    async def _cancel_lines(self, order: VendureOrder) -> bool:
        """False: others have taken units out of a line since it was read."""
        lines: list[JsonValue] = [
            {"orderLineId": line.id, "quantity": line.quantity - remaining}
            for line, remaining in _remaining_units(order, self._closing)
            if line.quantity > remaining
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
        call = self._vendure.change(documents.CANCEL_ORDER, ChangeResult, doing, key=self._key, input=cancel)
        result = (await self._lock.finish(call)).result
        if result.error_code == "QUANTITY_TOO_GREAT_ERROR":
            return False
        if result.error_code == "ORDER_STATE_TRANSITION_ERROR":
            self._has_changed = True  # the lines are cancelled, and only its state is as it was
        if result.error_code:
            raise VendureRefusal(result.reason)
        return True


def _fulfillments_to_cancel(order: VendureOrder, closing: Closing) -> Sequence[str]:
    """Those that were stopped in the warehouse, and those that had left and are back: `closing.lines` has the lines of such
    a parcel only then, because its goods would be for sale at once. One that is shared with other orders stays."""
    arrived = closing.gone.intersection(line.shipment_id for line in closing.lines if line.shipment_id)
    ended = (order.find_fulfillment(shipment_id) for shipment_id in sorted((closing.stopped - closing.gone) | arrived))
    return [
        fulfillment.id
        for fulfillment in ended
        if fulfillment and not fulfillment.is_cancelled and not order.is_shared(fulfillment)
    ]


def _was_restocked(order: VendureOrder, fulfillment_id: str) -> bool:
    """Whether plain Vendure counts its goods as on hand already: it did when the units left their lines, although they were
    shipped, and would once more when the fulfillment is cancelled."""
    fulfillment = order.find_fulfillment(fulfillment_id)
    remaining = {line.id: line.quantity for line in order.lines}
    return (
        fulfillment is not None
        and order.was_shipped(fulfillment)
        and any(part.quantity > remaining.get(part.line_id, 0) for part in fulfillment.lines)
    )


def _remaining_units(order: VendureOrder, closing: Closing) -> Sequence[tuple[Line, int]]:
    """Each line of the closing, with how many of its units are to remain: never more than it has."""
    targets: Mapping[str, int] = closing.targets
    return [
        (line, min(max(units_sold(order, line) - targets[line.id], 0), line.quantity))
        for line in order.lines
        if line.id in targets
    ]


# Rule: An order in a state from which Vendure cannot cancel it is not closed as a whole
def _check_can_become_cancelled(order: VendureOrder, closing: Closing) -> None:
    """`Modifying` is such a state. With the plugin, the plugin checks this. Refused: ORDER_LOCKED."""
    remaining = {line.id: units for line, units in _remaining_units(order, closing)}
    is_whole = all(remaining.get(line.id, line.quantity) == 0 for line in order.lines)
    if is_whole and not order.can_become_cancelled:
        raise _locked(order.code, f"it is {order.state}")


def _locked(order_id: str, why: str) -> Refused:
    return Refused(
        ErrorCode.ORDER_LOCKED,
        f"Order {order_id} cannot be changed in Vendure: {why.rstrip('.')}. Put that right there, then retry the step.",
    )
