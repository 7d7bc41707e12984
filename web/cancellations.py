"""The endpoints that ask for cancellations and steer them."""

from uuid import uuid4

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from client.errors import ExitCode, RunPaused, StarterError, UnderWay
from client.submitting import deferred_sentence
from domain.decision import Decision, Rule, Verdict
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Quote,
    Reject,
    ResolveStep,
    RetryStep,
    Submission,
    Withdraw,
)
from domain.request import ActorKind, CancellationRequest
from runtime.api_keys import ApiKey
from web.bodies import (
    NO_CUSTOMER,
    NO_NOTE,
    ONLY_STEP,
    CancellationBody,
    ChooseRefundMethodBody,
    NoteBody,
    Pending,
    ResolveStepBody,
    RetryStepBody,
    WithdrawBody,
)
from web.callers import Caller, Person, actor_of, check_reason, person_of
from web.idempotency import OptionalRequestId, RequestId
from web.parameters import OrderId, refuse_unknown_parameters
from web.parts import SharedParts
from web.problems import (
    COMMON,
    RETRY_AFTER,
    Code,
    HttpProblem,
    check_body,
    hide_existence_from,
    location_of,
    responses_of,
)

_ANSWERS = (
    *COMMON,
    Code.NO_CANCELLATION,
    Code.NOT_ALLOWED_NOW,
    Code.ROLLED_BACK,
    Code.NOT_PERMITTED,
    Code.OUTSIDE_SCOPE,
    Code.NOT_ANSWERED,
)
_STEERING = responses_of(*_ANSWERS)
_STEERING_FOR_A_CUSTOMER = responses_of(*_ANSWERS, Code.ORDER_NOT_FOUND)

cancellations = APIRouter(tags=["cancellations"], dependencies=[Depends(refuse_unknown_parameters)])


@cancellations.post(
    "/orders/{order_id:path}/cancellation",
    status_code=201,
    summary="Ask for a cancellation",
    response_model=Submission,
    responses={
        201: {"description": "The request opened the cancellation. Decision and plan are in the body."},
        200: {
            "model": Submission,
            "description": "Nothing new was begun: the request joined the cancellation that is under way, or was "
            "rejected by the policy, or its cancellation is over and its result is in the body.",
        },
        202: {
            "model": Pending,
            "description": "Received, and not decided yet. It goes on; look at Location. A statutory withdrawal is "
            "`deferred` while another cancellation of the order is under way.",
        },
        **responses_of(
            *COMMON,
            Code.IDEMPOTENCY_KEY_MISSING,
            Code.OUTSIDE_SCOPE,
            Code.ORDER_NOT_FOUND,
            Code.REQUEST_CONFLICT,
            Code.UNDER_WAY,
            Code.ROLLED_BACK,
        ),
    },
)
async def start_cancellation(
    *,
    order_id: OrderId,
    body: CancellationBody,
    request_id: RequestId,
    caller: Caller,
    parts: SharedParts,
    response: Response,
) -> Submission | Response:
    """Safe to repeat after a lost answer: the same key with the same content is the same request and gets the same answer,
    and its result once it is over; with other content it is a conflict. A request that the policy rejects is an answer: look
    at `decision.verdict`."""
    request = _request_of(order_id, body, request_id, caller)
    library = await parts.temporal.cancellations()
    try:
        submission = await library.start(request, parts.settings.decision_wait)
    except (UnderWay, RunPaused):
        raise
    except StarterError as error:
        if error.code is ExitCode.REFUSED:
            raise HttpProblem(Code.REQUEST_CONFLICT, error.sentence) from None
        if error.code is not ExitCode.UNDECIDED:
            raise
        if not await parts.temporal.runs(order_id):
            raise StarterError(ExitCode.UNREACHABLE, error.sentence) from None
        sentence = (
            f"The cancellation of order {order_id} is not decided yet and goes on. Look at its status, or send the same "
            "request again: nothing is done twice."
        )
        return _pending(Pending(order_id=order_id, sentence=sentence))
    decision = submission.decision
    if decision is None:
        return _pending(Pending(order_id=order_id, sentence=deferred_sentence(order_id), deferred=True))
    _raise_if_problem(decision)
    response.headers["Location"] = location_of(order_id)
    nothing_new = submission.joined or submission.result is not None or decision.rule is Rule.EXISTING_CANCELLATION
    response.status_code = 200 if nothing_new or decision.verdict is Verdict.REJECTED else 201
    return submission


@cancellations.post(
    "/orders/{order_id:path}/cancellation/quote",
    summary="What a cancellation would do",
    responses=responses_of(
        *COMMON,
        Code.IDEMPOTENCY_KEY_MISSING,
        Code.OUTSIDE_SCOPE,
        Code.ORDER_NOT_FOUND,
        Code.REQUEST_CONFLICT,
        Code.UNDER_WAY,
        Code.NOT_ALLOWED_NOW,
    ),
)
async def quote_cancellation(
    *,
    order_id: OrderId,
    body: CancellationBody,
    request_id: OptionalRequestId,
    caller: Caller,
    parts: SharedParts,
) -> Quote:
    """Decision and plan with the amounts, as they would be answered now. Nothing is done, and nothing is promised."""
    request = _request_of(order_id, body, request_id or f"quote-{uuid4().hex[:12]}", caller)
    library = await parts.temporal.cancellations()
    try:
        answer = await library.quote(request, parts.settings.decision_wait)
    except StarterError as error:
        if error.code is ExitCode.NOT_CANCELLED:  # the order cannot be verified as it is
            raise HttpProblem(Code.NOT_ALLOWED_NOW, error.sentence) from None
        if error.code is ExitCode.UNDECIDED:
            raise StarterError(ExitCode.UNREACHABLE, error.sentence) from None
        raise
    _raise_if_problem(answer.decision)
    return answer


