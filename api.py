"""The HTTP API for programs in other languages, and the address of the providers' webhooks.

    python api.py                             settings by environment, see runtime/api_settings.py

The first line of standard output is `{"url": …}`, written once requests are answered. SIGTERM lets the requests in flight
end. Temporal need not be there when it starts: until it is, `/ready` says no and requests are told to come again.

Requests carry a key as `Authorization: Bearer KEY`. A key is 32 random bytes or more, made by `openssl rand -hex 32`; the
settings hold what `printf %s KEY | sha256sum` makes of it. The key says who acts: a service for the customer that it names
(or by itself, for what a machine decides), anybody else in their own name. TLS, rate limits and the public address belong to
the proxy in front.

What is not a success is in web/problems.py, what the providers send in web/webhooks.py, what never came of it in
web/reconciler.py.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any
from uuid import uuid4

import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from client.errors import ExitCode, StarterError
from client.status import Status, Summary
from domain.errors import Unavailable
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
from domain.outcome import Owner, State
from domain.policy import Decision, Rule, Verdict
from domain.request import Actor, ActorKind, BusinessId, CancellationRequest
from providers.order_book.engine import open_engine
from providers.order_book.events import SqlProviderEvents
from providers.order_book.migrate import WrongTables, check_tables
from runtime import logs
from runtime.api_settings import ApiKey, ApiSettings, Role, holder
from runtime.leaving import leave, stopped
from runtime.settings import complaint, connection
from web.bodies import Again, Ask, Choose, Health, Pending, Remark, Resolve, TakeBack
from web.parts import TEMPORAL_WAIT, House, Parts, Temporal
from web.problems import COME_AGAIN, Code, Refusal, add_problems, checked, place, responses_of, told_to
from web.reconciler import Reconciler, sources
from web.webhooks import Teller, webhooks

EXIT_USAGE = 2

LARGEST_BODY = 512 * 1024
"""Bytes. The largest request of 200 lines has a twentieth of it; EasyPost's longest tracking history fits as well."""


# Who calls

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

_COMMON = (
    Code.INVALID_REQUEST,
    Code.KEY_MISSING,
    Code.BODY_TOO_LARGE,
    Code.UNAVAILABLE,
    Code.INTERNAL_ERROR,
)
_LOOKING = responses_of(*_COMMON, Code.NO_CANCELLATION)
_ANSWERS = (
    *_COMMON,
    Code.NO_CANCELLATION,
    Code.NOT_ALLOWED_NOW,
    Code.ROLLED_BACK,
    Code.NOT_PERMITTED,
    Code.NOT_ANSWERED,
)
_STEERING = responses_of(*_ANSWERS)
_STEERING_FOR_A_CUSTOMER = responses_of(*_ANSWERS, Code.ORDER_NOT_FOUND)

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
        **responses_of(*_COMMON, Code.ORDER_NOT_FOUND, Code.REQUEST_CONFLICT, Code.ROLLED_BACK),
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
    request = _request(order_id, body, idempotency_key, caller)
    there = {"Location": place(order_id)}
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
    _refuse(decision)
    response.headers.update(there)
    nothing_new = submission.joined or decision.rule is Rule.EXISTING_CANCELLATION
    response.status_code = 200 if nothing_new or decision.verdict is Verdict.REJECTED else 201
    return submission


@cancellations.post(
    "/orders/{order_id}/cancellation/quote",
    summary="What a cancellation would do",
    responses=responses_of(*_COMMON, Code.ORDER_NOT_FOUND, Code.REQUEST_CONFLICT, Code.NOT_ALLOWED_NOW),
)
async def quote(
    *,
    order_id: OrderId,
    body: Ask,
    idempotency_key: Annotated[
        BusinessId | None,
        Header(description="The id of a request that was sent before, or will be; to learn what that one would meet."),
    ] = None,
    caller: Caller,
    parts: House,
) -> Quote:
    """Decision and plan with the amounts, as they would be answered now. Nothing is done, and nothing is promised."""
    request = _request(order_id, body, idempotency_key or f"quote-{uuid4().hex[:12]}", caller)
    library = await parts.temporal.cancellations()
    try:
        answer = await library.quote(request, parts.settings.decision_wait)
    except StarterError as error:
        if error.code is ExitCode.NOT_CANCELLED:  # the order cannot be verified as it is
            raise Refusal(Code.NOT_ALLOWED_NOW, error.sentence) from None
        if error.code is ExitCode.UNDECIDED:
            raise StarterError(ExitCode.UNREACHABLE, error.sentence) from None
        raise
    _refuse(answer.decision)
    return answer


