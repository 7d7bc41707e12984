"""Orders in Vendure, by its Admin API: with this product's plugin (integrations/vendure), or without it."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from domain.closing import Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.findings import Finding
from domain.keys import EffectKey
from domain.order import Order
from domain.units import units_by_line
from providers.orders.plain import PlainOrders
from providers.orders.port import GivenBack
from providers.orders.vendure import documents
from providers.orders.vendure.answers import ChangeResult, Done, Fulfillment, HoldAnswer, HoldResult, VendureOrder
from providers.orders.vendure.api import VendureApi, VendureRefusal
from providers.orders.vendure.closing import close_plain, close_with_plugin
from providers.orders.vendure.findings import list_findings
from providers.orders.vendure.order_lock import lock_order
from providers.orders.vendure.reading import (
    Reading,
    amounts_of,
    method_of_replacement,
    replacement_of,
    why_not_closable,
)
from providers.orders.vendure.refund_notes import divide_refunds
from providers.orders.vendure.shop import VendureShop
from providers.orders.vendure.shop_file import ShopFile


class VendureOrders(PlainOrders):
    """Where Vendure cannot do something without the plugin, `PlainOrders` answers."""

    restocks_at_once = True

    def __init__(self, api: VendureApi, shop_file: ShopFile) -> None:
        self._vendure = VendureShop(api)
        self._shop_file = shop_file

    async def aclose(self) -> None:
        await self._vendure.aclose()

    async def list_findings(self) -> tuple[Finding, ...]:
        return list_findings(self._shop_file, has_plugin=await self._vendure.has_plugin(ask_again=True))

    async def read(self, order_id: str) -> Order:
        return Reading(await self._vendure.get(order_id), self._shop_file).to_order()

    # Rule: An order in Vendure is frozen by the plugin
    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        """Hold the order, then read it again: nobody else changes a held order, so the comparison is exact. An order that
        had changed stays held. This cancellation decides about it again, and thaws it however it ends.
        Refused: PROVIDER_REJECTED_SETTINGS."""
        order_id = seen.order_id
        order = await self._get_cancellable(order_id)
        if not await self._vendure.has_plugin():
            return False
        doing = f"freezing order {order_id}"
        try:
            hold = await self._vendure.change(
                documents.HOLD_ORDER, HoldResult, doing, key=key, orderId=order.id, cancellationId=key.cancellation_id
            )
        except VendureRefusal as refusal:
            await self._get_cancellable(order_id)  # staff may have opened it a moment ago
            raise _refused(doing, ErrorCode.PROVIDER_REJECTED_SETTINGS, refusal) from None
        if hold.result is HoldAnswer.RELEASED:
            return False
        if hold.result is HoldAnswer.HELD_BY_ANOTHER:
            raise Unavailable(_held_by_another(order))
        try:
            now = await self.read(order_id)
        except Unavailable as unavailable:
            raise OutcomeUnknown(f"{unavailable.message} Order {order_id} is held in Vendure.") from None
        if now != seen:
            raise Unavailable(f"Order {order_id} has changed since it was read; it is read and decided about again.")
        return True

    # Rule: An order in a state from which Vendure cannot cancel it is not frozen, and waits
    async def _get_cancellable(self, order_id: str) -> VendureOrder:
        """Raises Unavailable where Vendure could not cancel the order later."""
        order = (await self._vendure.get(order_id)).order
        if not order.can_become_cancelled:
            raise Unavailable(why_not_closable(order))
        return order

    async def thaw(self, order_id: str, *, key: EffectKey) -> None:
        if not await self._vendure.has_plugin():
            return
        found = await self._vendure.find(order_id)
        if found is not None:
            await self._call_plugin(
                documents.RELEASE_ORDER,
                f"releasing order {order_id}",
                ErrorCode.ORDER_LOCKED,
                key=key,
                orderId=found.order.id,
                cancellationId=key.cancellation_id,
            )

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        """Vendure cancels a fulfillment even if it has just been shipped. So it is read again afterwards."""
        if (await self._get_stoppable_pick(order_id, shipment_id)).is_cancelled:
            return
        try:
            await self._vendure.cancel_fulfillment(order_id, shipment_id, key=key)
        except VendureRefusal as refusal:
            if not (await self._get_stoppable_pick(order_id, shipment_id)).is_cancelled:
                raise _not_stoppable(order_id, shipment_id, f"Vendure does not cancel it: {refusal}") from None
            return
        try:
            await self._get_stoppable_pick(order_id, shipment_id)
        except Unavailable as unavailable:
            raise OutcomeUnknown(f"{unavailable.message} Fulfillment {shipment_id} is cancelled in Vendure.") from None

    async def _get_stoppable_pick(self, order_id: str, shipment_id: str) -> Fulfillment:
        """A fulfillment that was never shipped; it may be cancelled already. Refused: SHIPMENT_NOT_STOPPABLE."""
        snapshot = await self._vendure.get(order_id)
        pick = snapshot.order.find_fulfillment(shipment_id)
        if pick is None:
            raise _not_stoppable(order_id, shipment_id, "Vendure does not know it")
        if snapshot.order.was_shipped(pick):
            cancelled = ", and was cancelled in Vendure afterwards" if pick.is_cancelled else ""
            raise _not_stoppable(order_id, shipment_id, f"it has left the warehouse{cancelled}")
        if not pick.is_cancelled and snapshot.order.is_shared(pick):
            raise Refused(
                ErrorCode.SHIPMENT_NOT_STOPPABLE,
                f"Fulfillment {shipment_id} of order {order_id} holds goods of other orders too, so it is not cancelled. "
                "Pack it anew in Vendure without this order's goods, and ask again.",
            )
        if not pick.is_cancelled and Reading(snapshot, self._shop_file).to_shipment(pick).label_reference:
            raise _not_stoppable(order_id, shipment_id, "it has a label")
        return pick

    # Rule: A pick that is resumed in Vendure is another fulfillment
    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        """A cancelled fulfillment is final. The method of the new one names the one it replaces, so that it is made once."""
        async with lock_order(self._vendure.url, order_id) as lock:
            found = await self._vendure.find(order_id)
            withdrawn = found and found.order.find_fulfillment(shipment_id)
            if found is None or not withdrawn or not _can_be_resumed(found.order, withdrawn):
                return
            replacement = self._describe_replacement(found.order, withdrawn)
            doing = f"packing fulfillment {shipment_id} of order {order_id} again"
            call = self._vendure.change(
                documents.ADD_FULFILLMENT,
                ChangeResult,
                doing,
                key=key,
                input=replacement,
            )
            try:
                result = (await lock.finish(call)).result
            except VendureRefusal as refusal:
                raise _not_resumable(order_id, shipment_id, str(refusal)) from None
            if result.error_code:
                raise _not_resumable(order_id, shipment_id, result.reason)

    def _describe_replacement(self, order: VendureOrder, withdrawn: Fulfillment) -> JsonValue:
        return {
            "lines": [
                {"orderLineId": line_id, "quantity": units}
                for line_id, units in _units_to_pack_again(order, withdrawn).items()
            ],
            "handler": {
                "code": self._shop_file.pick_handler,
                "arguments": [
                    {"name": "method", "value": method_of_replacement(withdrawn)},
                    {"name": "trackingCode", "value": withdrawn.tracking_code or ""},
                ],
            },
        }

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: EffectKey
    ) -> None:
        if not await self._vendure.has_plugin():
            await super().relabel(order_id, shipment_id, label_reference, tracking_number, key=key)
            return
        snapshot = await self._vendure.get(order_id)
        found = snapshot.order.find_fulfillment(shipment_id)
        if found is None:
            raise Refused(
                ErrorCode.STOP_NOT_UNDOABLE,
                f"Order {order_id} has no fulfillment {shipment_id} in Vendure to put the new label {label_reference} on. "
                "Check the order's fulfillments and void the label if it is not needed.",
            )
        await self._call_plugin(
            documents.RECORD_LABEL,
            f"recording the new label of fulfillment {shipment_id} of order {order_id}",
            ErrorCode.STOP_NOT_UNDOABLE,
            key=key,
            fulfillmentId=shipment_id,
            carrier=Reading(snapshot, self._shop_file).to_shipment(found).carrier or "",
            labelReference=label_reference,
            trackingCode=tracking_number,
        )

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey) -> None:
        if not await self._vendure.has_plugin():
            await super().replace_payment(order_id, tender_id, reference, key=key)
            return
        order = (await self._vendure.get(order_id)).order
        if not any(payment.id == tender_id for payment in order.paid_by):
            raise Refused(
                ErrorCode.PAYMENT_NOT_FOUND,
                f"Order {order_id} has no payment {tender_id} in Vendure that {reference} could replace. Check the order's "
                "payments.",
            )
        await self._call_plugin(
            documents.REPLACE_PAYMENT,
            f"recording the new payment of order {order_id}",
            ErrorCode.PAYMENT_NOT_FOUND,
            key=key,
            paymentId=tender_id,
            reference=reference,
        )

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        close = close_with_plugin if await self._vendure.has_plugin() else close_plain
        await close(self._vendure, order_id, closing, key=key)

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        if not await self._vendure.has_plugin():
            return
        found = await self._vendure.get(order_id)
        notes = divide_refunds(found.order, amounts_of(found), given, key.cancellation_id)
        await self._call_plugin(
            documents.NOTE_REFUNDS,
            f"noting what was given back of order {order_id}",
            ErrorCode.ORDER_LOCKED,
            key=key,
            orderId=found.order.id,
            cancellationId=key.cancellation_id,
            refunds=list(notes.noted),
        )
        notes.check_complete(order_id)

    async def _call_plugin(
        self, document: str, doing: str, code: ErrorCode, *, key: EffectKey, **variables: JsonValue
    ) -> None:
        """Make a change that only the plugin can make. Refused: `code`, in Vendure's own words."""
        try:
            await self._vendure.change(document, Done, doing, key=key, **variables)
        except VendureRefusal as refusal:
            raise _refused(doing, code, refusal) from None


