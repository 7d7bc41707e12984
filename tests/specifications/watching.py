"""A stand-in under watch: what is asked of it, by whatever process, and what it answers is compared with what its provider
describes.

`python -m tests.specifications.watching sandbox.gateway …` is `python -m sandbox.gateway …` with that. A call that is not as
described is kept, and a test reads what was kept since the test before (tests/fixtures/specifications.py).
"""

import json
import runpy
import sys
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import serving
from tests.specifications.specification import Exchange, Specification

PROVIDERS = {
    "sandbox.gateway": ("stripe",),
    "sandbox.carrier": ("easypost", "ups"),
    "sandbox.marketplace": ("mirakl",),
}
REPORT = "/watched/report"

_CONTROLS = "/sandbox/"
_TEST_ENVIRONMENT = "/cie"
"""UPS has its test environment at the same paths under this one."""


# Rule: What the stand-ins answer and the adapters send is what the providers publish [each call of a test]
class Watch:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *providers: str) -> None:
        self._app = app
        self._specifications = [Specification(provider) for provider in providers]
        self._problems: list[str] = []
        self._seen: set[tuple[str, str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_CONTROLS):
            await self._app(scope, receive, send)
        elif scope["path"] == REPORT:
            await self._report(send)
        else:
            await self._compare(scope, receive, send)

    async def _compare(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer, status = b"", 0
        waiting = [await receive()]
        while waiting[-1].get("more_body"):
            waiting.append(await receive())
        body = b"".join(message.get("body", b"") for message in waiting)

        async def again() -> Message:
            return waiting.pop(0) if waiting else await receive()

        async def keep(message: Message) -> None:
            nonlocal answer, status
            status = message.get("status", status)
            answer += message.get("body", b"")
            await send(message)

        await self._app(scope, again, keep)
        if not answer:
            return  # it hung up
        exchange = Exchange(
            method=scope["method"],
            path=scope["path"].removeprefix(_TEST_ENVIRONMENT),
            query=scope["query_string"].decode(),
            headers={name.decode().lower(): value.decode() for name, value in scope["headers"]},
            body=body,
            status=status,
            answer=answer,
        )
        self._add(exchange)

    def _add(self, exchange: Exchange) -> None:
        for specification in self._specifications:
            if operation := specification.operation(exchange.method, exchange.path):
                self._problems += specification.problems(exchange)
                self._seen.add((specification.provider, operation["method"], operation["path"]))
                return
        self._problems += self._specifications[0].problems(exchange)

    async def _report(self, send: Send) -> None:
        report = {"problems": self._problems, "seen": sorted(self._seen)}
        self._problems = []
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(report).encode()})


def main() -> None:
    del sys.argv[0]
    stand_in, serve = sys.argv[0], serving.serve

    def serve_watched(app: Any, **options: Any) -> None:
        serve(Watch(app, *PROVIDERS[stand_in]), **options)

    serving.serve = serve_watched
    runpy.run_module(stand_in, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
