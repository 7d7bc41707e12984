"""The application: the endpoints together, what guards every request, and the description of all."""

import json
import time
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from client.errors import ExitCode, StarterError
from web.bodies import Health
from web.cancellations import cancellations
from web.parts import TEMPORAL_WAIT, Parts, SharedParts
from web.problems import Code, HttpProblem, add_problems, responses_of
from web.reading import reading
from web.webhooks import webhooks

_EXAMPLES = Path(__file__).with_name("examples.json")

LARGEST_BODY = 512 * 1024
"""Bytes. The largest request of 200 lines has a twentieth of it; EasyPost's longest tracking history fits as well."""


health = APIRouter(tags=["health"])


@health.get("/health", summary="Whether the process lives")
async def check_health(parts: SharedParts) -> Health:
    """It answers. `warnings` says what needs somebody all the same."""
    return _health(parts)


def _health(parts: Parts) -> Health:
    parts.keys.current()
    sentence = (
        "The changed file of API keys cannot be used, so the keys before the change are in force; the log says why."
    )
    return Health(warnings=[sentence] if parts.keys.problem else [])


@health.get("/ready", summary="Whether it can do its work", responses=responses_of(Code.UNAVAILABLE))
async def check_readiness(parts: SharedParts) -> Health:
    """Our database and Temporal answer."""
    await parts.events.check_ready()
    client = await parts.temporal.client()
    try:
        await client.service_client.check_health(timeout=TEMPORAL_WAIT)
    except RPCError as error:
        raise StarterError(ExitCode.UNREACHABLE, f"Temporal answers {error.status.name.lower()}.") from None
    return _health(parts)


class RequestGuard:
    """Bounds every body before it is in memory, answers HEAD like GET (the server sends no body then), and logs every answer
    but those to probes: no bodies, no query, no keys."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        size = 0
        status = 500
        began = time.monotonic()

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HttpProblem(Code.BODY_TOO_LARGE, f"The body may have {LARGEST_BODY} bytes at most; send less.")
            return message

        async def send_and_keep_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, bounded, send_and_keep_status)
        finally:
            # The path is the caller's text: it is logged only where it is one of ours, and the order's id where it is valid.
            route = getattr(scope.get("route"), "path", None)
            if route not in {"/health", "/ready"}:
                structlog.get_logger().info(
                    "request_answered",
                    method=method,
                    route=route,
                    status=status,
                    milliseconds=round((time.monotonic() - began) * 1000),
                    caller=scope.get("state", {}).get("caller"),
                    order_id=scope.get("path_params", {}).get("order_id") if status < 400 else None,
                )


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with problems under their own media type, and an example of each success."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        examples = json.loads(_EXAMPLES.read_text())
        for path in document["paths"].values():
            for operation in path.values():
                for code, response in operation["responses"].items():
                    if int(code) < 400:
                        response["content"]["application/json"]["example"] = examples[operation["operationId"]][code]
                    else:
                        response["content"] = {"application/problem+json": response["content"]["application/json"]}
        app.openapi_schema = document
    return app.openapi_schema


def _operation_id(route: APIRoute) -> str:
    """Part of the contract: generated clients have methods of these names."""
    return route.name


def create_app(parts: Parts) -> FastAPI:
    app = FastAPIOffline(
        title="Order cancellation",
        version="1",
        description="Ask for cancellations of orders, look at them and steer them. Problems are RFC 9457; look at `type`.",
        redoc_url=None,
        # A redirect would go to whatever host the caller names.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.parts = parts
    routers = (cancellations, reading, webhooks, health)
    for router in routers:
        app.include_router(router)
    app.add_middleware(RequestGuard)
    if origins := parts.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Location", "Retry-After"],
        )
    add_problems(app, [route for router in routers for route in router.routes])
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]  # FastAPI's own way to change it
    return app
