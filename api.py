"""The HTTP API for programs in other languages, and the address of the providers' webhooks.

    python api.py                             settings by environment, see runtime/api_settings.py

The first line of standard output is `{"url": …}`, written once requests are answered. SIGTERM lets the requests in flight
end. Temporal need not be there when it starts: until it is, `/ready` says no and requests are told to come again.

Requests carry a key as `Authorization: Bearer KEY`. A key is 32 random bytes or more, made by `openssl rand -hex 32`; the
settings hold what `printf %s KEY | sha256sum` makes of it. The key says who acts: a service for the customer that it names
(or by itself, for what a machine decides), anybody else in their own name. TLS, rate limits and the public address belong to
the proxy in front.

Webhooks only wake a cancellation up. It reads gateway and carrier itself before it believes anything, and reads them from
time to time without being woken, so a lost, late, repeated or reordered event costs time and never correctness. An event is
acknowledged when it is in the order book, once by its own id, and told to the order's cancellation after that, again and
again until Temporal has taken it.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import stripe
import structlog
import uvicorn
from easypost.errors.general.signature_verification_error import (
    SignatureVerificationError as EasyPostSignatureError,
)
from easypost.util import validate_webhook
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from sqlalchemy.exc import ArgumentError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from client.cancellations import Cancellations
from client.errors import ExitCode, StarterError
from client.requests import BAD_ID
from client.status import Status, Summary
from domain.errors import Unavailable
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Reference,
    RefundEvent,
    RefundMethod,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Submission,
    Withdraw,
)
from domain.outcome import Owner, State, StepName
from domain.policy import Rule, Verdict
from domain.request import (
    Actor,
    ActorKind,
    BusinessId,
    CancellationRequest,
    Channel,
    LineScope,
    Note,
    ReasonCode,
    workflow_id,
)
from providers.order_book.engine import open_engine
from providers.order_book.events import SqlProviderEvents
from providers.order_book.port import DueEvent, EventStatus, Provider, ProviderEvent
from runtime import logs
from runtime.api_settings import ApiKey, ApiSettings, Role, holder
from runtime.leaving import leave
from runtime.plugin import plugin
from runtime.settings import complaint, connection
from workflows.cancellation import CancellationWorkflow

EXIT_USAGE = 2

LARGEST_BODY = 512 * 1024
"""Bytes. The largest request of 200 lines has a twentieth of it; EasyPost's longest tracking history fits as well."""
COME_AGAIN = 5
"""Seconds that a caller is asked to wait when something is not there at the moment."""

_TEMPORAL_WAIT = timedelta(seconds=5)


# Problems: every answer that is not a success is `application/problem+json` (RFC 9457) with one of these types.


class Code(StrEnum):
    """The end of a problem's `type`. It never changes its meaning; the sentences may."""

    INVALID_REQUEST = "invalid_request"
    KEY_MISSING = "key_missing"
    NOT_PERMITTED = "not_permitted"
    NO_SUCH_ADDRESS = "no_such_address"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ORDER_NOT_FOUND = "order_not_found"
    NO_CANCELLATION = "no_cancellation"
    REQUEST_CONFLICT = "request_conflict"
    NOT_ALLOWED_NOW = "not_allowed_now"
    ROLLED_BACK = "rolled_back"
    BODY_TOO_LARGE = "body_too_large"
    SIGNATURE_INVALID = "signature_invalid"
    NOT_AN_EVENT = "not_an_event"
    UNAVAILABLE = "unavailable"
    NOT_ANSWERED = "not_answered"
    INTERNAL_ERROR = "internal_error"


