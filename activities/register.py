"""Activities on the register: take up a cancellation, keep what somebody decided, receive a further request."""

from collections.abc import Sequence

from temporalio import activity

from activities.attempt import this_run
from activities.customer_notices import acknowledge, received_notice, refusal_notices
from activities.incoming import IncomingRequest, IncomingRequests
from activities.known_orders import KnownOrders
from activities.signatures import Booked, ReceivedRequest, ReceiveRequest, RecordDecision, StepInput
from domain.case import Case
from domain.decision import existing_decision, order_not_found
from domain.errors import ErrorCode, Refused
from domain.facts import Fact, Requested, RetryOrdered, SettledByHand, Written
from domain.keys import id_of
from domain.order import OrderState
from domain.permissions import NotPossible, permit
from domain.policy import Policy
from domain.request import CancellationRequest
from domain.second_request import Meeting, joining_facts, meet, meet_without_joining, under_way_sentence
from domain.standing import result_of
from providers.cancellations.port import Register
from providers.gateway.port import PaymentGateway
from providers.orders.port import Orders
from providers.outbox.port import DeferredRequest, Outbox


class RegisterActivities:
    def __init__(
        self, register: Register, outbox: Outbox, orders: Orders, policy: Policy, gateway: PaymentGateway
    ) -> None:
        self._register = register
        self._gateway = gateway
        self._outbox = outbox
        self._known = KnownOrders(orders, register)
        self._incoming = IncomingRequests(orders, register, outbox)
        self._policy = policy

    @activity.defn
    async def take_up(self, step_input: StepInput) -> Booked:
        """Make this run the holder and read all facts: they replace what it knew. Refused: HELD_ELSEWHERE."""
        return Booked(entries=await self._register.take_up(step_input.cancellation_id, this_run()))

    @activity.defn
    async def record_decision(self, step_input: RecordDecision) -> Booked:
        """Keep what somebody decided, or the process about itself, unless the books know why it is not possible: they may
        know more than the run. Refused: NOT_POSSIBLE; ORDER_NOT_FOUND when the run's own request is not of the order's
        owner: then nothing is written, and nothing of the order reaches the run."""
        request, said = step_input.requested.request, step_input.said
        known = step_input.cancellation_id if step_input.last_seq else None
        refunds_of_others = await self._refunds_of_others(step_input) if isinstance(said, SettledByHand) else None
        names_dispute = isinstance(said, SettledByHand) and self._gateway.is_dispute_number(said.reference)

        def change(case: Case) -> Sequence[Fact]:
            kept = permit(
                case,
                said,
                step_input.order_id,
                refunds_of_others,
                asked_after=step_input.asked_after,
                names_dispute=names_dispute,
            )
            return [] if kept is None else [kept]

        try:
            # A run that knows entries has them from the books, which give them to the order's owner only.
            if known is None and not await self._opens(request, said):
                return Booked(entries=())
            entries = await self._register.open(step_input.requested, this_run(), change, known=known)
        except NotPossible as no:
            # The run hears why, and of all that it did not know.
            of_order = await self._register.of_order(step_input.order_id)
            raise _refused(no, Booked(entries=of_order.case_for(request.request_id).entries)) from None
        return Booked(entries=tuple(entry for entry in entries if entry.seq > step_input.last_seq))

    # Rule: A refund that pays something else is no proof of a payment [those of other cancellations]
    async def _refunds_of_others(self, step_input: RecordDecision) -> dict[str, str]:
        """The refunds of other cancellations, each with its order: this one, or another paid by the same payment."""
        known = {step_input.order_id: await self._register.of_order(step_input.order_id)}
        cases = known[step_input.order_id].cases
        plan = next((case.plan for case in cases if case.cancellation_id == step_input.cancellation_id), None)
        payments = [planned.tender.reference for planned in plan.tenders] if plan else []
        for order_id in await self._register.orders_of(payments):
            if order_id not in known:
                known[order_id] = await self._register.of_order(order_id)
        return {
            refund.reference: order_id
            for order_id, of_order in known.items()
            for case in of_order.cases
            if case.cancellation_id != step_input.cancellation_id
            for reversal in case.reversals
            for refund in reversal.refunds
        }

    async def _opens(self, request: CancellationRequest, said: Written) -> bool:
        """The run does not know yet what the books have. Nothing is opened on somebody else's order, nor on one whose
        cancellation is over: what is said then is said of that one. Nor by an order to try again where there is no such
        order: the step that is tried again finds that out, and the run ends. Raises NotPossible."""
        seen = await self._known.read_owned(request)
        if seen is None:
            if isinstance(said, RetryOrdered):
                return False
            raise Refused(ErrorCode.ORDER_NOT_FOUND, order_not_found(request.order_id))
        if seen.order.state is OrderState.CANCELLED:
            over = seen.known.case_for(request.request_id, carried_out=True)
            if over.ended:
                permit(over, said, request.order_id)
        return True

    @activity.defn
    async def receive_request(self, step_input: ReceiveRequest) -> ReceivedRequest:
        """A further request for the order while this run's cancellation is under way. Its own cancellation may have
        ended: then its decision and result are the answer. The same scope joins. Any other scope is refused as under
        way: UNDER_WAY; the same id with other content: REQUEST_CONFLICT. A statutory withdrawal is kept, and carried
        out afterwards."""
        request = step_input.request
        incoming = await self._incoming.read(request)
        if incoming is None:
            return ReceivedRequest(entries=(), decision=self._policy.not_found(request.order_id))
        order, own = incoming.order, incoming.own_case or Case()
        if incoming.conflicts_with(own):
            conflict = self._policy.conflict(request)
            raise Refused(ErrorCode.REQUEST_CONFLICT, conflict.sentence)
        if own.ended:
            return _ended(own, request)
        opened = step_input.requested
        under_way = incoming.seen.known.case_for(opened.request.request_id)
        if no := self._policy.reject_actor(order, request):
            if kept := incoming.deferred:
                notices = refusal_notices(Requested(request=request, at=kept.received_at), no)
                await self._outbox.add_notices(id_of(request), request.order_id, notices)
            return ReceivedRequest(entries=(), decision=no)
        if meet(order, under_way, opened, request) is not Meeting.JOINS:
            return await self._wait_for_end(step_input, incoming)
        await acknowledge(self._outbox, Requested(request=request, at=step_input.received_at), under_way)
        known = step_input.cancellation_id if step_input.last_seq else None
        entries = await self._register.open(
            opened, this_run(), lambda case: joining_facts(order, case, request), known=known
        )
        if not Case(entries).has(request):  # it has ended, or is rolled back, since it was looked at
            return await self._wait_for_end(step_input, await self._incoming.read(request))
        return ReceivedRequest(entries=tuple(entry for entry in entries if entry.seq > step_input.last_seq))

    async def _wait_for_end(self, step_input: ReceiveRequest, incoming: IncomingRequest | None) -> ReceivedRequest:
        """Refused: UNDER_WAY, to be sent again by its sender; a statutory withdrawal is kept, acknowledged at once with its
        time, and sent again by the product. Where all of the order is cancelled by now there is nothing to wait for."""
        request = step_input.request
        if incoming is not None and incoming.case.ended:
            await acknowledge(self._outbox, Requested(request=request, at=step_input.received_at), incoming.case)
            return _ended(incoming.case, request)
        if meet_without_joining(request) is Meeting.UNDER_WAY:
            raise Refused(
                ErrorCode.UNDER_WAY,
                under_way_sentence(
                    step_input.order_id,
                    step_input.cancellation_id,
                    f"Ask again after {step_input.ask_again_at:%Y-%m-%d %H:%M} UTC, when it may have ended.",
                ),
            )
        received = Requested(request=request, at=step_input.received_at)
        deferred = DeferredRequest(request=request, received_at=step_input.received_at)
        await self._outbox.defer_request(deferred, [received_notice(received)])
        return ReceivedRequest(entries=(), deferred=True)


# Rule: An ended cancellation is not repeated: its result is given once more [while another one runs]
def _ended(case: Case, request: CancellationRequest) -> ReceivedRequest:
    """The answer to a request whose own cancellation has ended: the same decision and plan as the first time, with the
    result. To any other request: that the order is cancelled already."""
    assert case.ended is not None
    assert case.decision is not None or case.roll_back_cause is not None
    result = result_of(case, request.order_id, case.ended.outcome, case.ended.sentence, existing=True)
    decided = case.decided
    if decided is not None and not case.has(request):
        existing = existing_decision(decided.decision, request.order_id)
        return ReceivedRequest(entries=(), decision=existing, result=result)
    return ReceivedRequest(
        entries=(),
        decision=decided.decision if decided else None,
        plan=decided.plan if decided else None,
        result=result,
    )


def _refused(no: NotPossible, booked: Booked) -> Refused:
    refused = Refused(no.code, no.sentence)
    refused.booked = booked
    return refused
