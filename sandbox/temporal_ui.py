"""The Temporal UI for people, in front of the development server's own: without the buttons that would undo what a clerk
means to do, and with the list that a clerk needs.

"Request Cancellation" undoes the cancellation of the order, "Terminate" leaves it half done, "Reset" and "Pause" stop it,
all of them without a name behind them; a signal does nothing for a person. The UI switches them off by its settings. The
image of the UI has variables for these (docker-compose.yml); the development server ignores them, so what the page asks for
is answered here. The columns and the saved views of the list are kept by the browser: at its first visit it is given ours.
"""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx2
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from runtime import search_attributes
from sandbox.links import OVERDUE_PATH, VIEWS, overdue_at, path_of
from sandbox.serving import serve

SWITCHED_OFF = (
    "WorkflowCancelDisabled",
    "WorkflowTerminateDisabled",
    "WorkflowResetDisabled",
    "WorkflowPauseDisabled",
    "WorkflowSignalDisabled",
    "StartWorkflowDisabled",
    "BatchActionsDisabled",
    "ActivityCommandsDisabled",
)
"""Updates stay: they are how a cancellation is steered."""

MORE_ROOM = {"NavCollapsedByDefault": True}
"""The list has columns enough without the menu of what a clerk does not need."""

COLUMNS = (
    "Workflow ID",
    search_attributes.STATE.name,
    search_attributes.OWNER.name,
    search_attributes.DUE_AT.name,
    search_attributes.AMOUNT.name,
    search_attributes.MONEY.name,
    search_attributes.GOODS.name,
)
"""Of the list, the most important ones first: what does not fit is beyond the right edge, at
1440 pixels the last one, at 1024 the last three."""

_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


class TemporalUi:
    def __init__(self, upstream: str) -> None:
        self._upstream = httpx2.AsyncClient(base_url=upstream, timeout=60)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._upstream:
            yield

    async def settings(self, request: Request) -> Response:
        answer = await self._upstream.get(request.url.path, headers=_headers(request))
        return JSONResponse({**json.loads(answer.content), **dict.fromkeys(SWITCHED_OFF, True), **MORE_ROOM})

    async def overdue(self, _: Request) -> Response:
        return RedirectResponse(path_of(overdue_at(datetime.now(UTC))))

    async def page(self, request: Request) -> Response:
        """A page of the UI, which begins with what the browser does not keep yet. The rule which scripts may run comes after
        it."""
        answer = await self._upstream.get(request.url.path, params=request.url.query, headers=_headers(request))
        response = HTMLResponse(answer.text.replace("<head>", f"<head>{_FIRST_VISIT}", 1), answer.status_code)
        response.raw_headers += [(name, value) for name, value in answer.headers.raw if name.lower() == b"set-cookie"]
        return response

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
            (name, value) for name, value in answer.headers.raw if name.decode().lower() not in _HOP_BY_HOP
        ]
        # Hundreds of files, whose names change with what is in them.
        if request.url.path.startswith("/_app/immutable/"):
            response.headers["Cache-Control"] = "max-age=31536000, immutable"
        return response


def _browser_storage(namespace: str) -> dict[str, object]:
    """What the browser keeps of the lists, by the names under which the UI keeps it."""
    columns = [{"label": label, "pinned": label == COLUMNS[0]} for label in COLUMNS]
    return {
        "namespace-workflow-table-columns": {namespace: columns},
        "saved-workflow-queries": {
            namespace: [{"id": name, "name": name, "query": query, "type": "user"} for name, query in VIEWS.items()]
        },
    }


_FIRST_VISIT = f"""<script>
  for (const [name, kept] of Object.entries({json.dumps(_browser_storage("default"))}))
    if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(kept));
</script>"""


def _headers(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]


def create_app(upstream: str) -> Starlette:
    ui = TemporalUi(upstream)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [
        Route("/api/v1/settings", ui.settings),
        Route(OVERDUE_PATH, ui.overdue),
        Route("/", ui.page),
        Route("/namespaces/{path:path}", ui.page),
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
