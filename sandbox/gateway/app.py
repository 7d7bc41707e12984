"""Stripe's HTTP API on top of the state, and the sandbox's own controls beside it (outside /v1)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from starlette.responses import Response

from sandbox.gateway.calls import Call, Stored
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.expanding import read_expansion
from sandbox.gateway.messages import Advance, Clock, DisputeChange, Effect, Failure, Fault, FaultKind
from sandbox.gateway.state import State
from sandbox.gateway.webhooks import Webhooks
from sandbox.serving import cut

TICK = 0.1
"""Seconds between two looks at the clock and at the webhooks that are due."""

_COMMON = {"expand"}
_LIST = {"limit", "starting_after"}
_NEW_PAYMENT = {
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "currency",
    "customer",
    "description",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_options",
    "return_url",
    "setup_future_usage",
}


@dataclass(frozen=True)
class Operation:
    """One call of the API. `known` are its parameters: Stripe refuses any other."""

    name: str
    method: str
    path: str
    known: set[str]
    run: Callable[[Call], Json]


def operations(state: State) -> list[Operation]:
    payments, refunds = "/v1/payment_intents", "/v1/refunds"
    return [
        Operation("customer.create", "POST", "/v1/customers", {"metadata"}, state.payments.create_customer),
        Operation("payment_intent.create", "POST", payments, _NEW_PAYMENT, state.payments.create),
        Operation("payment_intent.list", "GET", payments, {"customer"} | _LIST, state.payments.list_),
        Operation("payment_intent.retrieve", "GET", payments + "/{id}", set(), state.payments.read),
        Operation(
            "payment_intent.capture",
            "POST",
            payments + "/{id}/capture",
            {"amount_to_capture", "final_capture"},
            state.payments.capture,
        ),
        Operation(
            "payment_intent.cancel", "POST", payments + "/{id}/cancel", {"cancellation_reason"}, state.payments.cancel
        ),
        Operation(
            "refund.create", "POST", refunds, {"payment_intent", "amount", "metadata", "reason"}, state.refunds.create
        ),
        Operation("refund.list", "GET", refunds, {"payment_intent"} | _LIST, state.refunds.list_),
        Operation("refund.retrieve", "GET", refunds + "/{id}", set(), state.refunds.read),
        Operation("refund.cancel", "POST", refunds + "/{id}/cancel", set(), state.refunds.cancel),
        Operation("charge.retrieve", "GET", "/v1/charges/{id}", set(), state.payments.read_charge),
        Operation("event.list", "GET", "/v1/events", {"created", "types"} | _LIST, state.store.list_events),
        Operation("dispute.list", "GET", "/v1/disputes", {"payment_intent"} | _LIST, state.disputes.list_),
    ]


def answer(status: int, body: Json, **headers: str) -> Response:
    return Response(json.dumps(body), status, headers, media_type="application/json")


def parse(text: str) -> Json:
    """Form parameters with brackets as nested objects: `metadata[a]=b`, `expand[]=c`, `expand[0]=c`."""
    nested: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *path, last = name.replace("]", "").split("[")
        target = nested
        for part in path:
            target = target.setdefault(part, {})
        target[last or str(len(target))] = value
    return nested


class Api:
    """What every call goes through: credentials, idempotency, faults, one transaction."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._keys_in_use: set[str] = set()

    def route(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return await self._handle(operation, request)
            except ApiError as error:
                return answer(error.status, error.body)

        return handle

    async def _handle(self, operation: Operation, request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer sk_test_"):
            raise ApiError(401, "Invalid API Key provided: use one that starts with sk_test_.")
        reading = operation.method == "GET"
        params = parse(request.url.query if reading else (await request.body()).decode())
        object_id = request.path_params.get("id", "")
        payment = self._state.store.payment_named(object_id, params)
        self._state.store.count_call(operation.name, payment)
        for name in params.keys() - operation.known - _COMMON:
            raise ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        expanded = read_expansion(operation.name, params.get("expand", {}))
        key = None if reading else request.headers.get("idempotency-key")
        if key in self._keys_in_use:
            raise ApiError(
                409,
                "There is currently another in-progress request using this Idempotent Key.",
                code="idempotency_key_in_use",
            )
        fingerprint = f"{request.url.path} {json.dumps(params, sort_keys=True)}"
        replay = self._state.store.stored_answer(key) if key else None
        if replay is not None and replay.fingerprint != fingerprint:
            raise ApiError(
                400, "Keys for idempotent requests can only be used with the same parameters.", kind="idempotency_error"
            )
        fault = self._state.store.take_fault(operation.name, payment, replaying=replay is not None)
        match fault.fault if fault else None:
            case FaultKind.HTTP_429 if fault:
                error = ApiError(429, "Too many requests.", code="rate_limit")
                return answer(error.status, error.body, **{"Retry-After": f"{fault.retry_after:g}"})
            case FaultKind.DROP_BEFORE_COMMIT:
                return await cut(request)
            case FaultKind.SLOW if fault:
                await self._hold(key, fault.seconds)
        if replay is not None:
            response = answer(replay.status, replay.body, **{"Idempotent-Replayed": "true"})
        else:
            call = Call(params, object_id, key, fault.fault if fault else None, fault.code if fault else None, expanded)
            done = self._commit(operation, call, fingerprint)
            response = answer(done.status, done.body)
        return await cut(request) if fault and fault.fault is FaultKind.DROP_AFTER_COMMIT else response

    async def _hold(self, key: str | None, seconds: float) -> None:
        """Take time, with the key in use."""
        if key:
            self._keys_in_use.add(key)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._keys_in_use.discard(key or "")

    def _commit(self, operation: Operation, call: Call, fingerprint: str) -> Stored:
        with self._state.store.transaction():
            self._state.settle_due()
            try:
                if call.fault is FaultKind.HTTP_500_BEFORE:
                    raise _broken()
                done = Stored(fingerprint, 200, operation.run(call))
                if call.fault is FaultKind.HTTP_500_AFTER_COMMIT:
                    raise _broken()
            except ApiError as error:
                if not error.stored:
                    raise
                done = Stored(fingerprint, error.status, error.body)
            if call.key:
                self._state.store.store_answer(call.key, done)
        return done


def _broken() -> ApiError:
    return ApiError(500, "An unknown error occurred.", kind="api_error")


def create_app(state: State, webhooks: Webhooks | None) -> FastAPI:
    """The whole process as an ASGI app. It owns the state and closes it."""

    async def tick() -> None:
        while True:
            with state.store.transaction():
                state.settle_due()
            if webhooks is not None:
                await webhooks.deliver_due(state.store)
            await asyncio.sleep(TICK)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.create_task(tick())
        yield
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        if webhooks is not None:
            await webhooks.aclose()
        state.store.close()

    app = FastAPI(lifespan=lifespan, title="Payment gateway stand-in", openapi_url=None)
    api = Api(state)
    for operation in operations(state):
        app.add_route(operation.path, api.route(operation), methods=[operation.method])

    @app.exception_handler(ApiError)
    async def refuse(_: Request, error: ApiError) -> Response:
        return answer(error.status, error.body)

    @app.get("/sandbox/health")
    async def health() -> Clock:
        return Clock(now=state.store.now)

    @app.post("/sandbox/clock/advance")
    async def advance(by: Advance) -> Clock:
        with state.store.transaction():
            state.store.advance(by.seconds)
            state.settle_due()
        return Clock(now=state.store.now)

    @app.get("/sandbox/effects")
    async def effects(payment_intent: str | None = None) -> list[Effect]:
        return state.store.effects(payment_intent)

    @app.get("/sandbox/calls")
    async def calls(payment_intent: str | None = None) -> dict[str, int]:
        return state.store.calls(payment_intent)

    @app.get("/sandbox/payments/{payment}/faults")
    async def faults_left(payment: str) -> int:
        return state.store.faults_left(payment)

    @app.post("/sandbox/faults")
    async def add_fault(fault: Fault) -> Fault:
        state.store.add_fault(fault)
        return fault

    @app.post("/sandbox/payments/{payment}/dispute")
    async def dispute(payment: str, change: DisputeChange) -> Json:
        with state.store.transaction():
            answer = state.disputes.change(payment, change.status, change.amount)
            if not change.status.startswith("warning_"):
                state.refunds.fail_disputed(payment)
            return answer

    @app.post("/sandbox/payments/{payment}/complete")
    async def complete(payment: str) -> Json:
        with state.store.transaction():
            return state.payments.complete(payment)

    @app.post("/sandbox/payments/{payment}/capture_begins")
    async def capture_begins(payment: str) -> Json:
        with state.store.transaction():
            return state.payments.capture_begins(payment)

    @app.post("/sandbox/payments/{payment}/capture_ends")
    async def capture_ends(payment: str) -> Json:
        with state.store.transaction():
            return state.payments.capture_ends(payment)

    @app.post("/sandbox/payments/{payment}/debit_fails")
    async def debit_fails(payment: str) -> Json:
        with state.store.transaction():
            return state.payments.debit_fails(payment)

    @app.post("/sandbox/refunds/{refund}/settle")
    async def settle(refund: str) -> Json:
        with state.store.transaction():
            return state.refunds.end(refund, "succeeded")

    @app.post("/sandbox/refunds/{refund}/fail")
    async def fail(refund: str, failure: Failure) -> Json:
        with state.store.transaction():
            return state.refunds.end(refund, "failed", failure.reason)

    return app
