"""Activities on a shipment: stop it, look where it is, let it go on."""

from temporalio import activity

from activities.signatures import CheckShipment, ResumeShipment, StepInput, StopShipment
from domain.errors import ErrorCode, Refused
from domain.plan import RefundIntercepted
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopAction, StopStatus
from providers.carrier.port import Intercepts, Labels
from providers.order_book.port import NewNotice, NoticeKind, NoticeLine, OrderBook

_BACK = {GoodsGroup.COMING_BACK, GoodsGroup.RETURNED}
_VOID = {LabelStatus.VOID_SUBMITTED, LabelStatus.VOIDED}


class ShipmentActivities:
    def __init__(self, book: OrderBook, labels: Labels, intercepts: Intercepts) -> None:
        self._book = book
        self._labels = labels
        self._intercepts = intercepts

    async def _shipment(self, order_id: str, shipment_id: str) -> Shipment:
        """The shipment as it is now: the warehouse may have bought a label since the plan was made."""
        order = await self._book.read_order(order_id)
        found = next((one for one in order.shipments if one.shipment_id == shipment_id), None)
        if found is None:
            raise Refused(
                ErrorCode.SHIPMENT_NOT_STOPPABLE,
                f"Order {order_id} has no shipment {shipment_id} any more; look at the order in the OMS.",
            )
        return found

    @activity.defn
    async def stop_shipment(self, step: StopShipment) -> Stop:
        """Stop one shipment by where it is now: withdraw the pick, void the label, or ask for an intercept.

        A parcel that the carrier will not stop any more is an answer (`declined`), not a failure.
        """
        shipment = await self._shipment(step.order_id, step.target)
        if shipment.gift_card is not None:
            unused = await self._book.deactivate_gift_card(step.order_id, step.target, key=step.key)
            return Stop(
                shipment_id=step.target,
                action=StopAction.DEACTIVATE_GIFT_CARD,
                status=StopStatus.STOPPED if unused else StopStatus.DECLINED,
                detail="deactivated" if unused else "used since it was bought",
                reference=shipment.gift_card,
            )
        if shipment.label_reference is None:
            await self._book.withdraw_pick(step.order_id, step.target, key=step.key)
            return Stop(shipment_id=step.target, action=StopAction.WITHDRAW_PICK, status=StopStatus.STOPPED)
        tracking = await self._labels.track(shipment.label_reference)
        if tracking.group in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}:
            void = await self._labels.void(shipment.label_reference)
            if void in _VOID:
                return Stop(
                    shipment_id=step.target,
                    action=StopAction.VOID_LABEL,
                    status=StopStatus.STOPPED,
                    detail=void.replace("_", " "),
                    reference=shipment.label_reference,
                )
            # A rejected void usually means that the parcel was scanned a moment ago: it is in the network.
        stop = await self._stop_in_network(step, shipment, shipment.label_reference)
        if stop.status is not StopStatus.REQUESTED:
            await self._tell(step, shipment, stop)
        return stop

    async def _tell(self, step: StepInput, shipment: Shipment, stop: Stop) -> None:
        """The customer sees the parcel's tracking too, and is told why it turns round, or that it does not."""
        stopped = stop.status in {StopStatus.COMING_BACK, StopStatus.STOPPED}
        if stopped or stop.status is StopStatus.DECLINED:
            notice = NewNotice(
                kind=NoticeKind.PARCEL_STOPPED if stopped else NoticeKind.PARCEL_NOT_STOPPED,
                about=step.target,
                lines=tuple(NoticeLine(line_id=part.line_id, quantity=part.quantity) for part in shipment.lines),
            )
            await self._book.tell(step.cancellation_id, step.order_id, [notice])

    async def _stop_in_network(self, step: StopShipment, shipment: Shipment, label: str) -> Stop:
        tracking = await self._labels.track(label)

        def stop(status: StopStatus, detail: str, reference: str | None = None) -> Stop:
            return Stop(
                shipment_id=step.target,
                action=StopAction.INTERCEPT,
                status=status,
                detail=detail,
                reference=reference,
            )

        if tracking.group is GoodsGroup.LOST:
            return stop(StopStatus.LOST, "lost by the carrier; claim it there")
        if tracking.group in _BACK:
            return stop(StopStatus.COMING_BACK, "on its way back")
        if tracking.group in {GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED}:
            return stop(StopStatus.DECLINED, tracking.group.replace("_", " "))
        if shipment.tracking_number is None:
            return stop(StopStatus.DECLINED, "the label's void was rejected and it has no tracking number")
        answer = await self._intercepts.request(shipment.tracking_number, key=step.key)
        if not answer.accepted:
            # Declined may mean that an earlier request, whose answer was lost, has turned the parcel round by now.
            now = await self._labels.track(label)
            if now.group in _BACK:
                return stop(StopStatus.COMING_BACK, "on its way back")
            return stop(StopStatus.DECLINED, answer.detail or "the carrier declined the intercept")
        return stop(StopStatus.REQUESTED, "intercept accepted", answer.reference)

    @activity.defn
    async def check_shipment(self, step: CheckShipment) -> Stop:
        """Read where an intercepted parcel is; `requested` as long as tracking has not told the outcome."""
        shipment = await self._shipment(step.order_id, step.target)
        assert shipment.label_reference is not None
        tracking = await self._labels.track(shipment.label_reference)
        back = {GoodsGroup.RETURNED}
        if step.refund_intercepted is not RefundIntercepted.ON_RECEIPT:
            back.add(GoodsGroup.COMING_BACK)
        outcome = {
            **dict.fromkeys(back, (StopStatus.COMING_BACK, "on its way back")),
            GoodsGroup.DELIVERED: (StopStatus.DECLINED, "delivered in spite of the intercept"),
            GoodsGroup.LOST: (StopStatus.LOST, "lost by the carrier; claim it there"),
        }.get(tracking.group)
        if outcome is None:
            return step.stop
        stop = step.stop.model_copy(update={"status": outcome[0], "detail": outcome[1]})
        await self._tell(step, shipment, stop)
        return stop

    @activity.defn
    async def resume_shipment(self, step: ResumeShipment) -> None:
        """Compensation of stop_shipment, whether that had its effect or not: give the pick back, buy a new label in
        place of the voided one, or take the intercept back. Refused: STOP_NOT_UNDOABLE."""
        shipment = await self._shipment(step.order_id, step.target)
        if shipment.gift_card is not None:
            for undoes in step.undoes:
                await self._book.reactivate_gift_card(step.order_id, step.target, key=step.key, undoes=undoes)
            return
        if shipment.label_reference is None:
            await self._book.resume_pick(step.order_id, step.target, key=step.key)
            return
        tracking = await self._labels.track(shipment.label_reference)
        if tracking.label in _VOID and tracking.group in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}:
            new = await self._labels.buy_again(shipment.label_reference, key=step.key)
            await self._book.relabel(step.order_id, step.target, new.label_reference, new.tracking_number, key=step.key)
            return
        if tracking.group in _BACK:
            raise _comes_back(step)
        if shipment.tracking_number and await self._intercepts.active(shipment.tracking_number):
            answer = await self._intercepts.cancel(shipment.tracking_number, key=step.key)
            if not answer.accepted and (await self._labels.track(shipment.label_reference)).group in _BACK:
                raise _comes_back(step)


def _comes_back(step: ResumeShipment) -> Refused:
    return Refused(
        ErrorCode.STOP_NOT_UNDOABLE,
        f"Shipment {step.target} of order {step.order_id} is on its way back and cannot be sent on; ship the goods again "
        "and resolve the step with the new shipment's number.",
    )