_PROBLEMS: dict[Code, tuple[int, str]] = {
    Code.INVALID_REQUEST: (422, "The request is not valid"),
    Code.KEY_MISSING: (401, "A valid key is needed"),
    Code.NOT_PERMITTED: (403, "This key does not permit that"),
    Code.NO_SUCH_ADDRESS: (404, "There is nothing at this address"),
    Code.METHOD_NOT_ALLOWED: (405, "This address does not take the method"),
    Code.ORDER_NOT_FOUND: (404, "The order was not found"),
    Code.NO_CANCELLATION: (404, "The order has no cancellation"),
    Code.REQUEST_CONFLICT: (409, "The key was used for another request"),
    Code.NOT_ALLOWED_NOW: (409, "The cancellation does not allow that now"),
    Code.ROLLED_BACK: (409, "The cancellation was rolled back"),
    Code.BODY_TOO_LARGE: (413, "The body is too large"),
    Code.SIGNATURE_INVALID: (400, "The signature is not valid"),
    Code.NOT_AN_EVENT: (400, "The body is not an event"),
    Code.UNAVAILABLE: (503, "Not available at the moment"),
    Code.NOT_ANSWERED: (504, "Not answered in time"),
    Code.INTERNAL_ERROR: (500, "A fault of ours"),
}
_BY_STATUS = {404: Code.NO_SUCH_ADDRESS, 405: Code.METHOD_NOT_ALLOWED}


class Complaint(BaseModel):
    """One thing that is wrong with a request, and where."""

    at: str
    problem: str


class Problem(BaseModel):
    """An error of RFC 9457. Programs look at `type`, people read `detail`."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Complaint] = []


class Refusal(HTTPException):
    """What the caller is told instead of an answer."""

    def __init__(self, code: Code, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(_PROBLEMS[code][0], sentence, headers)
        self.code = code


def _problem(
    code: Code, sentence: str, headers: dict[str, str] | None = None, errors: Sequence[Complaint] = ()
) -> Response:
    status, title = _PROBLEMS[code]
    problem = Problem(
        type=f"urn:order-cancellation:{code}", title=title, status=status, detail=sentence, errors=list(errors)
    )
    return JSONResponse(problem.model_dump(), status, headers, media_type="application/problem+json")


def _come_again(sentence: str) -> Response:
    return _problem(Code.UNAVAILABLE, sentence, {"Retry-After": str(COME_AGAIN)})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    if isinstance(error, Refusal):
        return _problem(error.code, error.detail, headers)
    code = _BY_STATUS.get(error.status_code, Code.INVALID_REQUEST)
    sentences = {
        Code.NO_SUCH_ADDRESS: "Nothing is at this address; /openapi.json lists what there is.",
        Code.METHOD_NOT_ALLOWED: "This address does not take the method; the header Allow says what it takes.",
        Code.INVALID_REQUEST: "The body could not be read; send JSON in UTF-8.",
    }
    return _problem(code, sentences[code], headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Field and reason, never the value."""
    assert isinstance(error, RequestValidationError)
    wrong = []
    for one in error.errors():
        message = str(one["msg"]).removeprefix("Value error, ")
        if one["type"] == "string_pattern_mismatch":
            message = BAD_ID.removesuffix(".")
        wrong.append(Complaint(at=".".join(map(str, one["loc"])), problem=message))
    told = "; ".join(f"{one.at}: {one.problem}" for one in wrong)
    return _problem(Code.INVALID_REQUEST, f"The request is not valid: {told}.", errors=wrong)


async def _failed(_: Request, __: Exception) -> Response:
    return _problem(
        Code.INTERNAL_ERROR, "This should not have happened and stands in our log. Sending the same again does no harm."
    )


async def _database_away(_: Request, error: Exception) -> Response:
    structlog.get_logger().warning("order_book_unavailable")
    return _come_again("The order book does not answer at the moment; send the same again.")


