"""Activities on the order: verify and hold it, release it, close it."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from temporalio import activity

from activities.signatures import CloseOrder, QuoteCancellation, ReleaseOrder, Verification, VerifyOrder
from activities.tenders import Payments, failed_since
from domain.errors import ErrorCode, Refused
from domain.messages import Quote
from domain.order import Order, TenderKind
from domain.outcome import CancellationRecord, CarriedOut, Outcome
from domain.plan import LeftOut, PlannedLine, PlannedTender
from domain.policy import CustomerHistory, Decision, Policy, Rule, Verdict
from domain.request import ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopAction, StopStatus, Tracking
from providers.carrier.port import Labels
from providers.order_book.port import Closing, NewNotice, NoticeKind, NoticeLine, OrderBook


class OrderActivities:
    def __init__(self, book: OrderBook, payments: Payments, labels: Labels, policy: Policy) -> None:
        self._book = book
        self._payments = payments
        self._labels = labels
        self._policy = policy

    @activity.defn
    async def verify_order(self, step: VerifyOrder) -> Verification:
        """Read the order and the live truth, decide by policy, plan, and hold the order when there is something to do.

        Refused: ORDER_HELD, PAYMENT_NOT_FOUND. A business no is a decision, not a failure.
        """
        request = step.request
        order = await self._admitted(request)
        if isinstance(order, Verification):
            return await self._known(step, order)
        verification = await self._decide(step.cancellation_id, order, request)
        if verification.plan is not None:
            record = CancellationRecord(
                cancellation_id=step.cancellation_id,
                order_id=order.order_id,
                request=request,
                decision=verification.decision,
                plan=verification.plan,
            )
            await self._book.hold_order(record, [_received(request)], key=step.key)
        elif request.reason is ReasonCode.STATUTORY_WITHDRAWAL:
            # The law wants its receipt acknowledged whatever becomes of the order.
            await self._book.tell(step.cancellation_id, order.order_id, [_received(request)])
        return verification

    async def _known(self, step: VerifyOrder, seen: Verification) -> Verification:
        """What becomes of a request whose cancellation the order book knows: told again; or taken up, because its run was
        lost, or because what it had achieved came undone."""
        known = seen.existing
        if known is None:
            return seen
        # Held by an earlier attempt whose answer was lost, or by a run that was: only the former may still turn round.
        again = step.again or activity.info().attempt > 1
        ours = known.cancellation_id == step.cancellation_id and again
        if known.result is None and known.carried_out is None and ours:
            return seen.model_copy(update={"existing": None})
        if known.result is None and known.carried_out is None:
            moved = await self._money_moved(known)
            return seen.model_copy(update={"money_moved": moved, "approved": moved})
        if known.carried_out is None or (known.result and not step.look_again):
            return seen
        holds = await self._still_holds(known.order_id, known.carried_out)
        if known.result:
            failed = failed_since(known.carried_out, holds)
            if len(holds.stops) == len(known.carried_out.stops) and not failed:
                return seen
            told = NewNotice(kind=NoticeKind.REFUND_FAILED, methods=known.plan.terms.fallbacks)
            await self._book.reopen(known.cancellation_id, failed, [told] if failed else [], key=step.key)
        known = known.model_copy(update={"result": None, "plan": holds.plan, "carried_out": holds})
        return Verification(
            decision=known.decision,
            plan=holds.plan,
            customer_id=seen.customer_id,
            existing=known,
            money_moved=True,
            approved=True,
        )

    async def _money_moved(self, known: CancellationRecord) -> bool:
        """Whether a run that was lost had begun to give money back."""
        for planned in known.plan.tenders:
            payment = await self._payments.read(known.order_id, planned.tender)
            ours = any(refund.key and refund.key.startswith(f"{known.cancellation_id}/") for refund in payment.refunds)
            cancelled_there = planned.tender.kind is TenderKind.MARKETPLACE and payment.refundable < planned.counted
            if ours or cancelled_there or (planned.release and payment.released):
                return True
        return False

    async def _still_holds(self, order_id: str, done: CarriedOut) -> CarriedOut:
        """What still holds of what was done: without the stops of parcels that travel, and with the refunds as they are."""
        order = await self._book.read_order(order_id)
        shipments = {shipment.shipment_id: shipment for shipment in order.shipments}
        stops = [stop for stop in done.stops if not await self._travels(shipments[stop.shipment_id], stop)]
        tenders = {planned.tender.tender_id: planned.tender for planned in done.plan.tenders}
        reversals = [
            await self._payments.read_again(order_id, tenders[reversal.tender_id], reversal)
            for reversal in done.reversals
        ]
        # What others have refunded since is theirs: it does not give back what has failed.
        counted = frozenset(refund.reference for reversal in reversals for refund in reversal.refunds)
        plan = done.plan.model_copy(
            update={
                "tenders": tuple([await self._as_of_now(order_id, planned, counted) for planned in done.plan.tenders])
            }
        )
        return done.model_copy(update={"plan": plan, "stops": tuple(stops), "reversals": tuple(reversals)})

    async def _as_of_now(self, order_id: str, planned: PlannedTender, counted: frozenset[str]) -> PlannedTender:
        """All refunds that there are now are earlier ones, but those that this cancellation has counted."""
        made = (await self._payments.read(order_id, planned.tender)).refunds
        earlier = tuple(refund.reference for refund in made if refund.reference not in counted)
        return planned.model_copy(update={"earlier": earlier})

    async def _travels(self, shipment: Shipment, stop: Stop) -> bool:
        """Whether a parcel that counted as stopped is on its way to the customer all the same."""
        by_carrier = stop.action in {StopAction.VOID_LABEL, StopAction.INTERCEPT}
        if stop.status in {StopStatus.DECLINED, StopStatus.LOST} or not by_carrier or not shipment.label_reference:
            return False
        group = (await self._labels.track(shipment.label_reference)).group
        on_its_way = {GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED}
        return group in (on_its_way | {GoodsGroup.IN_NETWORK} if stop.action is StopAction.VOID_LABEL else on_its_way)

    @activity.defn
    async def quote_cancellation(self, step: QuoteCancellation) -> Quote:
        """What verify_order would answer now; nothing is written. Refused: PAYMENT_NOT_FOUND."""
        request = step.request
        seen = await self._admitted(request)
        if isinstance(seen, Order):
            seen = await self._decide(step.cancellation_id, seen, request)
        known = seen.existing
        return Quote(
            order_id=request.order_id,
            request_id=request.request_id,
            decision=seen.decision,
            plan=seen.plan,
            existing=known.cancellation_id if known else None,
            result=known.result if known else None,
        )

    async def _admitted(self, request: CancellationRequest) -> Order | Verification:
        """The order; or the answer that needs no look at its payments and parcels."""
        try:
            order = await self._book.read_order(request.order_id)
        except Refused as refused:
            if refused.code is not ErrorCode.ORDER_NOT_FOUND:
                raise
            return Verification(decision=self._policy.not_found(request.order_id))
        if request.customer_id not in {None, order.customer_id}:
            return Verification(decision=self._policy.not_found(request.order_id))
        known = await self._book.find_cancellation(request.order_id, request.request_id)
        if known and known.request.request_id == request.request_id and known.request != request:
            return Verification(decision=self._policy.conflict(request), customer_id=order.customer_id)
        if known and known.result:
            return _told_again(known, order, self._policy)
        if known:
            return Verification(decision=known.decision, plan=known.plan, customer_id=order.customer_id, existing=known)
        no = self._policy.admits(order, request)
        return Verification(decision=no, customer_id=order.customer_id) if no else order

    async def _decide(self, cancellation_id: str, order: Order, request: CancellationRequest) -> Verification:
        """Decision and plan by policy, on the live truth."""
        now = datetime.now(UTC)
        abuse = self._policy.abuse
        decision, plan = self._policy.decide(
            cancellation_id=cancellation_id,
            order=order,
            request=request,
            payments={tender.tender_id: await self._payments.read(order.order_id, tender) for tender in order.tenders},
            trackings={shipment.shipment_id: await self._tracking(shipment) for shipment in order.shipments},
            history=await self._book.customer_history(order.customer_id, now - abuse.within, but=order.order_id)
            if abuse
            else CustomerHistory(),
            now=now,
            learnt_at=activity.info().scheduled_time,
        )
        return Verification(decision=decision, plan=plan, customer_id=order.customer_id)

    async def _tracking(self, shipment: Shipment) -> Tracking:
        if shipment.gift_card and shipment.lines:
            used = await self._book.gift_card_used(shipment.gift_card)
            return Tracking(group=GoodsGroup.DELIVERED if used else GoodsGroup.NOT_HANDED_OVER, label=LabelStatus.NONE)
        if shipment.label_reference and shipment.lines:
            return await self._labels.track(shipment.label_reference)
        # In the warehouse, or emptied by an earlier cancellation.
        return Tracking(group=GoodsGroup.NOT_HANDED_OVER, label=LabelStatus.NONE)

    @activity.defn
    async def release_order(self, step: ReleaseOrder) -> None:
        """Compensation of verify_order: hold off, promise to the customer restored, cancellation closed in the OMS."""
        result = step.result
        # Goods that could not be stopped are what ended a rejected one; in the others the order goes on as a whole.
        left_out = _together(result.left_out) if result.outcome is Outcome.REJECTED else ()
        notice = NewNotice(kind=NoticeKind.NOT_CANCELLED, outcome=result.outcome, left_out=left_out)
        await self._book.release_order(result, [notice], key=step.key)

    @activity.defn
    async def close_order(self, step: CloseOrder) -> None:
        """Fulfilments first, then the order; promise released or restock announced; customer told. Refused: ORDER_LOCKED."""
        closing = Closing(
            cancellation_id=step.cancellation_id,
            order_id=step.order_id,
            result=step.result,
            plan=step.plan,
            stops=step.stops,
            reversals=step.reversals,
        )
        assert step.result.outcome in {Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED}
        notices = [
            NewNotice(
                kind=NoticeKind.CANCELLED,
                lines=() if step.plan.everything else _together(step.plan.lines),
                left_out=_together(step.plan.left_out),
            )
        ]
        if step.result.released:
            notices.append(NewNotice(kind=NoticeKind.RESERVATION_RELEASED, amount=step.result.released))
        await self._book.close_order(closing, notices, key=step.key)


def _received(request: CancellationRequest) -> NewNotice:
    """A note that staff wrote is not for the customer's eyes."""
    statutory = request.reason is ReasonCode.STATUTORY_WITHDRAWAL
    return NewNotice(
        kind=NoticeKind.WITHDRAWAL_ACKNOWLEDGED if statutory else NoticeKind.RECEIVED,
        lines=_together(request.lines),
        received_at=activity.info().scheduled_time,
        note=request.note if request.actor.kind is ActorKind.CUSTOMER else "",
    )


def _together(parts: Iterable[LineScope | PlannedLine | LeftOut]) -> tuple[NoticeLine, ...]:
    """Units of one line in several parcels are one line to the customer."""
    units: Counter[str] = Counter()
    for part in parts:
        units[part.line_id] += part.quantity
    return tuple(NoticeLine(line_id=line_id, quantity=quantity) for line_id, quantity in units.items())


def _told_again(known: CancellationRecord, order: Order, policy: Policy) -> Verification:
    """This request has had its end, or the whole order is cancelled: the existing cancellation is the answer."""
    assert known.result is not None
    decision = Decision(
        verdict=Verdict.APPROVED
        if known.result.outcome in {Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED}
        else Verdict.REJECTED,
        rule=Rule.EXISTING_CANCELLATION,
        policy_version=policy.version,
        sentence=f"Cancellation {known.cancellation_id} of order {order.order_id} is over: {known.result.sentence}",
    )
    return Verification(decision=decision, customer_id=order.customer_id, existing=known)
