"""Activities at the beginning: verify the order and freeze it, release it, or only quote what would be done."""

from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio import activity

from activities.attempt import attempt_deadline, begin_attempt, check_deadline, check_local_attempt, this_run
from activities.customer_notices import acknowledge, received_notice, refusal_notices, released_notices
from activities.deciding import Deciding
from activities.incoming import IncomingRequest, IncomingRequests
from activities.known_orders import SeenOrder
from activities.reopening import Reopening
from activities.signatures import Booked, QuoteCancellation, StepInput, Verified, VerifyOrder
from activities.tenders import Payments
from domain import key_parts
from domain.case import Case
from domain.decision import Decision, existing_decision
from domain.errors import ErrorCode, Refused
from domain.facts import (
    Decided,
    Ended,
    Entry,
    Requested,
)
from domain.holder import NotTheHolder
from domain.keys import EffectKey, id_of
from domain.messages import Quote
from domain.order import Order
from domain.outcome import Outcome
from domain.policy import Policy
from domain.request import CancellationRequest
from domain.second_request import Meeting, joining_facts, meet, under_way_sentence, with_rights
from domain.standing import result_of
from domain.step import StepName
from providers.cancellations.port import Register
from providers.carrier.port import Labels
from providers.orders.port import Orders
from providers.outbox.port import Outbox