async def _told_by_the_library(request: Request, error: Exception) -> Response:
    """The library speaks to people at a command line and names addresses: a caller gets our sentence, the log has its."""
    assert isinstance(error, StarterError)
    order_id = request.path_params.get("order_id", "")
    if error.code is ExitCode.NOT_FOUND:
        return _problem(
            Code.NO_CANCELLATION,
            f"Order {order_id} has no cancellation; ask for one with POST {_place(order_id)}.",
        )
    if error.code is ExitCode.REFUSED:
        return _problem(Code.NOT_ALLOWED_NOW, error.sentence)
    if error.code is ExitCode.NOT_CANCELLED:
        return _problem(Code.ROLLED_BACK, error.sentence)
    structlog.get_logger().warning("temporal_unavailable", error=error.sentence)
    if error.code is ExitCode.UNDECIDED:
        return _problem(
            Code.NOT_ANSWERED,
            f"The cancellation of order {order_id} did not answer in time and may still take the message; look at "
            f"GET {_place(order_id)} before you send it again.",
        )
    return _come_again("Cancellations cannot be reached at the moment; send the same again, nothing is done twice.")


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """What the domain refuses of a body is wrong input like any other."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_input=False, include_context=False)]
        ) from None


def _place(order_id: str) -> str:
    return f"/orders/{order_id}/cancellation"


# What callers send. Unknown fields are refused: a misspelt `lines` must not cancel the whole order.


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


CustomerId = Annotated[
    BusinessId | None,
    Field(description="Who must own the order. A service acts for this customer; without one it acts by itself."),
]


class Ask(Body):
    """A request for a cancellation. Without `lines` it is for the whole order. No personal data in the note."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer_id": "C-77", "reason": "no_longer_needed", "channel": "web_shop"},
                {
                    "customer_id": "C-77",
                    "reason": "other",
                    "note": "Bought two, wants one.",
                    "lines": [{"line_id": "L1", "quantity": 1}],
                },
            ]
        }
    )

    customer_id: CustomerId = None
    channel: Channel = Channel.API
    reason: ReasonCode
    note: Note = ""
    lines: tuple[LineScope, ...] = Field(default=(), max_length=200)


class TakeBack(Body):
    customer_id: CustomerId = None
    note: Note = ""


class Remark(Body):
    note: Note = ""


class Again(Body):
    """`step` and `target` as the status names them in its waits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"step": "reverse_payment", "target": "T1", "note": "The bank is back."}]}
    )

    step: StepName
    target: BusinessId
    note: Note = ""


class Resolve(Again):
    """`reference` is the proof, for the books."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "step": "reverse_payment",
                    "target": "T1",
                    "resolution": "done_by_hand",
                    "reference": "BANK-2026-11-0042",
                }
            ]
        }
    )

    resolution: Resolution
    reference: Reference


class Choose(Body):
    """`target` is the tender, as the status names it in its waits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"customer_id": "C-77", "target": "T1", "method": "store_credit"}]}
    )

    customer_id: CustomerId = None
    target: BusinessId
    method: RefundMethod
    note: Note = ""


class Pending(BaseModel):
    """The request was taken and is not decided yet."""

    order_id: str
    sentence: str


class Receipt(BaseModel):
    """What became of a provider's event."""

    event_id: str
    status: EventStatus


class Health(BaseModel):
    status: str = "ok"


# The parts that the endpoints share


