"""Activities on the order: verify and hold it, release it, close it, and close its cancellation."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import partial

from temporalio import activity

from activities.attempt import Attempt, attempt_deadline, begin_attempt, check_deadline, check_place, this_run
from activities.known_orders import KnownOrders, SeenOrder
from activities.refunds import credit_of, refund_notice, reservation_notices
from activities.reopening import Reopening
from activities.signatures import Booked, QuoteCancellation, StepInput, Verified, VerifyOrder
from activities.tenders import Payments
from activities.together import read_together
from domain.case import Case
from domain.closing import Closing, changed_at_close, changed_before, gone_of, lost_in, lost_parcels, not_received
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import (
    Decided,
    EffectEnded,
    EffectOutcome,
    Ended,
    Entry,
    OrderClosed,
    ParcelFound,
    Requested,
)
from domain.keys import EffectKey, id_of
from domain.messages import Quote
from domain.order import Order, OrderState
from domain.outcome import Outcome
from domain.payment import Payment
from domain.permissions import NotTheHolder
from domain.plan import LeftOut, PlannedLine, PlannedShipment
from domain.policy import CustomerHistory, Decision, Policy, existing_decision
from domain.request import ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.second_request import by_right, joining
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Tracking
from domain.standing import closing_outcome, result_of
from domain.step import StepName
from domain.stopping import planned_action
from domain.unfrozen import is_shared, new_parcels, unpacked
from providers.cancellations.port import Ending, Register
from providers.carrier.port import Labels
from providers.orders.port import GivenBack, Orders
from providers.outbox.port import DeferredRequest, NewNotice, NoticeKind, NoticeLine, Outbox
from providers.stored_value.port import StoredValue

_THAW, _GIVEN_BACK = "thaw", "given_back"
"""The parts of a step's key for its further calls to the order management system."""


