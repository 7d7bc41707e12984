"""The calls at which a worker can be disturbed: every call of a counterpart, or of our own books, that writes; and the
return of every activity.

Calls that only read are left out. What is true before one and after it is the same, and the calls around it are disturbed.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.base import Value
from domain.errors import OutcomeUnknown, Unavailable

T = TypeVar("T")


class Port(StrEnum):
    BOOKS = "books"
    ORDERS = "orders"
    STORED_VALUE = "stored_value"
    GATEWAY = "gateway"
    LABELS = "labels"
    INTERCEPTS = "intercepts"
    MARKETPLACE = "marketplace"


WRITES = {
    Port.BOOKS: frozenset(
        """begin_verification take_up write open note_hold decide refuse note_effect watch note_not_closed close end release
        reopen credit skip_credit revoke_credit add_notices defer_request""".split()  # noqa: SIM905
    ),
    Port.ORDERS: frozenset(
        ["freeze", "thaw", "withdraw_pick", "resume_pick", "relabel", "replace_payment", "close", "note_given_back"]
    ),
    Port.STORED_VALUE: frozenset(["restore", "take_back", "deactivate", "reactivate"]),
    Port.GATEWAY: frozenset(["void", "refund", "cancel_refund", "authorise_again"]),
    Port.LABELS: frozenset(["void", "buy_again"]),
    Port.INTERCEPTS: frozenset(["request", "cancel"]),
    Port.MARKETPLACE: frozenset(["cancel"]),
}

_OWN_TABLES = {Port.BOOKS, Port.ORDERS, Port.STORED_VALUE}
RETURN = "return"


class Moment(StrEnum):
    """AFTER: the counterpart has committed, and nobody else has heard of it yet."""

    BEFORE = "before"
    AFTER = "after"


class Point(Value):
    """`call` is `port.method`, or `return.activity`; `number` counts those of one worker process: AFTER them, those that
    have succeeded."""

    call: str
    number: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.call} {self.number}"

    @property
    def is_return(self) -> bool:
        return self.call.startswith(f"{RETURN}.")


class Disturbance(Value):
    """What becomes of one worker process. At its point it asks whoever listens at `control`, and goes on once it is
    answered. `loses_answer`: the call has committed, and its caller does not learn it."""

    point: Point | None = None
    loses_answer: bool = False


class Gate:
    """Counts the calls of this process, writes each to a file, and stops at the one point."""

    def __init__(self, disturbance: Disturbance, calls: Path, control: Path) -> None:
        self._disturbance = disturbance
        self._control = control
        self._counts = Counter[tuple[str, Moment]]()
        self._stopped: dict[bytes, asyncio.StreamWriter] = {}
        self._calls = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def wrap(self, port: Port, counterpart: T) -> T:
        """The counterpart, whose writing calls pass this gate."""
        return cast("T", _Gated(port, counterpart, self))

    async def pass_through(
        self, call: str, work: Callable[[], Awaitable[Any]], lost: type[Unavailable | OutcomeUnknown]
    ) -> Any:
        os.write(self._calls, f"{call}\n".encode())
        await self._reach(call, Moment.BEFORE)
        answer = await work()
        if await self._reach(call, Moment.AFTER) and self._disturbance.loses_answer:
            raise lost("The answer was lost.")
        return answer

    async def _reach(self, call: str, moment: Moment) -> bool:
        """Whether this was the point; returns when the worker may go on. The connection ends with the attempt."""
        self._counts[call, moment] += 1
        if Point(call=call, number=self._counts[call, moment], moment=moment) != self._disturbance.point:
            return False
        reader, self._stopped[activity.info().task_token] = await asyncio.open_unix_connection(self._control)
        await reader.read()
        return True

    def end_attempt(self) -> None:
        """Also where it is given up while it was stopped."""
        if connection := self._stopped.pop(activity.info().task_token, None):
            connection.close()


class _Gated:
    def __init__(self, port: Port, counterpart: object, gate: Gate) -> None:
        self._port = port
        self._counterpart = counterpart
        self._gate = gate
        self._lost: type[Unavailable | OutcomeUnknown] = Unavailable if port in _OWN_TABLES else OutcomeUnknown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._counterpart, name)
        if name not in WRITES[self._port]:
            return found

        async def call(*args: Any, **named: Any) -> Any:
            return await self._gate.pass_through(f"{self._port}.{name}", lambda: found(*args, **named), self._lost)

        return call


class Returns(Interceptor):
    """The return of an activity passes the gate too: it has done all, and has not answered the engine yet."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Returning(next, self._gate)


class _Returning(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, gate: Gate) -> None:  # noqa: A002
        super().__init__(next)
        self._gate = gate

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        call = f"{RETURN}.{activity.info().activity_type}"
        try:
            return await self._gate.pass_through(
                call, lambda: super(_Returning, self).execute_activity(input), Unavailable
            )
        finally:
            self._gate.end_attempt()