class OrderActivities:
    def __init__(
        self,
        *,
        register: Register,
        outbox: Outbox,
        orders: Orders,
        payments: Payments,
        labels: Labels,
        policy: Policy,
        deciding: Deciding,
    ) -> None:
        self._register = register
        self._outbox = outbox
        self._orders = orders
        self._incoming = IncomingRequests(orders, register, outbox)
        self._policy = policy
        self._deciding = deciding
        self._reopening = Reopening(register, payments, labels)

    @activity.defn
    async def verify_order(self, step_input: VerifyOrder) -> Verified:
        """Take up what the books know of the order. Where they know nothing: read the order and the live truth, decide by
        policy, plan, and freeze the order when there is something to do. An order that has changed meanwhile is read and
        decided about again.

        Refused: ORDER_HELD, PAYMENT_NOT_FOUND, HELD_ELSEWHERE. A refusal by policy is a decision, not a failure.
        """
        check_local_attempt(self._orders)
        request = step_input.request
        # Asked for before anything is read: what comes later is not delivered by this look.
        events = await self._register.events_sent(request.order_id) if step_input.look_again else ()
        incoming = await self._incoming.read(request)
        if incoming is None:
            return await self._end_not_found(step_input)
        order, case, deferred = incoming.order, incoming.case, incoming.deferred
        if incoming.conflicts_with(case):
            return Verified(entries=(), decision=self._policy.conflict(request), customer_id=order.customer_id)
        # The law's clocks begin when it arrived, also when it had to wait for another cancellation.
        requested = Requested(request=request, at=deferred.received_at if deferred else step_input.requested_at)
        if case.ended:
            if not case.has(request):
                await acknowledge(self._outbox, requested, case)
            return await self._look_again(step_input, order, case, events)
        if case.request:
            case = await self._take_up(step_input, incoming)
            if case.decided or case.roll_back_cause:
                return Verified(entries=case.entries)
            requested = Requested(request=case.request or request, at=case.requested_at or step_input.requested_at)
        await self._register.begin_verification(
            order.order_id,
            this_run(),
            step_input.at or activity.info().scheduled_time,
            from_elsewhere=step_input.from_elsewhere,
        )
        return Verified(entries=await self._decide_and_freeze(incoming.seen, requested, case))

    # Rule: Whose order it is was asked when its cancellation was opened [and gone before it was decided about]
    async def _end_not_found(self, step_input: VerifyOrder) -> Verified:
        """The order is gone, or another customer's. What the books have opened of this very request, and not decided, ends:
        else no run would be left that could."""
        request, decision = step_input.request, self._policy.not_found(step_input.order_id)
        own = (await self._register.of_order(request.order_id)).opened_for(request)
        if own is None or own.ended or own.decided or own.request is None or own.requested_at is None:
            return Verified(entries=(), decision=decision)
        run, requested = this_run(), Requested(request=own.request, at=own.requested_at)
        await self._register.take_up(own.cancellation_id, run, from_elsewhere=step_input.from_elsewhere)
        key = EffectKey(own.cancellation_id, StepName.VERIFY_ORDER, request.order_id)
        await self._orders.thaw(request.order_id, key=key.part_of(key_parts.THAW))  # the shop may find it again
        ended = Ended(outcome=Outcome.REJECTED, sentence=decision.sentence)
        return Verified(entries=await self._register.refuse(requested, run, [Decided(decision=decision), ended], ()))

    # Rule: An ended cancellation is not repeated: its result is given once more
    async def _look_again(self, step_input: VerifyOrder, order: Order, case: Case, events: Sequence[str]) -> Verified:
        """The cancellation has ended. An event may say that its outcome does not hold any more: then it is opened again."""
        if step_input.look_again:
            if await self._reopening.reopen_from(case, order, this_run()) and events:
                await self._register.mark_looked_at(case.cancellation_id, events)
            # Or an attempt that was given up has opened it since this one read it.
            case = Case(await self._register.read(case.cancellation_id))
        # An earlier attempt of this run may have ended it, and its answer was lost.
        return Verified(entries=case.entries, existing=case.ended is not None and case.holder != this_run())

    async def _take_up(self, step_input: VerifyOrder, incoming: IncomingRequest) -> Case:
        """An earlier run was lost: go on from the books' facts, with this request among those who asked. One whose own
        cancellation has ended is answered by that one, and asks for nothing more."""
        order, case, own = incoming.order, incoming.case, incoming.own_case
        entries = await self._register.take_up(
            case.cancellation_id, this_run(), from_elsewhere=step_input.from_elsewhere
        )
        request = step_input.request
        is_answered = Case(entries).has(request) or (own is not None and own.ended is not None)
        if not is_answered and self._policy.reject_actor(order, request) is None:
            await acknowledge(self._outbox, Requested(request=request, at=step_input.requested_at), Case(entries))
            await self._register.write(
                case.cancellation_id, this_run(), lambda case: joining_facts(order, case, request)
            )
        return Case(await self._register.read(case.cancellation_id))

    # Rule: An order is held by one cancellation at a time, and only as it was read
    async def _decide_and_freeze(self, seen: SeenOrder, requested: Requested, case: Case) -> tuple[Entry, ...]:
        """`case` is what the books know of the request's cancellation, if it is open."""
        request, run, order = requested.request, this_run(), seen.order
        decided = with_rights(order, await self._deciding.decide(order, requested), *case.requests)
        key = EffectKey(id_of(request), StepName.VERIFY_ORDER, order.order_id)
        if decided.plan is None:
            # Acknowledged before the refusal is kept: an attempt that finds the refusal kept does nothing more.
            await acknowledge(self._outbox, requested, case)
            if case.is_noted(key):  # an earlier attempt may have frozen it
                await self._orders.thaw(order.order_id, key=key.part_of(key_parts.THAW))
            ended = Ended(outcome=Outcome.REJECTED, sentence=decided.decision.sentence)
            notices = refusal_notices(requested, decided.decision)
            return await self._register.refuse(requested, run, [decided, ended], notices)
        noted = Case(await self._register.note_hold(requested, key, run, until=attempt_deadline()))
        if not noted.may_make(key):
            return noted.entries  # it was withdrawn before
        check_deadline(attempt_deadline())
        # A freeze that others can end is not relied on: the order is read again before the money moves.
        frozen = await self._orders.freeze(seen.in_oms, key=key) and not self._orders.others_can_thaw
        notices = [] if decided.plan.shipping_alone else [received_notice(requested)]
        decided = decided.model_copy(update={"frozen": frozen, "parcels": () if frozen else order.shipments})
        try:
            kept = Case(await self._register.decide(seen.in_oms, decided, notices, key=key, run=run, known=noted))
        except NotTheHolder:
            # This attempt was late, and the cancellation may have ended since: then nobody else thaws what it has frozen.
            if Case(await self._register.read(key.cancellation_id)).ended:
                await self._orders.thaw(order.order_id, key=key.part_of(key_parts.THAW))
            raise
        if kept.roll_back_cause or kept.ended:
            await self._orders.thaw(order.order_id, key=key.part_of(key_parts.THAW))
        return kept.entries

    @activity.defn
    async def quote_cancellation(self, step_input: QuoteCancellation) -> Quote:
        """What verify_order would answer now; nothing is written. Refused: PAYMENT_NOT_FOUND, UNDER_WAY."""
        request = step_input.request
        incoming = await self._incoming.read(request)
        if incoming is None:
            return _quote(request, self._policy.not_found(request.order_id))
        order, own = incoming.order, incoming.own_case
        case = own if own and own.ended else incoming.case
        if incoming.conflicts_with(case):
            return _quote(request, self._policy.conflict(request))
        requested = Requested(request=request, at=datetime.now(UTC))
        if case.decided and not case.has(request):
            if case.ended:
                return _quote(request, existing_decision(case.decided.decision, order.order_id), case)
            if no := self._policy.reject_actor(order, request):
                return _quote(request, no)
            if (meeting := meet(order, case, requested, request)) is not Meeting.JOINS:
                raise _under_way(case, request, meeting)
            case = case.with_facts(joining_facts(order, case, request))
        if case.decided:
            return _quote(request, case.decided.decision, case, case.decided)
        decided = await self._deciding.decide(order, requested)
        return _quote(request, decided.decision, case, decided)

    @activity.defn
    async def release_order(self, step_input: StepInput) -> Booked:
        """Compensation of verify_order: the order goes on, and the cancellation is closed in the books."""
        check_local_attempt(self._orders)
        async with begin_attempt(self._register, step_input) as attempt:
            cause = attempt.case.roll_back_cause
            assert cause is not None
            if attempt.case.all_keys_noted(StepName.VERIFY_ORDER, target=step_input.order_id):
                await attempt.note_effect(step_input.key)
                attempt.check_time()
                await self._orders.thaw(step_input.order_id, key=step_input.key)
            notices = released_notices(attempt.case, cause.reason)
            return await attempt.answer(await self._register.release(notices, key=step_input.key, run=attempt.run))


def _quote(
    request: CancellationRequest, decision: Decision, case: Case | None = None, decided: Decided | None = None
) -> Quote:
    """`case` is the cancellation that the request meets, `decided` what the plan is from."""
    ended = case.ended if case else None
    result = result_of(case, request.order_id, ended.outcome, ended.sentence, existing=True) if case and ended else None
    return Quote(
        order_id=request.order_id,
        request_id=request.request_id,
        decision=decision,
        plan=decided.plan if decided else None,
        existing=case.cancellation_id if case and case.request else None,
        result=result,
    )


def _under_way(case: Case, request: CancellationRequest, meeting: Meeting) -> Refused:
    """Why nothing can be quoted while another cancellation of the order is under way."""
    kept = "A start is kept, and decided when that one has ended."
    advice = kept if meeting is Meeting.DEFERRED else "Ask again when it has ended."
    return Refused(ErrorCode.UNDER_WAY, under_way_sentence(request.order_id, case.cancellation_id, advice))