def _request(order_id: str, body: Ask, request_id: str, caller: ApiKey) -> CancellationRequest:
    with checked():
        return CancellationRequest(
            request_id=request_id,
            order_id=order_id,
            customer_id=body.customer_id,
            actor=_actor(caller, body.customer_id),
            channel=body.channel,
            reason=body.reason,
            note=body.note,
            lines=body.lines,
            shipping=body.shipping,
        )


def _refuse(decision: Decision) -> None:
    """Two rejections are no answers but problems over HTTP."""
    if decision.rule is Rule.ORDER_NOT_FOUND:
        raise Refusal(Code.ORDER_NOT_FOUND, decision.sentence)
    if decision.rule is Rule.REQUEST_CONFLICT:
        raise Refusal(Code.REQUEST_CONFLICT, decision.sentence)


@cancellations.get("/orders/{order_id}/cancellation", summary="Where it stands", responses=_LOOKING)
async def status(order_id: OrderId, _: Caller, parts: House) -> Status:
    """The order's latest cancellation: goods, money and paper, what it waits for, and each step. When it is over, its
    outcome."""
    return await (await parts.temporal.cancellations()).status(order_id)


@cancellations.get(
    "/cancellations",
    summary="List cancellations",
    responses=responses_of(*_COMMON),
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


@cancellations.post(
    "/orders/{order_id}/cancellation/withdraw",
    summary="Take the request back",
    responses=_STEERING_FOR_A_CUSTOMER,
)
async def withdraw(order_id: OrderId, body: TakeBack, caller: Caller, parts: House) -> Acknowledgement:
    """Possible as long as the money has not begun to move; what was done is rolled back. A service withdraws for the
    customer that it names."""
    actor = _actor(caller, body.customer_id)
    library = await parts.temporal.cancellations()
    with told_to(actor, order_id):
        return await library.withdraw(order_id, Withdraw(actor=actor, note=body.note))


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
    responses=_STEERING_FOR_A_CUSTOMER,
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
    library = await parts.temporal.cancellations()
    with told_to(actor, order_id):
        return await library.choose_refund_method(order_id, message)


# Health

health = APIRouter(tags=["health"])


@health.get("/health", summary="Whether the process lives")
async def live() -> Health:
    return Health()


@health.get("/ready", summary="Whether it can do its work", responses=responses_of(Code.UNAVAILABLE))
async def ready(parts: House) -> Health:
    """The order book and Temporal answer."""
    await parts.events.ready()
    client = await parts.temporal.client()
    try:
        await client.service_client.check_health(timeout=TEMPORAL_WAIT)
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
    add_problems(app)
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
    """Raises WrongTables."""
    engine = open_engine(settings.database_url)
    try:
        try:
            await check_tables(engine)
        except Unavailable:
            structlog.get_logger().warning("order_book_unavailable")  # /ready says so as long as it is
        yield Parts(settings, Temporal(), SqlProviderEvents(engine), asyncio.Event())
    finally:
        await engine.dispose()


async def _serve(settings: ApiSettings, listening: socket.socket) -> None:
    """Raises WrongTables."""
    async with _opened(settings) as parts, contextlib.AsyncExitStack() as leaving:
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
        beside = [Teller(parts).run()]
        for source in sources(settings):
            leaving.push_async_callback(source.aclose)
            beside.append(Reconciler(parts, source).run())
        for run in beside:
            task = asyncio.create_task(run)
            task.add_done_callback(lambda _: stop())  # it never ends by itself: a fault in it is not to pass unseen
            leaving.push_async_callback(stopped, task)
        await server.serve(sockets=[listening])
        await leaving.aclose()
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
    try:
        asyncio.run(_serve(settings, listening))
    except WrongTables as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    leave(main())