def _pending(pending: Pending) -> Response:
    headers = {"Location": location_of(pending.order_id), "Retry-After": str(RETRY_AFTER)}
    return JSONResponse(pending.model_dump(), 202, headers)


def _request_of(order_id: str, body: CancellationBody, request_id: str, caller: ApiKey) -> CancellationRequest:
    actor = actor_of(caller, body.customer_id, order_id)
    check_reason(caller, body.reason, order_id)
    with check_body():
        return CancellationRequest(
            request_id=request_id,
            order_id=order_id,
            customer_id=body.customer_id,
            actor=actor,
            channel=body.channel,
            reason=body.reason,
            note=body.note,
            lines=body.lines,
            shipping=body.shipping,
            at_most=caller.at_most,
        )


def _raise_if_problem(decision: Decision) -> None:
    """Some rejections are no answers but problems over HTTP."""
    if decision.rule is Rule.ORDER_NOT_FOUND:
        raise HttpProblem(Code.ORDER_NOT_FOUND, decision.sentence)
    if decision.rule is Rule.REQUEST_CONFLICT:
        raise HttpProblem(Code.REQUEST_CONFLICT, decision.sentence)
    if decision.rule is Rule.AMOUNT_EXCEEDS_AT_MOST:
        raise HttpProblem(Code.OUTSIDE_SCOPE, decision.sentence)


@cancellations.post(
    "/orders/{order_id:path}/cancellation/withdraw",
    summary="Take the request back",
    responses=_STEERING_FOR_A_CUSTOMER,
)
async def withdraw_cancellation(
    order_id: OrderId, caller: Caller, parts: SharedParts, body: WithdrawBody = NO_CUSTOMER
) -> Acknowledgement:
    """Possible as long as the money has not begun to move; what was done is rolled back. A service withdraws for the
    customer that it names."""
    actor = actor_of(caller, body.customer_id, order_id)
    library = await parts.temporal.cancellations()
    async with hide_existence_from(actor, order_id, parts.register):
        return await library.withdraw(order_id, Withdraw(actor=actor, note=body.note))


@cancellations.post("/orders/{order_id:path}/cancellation/approve", summary="Approve", responses=_STEERING)
async def approve_cancellation(
    order_id: OrderId, person: Person, parts: SharedParts, body: NoteBody = NO_NOTE
) -> Acknowledgement:
    """A second person lets it go on. Whoever asked for the cancellation cannot."""
    return await (await parts.temporal.cancellations()).approve(
        order_id, Approve(actor=person_of(person), note=body.note, at_most=person.at_most)
    )


@cancellations.post("/orders/{order_id:path}/cancellation/reject", summary="Refuse the approval", responses=_STEERING)
async def reject_cancellation(
    order_id: OrderId, person: Person, parts: SharedParts, body: NoteBody = NO_NOTE
) -> Acknowledgement:
    """What was done is rolled back."""
    return await (await parts.temporal.cancellations()).reject(
        order_id, Reject(actor=person_of(person), note=body.note)
    )


@cancellations.post("/orders/{order_id:path}/cancellation/retry-step", summary="Try a step again", responses=_STEERING)
async def retry_step(
    order_id: OrderId, person: Person, parts: SharedParts, body: RetryStepBody = ONLY_STEP
) -> Acknowledgement:
    """Now, instead of when it is due."""
    message = RetryStep(actor=person_of(person), step=body.step, target=body.target, note=body.note)
    return await (await parts.temporal.cancellations()).retry_step(order_id, message)


@cancellations.post(
    "/orders/{order_id:path}/cancellation/resolve-step", summary="Decide about a step", responses=_STEERING
)
async def resolve_step(order_id: OrderId, body: ResolveStepBody, person: Person, parts: SharedParts) -> Acknowledgement:
    """A step that waits was done by hand, has nothing left to do, or everything is to be rolled back."""
    message = ResolveStep(
        actor=person_of(person),
        step=body.step,
        target=body.target,
        resolution=body.resolution,
        reference=body.reference,
        note=body.note,
    )
    return await (await parts.temporal.cancellations()).resolve_step(order_id, message)


@cancellations.post(
    "/orders/{order_id:path}/cancellation/choose-refund-method",
    summary="Choose how to have the money instead",
    responses=_STEERING_FOR_A_CUSTOMER,
)
async def choose_refund_method(
    order_id: OrderId, body: ChooseRefundMethodBody, caller: Caller, parts: SharedParts
) -> Acknowledgement:
    """Where the gateway cannot give it back to the tender. The customer chooses, through a service that names them or
    through staff; nobody chooses for the customer."""
    actor = actor_of(caller, body.customer_id, order_id)
    if actor.kind is ActorKind.SYSTEM:
        raise HttpProblem(
            Code.NOT_PERMITTED, "Name the customer who chose in customer_id; a service does not choose by itself."
        )
    message = ChooseRefundMethod(actor=actor, target=body.target, method=body.method, note=body.note)
    library = await parts.temporal.cancellations()
    async with hide_existence_from(actor, order_id, parts.register):
        return await library.choose_refund_method(order_id, message)
