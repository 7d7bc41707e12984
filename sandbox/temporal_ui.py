"""The Temporal UI for people, in front of the development server's own: without the buttons that would undo what a clerk
means to do.

"Request Cancellation" undoes the cancellation of the order, "Terminate" leaves it half done, "Reset" and "Pause" stop it,
all of them without a name behind them. The UI hides them by its settings. The image of the UI has variables for these
(docker-compose.yml); the development server ignores them, so what the page asks for is answered here.
"""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.serving import serve

SWITCHED_OFF = (
    "WorkflowCancelDisabled",
    "WorkflowTerminateDisabled",
    "WorkflowResetDisabled",
    "WorkflowPauseDisabled",
    "StartWorkflowDisabled",
    "BatchActionsDisabled",
    "ActivityCommandsDisabled",
)
"""Updates and signals stay: they are how a cancellation is steered."""

_OF_THE_CONNECTION = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


class TemporalUi:
    def __init__(self, upstream: str) -> None:
        self._upstream = httpx2.AsyncClient(base_url=upstream, timeout=60)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._upstream:
            yield

    async def settings(self, request: Request) -> Response:
        answer = await self._upstream.get(request.url.path, headers=_headers(request))
        return JSONResponse({**json.loads(answer.content), **dict.fromkeys(SWITCHED_OFF, True)})

    async def everything_else(self, request: Request) -> Response:
        asked = self._upstream.build_request(
            request.method,
            request.url.path,
            params=request.url.query,
            headers=_headers(request),
            content=await request.body(),
        )
        answer = await self._upstream.send(asked, stream=True)
        closing = BackgroundTask(answer.aclose)
        response = StreamingResponse(answer.aiter_bytes(), answer.status_code, background=closing)
        response.raw_headers = [
            (name, value) for name, value in answer.headers.raw if name.decode().lower() not in _OF_THE_CONNECTION
        ]
        return response


def _headers(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION]


def create_app(upstream: str) -> Starlette:
    ui = TemporalUi(upstream)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [
        Route("/api/v1/settings", ui.settings),
        Route("/{path:path}", ui.everything_else, methods=methods),
    ]
    return Starlette(routes=routes, lifespan=ui.lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.temporal_ui", description="The Temporal UI without what misleads.")
    parser.add_argument("--upstream", required=True, help="address of the development server's UI")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    serve(create_app(given.upstream), port=given.port)


if __name__ == "__main__":
    main()
