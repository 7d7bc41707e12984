"""Many requests from one file: each is sent once, the answers are kept beside the file, and what failed stops nothing.

A request that was answered with a decision is not sent again by the next run; one that failed is. That is safe: it is the
same request, by its request id. A request that is refused because another cancellation of its order is under way is not
answered by that: it is sent again, a few times now and by the next run.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from client.bulk_file import Line
from client.cancellations import Cancellations
from client.errors import ExitCode, StarterError, UnderWay
from client.submitting import deferred_sentence
from domain.base import Value
from domain.decision import Rule, Verdict
from domain.money import Money
from domain.outcome import Outcome
from runtime.texts import translate

_AT_ONCE = 20  # requests that wait for their decision
_DECISION_WAIT = timedelta(minutes=2)  # nobody sits and waits, and a busy worker is behind at times
UNDER_WAY_PAUSES = (2.0, 5.0, 15.0, 30.0)  # seconds before a line is sent again that met another cancellation


class LineAnswer(Value):
    """What became of one line: a decision with its amounts, the outcome of a cancellation that was over already, `deferred`
    until another cancellation of the order has ended, or `failure` with its sentence; `under_way`: because another
    cancellation of the order had not ended yet. The lines of the results file."""

    line: int
    order_id: str
    request_id: str
    sentence: str
    cancellation_id: str | None = None
    verdict: Verdict | None = None
    rule: Rule | None = None
    joined: bool = False
    deferred: bool = False
    refund: Money | None = None
    release: Money | None = None
    outcome: Outcome | None = None
    failure: ExitCode | None = None
    under_way: bool = False

    @property
    def word(self) -> str:
        """What it counts as in the summary: one of ANSWERS."""
        if self.under_way:
            return "failed: under_way"
        if self.deferred:
            return "deferred"
        if self.failure is not None:
            return f"failed: {self.failure.name.lower()}"
        if self.rule is Rule.ORDER_NOT_FOUND:
            return "rejected: order_not_found"
        return f"already {self.outcome}" if self.outcome else str(self.verdict)


ANSWERS = (
    *Verdict,
    "deferred",
    "rejected: order_not_found",
    "failed: under_way",
    *(f"failed: {code.name.lower()}" for code in ExitCode if code),
    *(f"already {outcome}" for outcome in Outcome),
)


class BulkSummary(Value):
    """The lines of a file by what became of them: `answers` in this run, `before` answered in earlier runs or twice in the
    file, `wrong` not requests at all, `unanswered` when it was interrupted."""

    lines: int
    answers: Mapping[str, int]
    before: int
    wrong: int
    unanswered: int
    results: str


class Results:
    """The results file: one answer a line, written as it comes. `answered` are the keys of the lines that got a decision,
    by this run or an earlier one."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.answered: set[tuple[str, str]] = set()

    @classmethod
    @contextlib.contextmanager
    def of(cls, path: Path) -> Iterator["Results"]:
        try:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            file = path.open("a", encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise StarterError(
                ExitCode.WRONG_INPUT, translate("The results file {path} cannot be read and written.", path=path)
            ) from None
        with file:
            results = cls(file)
            for line in before.splitlines():
                # A line that was being written when the machine stopped is no answer.
                with contextlib.suppress(ValidationError):
                    results._record_answer(LineAnswer.model_validate_json(line))
            if before and not before.endswith("\n"):
                file.write("\n")
            yield results

    def add(self, answer: LineAnswer) -> None:
        self._file.write(answer.model_dump_json(exclude_none=True) + "\n")
        self._file.flush()
        self._record_answer(answer)

    def _record_answer(self, answer: LineAnswer) -> None:
        if answer.failure is None:
            self.answered.add((answer.order_id, answer.request_id))


async def start_all(
    cancellations: Cancellations,
    lines: Iterable[Line],
    *,
    rate: float,
    stop: asyncio.Event,
    on_answer: Callable[[LineAnswer], None],
    pauses: Sequence[float] = UNDER_WAY_PAUSES,
) -> None:
    """Start a cancellation for each line, at most `rate` a second, and pass on each answer as it comes. After `stop` nothing
    more is sent; what has been sent is answered. Lines that meet another cancellation of their order are sent again after
    each of the `pauses`."""
    sending = _Sending(cancellations, rate, stop, on_answer)
    await sending.send(lines)
    for pause in pauses:
        if not sending.under_way or await _is_set_within(stop, pause):
            break
        await sending.send_under_way_again()
    for answer in sending.under_way.values():
        on_answer(answer)


class _Sending:
    """`under_way` are the lines that were refused because of another cancellation, each with its answer."""

    def __init__(
        self,
        cancellations: Cancellations,
        rate: float,
        stop: asyncio.Event,
        on_answer: Callable[[LineAnswer], None],
    ) -> None:
        self._cancellations = cancellations
        self._apart = 1 / rate
        self._stop = stop
        self._on_answer = on_answer
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._due = asyncio.get_running_loop().time()
        self.under_way: dict[Line, LineAnswer] = {}

    async def send_under_way_again(self) -> None:
        lines, self.under_way = list(self.under_way), {}
        await self.send(lines)

    async def send(self, lines: Iterable[Line]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as sending:
            for line in lines:
                await self._slots.acquire()
                self._due = max(self._due, loop.time())
                if await _is_set_within(self._stop, self._due - loop.time()):
                    return
                self._due += self._apart
                sending.create_task(self._send_line(line))

    async def _send_line(self, line: Line) -> None:
        try:
            answer = await _start(self._cancellations, line)
            if answer.under_way:
                self.under_way[line] = answer
            else:
                self._on_answer(answer)
        finally:
            self._slots.release()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _start(cancellations: Cancellations, line: Line) -> LineAnswer:
    order_id, request_id = line.key
    try:
        submission = await cancellations.start(line.request, _DECISION_WAIT)
    except StarterError as error:
        return LineAnswer(
            line=line.number,
            order_id=order_id,
            request_id=request_id,
            sentence=error.sentence,
            failure=error.code,
            under_way=isinstance(error, UnderWay),
        )
    decision, plan, result = submission.decision, submission.plan, submission.result
    return LineAnswer(
        line=line.number,
        order_id=order_id,
        request_id=request_id,
        sentence=decision.sentence if decision else deferred_sentence(order_id),
        cancellation_id=submission.cancellation_id,
        verdict=decision.verdict if decision else None,
        rule=decision.rule if decision else None,
        joined=submission.joined,
        deferred=submission.deferred,
        refund=plan.refund if plan else None,
        release=plan.release if plan else None,
        outcome=result.outcome if result and result.existing else None,
    )
