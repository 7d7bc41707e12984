"""The network between a worker and a Vendure shop that sees each call, and can stop one of each order on its way: right
before it is sent on, or right after it was answered."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections import Counter, defaultdict
from collections.abc import Iterable
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

import httpx2
from pydantic import Field

from domain.base import Value

_OPERATION = re.compile(r"{\s*(?:result: )?(\w+)")
_STOPPED_WITHIN = 60

NOBODY = ""
"""For no order: a login, say."""


class Point(StrEnum):
    """Where a call is stopped."""

    BEFORE_IT_IS_SENT = "before_the_call"
    AFTER_IT_WAS_ANSWERED = "after_the_answer"


class Call(NamedTuple):
    """`number` counts the calls of this operation that were made for the same order, from 1."""

    operation: str
    number: int


class _Variables(Value):
    code: str = ""


class _Body(Value):
    query: str
    variables: _Variables = _Variables()


class _Request(Value):
    """An HTTP request, with what it is about."""

    path: str
    headers: dict[str, str]
    content: bytes = Field(repr=False)

    @property
    def operation(self) -> str:
        found = _OPERATION.search(self._body.query)
        assert found is not None, self._body.query
        return found[1]

    @property
    def subject(self) -> str:
        """The order that is read, or the cancellation that writes; empty: neither."""
        return self._body.variables.code or self.headers.get("cancellation-id", "")

    @property
    def _body(self) -> _Body:
        return _Body.model_validate_json(self.content)


class _Dropped(Exception):
    """The connection breaks off."""


class StoppingProxy:
    """Passes on what it gets to `upstream`, from an address of its own (`url`), which stays the same."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.stopped: dict[str, Call] = {}
        """By order."""
        self._made: dict[str, Counter[str]] = defaultdict(Counter)
        self._orders: dict[str, str] = {}
        self._to_stop: dict[str, tuple[Call, Point]] = {}
        self._change = asyncio.Condition()
        self._drop = asyncio.Event()
        self._not_sent: list[_Request] = []
        self._server: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()
        self._port = 0
        self._http = httpx2.AsyncClient(timeout=60)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        await self._http.aclose()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def cut(self) -> None:
        """Refuse connections until the next `listen`, and break off those that there are."""
        assert self._server is not None
        self._server.close()
        self.drop_stopped()
        for writer in self._open:
            writer.transport.abort()

    def drop_stopped(self) -> None:
        """Break off the connections of stopped calls: the call was not sent (see `send_late`), or its answer is lost."""
        self._drop.set()
        self._drop = asyncio.Event()

    async def send_late(self) -> None:
        """Calls that were stopped before they were sent arrive now. Nobody waits for their answers any more."""
        while self._not_sent:
            await self._pass_on(self._not_sent.pop())

    def watch(self, order_id: str, cancellation_id: str) -> None:
        """From now on this cancellation's calls are known as the order's."""
        self._orders[order_id] = self._orders[cancellation_id] = order_id

    def list_calls(self, order_id: str) -> tuple[Call, ...]:
        """Those that were made until now."""
        made = self._made[order_id]
        return tuple(Call(operation, number + 1) for operation in made for number in range(made[operation]))

    def find_next(self, operation: str) -> Call:
        """The next call of this operation that is made for no order."""
        return Call(operation, self._made[NOBODY][operation] + 1)

    def stop_at(self, order_id: str, call: Call, point: Point) -> None:
        """Stop this call of the order, or of `NOBODY`, when it comes, until `drop_stopped`."""
        self.stopped.pop(order_id, None)
        self._to_stop[order_id] = call, point

    async def wait_until_stopped(self, order_ids: Iterable[str]) -> None:
        """Fails with the names of those that were not made."""
        async with self._change:
            try:
                await asyncio.wait_for(
                    self._change.wait_for(lambda: self.stopped.keys() >= set(order_ids)), timeout=_STOPPED_WITHIN
                )
            except TimeoutError:
                missing = [self._to_stop[order_id] for order_id in order_ids if order_id not in self.stopped]
                raise AssertionError(f"not made in {_STOPPED_WITHIN} s: {missing}") from None

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                writer.write(await self._answer(request))
                await writer.drain()
        except (_Dropped, OSError, httpx2.TransportError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, request: _Request) -> bytes:
        point = self._count(request)
        if point is Point.BEFORE_IT_IS_SENT:
            self._not_sent.append(request)
            await self._stop(request)
        answer = await self._pass_on(request)
        if point is Point.AFTER_IT_WAS_ANSWERED:
            await self._stop(request)
        return answer

    def _count(self, request: _Request) -> Point | None:
        """Where this call is to be stopped, if it is."""
        order_id, operation = self._orders.get(request.subject, NOBODY), request.operation
        made = self._made[order_id]
        made[operation] += 1
        call, point = self._to_stop.get(order_id, (None, None))
        return point if call == Call(operation, made[operation]) else None

    async def _stop(self, request: _Request) -> None:
        order_id, drop = self._orders.get(request.subject, NOBODY), self._drop
        async with self._change:
            self.stopped[order_id] = self._to_stop[order_id][0]
            self._change.notify_all()
        await drop.wait()
        raise _Dropped

    async def _pass_on(self, request: _Request) -> bytes:
        answer = await self._http.post(
            f"{self.upstream}{request.path}", content=request.content, headers=request.headers
        )
        passed = {
            name: answer.headers[name] for name in ("content-type", "vendure-auth-token") if name in answer.headers
        }
        head = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"]
        head += [f"{name}: {value}" for name, value in passed.items()]
        head += [f"content-length: {len(answer.content)}", "", ""]
        return "\r\n".join(head).encode() + answer.content


async def _read(reader: StreamReader) -> _Request | None:
    """The next request of a connection; None: there is none."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    given = dict(_split(line) for line in lines)
    content = await reader.readexactly(int(given["content-length"]))
    passed = {name: value for name, value in given.items() if name not in {"host", "connection", "content-length"}}
    return _Request(path=first.split(" ")[1], headers=passed, content=content)


def _split(line: str) -> tuple[str, str]:
    name, value = line.split(": ", 1)
    return name.lower(), value
