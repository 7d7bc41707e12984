"""Activities on a shipment: stop it, look where it is, let it go on."""

from temporalio import activity

from activities.attempt import Attempt, EffectAnswer, begin_attempt, check_done, end_of
from activities.known_orders import KnownOrders
from activities.resuming import Resuming
from activities.signatures import Booked, Look, StepInput
from domain import key_parts
from domain.closing import news_of_expected
from domain.departures import has_left_since, is_of_others
from domain.errors import ErrorCode, Refused
from domain.facts import EffectOutcome, Fact, ParcelFound, StopSeen
from domain.money import Money
from domain.order import Order
from domain.plan import PlannedShipment
from domain.shipment import LabelStatus, Shipment, Stop, StopAction, StopStatus, Tracking
from domain.step import StepName
from domain.stopping import BACK, NOT_SEEN, VOID, NextStop, intercepted, moves_again, next_stop
from domain.stops import stopped_by_hand
from providers.cancellations.port import Register
from providers.carrier.port import Intercept, Intercepts, Labels
from providers.orders.port import Orders
from providers.outbox.port import NewNotice, NoticeKind, NoticeLine, Outbox
from providers.stored_value.port import StoredValue


class ShipmentActivities:
    def __init__(
        self,
        *,
        register: Register,
        outbox: Outbox,
        orders: Orders,
        stored_value: StoredValue,
        labels: Labels,
        intercepts: Intercepts,
    ) -> None:
        self._register = register
        self._outbox = outbox
        self._orders = orders
        self._known = KnownOrders(orders, register)
        self._stored_value = stored_value
        self._labels = labels
        self._intercepts = intercepts
        self._resuming = Resuming(orders, stored_value, labels, intercepts)

    async def _find_order(self, order_id: str) -> Order | None:
        try:
            return await self._orders.read(order_id)
        except Refused as refused:
            if refused.code is not ErrorCode.ORDER_NOT_FOUND:
                raise
            return None

    async def _find_shipment(self, step_input: StepInput) -> Shipment | None:
        """The shipment as it is now: the warehouse may have bought a label since the plan was made. None: it is gone, or its
        order is."""
        order = await self._find_order(step_input.order_id)
        return _shipment_of(order, step_input.target) if order else None

    async def _shipment_to_resume(self, attempt: Attempt) -> Shipment | None:
        """As it is now, or as it was planned where its order is gone: the shop's picks are gone with that, the carrier's
        parcels and the gift cards are not."""
        order = await self._find_order(attempt.step_input.order_id)
        if order is not None:
            return _shipment_of(order, attempt.step_input.target)
        planned = _planned(attempt, attempt.step_input.target)
        if planned is None or not (planned.shipment.label_reference or planned.shipment.gift_card):
            return None
        return planned.shipment

    async def _shipment_to_stop(self, attempt: Attempt) -> Shipment:
        """As it is now, or as it was planned where its label may be used although the OMS does not show it any more: others
        may have packed the shipment anew, or taken the label off. Refused: SHIPMENT_NOT_STOPPABLE."""
        step_input = attempt.step_input
        planned, found = _planned(attempt, step_input.target), await self._find_shipment(step_input)
        old_label = (planned and planned.shipment.label_reference) or None
        if found is not None and (found.label_reference or old_label is None):
            return found
        if planned is None or old_label is None or (found is None and attempt.case.stays_frozen):
            raise Refused(
                ErrorCode.SHIPMENT_NOT_STOPPABLE,
                f"Order {step_input.order_id} has no shipment {step_input.target} any more; look at the order in the OMS.",
            )
        if found is not None and (await self._labels.track(old_label)).group in NOT_SEEN:
            return found  # nobody has used the label that was removed
        return planned.shipment

    @activity.defn
    async def stop_shipment(self, step_input: StepInput) -> Booked:
        """Stop one shipment by where it is now: withdraw the pick, void the label, or ask for an intercept.

        A parcel that the carrier will not stop any more is an answer (`declined`), not a failure.
        """
        async with begin_attempt(self._register, step_input) as attempt:
            shipment = await self._shipment_to_stop(attempt)
            await self._watch_new_label(attempt, shipment)
            stop = await self._stop(attempt, shipment)
            if stop.action is StopAction.INTERCEPT and stop.status is not StopStatus.REQUESTED:
                await self._add_parcel_notice(attempt, stop)
            await attempt.end(StopSeen(stop=stop), reference=stop.reference, detail=stop.detail)
            return await attempt.answer()

    async def _watch_new_label(self, attempt: Attempt, shipment: Shipment) -> None:
        """The parcel may have got its label since it was decided: the carrier's events about it are to reach this order."""
        planned = _planned(attempt, shipment.shipment_id)
        known = planned.shipment.named_by_carrier if planned else ()
        new = [name for name in shipment.named_by_carrier if name not in known]
        if new and planned:
            relabelled = planned.model_copy(update={"shipment": shipment.model_copy(update={"lines": ()})})
            await attempt.write(ParcelFound(parcel=relabelled))
            await self._register.watch(attempt.step_input.order_id, new)

    async def _stop(self, attempt: Attempt, shipment: Shipment) -> Stop:
        tracking = await self._labels.track(shipment.label_reference) if shipment.label_reference else None
        left_since = has_left_since(attempt.case, shipment)
        match next_stop(shipment, tracking, shared=_is_shared(attempt, shipment), left_since=left_since):
            case NextStop.DEACTIVATE_GIFT_CARD:
                return await self._deactivate(attempt, shipment)
            case NextStop.WITHDRAW_PICK:
                return await self._withdraw_pick_or_look(attempt)
            case NextStop.VOID_LABEL:
                return await self._void(attempt, shipment)
            case NextStop.REQUEST_INTERCEPT:
                return await self._intercept(attempt, shipment)
            case Stop() as stop:
                return stop

    async def _withdraw_pick_or_look(self, attempt: Attempt) -> Stop:
        """A pick that is not withdrawn may have left a moment ago."""
        try:
            return await self._withdraw_pick(attempt)
        except Refused as refused:
            shipment = await self._find_shipment(attempt.step_input)
            stop = next_stop(shipment, None) if shipment else None
            if refused.code is ErrorCode.SHIPMENT_NOT_STOPPABLE and isinstance(stop, Stop):
                return stop
            raise

    async def _withdraw_pick(self, attempt: Attempt) -> Stop:
        step_input, key = attempt.step_input, attempt.step_input.key.part_of(key_parts.PICK)
        stop = Stop(shipment_id=step_input.target, action=StopAction.WITHDRAW_PICK, status=StopStatus.STOPPED)
        answer = await attempt.make_effect(
            key,
            lambda: self._orders.withdraw_pick(step_input.order_id, step_input.target, key=key),
            lambda _: EffectAnswer(following=lambda _: _facts_when_stopped(attempt, stop)),
        )
        check_done(answer, ErrorCode.SHIPMENT_NOT_STOPPABLE)
        return stop

    async def _deactivate(self, attempt: Attempt, shipment: Shipment) -> Stop:
        account, key = shipment.gift_card, attempt.step_input.key.part_of(key_parts.GIFT_CARD)
        assert account is not None

        def stop(*, unused: bool) -> Stop:
            return Stop(
                shipment_id=attempt.step_input.target,
                action=StopAction.DEACTIVATE_GIFT_CARD,
                status=StopStatus.STOPPED if unused else StopStatus.DECLINED,
                detail="deactivated" if unused else "used since it was bought",
                reference=account,
            )

        def describe(amount: Money | None) -> EffectAnswer:
            if amount is None:
                return EffectAnswer(account, "used since it was bought", outcome=EffectOutcome.REFUSED)
            deactivated = stop(unused=True)
            return EffectAnswer(account, "deactivated", following=lambda _: _facts_when_stopped(attempt, deactivated))

        answer = await attempt.make_effect(key, lambda: self._stored_value.deactivate(account, key=key), describe)
        ended = end_of(answer, describe)
        return stop(unused=ended.outcome is EffectOutcome.DONE)

    async def _void(self, attempt: Attempt, shipment: Shipment) -> Stop:
        label = shipment.label_reference
        assert label is not None
        key = attempt.step_input.key.part_of(key_parts.VOID_LABEL)

        def stop(detail: str) -> Stop:
            return Stop(
                shipment_id=attempt.step_input.target,
                action=StopAction.VOID_LABEL,
                status=StopStatus.STOPPED,
                detail=detail,
                reference=label,
            )

        def describe(status: LabelStatus) -> EffectAnswer:
            detail = status.replace("_", " ")
            if status not in VOID:
                return EffectAnswer(label, detail, outcome=EffectOutcome.REFUSED)
            return EffectAnswer(label, detail, following=lambda _: _facts_when_stopped(attempt, stop(detail)))

        answer = await attempt.make_effect(key, lambda: self._labels.void(label), describe)
        ended = end_of(answer, describe)
        if ended.outcome is not EffectOutcome.DONE:
            return await self._intercept_or_look(attempt, shipment)
        return stop(ended.detail)

    async def _intercept_or_look(self, attempt: Attempt, shipment: Shipment) -> Stop:
        """After a rejected void, which tracking may not show yet."""
        assert shipment.label_reference is not None
        tracking = await self._labels.track(shipment.label_reference)
        seen = Tracking(group=tracking.group, label=LabelStatus.VOID_REJECTED)
        answer = next_stop(shipment, seen, shared=_is_shared(attempt, shipment))
        return answer if isinstance(answer, Stop) else await self._intercept(attempt, shipment)

    async def _intercept(self, attempt: Attempt, shipment: Shipment) -> Stop:
        number, label = shipment.tracking_number, shipment.label_reference
        assert number is not None
        assert label is not None
        key = attempt.step_input.key.part_of(key_parts.INTERCEPT)

        def describe(answer: Intercept) -> EffectAnswer:
            if answer.accepted:
                return EffectAnswer(answer.reference, "intercept accepted")
            why = answer.detail or "the carrier declined the intercept"
            return EffectAnswer(answer.reference, why, outcome=EffectOutcome.REFUSED)

        answer = await attempt.make_effect(
            key, lambda: self._intercepts.request(number, key=str(attempt.step_input.key)), describe
        )
        ended = end_of(answer, describe)

        def stop(status: StopStatus, detail: str) -> Stop:
            return Stop(
                shipment_id=attempt.step_input.target,
                action=StopAction.INTERCEPT,
                status=status,
                detail=detail,
                reference=ended.reference,
            )

        if ended.outcome is EffectOutcome.DONE:
            return stop(StopStatus.REQUESTED, ended.detail)
        # Declined may mean that an earlier request, whose answer was lost, has sent the parcel back by now.
        if (await self._labels.track(label)).group in BACK:
            return stop(StopStatus.COMING_BACK, "on its way back")
        return stop(StopStatus.DECLINED, ended.detail)

    async def _add_parcel_notice(self, attempt: Attempt, stop: Stop) -> None:
        """The customer sees the parcel's tracking too, so a mail says why it goes back, or that it does not. The mail does
        not name what else is in the parcel: they keep that."""
        step_input = attempt.step_input
        stopped = stop.status in {StopStatus.COMING_BACK, StopStatus.STOPPED}
        # What is not stopped after the pivot is fetched by a person, and its money is on its way.
        if stopped or (stop.status is StopStatus.DECLINED and not attempt.case.past_pivot):
            notice = NewNotice(
                kind=NoticeKind.PARCEL_STOPPED if stopped else NoticeKind.PARCEL_NOT_STOPPED,
                about=step_input.target,
                lines=tuple(
                    NoticeLine(line_id=line_id, quantity=units)
                    for line_id, units in attempt.case.units_in(step_input.target).items()
                ),
            )
            await self._outbox.add_notices(step_input.cancellation_id, step_input.order_id, [notice])

    @activity.defn
    async def check_shipment(self, step_input: Look) -> Booked:
        """Read where a parcel is that counts as stopped: how its intercept ended, or whether it goes to the customer all the
        same. Nothing is added as long as tracking says nothing new. A parcel without a label is not tracked."""
        async with begin_attempt(self._register, step_input) as attempt:
            known = attempt.case.stop_of(step_input.target)
            assert known is not None
            # The OMS may have let a shipment that was stopped go, or its label; that may be used all the same.
            planned = _planned(attempt, step_input.target)
            shipment = await self._find_shipment(step_input)
            if shipment and planned and shipment.is_packed_anew(planned.shipment):
                order = (await self._known.read(step_input.order_id)).order
                shipment = None if is_of_others(attempt.case, shipment, order) else shipment
            label = (shipment.label_reference if shipment else None) or (
                planned.shipment.label_reference if planned else None
            )
            if label is None:
                return await attempt.answer_look(step_input)
            tracking = await self._labels.track(label)
            if known.status is StopStatus.REQUESTED:
                stop = intercepted(known, tracking, attempt.case.terms.refund_intercepted)
            else:
                moving = known.model_copy(update={"status": StopStatus.MOVING})
                stop = moving if moves_again(known, tracking) else known
            if stop != known:
                if stop.status is not StopStatus.MOVING:
                    # Before the fact is kept: the next attempt finds nothing new in it.
                    await self._add_parcel_notice(attempt, stop)
                await attempt.write(StopSeen(stop=stop))
            elif news := news_of_expected(attempt.case, known, tracking):
                await attempt.write(news)
            return await attempt.answer_look(step_input)

    # Rule: In a roll-back a stopped parcel goes on again
    @activity.defn
    async def resume_shipment(self, step_input: StepInput) -> Booked:
        """Compensation of stop_shipment, whether that had its effect or not: give the pick back, buy a new label in place of
        the voided one, or take the intercept back. What a person stopped is a person's to send on. Refused:
        STOP_NOT_UNDOABLE, ORDER_NOT_FOUND."""
        async with begin_attempt(self._register, step_input) as attempt:
            undone = attempt.case.all_keys_noted(StepName.STOP_SHIPMENT, target=step_input.target)
            if undone:  # what never happened is not undone
                await attempt.wait_for_quiet(undone)
                await self._resuming.resume(attempt, await self._shipment_to_resume(attempt))
            if by_hand := stopped_by_hand(attempt.case.entries, step_input.target):
                raise Refused(
                    ErrorCode.STOP_NOT_UNDOABLE,
                    f"Shipment {step_input.target} of order {step_input.order_id} was stopped by hand ({by_hand}), which "
                    "only a person can take back: send it on, or ship the goods again, and resolve the step with a "
                    "reference.",
                )
            await attempt.end()
            return await attempt.answer()


def _shipment_of(order: Order, shipment_id: str) -> Shipment | None:
    return next((found for found in order.shipments if found.shipment_id == shipment_id), None)


def _facts_when_stopped(attempt: Attempt, stop: Stop) -> tuple[Fact, ...]:
    return StopSeen(stop=stop), attempt.ended(reference=stop.reference, detail=stop.detail)


def _planned(attempt: Attempt, shipment_id: str) -> PlannedShipment | None:
    plan = attempt.case.plan
    return plan.find_shipment(shipment_id) if plan else None


def _is_shared(attempt: Attempt, shipment: Shipment) -> bool:
    """Shared since it was decided, or, in an order that does not stay frozen, since others have added to it."""
    planned = _planned(attempt, shipment.shipment_id)
    cancelled = attempt.case.units_in(shipment.shipment_id)
    return bool(planned and planned.shared) or shipment.holds_more_than(cancelled)
