"""A breaker for each provider: while it does not answer, nobody is sent there but one call now and then.

There is one in each adapter, so a process has one for each of its providers, which all of its attempts share. It opens when
several calls in a row had no answer, and lets one call at a time try again, after pauses that grow. Once that one is
answered, the others are let in by steps: each begins when all calls of the one before it were answered, and is twice as
large. What is not let in is told when to come back, everybody at another time. Why it is ours: docs/decisions/0098.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum, auto

import structlog

from domain.errors import StepError, Unavailable
from domain.examination import Counterpart

OPENS_AFTER = 5
"""Calls in a row without an answer. A call or two are lost every day."""
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 30.0
"""Seconds. No longer than the pauses between the attempts of a step, so one that is alone is not kept waiting."""
LAST_STEP = 32
RECOVERY = 60.0
"""Seconds after the first answer in which the steps count, at most: where few ask, they would never end."""
_SOONEST = 1.0


class _Outcome(Enum):
    """BUSY: it answers, and asks to slow down. GIVEN_UP: by us, before there was an answer."""

    ANSWERED = auto()
    BUSY = auto()
    SILENT = auto()
    GIVEN_UP = auto()


class _Phase(Enum):
    CLOSED = auto()
    OPEN = auto()
    RECOVERING = auto()


class Call:
    """A call that is let in. What leaves it as an exception was no answer, unless it is a `StepError` or its status says
    otherwise."""

    def __init__(self) -> None:
        self._outcome: _Outcome | None = None

    def note_status(self, status: int | None) -> None:
        """The HTTP status of the answer; None: there was none. A refusal is an answer."""
        if status is None or status == 408 or status >= 500:
            self._outcome = _Outcome.SILENT
        else:
            self._outcome = _Outcome.BUSY if status == 429 else _Outcome.ANSWERED

    def outcome_of(self, error: BaseException | None) -> _Outcome:
        if error is not None and not isinstance(error, Exception):
            return _Outcome.GIVEN_UP
        is_answer = error is None or isinstance(error, StepError)
        return self._outcome or (_Outcome.ANSWERED if is_answer else _Outcome.SILENT)


class AskedProviders:
    """The providers that an attempt has asked, and whether it was let in. `check_time` raises when it may ask nobody any
    more."""

    def __init__(self, check_time: Callable[[], None]) -> None:
        self.check_time = check_time
        self._let_in: dict[Breaker, bool] = {}

    def has_let_in(self, breaker: "Breaker") -> bool:
        return self._let_in.get(breaker, False)

    def add(self, breaker: "Breaker", *, let_in: bool) -> None:
        self._let_in[breaker] = let_in

    @property
    def away(self) -> "Breaker | None":
        """One of them that is away."""
        return next((breaker for breaker in self._let_in if breaker.away_since is not None), None)


_asked: ContextVar[AskedProviders | None] = ContextVar("asked", default=None)


@contextmanager
def one_attempt(check_time: Callable[[], None] = lambda: None) -> Iterator[AskedProviders]:
    """What a breaker has let in once is let in until the end of the attempt: what an attempt has begun it carries out, and
    it does not lose sight of what it has done."""
    asked = AskedProviders(check_time)
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


# Rule: While a provider is away, one call at a time goes there
class Breaker:
    """`name` begins a sentence: "The gateway". `clock` counts seconds."""

    def __init__(self, counterpart: Counterpart, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.counterpart = counterpart
        self.name = name
        self._clock = clock
        self._phase = _Phase.CLOSED
        self._period = 0
        """Goes up with each phase: what was let in before says nothing about the one after."""
        self._silent = 0
        self._silent_since: datetime | None = None
        self._pause = FIRST_PAUSE
        self._until = 0.0
        """Until when nobody is let in, or else until when the steps count."""
        self._step = self._inside = self._answered = 0

    @property
    def away_since(self) -> datetime | None:
        """The first call in a row that had no answer; None: it is not away, as far as this process knows."""
        return self._silent_since if self._phase is _Phase.OPEN else None

    @property
    def sentence(self) -> str:
        """Why nobody is let in."""
        if self._phase is _Phase.RECOVERING:
            return f"{self.name} answers again, and is not asked by all at once."
        return f"{self.name} has not answered since {self._silent_since:%Y-%m-%d %H:%M} UTC."

    @contextmanager
    def call(self) -> Iterator[Call]:
        """One call to the provider, and no other inside of it. Raises Unavailable while it is not let in, and for an attempt
        that was held up."""
        asked = _asked.get()
        if asked is not None:
            asked.check_time()
        counts = asked is None or not asked.has_let_in(self)
        if counts:
            is_let_in = self._let_in()
            if asked is not None:
                asked.add(self, let_in=is_let_in)
            if not is_let_in:
                raise self._refusal()
        call, period = Call(), self._period
        error: BaseException | None = None
        try:
            yield call
        except BaseException as raised:
            error = raised
            raise
        finally:
            if period == self._period:
                self._add_outcome(call.outcome_of(error), counts=counts)

    def join_call(self) -> None:
        """This attempt takes part in a call that another one makes: whatever came of it, it goes on."""
        if asked := _asked.get():
            asked.add(self, let_in=True)

    def _let_in(self) -> bool:
        now = self._clock()
        if self._phase is _Phase.RECOVERING and now >= self._until:
            self._close()
        if self._phase is _Phase.CLOSED:
            return True
        if self._inside == self._step or (self._phase is _Phase.OPEN and now < self._until):
            return False
        self._inside += 1
        return True

    # Rule: While a provider is away, one call at a time goes there [when to come back]
    def _refusal(self) -> Unavailable:
        """Everybody is told another time, and nobody before the next try can have ended."""
        left = max(self._until - self._clock(), 0.0) if self._phase is _Phase.OPEN else 0.0
        spread = random.uniform(_SOONEST, max(self._pause, 2 * _SOONEST))  # noqa: S311 (nobody gains by guessing it)
        return Unavailable(f"{self.sentence} This is tried again by itself.", retry_after=left + spread)

    def _add_outcome(self, outcome: _Outcome, *, counts: bool) -> None:
        """`counts`: it was let in as one of those that this phase lets in."""
        match self._phase, outcome:
            case _Phase.CLOSED, _Outcome.SILENT:
                self._silent_since = self._silent_since or datetime.now(UTC)
                self._silent += 1
                if self._silent == OPENS_AFTER:
                    self._open()
            case _Phase.CLOSED, _Outcome.ANSWERED | _Outcome.BUSY:
                self._silent, self._silent_since = 0, None
            case _Phase.RECOVERING, _Outcome.SILENT:
                self._silent_since = datetime.now(UTC)
                self._open()
            case _Phase.OPEN, _Outcome.ANSWERED | _Outcome.BUSY if counts:
                self._recover()
            case _Phase.OPEN, _ if counts:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._wait_before_next_try()
            case _Phase.RECOVERING, _Outcome.ANSWERED if counts:
                self._answered += 1
                if self._answered == LAST_STEP:
                    self._close()
                elif self._answered == self._step:
                    self._begin_step(2 * self._step)
            case _Phase.RECOVERING, _ if counts:
                self._inside -= 1

    def _close(self) -> None:
        self._begin(_Phase.CLOSED)
        self._pause = FIRST_PAUSE
        self._silent, self._silent_since = 0, None

    def _open(self) -> None:
        self._begin(_Phase.OPEN)
        self._wait_before_next_try()
        self._log.warning("provider_away")

    def _wait_before_next_try(self) -> None:
        self._begin_step(1)
        self._until = self._clock() + self._pause

    def _recover(self) -> None:
        self._log.info("provider_answers")
        self._begin(_Phase.RECOVERING)
        self._silent_since = None
        self._begin_step(2)
        self._until = self._clock() + RECOVERY

    def _begin(self, phase: _Phase) -> None:
        self._phase = phase
        self._period += 1
        self._until = 0.0
        self._begin_step(0)

    def _begin_step(self, size: int) -> None:
        self._step, self._inside, self._answered = size, 0, 0

    @property
    def _log(self) -> structlog.typing.FilteringBoundLogger:
        log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        return log.bind(counterpart=self.counterpart.value, since=str(self._silent_since))
