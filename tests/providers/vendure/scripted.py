"""A server that answers as Vendure does, with what a test has written for it: for what no real shop does on demand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from providers.orders.vendure.api import VendureApi

RECORDED = Path(__file__).parent / "recorded"
TOKEN, CHANNEL = "vendure-auth-token", "vendure-token"


def recorded(name: str) -> str:
    """An answer of Vendure 3.7.3 with its default settings."""
    return (RECORDED / f"{name}.json").read_text(encoding="utf-8")


def error(code: str | None, message: str = "no") -> str:
    return json.dumps({"errors": [{"message": message, "extensions": {"code": code} if code else {}}], "data": None})


NO_PLUGIN = error("GRAPHQL_VALIDATION_FAILED")
FORBIDDEN = error("FORBIDDEN")


@dataclass(frozen=True)
class Reply:
    """`text` None: the connection is cut. `headers` are sent with it."""

    text: str | None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class ScriptedVendure:
    """Knows the user's password and the tokens that it has given. Everything else is answered by the script, in its
    sequence."""

    script: list[Reply] = field(default_factory=list)
    password: str = "a-secret"
    gives_token: bool = True
    tokens: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        query = body["query"]
        if "login(" in query:
            return self._log_in(body["variables"]["password"])
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.valid:
            return web.json_response(text=FORBIDDEN)
        self.asked.append(query)
        self.variables.append(body["variables"])
        reply = self.script.pop(0)
        if reply.text is None:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.Event().wait()
        return web.Response(
            text=reply.text, status=reply.status, headers=dict(reply.headers), content_type="application/json"
        )

    def _log_in(self, password: str) -> web.Response:
        if password != self.password:
            return web.json_response({"data": {"login": {"__typename": "InvalidCredentialsError"}}})
        token = f"token-{len(self.tokens) + 1}"
        self.tokens.append(token)
        self.valid = {token}
        headers = {TOKEN: token, "Set-Cookie": f"session={token}"} if self.gives_token else {}
        return web.json_response({"data": {"login": {"__typename": "CurrentUser"}}}, headers=headers)


@asynccontextmanager
async def vendure_at(
    vendure: ScriptedVendure, *, password: str = "a-secret", channel: str | None = None
) -> AsyncIterator[VendureApi]:
    app = web.Application()
    app.router.add_post("/admin-api", vendure.answer)
    server = TestServer(app)
    await server.start_server()
    api = VendureApi(str(server.make_url("/admin-api")), "admin", password, channel)
    try:
        yield api
    finally:
        await api.aclose()
        await server.close()