class OrderActivities:
    def __init__(
        self,
        *,
        register: Register,
        outbox: Outbox,
        orders: Orders,
        stored_value: StoredValue,
        payments: Payments,
        labels: Labels,
        policy: Policy,
    ) -> None:
        self._register = register
        self._outbox = outbox
        self._orders = orders
        self._known = KnownOrders(orders, register)
        self._stored_value = stored_value
        self._payments = payments
        self._labels = labels
        self._policy = policy
        self._reopening = Reopening(register, payments, labels)

    @activity.defn
    async def verify_order(self, step_input: VerifyOrder) -> Verified:
        """Take up what the books know of the order. Where they know nothing: read the order and the live truth, decide by
        policy, plan, and freeze the order when there is something to do. An order that has changed meanwhile is read and
        decided about again.

        Refused: ORDER_HELD, PAYMENT_NOT_FOUND, HELD_ELSEWHERE. A no by policy is a decision, not a failure.
        """
        check_place(self._orders)
        request = step_input.request
        seen = await self._known.read_owned(request)
        if seen is None:
            return Verified(entries=(), decision=self._policy.not_found(request.order_id))
        order = seen.order
        case = seen.known.case_for(request.request_id, carried_out=order.state is OrderState.CANCELLED)
        deferred = await self._outbox.find_deferred(order.order_id, request.request_id)
        if conflicts(request, case, deferred):
            return Verified(entries=(), decision=self._policy.conflict(request), customer_id=order.customer_id)
        if case.ended:
            return await self._look_again(step_input, order, case)
        # The law's clocks begin when it arrived, also when it had to wait for another cancellation.
        requested = Requested(request=request, at=deferred.received_at if deferred else step_input.requested_at)
        if case.request:
            case = await self._take_up(step_input, order, case)
            if case.decided or case.roll_back_cause:
                return Verified(entries=case.entries)
            requested = Requested(request=case.request or request, at=case.requested_at or step_input.requested_at)
        await self._register.begin_verification(
            order.order_id,
            this_run(),
            step_input.at or activity.info().scheduled_time,
            from_elsewhere=step_input.from_elsewhere,
        )
        return Verified(entries=await self._decide_and_freeze(seen, requested, case))

    async def _look_again(self, step_input: VerifyOrder, order: Order, case: Case) -> Verified:
        """It is over. An event may say that its outcome does not hold any more: then it is opened again."""
        if step_input.look_again and await self._reopening.reopen_from(case, order, this_run()):
            return Verified(entries=await self._register.read(case.cancellation_id))
        # An earlier attempt of this run may have ended it, and its answer was lost.
        return Verified(entries=case.entries, existing=case.holder != this_run())

    async def _take_up(self, step_input: VerifyOrder, order: Order, case: Case) -> Case:
        """An earlier run was lost: go on from the books' facts, with this request among those who asked."""
        entries = await self._register.take_up(
            case.cancellation_id, this_run(), from_elsewhere=step_input.from_elsewhere
        )
        request = step_input.request
        if not Case(entries).has(request) and self._policy.may_ask(order, request) is None:
            await acknowledge(self._outbox, Requested(request=request, at=step_input.requested_at))
            await self._register.write(case.cancellation_id, this_run(), lambda case: joining(order, case, request))
        return Case(await self._register.read(case.cancellation_id))

    async def _decide_and_freeze(self, seen: SeenOrder, requested: Requested, case: Case) -> tuple[Entry, ...]:
        """`case` is what the books know of the request's cancellation, if it is open."""
        request, run, order = requested.request, this_run(), seen.order
        no = self._policy.admits(order, request)
        decided = Decided(decision=no, customer_id=order.customer_id) if no else await self._decide(order, requested)
        decided = by_right(order, decided, *case.requests)
        key = EffectKey(id_of(request), StepName.VERIFY_ORDER, order.order_id)
        if decided.plan is None:
            # Before the refusal is kept: an attempt that finds it kept looks no further.
            await acknowledge(self._outbox, requested)
            if case.is_noted(key):  # an earlier attempt may have frozen it
                await self._orders.thaw(order.order_id, key=key.part_of(_THAW))
            ended = Ended(outcome=Outcome.REJECTED, sentence=decided.decision.sentence)
            return await self._register.refuse(requested, run, [decided, ended])
        noted = Case(await self._register.note_hold(requested, key, run, until=attempt_deadline()))
        if not noted.may_make(key):
            return noted.entries  # a withdrawal has come before it
        check_deadline(order.order_id, attempt_deadline())
        frozen = await self._orders.freeze(seen.in_oms, key=key)
        notices = [] if decided.plan.shipping_alone else [received_notice(requested)]
        decided = decided.model_copy(update={"frozen": frozen})
        try:
            kept = Case(await self._register.decide(seen.in_oms, decided, notices, key=key, run=run, known=noted))
        except NotTheHolder:
            # This attempt was held up, and the cancellation may be over since: then nobody else thaws what it has frozen.
            if Case(await self._register.read(key.cancellation_id)).ended:
                await self._orders.thaw(order.order_id, key=key.part_of(_THAW))
            raise
        if kept.roll_back_cause or kept.ended:
            await self._orders.thaw(order.order_id, key=key.part_of(_THAW))
        return kept.entries

    async def _decide(self, order: Order, requested: Requested) -> Decided:
        """Decision and plan by policy, on the live truth."""
        at = datetime.now(UTC)  # the clock by which the shop has set `placed_at`
        abuse = self._policy.abuse
        payments, trackings = await asyncio.gather(self._read_payments(order), self._read_trackings(order))
        decision, plan = self._policy.decide(
            cancellation_id=id_of(requested.request),
            order=order,
            request=requested.request,
            payments=payments,
            trackings=trackings,
            history=await self._register.history(order.customer_id, at - abuse.within, but=order.order_id)
            if abuse
            else CustomerHistory(),
            now=at,
            learnt_at=requested.at,
        )
        return Decided(decision=decision, plan=plan, customer_id=order.customer_id)

    async def _read_payments(self, order: Order) -> dict[str, Payment]:
        return await read_together(
            {t.tender_id: partial(self._payments.read, order.order_id, t, fresh=False) for t in order.tenders}
        )

    async def _read_trackings(self, order: Order) -> dict[str, Tracking]:
        return await read_together(
            {shipment.shipment_id: partial(self._tracking, shipment) for shipment in order.shipments}
        )

    async def _tracking(self, shipment: Shipment) -> Tracking:
        if shipment.gift_card and shipment.lines:
            used = await self._stored_value.gift_card_used(shipment.gift_card)
            return Tracking(group=GoodsGroup.DELIVERED if used else GoodsGroup.NOT_HANDED_OVER, label=LabelStatus.NONE)
        if shipment.label_reference and shipment.lines:
            return await self._labels.track(shipment.label_reference)
        # In the warehouse, or emptied by an earlier cancellation.
        return Tracking(group=GoodsGroup.NOT_HANDED_OVER, label=LabelStatus.NONE)

    @activity.defn
    async def quote_cancellation(self, step_input: QuoteCancellation) -> Quote:
        """What verify_order would answer now; nothing is written. Refused: PAYMENT_NOT_FOUND."""
        request = step_input.request
        seen = await self._known.read_owned(request)

        def quote(decision: Decision, case: Case | None = None, decided: Decided | None = None) -> Quote:
            ended = case.ended if case else None
            existing = case.cancellation_id if case and case.request else None
            return Quote(
                order_id=request.order_id,
                request_id=request.request_id,
                decision=decision,
                plan=decided.plan if decided else None,
                existing=existing,
                result=result_of(case, request.order_id, ended.outcome, ended.sentence, existing=True)
                if case and ended
                else None,
            )

        if seen is None:
            return quote(self._policy.not_found(request.order_id))
        order = seen.order
        case = seen.known.case_for(request.request_id, carried_out=order.state is OrderState.CANCELLED)
        deferred = await self._outbox.find_deferred(order.order_id, request.request_id)
        if conflicts(request, case, deferred):
            return quote(self._policy.conflict(request))
        no = self._policy.may_ask(order, request) if case.decided and not case.has(request) else None
        if no is not None:
            return quote(no)
        if case.decided:
            same = case.has(request) or not case.ended
            decision = case.decided.decision if same else existing_decision(case.decided.decision, order.order_id)
            return quote(decision, case, case.decided if same else None)
        no = self._policy.admits(order, request)
        decided = None if no else await self._decide(order, Requested(request=request, at=datetime.now(UTC)))
        return quote(no or decided.decision, case, decided)  # type: ignore[union-attr]

    @activity.defn
    async def release_order(self, step_input: StepInput) -> Booked:
        """Compensation of verify_order: the order goes on, and the cancellation is closed in the books."""
        check_place(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            cause = attempt.case.roll_back_cause
            assert cause is not None
            if attempt.case.all_keys_noted(StepName.VERIFY_ORDER, target=step_input.order_id):
                await attempt.note_effect(step_input.key)
                attempt.check_time()
                await self._orders.thaw(step_input.order_id, key=step_input.key)
            # Goods that could not be stopped are what ended a rejected one; in the others the order goes on as a whole.
            plan = attempt.case.plan
            rejected = cause.outcome is Outcome.REJECTED and plan is not None
            left_out = _together(plan.left_out) if rejected and plan else ()
            notice = NewNotice(kind=NoticeKind.NOT_CANCELLED, outcome=cause.outcome, left_out=left_out)
            notices = [] if plan and plan.shipping_alone else [notice]
            return await attempt.answer(await self._register.release(notices, key=step_input.key, run=attempt.run))

    @activity.defn
    async def close_order(self, step_input: StepInput) -> Booked:
        """Fulfilments first, then the lines; promise released or restock announced; what remains of the order goes on;
        customer told. Where all the money has settled, the cancellation is closed too. Refused: ORDER_LOCKED,
        ORDER_CHANGED, GOODS_LOST."""
        check_place(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            if case.order_closed:
                return await attempt.answer()
            expected = not_received(case) if self._orders.restocks_at_once else frozenset()
            key = case.key_of(StepName.CLOSE_ORDER, step_input.order_id)
            if case.closed_by_hand:
                await self._orders.thaw(step_input.order_id, key=key.part_of(_THAW))
            else:
                await self._close_in_oms(attempt, key, expected)
                if lost := lost_parcels(case) & expected:
                    raise Refused(ErrorCode.GOODS_LOST, lost_in(step_input.order_id, lost))
            closed = OrderClosed(expected_back=tuple(sorted(expected)))
            after = attempt.case.with_facts([closed])
            # Goods may have left an order that is not frozen: it is read once more before the end.
            over = after.is_settled and after.is_frozen
            entries = await self._register.close(
                closed,
                _closing_notices(case),
                _ending(after, step_input.order_id) if over else None,
                key=key,
                run=attempt.run,
            )
            return await attempt.answer(entries)

    async def _close_in_oms(self, attempt: Attempt, key: EffectKey, expected: Collection[str]) -> None:
        order_id, case = attempt.step_input.order_id, attempt.case
        closing, before = Closing.of(case), Closing.before(case)
        # Each time that it is closed is an effect of its own.
        key = key.part_of(f"again{case.times_closed}" if case.times_closed else "")
        tried, others_may_change = case.is_noted(key), self._orders.restocks_at_once or not case.is_frozen
        if others_may_change:
            seen = await self._known.read(order_id)
            ahead = seen.known.ahead_of_oms(case.cancellation_id)
            closing = closing.but_expected(expected, ahead)
            already = before.but_expected((), ahead).targets if before else None
            others = closing.taken_by_others(seen.gone_in_oms, tried=tried, already=already)
            if others:
                raise Refused(ErrorCode.ORDER_CHANGED, changed_at_close(order_id, others))
        await attempt.note_effect(key)
        try:
            attempt.check_time()
            await self._orders.close(order_id, closing, before, key=key)
        except (Unavailable, Refused) as no:
            if others_may_change and not tried:  # we took nothing out: what is missing at the next look is not ours
                await attempt.write(EffectEnded(key=key, outcome=EffectOutcome.FAILED, detail=no.message))
            raise
        await self._orders.note_given_back(order_id, _given_back(case), key=key.part_of(_GIVEN_BACK))

    @activity.defn
    async def check_order(self, step_input: StepInput) -> Booked:
        """Read an order that is not frozen once more: goods of this cancellation that have left meanwhile are parcels to be
        stopped. Refused: ORDER_CHANGED when others have taken units out of it."""
        check_place(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            plan = case.plan
            assert plan is not None
            seen = await self._known.read(step_input.order_id)
            for shipment in new_parcels(plan, seen.order):
                await self._add_parcel(attempt, shipment, seen.order, unpacked(plan, seen.order))
            # Once a close was noted, what is missing may be ours: the close itself looks.
            if not case.keys_noted(StepName.CLOSE_ORDER, target=step_input.order_id):
                others = Closing.of(case).taken_by_others(gone_of(seen.order), tried=False)
                if others and not case.is_done(StepName.CHECK_ORDER, step_input.target):
                    raise Refused(ErrorCode.ORDER_CHANGED, changed_before(step_input.order_id, others))
            return await attempt.answer()

    async def _add_parcel(self, attempt: Attempt, ours: Shipment, order: Order, packed_before: tuple[str, ...]) -> None:
        """A parcel that has units of this cancellation in it: it joins the plan, to be stopped like the others."""
        tracking = await self._tracking(ours)
        action = planned_action(ours, tracking)
        shared = is_shared(ours, order) or None
        parcel = PlannedShipment(shipment=ours, group=tracking.group, action=action, shared=shared)
        await attempt.write(ParcelFound(parcel=parcel, packed_before=packed_before))
        named = [name for name in (ours.label_reference, ours.tracking_number) if name]
        if named:
            await self._register.watch(attempt.step_input.order_id, named)

    @activity.defn
    async def close_cancellation(self, step_input: StepInput) -> Booked:
        """The money has settled: post it, write to the customer that it was refunded, and end the cancellation."""
        check_place(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            given_back = step_input.key.part_of(_GIVEN_BACK)
            await self._orders.note_given_back(step_input.order_id, _given_back(case), key=given_back)
            entries = await self._register.end(_ending(case, step_input.order_id), run=attempt.run)
            return await attempt.answer(entries)


def _closing_notices(case: Case) -> list[NewNotice]:
    plan = case.plan
    assert plan is not None
    cancelled = NewNotice(
        kind=NoticeKind.CANCELLED,
        lines=() if plan.everything else _together(plan.lines),
        left_out=_together(plan.left_out),
    )
    return [*([] if plan.shipping_alone else [cancelled]), *reservation_notices(case)]


def _given_back(case: Case) -> list[GivenBack]:
    """What the customer has, or will have, unless it fails."""
    credit = credit_of(case)
    parts = credit.tenders if credit else ()
    return [
        GivenBack(tender_id=part.tender_id, reference=part.reference, amount=part.amount)
        for part in parts
        if part.settled and not part.failed
    ]


def _ending(case: Case, order_id: str) -> Ending:
    outcome, sentence = closing_outcome(case)
    return Ending(
        key=case.key_of(StepName.CLOSE_CANCELLATION, order_id),
        ended=Ended(outcome=outcome, sentence=sentence),
        credit=credit_of(case),
        notices=tuple(refund_notice(case, NoticeKind.REFUNDED)),
        seen=case.last_seq,
    )


async def acknowledge(outbox: Outbox, requested: Requested) -> None:
    """The law wants the receipt of a statutory withdrawal acknowledged, whatever becomes of the order."""
    request = requested.request
    if request.reason is ReasonCode.STATUTORY_WITHDRAWAL:
        await outbox.add_notices(id_of(request), request.order_id, [received_notice(requested)])


def conflicts(request: CancellationRequest, case: Case, deferred: DeferredRequest | None) -> bool:
    """Whether its id was used before with other content: in a cancellation, or by a request that waits or has waited."""
    return case.conflicts_with(request) or (deferred is not None and deferred.request.unsigned != request.unsigned)


def received_notice(requested: Requested) -> NewNotice:
    """A note that staff wrote is not for the customer's eyes."""
    request = requested.request
    statutory = request.reason is ReasonCode.STATUTORY_WITHDRAWAL
    return NewNotice(
        kind=NoticeKind.WITHDRAWAL_ACKNOWLEDGED if statutory else NoticeKind.RECEIVED,
        lines=_together(request.lines),
        received_at=requested.at,
        note=request.note if request.actor.kind is ActorKind.CUSTOMER else "",
    )


def _together(parts: Iterable[LineScope | PlannedLine | LeftOut]) -> tuple[NoticeLine, ...]:
    """Units of one line in several parcels are one line to the customer."""
    units: Counter[str] = Counter()
    for part in parts:
        units[part.line_id] += part.quantity
    return tuple(NoticeLine(line_id=line_id, quantity=quantity) for line_id, quantity in units.items())
