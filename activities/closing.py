"""Activities at the end of a cancellation: read the order again, close it, and close the cancellation."""

import structlog
from temporalio import activity

from activities.attempt import Attempt, begin_attempt, check_local_attempt
from activities.credit import credit_of
from activities.customer_notices import notice_lines, refund_notice, reservation_notices
from activities.deciding import Deciding
from activities.known_orders import KnownOrders, SeenOrder
from activities.signatures import Booked, StepInput
from domain import key_parts
from domain.case import Case
from domain.closing import (
    Closing,
    cases_since,
    changed_at_close,
    changed_before,
    gone_of,
    lost_in,
    lost_parcels,
    not_received,
)
from domain.departures import find_departures
from domain.errors import OURS_TO_PUT_RIGHT, ErrorCode, Refused, Unavailable
from domain.facts import (
    EffectEnded,
    EffectOutcome,
    Ended,
    OrderChangeSeen,
    OrderClosed,
    ParcelFound,
    ParcelReceived,
    StopSeen,
)
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Order
from domain.order_changes import is_asked_about, lines_taken_for_us, unanswered_change
from domain.plan import PlannedShipment
from domain.shipment import GoodsGroup, Shipment
from domain.standing import closing_outcome
from domain.step import StepName
from domain.stopping import planned_action
from domain.unfrozen import (
    find_added_units,
    find_changed_money,
    find_new_parcels,
    find_new_payments,
    find_unpacked_parcels,
    is_shared,
)
from providers.cancellations.port import Ending, Register
from providers.orders.port import GivenBack, Orders
from providers.outbox.port import NewNotice, NoticeKind