class Temporal:
    """The connection to Temporal, made when it is first needed and kept."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """Raises StarterError when Temporal does not answer."""
        async with self._connecting:
            if self._client is None:
                config = connection()
                try:
                    self._client = await Client.connect(**config, plugins=[plugin()], connect_timeout=_TEMPORAL_WAIT)
                except (RPCError, RuntimeError):
                    raise StarterError(
                        ExitCode.UNREACHABLE, f"Temporal does not answer at {config['target_host']}."
                    ) from None
            return self._client

    async def cancellations(self) -> Cancellations:
        return Cancellations(await self.client())

    async def runs(self, order_id: str) -> bool:
        """Whether a cancellation of the order is under way, as far as Temporal answers."""
        try:
            run = (await self.client()).get_workflow_handle(workflow_id(order_id))
            return (await run.describe(rpc_timeout=_TEMPORAL_WAIT)).status is WorkflowExecutionStatus.RUNNING
        except (RPCError, StarterError):
            return False


class Teller:
    """Tells the cancellations of the events that have arrived, in every process of the API: an event is claimed first, so
    two of them do not tell it twice. A run that is over has nothing left to wait for: its events count as told."""

    BATCH = 50
    LONGEST_DELAY = timedelta(minutes=5)
    TRIES = 20
    """A bit more than an hour. By then the run looks for itself, or soon."""
    KEEP = timedelta(days=30)
    """Longer than any provider repeats an event."""

    def __init__(self, events: SqlProviderEvents, temporal: Temporal) -> None:
        self._events = events
        self._temporal = temporal
        self._new = asyncio.Event()

    def something_new(self) -> None:
        self._new.set()

    async def run(self) -> None:
        """Until cancelled."""
        tidied = datetime.min.replace(tzinfo=UTC)
        while True:
            self._new.clear()
            now = datetime.now(UTC)
            told = False
            try:
                if now - tidied > timedelta(hours=1):
                    await self._events.forget(now - self.KEEP)
                    tidied = now
                due = await self._events.due(now, self.BATCH)
                await asyncio.gather(*(self._tell(event) for event in due))
                told = bool(due)
            except Unavailable as error:
                structlog.get_logger().warning("events_unavailable", error=error.message)
            if not told:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._new.wait(), 1)

    async def _tell(self, event: DueEvent) -> None:
        log = structlog.get_logger().bind(provider=event.provider, event_id=event.event_id, order_id=event.order_id)
        try:
            await self._signal(event)
        except (RPCError, StarterError) as error:
            if not _no_run(error):
                why = error.status.name.lower() if isinstance(error, RPCError) else error.sentence
                if event.attempts >= self.TRIES:
                    await self._events.given_up(event, why)
                    log.error("event_given_up", error=why)
                else:
                    delay = min(timedelta(seconds=2**event.attempts), self.LONGEST_DELAY)
                    await self._events.delayed(event, datetime.now(UTC) + delay)
                    log.warning("event_delayed", error=why)
                return
            log.info("event_without_run")
        else:
            log.info("event_told")
        await self._events.told(event, datetime.now(UTC))

    async def _signal(self, event: DueEvent) -> None:
        client = await self._temporal.client()
        run = client.get_workflow_handle_for(CancellationWorkflow.run, workflow_id(event.order_id))
        if event.provider is Provider.STRIPE:
            refund = RefundEvent(event_id=event.event_id, refund_reference=event.subject)
            await run.signal(CancellationWorkflow.refund_event, refund, rpc_timeout=_TEMPORAL_WAIT)
        else:
            parcel = ShipmentEvent(event_id=event.event_id, tracking_number=event.subject)
            await run.signal(CancellationWorkflow.shipment_event, parcel, rpc_timeout=_TEMPORAL_WAIT)


def _no_run(error: RPCError | StarterError) -> bool:
    """A namespace that is missing is a fault of the settings, and not the end of a run."""
    return isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message


@dataclass(frozen=True)
class Parts:
    settings: ApiSettings
    temporal: Temporal
    events: SqlProviderEvents
    teller: Teller


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


House = Annotated[Parts, Depends(_parts)]

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="The caller's key; it says who acts.")


async def _caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)], parts: House
) -> ApiKey:
    key = holder(parts.settings.api_keys, given.credentials) if given else None
    if key is None:
        raise Refusal(
            Code.KEY_MISSING,
            "Send a valid key in the header Authorization: Bearer KEY.",
            {"WWW-Authenticate": "Bearer"},
        )
    request.state.caller = key.id
    return key


Caller = Annotated[ApiKey, Depends(_caller)]

_PEOPLE = {
    Role.CUSTOMER_SERVICE: ActorKind.CUSTOMER_SERVICE,
    Role.REFUND_DEPARTMENT: ActorKind.REFUND_DEPARTMENT,
}


async def _person(caller: Caller) -> Actor:
    kind = _PEOPLE.get(caller.role)
    if kind is None:
        raise Refusal(
            Code.NOT_PERMITTED, "That is for a person to decide; use the key of one who may, not that of a service."
        )
    return Actor(kind=kind, id=caller.id)


Person = Annotated[Actor, Depends(_person)]


def _actor(caller: ApiKey, customer_id: str | None) -> Actor:
    """A service speaks for the customer that it names; for itself when it names none."""
    if caller.role is not Role.SERVICE:
        return Actor(kind=_PEOPLE[caller.role], id=caller.id)
    if customer_id is not None:
        return Actor(kind=ActorKind.CUSTOMER, id=customer_id)
    return Actor(kind=ActorKind.SYSTEM, id=caller.id)


# Cancellations


def _responses(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """The problems of an endpoint, for its description. `_describe` puts them under their own media type."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title = _PROBLEMS[code]
        one = described.setdefault(status, {"model": Problem, "description": "", "content": {"application/json": {}}})
        one["description"] = " ".join(filter(None, (one["description"], f"`{code}`: {title}.")))
        one["content"]["application/json"].setdefault("examples", {})[code.value] = {
            "value": {
                "type": f"urn:order-cancellation:{code}",
                "title": title,
                "status": status,
                "detail": "A sentence that says what to do next.",
                "errors": [],
            }
        }
        if status == 503:
            one["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return described


_COMMON = (
    Code.INVALID_REQUEST,
    Code.KEY_MISSING,
    Code.BODY_TOO_LARGE,
    Code.UNAVAILABLE,
    Code.INTERNAL_ERROR,
)
_LOOKING = _responses(*_COMMON, Code.NO_CANCELLATION)
_STEERING = _responses(
    *_COMMON, Code.NO_CANCELLATION, Code.NOT_ALLOWED_NOW, Code.ROLLED_BACK, Code.NOT_PERMITTED, Code.NOT_ANSWERED
)

OrderId = Annotated[BusinessId, Path(description="The order's number.", examples=["O-1001"])]

cancellations = APIRouter(tags=["cancellations"])


@cancellations.post(
    "/orders/{order_id}/cancellation",
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
        202: {"model": Pending, "description": "Taken, and not decided yet. It goes on; look at Location."},
        **_responses(*_COMMON, Code.ORDER_NOT_FOUND, Code.REQUEST_CONFLICT, Code.ROLLED_BACK),
    },
)
async def start(
    *,
    order_id: OrderId,
    body: Ask,
    idempotency_key: Annotated[
        BusinessId,
        Header(description="The id of the request. Sent again with the same content it is the same request."),
    ],
    caller: Caller,
    parts: House,
    response: Response,
) -> Submission | Response:
    """Safe to repeat after a lost answer: the same key with the same content is the same request and gets the same answer,
    and its result once it is over; with other content it is a conflict. A request that the policy rejects is an answer: look
    at `decision.verdict`."""
    with _checked():
        request = CancellationRequest(
            request_id=idempotency_key,
            order_id=order_id,
            customer_id=body.customer_id,
            actor=_actor(caller, body.customer_id),
            channel=body.channel,
            reason=body.reason,
            note=body.note,
            lines=body.lines,
        )
    there = {"Location": _place(order_id)}
    library = await parts.temporal.cancellations()
    try:
        submission = await library.start(request, parts.settings.decision_wait)
    except StarterError as error:
        if error.code is ExitCode.REFUSED:
            raise Refusal(Code.REQUEST_CONFLICT, error.sentence) from None
        if error.code is not ExitCode.UNDECIDED:
            raise
        if not await parts.temporal.runs(order_id):
            raise StarterError(ExitCode.UNREACHABLE, error.sentence) from None
        pending = Pending(
            order_id=order_id,
            sentence=f"The cancellation of order {order_id} is not decided yet and goes on. Look at its status, or send "
            "the same request again: nothing is done twice.",
        )
        return JSONResponse(pending.model_dump(), 202, {**there, "Retry-After": str(COME_AGAIN)})
    decision = submission.decision
    if decision.rule is Rule.ORDER_NOT_FOUND:
        raise Refusal(Code.ORDER_NOT_FOUND, decision.sentence)
    if decision.rule is Rule.REQUEST_CONFLICT:
        raise Refusal(Code.REQUEST_CONFLICT, decision.sentence)
    response.headers.update(there)
    nothing_new = submission.joined or decision.rule is Rule.EXISTING_CANCELLATION
    response.status_code = 200 if nothing_new or decision.verdict is Verdict.REJECTED else 201
    return submission