def _can_be_resumed(order: VendureOrder, fulfillment: Fulfillment) -> bool:
    """It was withdrawn, and nothing has taken its place."""
    return (
        fulfillment.is_cancelled
        and not order.was_shipped(fulfillment)
        and replacement_of(order, fulfillment) is None
        and bool(_units_to_pack_again(order, fulfillment))
    )


# Rule: What staff has packed anew in Vendure is not packed once more
def _units_to_pack_again(order: VendureOrder, withdrawn: Fulfillment) -> Mapping[str, int]:
    """By line, the units of a withdrawn fulfillment that are in no other one by now, and still in the order."""
    packed = units_by_line(part for found in order.fulfillments or () if not found.is_cancelled for part in found.lines)
    to_pack = {line.id: line.quantity - packed[line.id] for line in order.lines}
    parts = units_by_line(order.list_own_parts(withdrawn))
    return {line_id: units for line_id, quantity in parts.items() if (units := min(quantity, to_pack[line_id])) > 0}


def _held_by_another(order: VendureOrder) -> str:
    holder = order.custom_fields and order.custom_fields.held_by_cancellation
    return (
        f"Order {order.code} is held in Vendure by {f'cancellation {holder}' if holder else 'another cancellation'}. It is "
        'tried again. If that cancellation is over, release the order: see "An order stays held" in docs/operations.md.'
    )


def _refused(doing: str, code: ErrorCode, refusal: VendureRefusal) -> Refused:
    why = str(refusal).rstrip(".")
    return Refused(code, f"Vendure refused a call while {doing}: {why}. Put that right there, then retry the step.")


def _not_stoppable(order_id: str, shipment_id: str, why: str) -> Refused:
    return Refused(
        ErrorCode.SHIPMENT_NOT_STOPPABLE,
        f"Fulfillment {shipment_id} of order {order_id} cannot be taken out of the warehouse's work: {why.rstrip('.')}. Ask "
        "the warehouse or its carrier where it is.",
    )


def _not_resumable(order_id: str, shipment_id: str, why: str) -> Refused:
    return Refused(
        ErrorCode.STOP_NOT_UNDOABLE,
        f"Fulfillment {shipment_id} of order {order_id} was withdrawn, and Vendure does not pack it again: "
        f"{why.rstrip('.')}. Pack it there by hand and resolve the step with a reference.",
    )