class ClosingActivities:
    def __init__(self, *, register: Register, orders: Orders, deciding: Deciding) -> None:
        self._register = register
        self._orders = orders
        self._known = KnownOrders(orders, register)
        self._deciding = deciding

    @activity.defn
    async def close_order(self, step_input: StepInput) -> Booked:
        """Cancel the fulfilments, then the lines; release the promise or announce the restock; let what remains of the order
        go on; inform the customer. Where all the money has settled, end the cancellation too. Refused: ORDER_LOCKED,
        ORDER_CHANGED, GOODS_LOST."""
        check_local_attempt(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            if case.order_closed:
                return await attempt.answer()
            key = case.key_of(StepName.CLOSE_ORDER, step_input.order_id)
            if case.closed_by_hand:
                # Goods that have arrived since the person was asked are still in the order: they are noted after this close.
                await self._orders.thaw(step_input.order_id, key=key.part_of(key_parts.THAW))
            else:
                await self._note_received(attempt)
                await self._close_in_oms(attempt, key)
            await self._note_given_back(attempt, key)
            expected = self._list_expected(case)
            if lost := lost_parcels(case) & expected:
                raise Refused(ErrorCode.GOODS_LOST, lost_in(step_input.order_id, lost))
            closed = OrderClosed(expected_back=tuple(sorted(expected)))
            after = attempt.case.with_facts([closed])
            # Goods may have left an order that does not stay frozen, or may have arrived: it is read again before the end.
            may_end = after.is_settled and after.stays_frozen and not after.expected_back
            entries = await self._register.close(
                closed,
                _closing_notices(case),
                _ending(after, step_input.order_id) if may_end else None,
                key=key,
                run=attempt.run,
            )
            return await attempt.answer(entries)

    # Rule: A refund that a shop does not note keeps no cancellation from ending
    async def _note_given_back(self, attempt: Attempt, key: EffectKey) -> None:
        """What has gone back is in the books. Where the shop refuses to note it, the worker's log says why."""
        order_id, given = attempt.step_input.order_id, _given_back(attempt.case)
        try:
            await self._orders.note_given_back(order_id, given, key=key.part_of(key_parts.GIVEN_BACK))
        except Refused as refused:
            if refused.code in OURS_TO_PUT_RIGHT:
                raise
            structlog.get_logger().warning(
                "refund_not_noted",
                order_id=order_id,
                cancellation_id=attempt.case.cancellation_id,
                why=refused.message,
            )

    def _list_expected(self, case: Case) -> frozenset[str]:
        """Parcels whose lines stay in the order, because their goods are not in the warehouse yet."""
        return not_received(case) if self._orders.restocks_at_once else frozenset()

    async def _note_received(self, attempt: Attempt) -> None:
        """Note which parcels the carrier has brought back by now: their lines leave the order."""
        case = attempt.case
        waited_for = self._list_expected(case)
        for planned in case.plan.shipments if case.plan and waited_for else ():
            if planned.shipment.shipment_id in waited_for:
                tracking = await self._deciding.read_tracking(planned.shipment)
                if tracking.group is GoodsGroup.RETURNED:
                    await attempt.write(ParcelReceived(shipment_id=planned.shipment.shipment_id))

    async def _close_in_oms(self, attempt: Attempt, key: EffectKey) -> None:
        order_id, case = attempt.step_input.order_id, attempt.case
        others_may_change = self._orders.restocks_at_once or not case.stays_frozen
        seen = await self._known.read(order_id) if others_may_change else None
        if seen:
            await attempt.write(*_departures(case, seen.order))
        closing, before = Closing.of(case), Closing.before(case)
        key = key.part_of(key_parts.close_again(case.times_closed))
        in_flight = case.is_noted(key) and await self._register.close_in_flight(case.cancellation_id)
        cases_tried = [*cases_since(case, key)] if in_flight else []
        if seen:
            ahead = seen.known.ahead_of_oms(case.cancellation_id)
            closing = closing.without_expected(self._list_expected(case), ahead)
            gone_at_last_close = before.without_expected((), ahead).targets if before else None
            earlier = [
                Closing.of(then).without_expected(self._list_expected(then), ahead).targets for then in cases_tried
            ]
            # What is missing may be ours also where a person has said so before the close.
            ours = lines_taken_for_us(case.entries)
            earlier.append({line_id: gone for line_id, gone in closing.targets.items() if line_id in ours})
            others = closing.taken_by_others(seen.gone_in_oms, tried=earlier, already=gone_at_last_close)
            if others:
                raise Refused(ErrorCode.ORDER_CHANGED, changed_at_close(order_id, others, self._list_expected(case)))
        await attempt.note_effect(key)
        try:
            attempt.check_time()
            await self._orders.close(order_id, closing, before, key=key)
        except (Unavailable, Refused) as failure:
            # The next attempt after a refusal of the order itself is an effect of its own.
            closed_by_nobody = await attempt.note_not_closed()
            if closed_by_nobody and isinstance(failure, Refused) and failure.code not in OURS_TO_PUT_RIGHT:
                await attempt.write(EffectEnded(key=key, outcome=EffectOutcome.FAILED, detail=failure.message))
            raise

    # Rule: Units that others took out of the order are no part of ours [before the money moves]
    @activity.defn
    async def check_order(self, step_input: StepInput) -> Booked:
        """Read an order again that does not stay frozen: goods of this cancellation that have left meanwhile are parcels to
        be stopped. Raises Unavailable while no money has moved and the order could not be closed. Refused: ORDER_CHANGED
        when others have taken units out of it, have added some to one that is cancelled as a whole, or have changed what is
        paid, and nobody has answered that."""
        check_local_attempt(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            plan = case.plan
            assert plan is not None
            try:
                seen = await self._known.read(step_input.order_id)
            except Refused as refused:
                if refused.code is ErrorCode.ORDER_NOT_FOUND and case.ever_closed:
                    return await attempt.answer()  # it has left the shop: nothing more leaves it
                raise
            if seen.in_oms.not_closable and not case.past_pivot:
                raise Unavailable(seen.in_oms.not_closable)
            await attempt.write(*_departures(case, seen.order))
            for shipment in await self._find_new_parcels(case, seen.order):
                await self._add_parcel(attempt, shipment, seen.order, find_unpacked_parcels(plan, seen.order))
            change = unanswered_change(case.entries, await self._find_change(case, seen))
            if change.is_change:
                if not is_asked_about(case.entries, change):
                    await attempt.write(change)
                sentence = changed_before(step_input.order_id, change, past_pivot=case.past_pivot)
                raise Refused(ErrorCode.ORDER_CHANGED, sentence)
            return await attempt.answer()

    async def _find_change(self, case: Case, seen: SeenOrder) -> OrderChangeSeen:
        """What others have changed. Once the money moves, what is new in the order is the next cancellation's, but for a
        payment until the end: it may have paid for what has left. Once a close was noted, what is missing may be ours: the
        close itself looks."""
        plan, order = case.plan, seen.order
        assert plan is not None
        is_closing = bool(case.keys_noted(StepName.CLOSE_ORDER, target=order.order_id))
        find_money = find_new_payments if case.past_pivot else find_changed_money
        then = None if case.reopened else await self._register.order_when_decided(case.cancellation_id)
        return OrderChangeSeen(
            taken={} if is_closing else Closing.of(case).taken_by_others(gone_of(order)),
            added={} if case.past_pivot else find_added_units(plan, order),
            money=find_money(plan, then, seen.in_oms) if then else (),
        )

    async def _find_new_parcels(self, case: Case, order: Order) -> tuple[Shipment, ...]:
        plan, decided = case.plan, case.decided
        assert plan is not None
        assert decided is not None
        found = find_new_parcels(plan, decided.parcels, order, {})
        if not found:
            return ()  # the usual case: no carrier is asked
        return find_new_parcels(plan, decided.parcels, order, await self._deciding.read_trackings(order))

    async def _add_parcel(
        self, attempt: Attempt, shipment: Shipment, order: Order, packed_before: tuple[str, ...]
    ) -> None:
        """Add a parcel to the plan, to be stopped like the others. `shipment` has only the units of this cancellation."""
        tracking = await self._deciding.read_tracking(shipment)
        action = planned_action(shipment, tracking)
        plan = attempt.case.plan
        assert plan is not None
        shared = is_shared(plan, shipment, order) or None
        parcel = PlannedShipment(shipment=shipment, group=tracking.group, action=action, shared=shared)
        await attempt.write(ParcelFound(parcel=parcel, packed_before=packed_before))
        if references := shipment.named_by_carrier:
            await self._register.watch(attempt.step_input.order_id, references)

    @activity.defn
    async def close_cancellation(self, step_input: StepInput) -> Booked:
        """The money has settled: post it, write to the customer that it was refunded, and end the cancellation."""
        check_local_attempt(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            await self._note_given_back(attempt, step_input.key)
            entries = await self._register.end(_ending(case, step_input.order_id), run=attempt.run)
            return await attempt.answer(entries)


def _closing_notices(case: Case) -> list[NewNotice]:
    plan = case.plan
    assert plan is not None
    cancelled = NewNotice(
        kind=NoticeKind.CANCELLED,
        lines=() if plan.everything else notice_lines(plan.lines),
        left_out=notice_lines(plan.left_out),
    )
    return [*([] if plan.shipping_alone else [cancelled]), *reservation_notices(case)]


def _departures(case: Case, order: Order) -> tuple[StopSeen, ...]:
    return tuple(StopSeen(stop=stop) for stop in find_departures(case, order))


def _given_back(case: Case) -> list[GivenBack]:
    """What the customer has, unless it fails. What they have paid back is taken off the last of it."""
    credit = credit_of(case)
    amounts: dict[tuple[str, str], Money] = {}
    for part in credit.tenders if credit else ():
        if part.settled and not part.failed:
            of = part.tender_id, part.reference  # one proof may stand for several payments
            amounts[of] = amounts.get(of, Money.zero(part.amount.currency)) + part.amount
    paid_back = {reversal.tender_id: reversal.paid_back for reversal in case.reversals}
    for of, amount in reversed(amounts.items()):
        amounts[of] -= (back := min(paid_back[of[0]], amount))
        paid_back[of[0]] -= back
    return [
        GivenBack(tender_id=tender_id, reference=reference, amount=amount)
        for (tender_id, reference), amount in amounts.items()
        if amount
    ]


# Rule: The customer reads "refunded" once the money has settled
def _ending(case: Case, order_id: str) -> Ending:
    outcome, sentence = closing_outcome(case)
    return Ending(
        key=case.key_of(StepName.CLOSE_CANCELLATION, order_id),
        ended=Ended(outcome=outcome, sentence=sentence),
        credit=credit_of(case),
        notices=tuple(refund_notice(case, NoticeKind.REFUNDED)),
        seen=case.last_seq,
    )