@cancellations.get("/orders/{order_id}/cancellation", summary="Where it stands", responses=_LOOKING)
async def status(order_id: OrderId, _: Caller, parts: House) -> Status:
    """The order's latest cancellation: goods, money and paper, what it waits for, and each step. When it is over, its
    outcome."""
    return await (await parts.temporal.cancellations()).status(order_id)


@cancellations.get(
    "/cancellations",
    summary="List cancellations",
    responses=_responses(*_COMMON),
)
async def list_all(
    _: Caller,
    parts: House,
    state: Annotated[State | None, Query(description="Those in this state only.")] = None,
    owner: Annotated[Owner | None, Query(description="Those that wait for this owner only.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Sequence[Summary]:
    """The latest, running ones first. The list lags a moment behind the cancellations."""
    return await (await parts.temporal.cancellations()).list(state=state, owner=owner, limit=limit)


@cancellations.post("/orders/{order_id}/cancellation/withdraw", summary="Take the request back", responses=_STEERING)
async def withdraw(order_id: OrderId, body: TakeBack, caller: Caller, parts: House) -> Acknowledgement:
    """Possible as long as the money has not begun to move; what was done is rolled back. A service withdraws for the
    customer that it names."""
    message = Withdraw(actor=_actor(caller, body.customer_id), note=body.note)
    return await (await parts.temporal.cancellations()).withdraw(order_id, message)


@cancellations.post("/orders/{order_id}/cancellation/approve", summary="Approve", responses=_STEERING)
async def approve(order_id: OrderId, body: Remark, person: Person, parts: House) -> Acknowledgement:
    """A second person lets it go on. Whoever asked for the cancellation cannot."""
    return await (await parts.temporal.cancellations()).approve(order_id, Approve(actor=person, note=body.note))


@cancellations.post("/orders/{order_id}/cancellation/reject", summary="Refuse the approval", responses=_STEERING)
async def reject(order_id: OrderId, body: Remark, person: Person, parts: House) -> Acknowledgement:
    """What was done is rolled back."""
    return await (await parts.temporal.cancellations()).reject(order_id, Reject(actor=person, note=body.note))


@cancellations.post("/orders/{order_id}/cancellation/retry-step", summary="Try a step again", responses=_STEERING)
async def retry_step(order_id: OrderId, body: Again, person: Person, parts: House) -> Acknowledgement:
    """Now, instead of when it is due."""
    message = RetryStep(actor=person, step=body.step, target=body.target, note=body.note)
    return await (await parts.temporal.cancellations()).retry_step(order_id, message)


@cancellations.post("/orders/{order_id}/cancellation/resolve-step", summary="Decide about a step", responses=_STEERING)
async def resolve_step(order_id: OrderId, body: Resolve, person: Person, parts: House) -> Acknowledgement:
    """A step that waits was done by hand, has nothing left to do, or everything is to be rolled back."""
    message = ResolveStep(
        actor=person,
        step=body.step,
        target=body.target,
        resolution=body.resolution,
        reference=body.reference,
        note=body.note,
    )
    return await (await parts.temporal.cancellations()).resolve_step(order_id, message)


@cancellations.post(
    "/orders/{order_id}/cancellation/choose-refund-method",
    summary="Choose how to have the money instead",
    responses=_STEERING,
)
async def choose_refund_method(order_id: OrderId, body: Choose, caller: Caller, parts: House) -> Acknowledgement:
    """Where the gateway cannot give it back to the tender. The customer chooses, through a service that names them or
    through staff; nobody chooses for the customer."""
    actor = _actor(caller, body.customer_id)
    if actor.kind is ActorKind.SYSTEM:
        raise Refusal(
            Code.NOT_PERMITTED, "Name the customer who chose in customer_id; a service does not choose by itself."
        )
    message = ChooseRefundMethod(actor=actor, target=body.target, method=body.method, note=body.note)
    return await (await parts.temporal.cancellations()).choose_refund_method(order_id, message)


# Webhooks

STRIPE_TOLERANCE = 300
"""Seconds that a signature of Stripe is good for. EasyPost signs no time: an old event of theirs is known by its id."""

# Printable, so that every database takes it.
_Text = Annotated[str, Field(max_length=255, pattern="^[ -~]*$")]
_Id = Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]*$")]


class _StripeObject(BaseModel):
    id: _Text = ""
    object: _Text = ""
    payment_intent: _Text | None = None


class _StripeData(BaseModel):
    object: _StripeObject


class _StripeEvent(BaseModel):
    id: _Id
    type: _Text
    data: _StripeData

    def told(self) -> ProviderEvent:
        about = self.data.object
        event = ProviderEvent(provider=Provider.STRIPE, event_id=self.id, kind=self.type)
        if not self.type.startswith(("refund.", "charge.refund", "charge.dispute.", "payment_intent.canceled")):
            return event
        payment = about.id if about.object == "payment_intent" else about.payment_intent
        return event.model_copy(
            update={"payment": payment, "refund": about.id if about.object == "refund" else None},
        )


class _EasyPostObject(BaseModel):
    shipment_id: _Text | None = None
    tracking_code: _Text | None = None


class _EasyPostEvent(BaseModel):
    id: _Id
    description: _Text
    result: _EasyPostObject

    def told(self) -> ProviderEvent:
        event = ProviderEvent(provider=Provider.EASYPOST, event_id=self.id, kind=self.description)
        if not self.description.startswith(("tracker.", "refund.")):
            return event
        return event.model_copy(
            update={"shipment": self.result.shipment_id, "tracking_number": self.result.tracking_code}
        )


def _verify(signature: str, secrets: Sequence[SecretStr], verify: Callable[[str], object]) -> None:
    """One of the secrets must have made the signature. The SDKs choke on a body or a header that is no text."""
    for secret in secrets:
        with contextlib.suppress(stripe.SignatureVerificationError, EasyPostSignatureError, ValueError):
            if signature.isascii():
                verify(secret.get_secret_value())
                return
    raise Refusal(
        Code.SIGNATURE_INVALID,
        "The signature is missing, too old, or not made over this body with a secret that we know; compare the webhook's "
        "secret with our settings, and the clocks.",
    )


async def _receive(parts: Parts, model: type[_StripeEvent] | type[_EasyPostEvent], body: bytes) -> Receipt:
    try:
        event = model.model_validate_json(body).told()
    except ValidationError:
        raise Refusal(
            Code.NOT_AN_EVENT, "The body has no id and kind of an event where this provider puts them."
        ) from None
    status = await parts.events.receive(event)
    structlog.get_logger().info(
        "event_received", provider=event.provider, event_id=event.event_id, kind=event.kind, status=status
    )
    if status is EventStatus.ACCEPTED:
        parts.teller.something_new()
    return Receipt(event_id=event.event_id, status=status)


def _signed(header: str) -> dict[str, Any]:
    """The description of a body that is read as it came."""
    return {
        "parameters": [{"name": header, "in": "header", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    }


_WEBHOOK = _responses(
    Code.SIGNATURE_INVALID, Code.NOT_AN_EVENT, Code.BODY_TOO_LARGE, Code.UNAVAILABLE, Code.INTERNAL_ERROR
)

webhooks = APIRouter(tags=["webhooks"])


@webhooks.post(
    "/webhooks/stripe",
    summary="Events of Stripe",
    responses=_WEBHOOK,
    openapi_extra=_signed("Stripe-Signature"),
)
async def stripe_webhook(request: Request, parts: House) -> Receipt:
    body = await request.body()
    signature = request.headers.get("Stripe-Signature", "")

    def verify(secret: str) -> object:
        return stripe.WebhookSignature.verify_header(body, signature, secret, STRIPE_TOLERANCE)

    _verify(signature, parts.settings.stripe_webhook_secrets, verify)
    return await _receive(parts, _StripeEvent, body)


@webhooks.post(
    "/webhooks/easypost",
    summary="Events of EasyPost",
    responses=_WEBHOOK,
    openapi_extra=_signed("X-Hmac-Signature"),
)
async def easypost_webhook(request: Request, parts: House) -> Receipt:
    body = await request.body()
    signature = request.headers.get("X-Hmac-Signature", "")

    def verify(secret: str) -> object:
        return validate_webhook(body, {"X-Hmac-Signature": signature}, secret)

    _verify(signature, parts.settings.easypost_webhook_secrets, verify)
    return await _receive(parts, _EasyPostEvent, body)


# Health

health = APIRouter(tags=["health"])


@health.get("/health", summary="Whether the process lives")
async def live() -> Health:
    return Health()


@health.get("/ready", summary="Whether it can do its work", responses=_responses(Code.UNAVAILABLE))
async def ready(parts: House) -> Health:
    """The order book and Temporal answer."""
    await parts.events.ready()
    client = await parts.temporal.client()
    try:
        await client.service_client.check_health(timeout=_TEMPORAL_WAIT)
    except RPCError as error:
        raise StarterError(ExitCode.UNREACHABLE, f"Temporal answers {error.status.name.lower()}.") from None
    return Health()


# The application


class Entrance:
    """Bounds every body before it is in memory, and logs every answer but those to probes: no bodies, no query, no keys."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0
        status = 500
        began = time.monotonic()

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise Refusal(Code.BODY_TOO_LARGE, f"The body may have {LARGEST_BODY} bytes at most; send less.")
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, bounded, noted)
        finally:
            # The path is the caller's text: it is logged only where it is one of ours, and the order's id where it is valid.
            route = getattr(scope.get("route"), "path", None)
            if route not in {"/health", "/ready"}:
                structlog.get_logger().info(
                    "request_answered",
                    method=scope["method"],
                    route=route,
                    status=status,
                    milliseconds=round((time.monotonic() - began) * 1000),
                    caller=scope.get("state", {}).get("caller"),
                    order_id=scope.get("path_params", {}).get("order_id") if status < 400 else None,
                )


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with problems under their own media type."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        for path in document["paths"].values():
            for operation in path.values():
                for code, response in operation["responses"].items():
                    if int(code) >= 400:
                        response["content"] = {"application/problem+json": response["content"]["application/json"]}
        app.openapi_schema = document
    return app.openapi_schema


def create_app(parts: Parts) -> FastAPI:
    # No pages with the documentation: they would load their scripts from elsewhere.
    app = FastAPI(
        title="Order cancellation",
        version="1",
        description="Ask for cancellations of orders, look at them and steer them. Problems are RFC 9457; look at `type`.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    for router in (cancellations, webhooks, health):
        app.include_router(router)
    app.add_middleware(Entrance)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarterError, _told_by_the_library)
    app.add_exception_handler(Unavailable, _database_away)
    app.add_exception_handler(Exception, _failed)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]  # FastAPI's own way to change it
    return app


# The process


class Server(uvicorn.Server):
    """Announces its address, and leaves the signals to us: uvicorn would end the process by the signal once more."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
        structlog.get_logger().info("api_started", host=host, port=port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _opened(settings: ApiSettings) -> AsyncIterator[Parts]:
    engine = open_engine(settings.database_url)
    events = SqlProviderEvents(engine)
    temporal = Temporal()
    try:
        yield Parts(settings, temporal, events, Teller(events, temporal))
    finally:
        await engine.dispose()


async def _serve(settings: ApiSettings, listening: socket.socket) -> None:
    async with _opened(settings) as parts:
        server = Server(
            uvicorn.Config(
                create_app(parts),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=int(settings.graceful_shutdown.total_seconds()),
            )
        )

        def stop() -> None:
            server.should_exit = True

        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop)
        telling = asyncio.create_task(parts.teller.run())
        telling.add_done_callback(lambda _: stop())  # it never ends by itself: a fault in it is not to pass unseen
        await server.serve(sockets=[listening])
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        structlog.get_logger().info("api_stopped")


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = ApiSettings()
        open_engine(settings.database_url)
        connection()
        # asyncio switches Nagle's algorithm off only where the protocol is named; with it on, each answer takes 40 ms.
        listening = socket.socket(proto=socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.api_host, settings.api_port))
    except ValidationError as error:
        print(complaint(error), file=sys.stderr)
        return EXIT_USAGE
    except ArgumentError:
        print(
            "DATABASE_URL is not the address of a database; write it as postgresql://… or sqlite:///…", file=sys.stderr
        )
        return EXIT_USAGE
    except OSError as error:
        print(
            f"{settings.api_host}:{settings.api_port} cannot be listened on ({error.strerror}); set API_HOST and API_PORT.",
            file=sys.stderr,
        )
        return EXIT_USAGE
    except (RuntimeError, ValueError):
        print(
            "Temporal's connection settings cannot be read; look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables.",
            file=sys.stderr,
        )
        return EXIT_USAGE
    logs.configure(settings.log_format, settings.log_level)
    asyncio.run(_serve(settings, listening))
    return 0


if __name__ == "__main__":
    leave(main())
