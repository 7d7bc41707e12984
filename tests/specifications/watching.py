"""The gateway stand-in under watch: what is asked of it, and what it answers, is compared with Stripe's own specification.

`python -m tests.specifications.watching` is `python -m sandbox.gateway` with that. A call that is not as Stripe specifies
is kept, and a test reads what was kept since the test before (tests/fixtures/gateway.py).
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import jsonschema_rs
import typer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.gateway.app import create_app, parse
from sandbox.gateway.state import State
from sandbox.gateway.webhooks import SECRET, Webhooks
from sandbox.serving import serve

SPECIFICATION = Path(__file__).parent / "stripe" / "spec.json"
REPORT = "/watched/report"

_OF_SDK = b"Stripe/v1 PythonBindings"
"""Everything that the adapters send has to be valid, also what is refused; what a test sends itself, where it is taken."""


class Specification:
    def __init__(self) -> None:
        self._spec = json.loads(SPECIFICATION.read_text())
        self._checks: dict[str, jsonschema_rs.Validator] = {}
        self._paths = {
            re.compile(re.sub(r"\{\w+\}", r"[^/]+", path) + "$"): methods
            for path, methods in self._spec["paths"].items()
        }

    def operations(self) -> set[tuple[str, str]]:
        return {(method.upper(), path) for path, methods in self._spec["paths"].items() for method in methods}

    def differences(
        self, method: str, path: str, sent: str, status: int, answer: str, *, must_be_valid: bool
    ) -> list[str]:
        """Where a call is not as specified."""
        operation = self._operation(method, path)
        if operation is None:
            return [f"{method} {path}: Stripe's specification has no such call"]
        asked = operation["query"] if method == "GET" else operation["body"]
        found = []
        if must_be_valid or status < 400:
            found += self._check(f"{method} {path} asks", asked, typed(parse(sent), asked))
        body = json.loads(answer)
        found += self._check(f"{method} {path} answers", operation["answer" if status < 400 else "error"], body)
        for event in body.get("data", []) if body.get("object") == "list" else []:
            if event.get("object") == "event":
                subject = event["data"]["object"]
                schema = {"$ref": f"#/schemas/{subject['object']}"}
                found += self._check(f"the event {event['type']}", schema, subject)
        return found

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, methods in self._paths.items():
            if pattern.match(path):
                found: dict[str, Any] | None = methods.get(method.lower())
                return found
        return None

    def _check(self, what: str, schema: dict[str, Any], value: object) -> list[str]:
        name = json.dumps(schema, sort_keys=True)
        if name not in self._checks:
            self._checks[name] = jsonschema_rs.validator_for({**schema, "schemas": self._spec["schemas"]})
        errors = self._checks[name].iter_errors(value)
        return [f"{what}: {'.'.join(map(str, error.instance_path))}: {error.message[:300]}" for error in errors]


def typed(value: Any, schema: dict[str, Any]) -> Any:
    """The texts of a form as what their schema wants: a form knows no numbers, no truth and no lists. What does not fit
    stays a text, and is found to be wrong."""
    kinds = [typed_as for typed_as in schema.get("anyOf", [schema]) if isinstance(typed_as, dict)]
    for kind in kinds:
        match kind.get("type"):
            case "integer" if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
                return int(value)
            case "boolean" if value in {"true", "false"}:
                return value == "true"
            case "array" if isinstance(value, dict):
                return [typed(item, kind.get("items", {})) for item in value.values()]
            case "object" if isinstance(value, dict):
                properties = kind.get("properties", {})
                return {name: typed(item, properties.get(name, {})) for name, item in value.items()}
            case _:
                pass
    return value


class Watch:
    """ASGI middleware. `seen` are the operations that were called, by Stripe's names of their paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._specification = Specification()
        self._kept: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", REPORT)):
            await self._app(scope, receive, send)
        elif scope["path"] == REPORT:
            await self._report(send)
        else:
            await self._compare(scope, receive, send)

    async def _compare(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, answer, status = b"", b"", 0
        waiting = [await receive()]
        while waiting[-1].get("more_body"):
            waiting.append(await receive())
        body = b"".join(message.get("body", b"") for message in waiting)

        class Again:
            """The app hangs up by the transport of the server that called, which it finds behind `receive`."""

            __self__ = getattr(receive, "__self__", None)

            async def __call__(self) -> Message:
                return waiting.pop(0) if waiting else await receive()

        async def keep(message: Message) -> None:
            nonlocal answer, status
            status = message.get("status", status)
            answer += message.get("body", b"")
            await send(message)

        await self._app(scope, Again(), keep)
        if not answer:
            return  # it hung up
        method = scope["method"]
        agent = dict(scope["headers"]).get(b"user-agent", b"")
        sent = scope["query_string"] if method == "GET" else body
        self._kept += self._specification.differences(
            method, scope["path"], sent.decode(), status, answer.decode(), must_be_valid=agent.startswith(_OF_SDK)
        )

    async def _report(self, send: Send) -> None:
        kept, self._kept = self._kept, []
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(kept).encode()})


def main(
    *,
    data: Annotated[Path, typer.Option()],
    port: int = 0,
    webhook_url: str = "",
    webhook_secret: str = SECRET,
    settle_seconds: float = 432_000,
) -> None:
    state = State(data, settle_seconds=settle_seconds, webhooks=bool(webhook_url), seed=0)
    serve(Watch(create_app(state, Webhooks(webhook_url, webhook_secret) if webhook_url else None)), port=port)


if __name__ == "__main__":
    typer.run(main)
