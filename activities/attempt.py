"""One attempt of a step: it writes for its run, only while that run holds the cancellation, and calls a provider only before
its own deadline. A second attempt at the same time, after missed heartbeats, uses the same key."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import activity

from activities.signatures import Booked, Look, StepInput
from domain.case import Case
from domain.errors import (
    OURS_TO_PUT_RIGHT,
    ErrorCode,
    NothingNew,
    NotLocal,
    OutcomeUnknown,
    Refused,
    StepError,
    Unavailable,
)
from domain.facts import EffectEnded, EffectOutcome, Entry, Fact, Run
from domain.holder import check_holder
from domain.keys import EffectKey
from domain.money import Money
from providers.books.clock import began_at, now
from providers.cancellations.port import Change, Register
from providers.orders.port import Orders

T = TypeVar("T")


def this_run() -> Run:
    """The run that this activity works for."""
    info = activity.info()
    assert info.workflow_run_id is not None
    return Run(namespace=info.workflow_namespace or info.namespace, run_id=info.workflow_run_id)


def attempt_deadline() -> datetime:
    """After this moment the attempt is given up, and calls no provider any more. Another one may have begun before, after
    missed heartbeats; it uses the same key."""
    info = activity.info()
    assert info.start_to_close_timeout is not None
    return (began_at() or info.started_time) + info.start_to_close_timeout


def check_deadline(deadline: datetime) -> None:
    """An attempt that was held up may have been followed by another one, or by a compensation. Raises Unavailable."""
    if now() >= deadline:
        raise Unavailable("This attempt was held up for too long; another one goes on.")


@dataclass(frozen=True)
class EffectAnswer:
    """What a provider's answer means: its own reference, a detail, and other `facts` that it states. `outcome` is failed
    where the answer itself says that nothing will come of it. `following` derives further facts from the case that includes
    the answer. All are written in one transaction, and `write` and `end` do not write them again."""

    reference: str | None = None
    detail: str = ""
    facts: Sequence[Fact] = ()
    outcome: EffectOutcome = EffectOutcome.DONE
    following: Callable[[Case], Sequence[Fact]] = lambda _: ()


class Attempt:
    """Made by `begin_attempt`. `case` is what the books know, this attempt's own facts included."""

    def __init__(self, register: Register, step_input: StepInput, case: Case) -> None:
        self._register = register
        self.step_input = step_input
        self.case = case
        self.run = this_run()
        self._deadline = attempt_deadline()
        self._looked_up: set[EffectKey] = set()
        self._written_with_effect: list[Fact] = []

    @property
    def tender_in_words(self) -> str:
        """The tender that the step is about, for a sentence."""
        return f"tender {self.step_input.target} of order {self.step_input.order_id}"

    async def write(self, *facts: Fact) -> None:
        """Add facts to the books, but for those that were written with an effect's answer. Raises NotTheHolder."""
        if new := self._not_written(facts):
            await self._write(lambda _: new)

    def _not_written(self, facts: Sequence[Fact]) -> list[Fact]:
        return [fact for fact in facts if fact not in self._written_with_effect]

    async def _write(self, change: Change) -> None:
        self.case.add(*await self._register.write(self.step_input.cancellation_id, self.run, change, known=self.case))

    async def note_effect(self, key: EffectKey, amount: Money | None = None) -> None:
        """Note that an effect is about to be made. Raises NotTheHolder. Refused: ROLLED_BACK."""
        noted = await self._register.note_effect(key, self.run, amount=amount, until=self._deadline, known=self.case)
        self.case.add(*noted)

    async def note_not_closed(self) -> bool:
        """This attempt has closed nothing. Whether no other one may have, either."""
        return await self._register.note_not_closed(self.step_input.cancellation_id, self.run, until=self._deadline)

    # Rule: An effect is noted before its provider is called, and its outcome after
    # Rule: An effect that has ended is not made again
    async def make_effect(
        self,
        key: EffectKey,
        call: Callable[[], Awaitable[T]],
        describe: Callable[[T], EffectAnswer],
        *,
        amount: Money | None = None,
    ) -> T | EffectEnded:
        """Make one effect at a provider: note it, call, note what came of it. What raises `Unavailable`, or is ours to put
        right, did nothing and stays noted. An effect that has ended, by whichever attempt, is not made again: its end is
        returned then."""
        await self.note_effect(key, amount)
        if self.case.is_outcome_known(key):
            return await self._known_end(key)
        self.check_time()
        try:
            answer = await call()
        except OutcomeUnknown as lost:
            await self.write(EffectEnded(key=key, outcome=EffectOutcome.UNKNOWN, detail=lost.message))
            raise
        except Refused as no:
            if no.code not in OURS_TO_PUT_RIGHT:
                await self.write(EffectEnded(key=key, outcome=EffectOutcome.REFUSED, detail=no.message))
            raise
        said = describe(answer)
        ended = EffectEnded(key=key, outcome=said.outcome, reference=said.reference, detail=said.detail)
        following = said.following(self.case.with_facts([*said.facts, ended]))
        await self.write(*said.facts, ended, *following)
        self._written_with_effect.extend([*following, ended])
        return answer

    async def note_found_done(self, key: EffectKey, detail: str, *, reference: str | None = None) -> None:
        """What an effect was for is so already. Where an attempt had begun it, and its answer was lost, it is done."""
        done = EffectEnded(key=key, outcome=EffectOutcome.DONE, reference=reference, detail=detail)

        def change(case: Case) -> Sequence[Fact]:
            said = case.outcome_of(key)
            is_open = said is None or said.outcome is EffectOutcome.UNKNOWN
            return [done] if case.is_noted(key) and is_open else []

        if change(self.case):
            await self._write(change)

    async def _known_end(self, key: EffectKey) -> EffectEnded:
        """The end that another attempt has noted after this one had read the books. Raises Unavailable the second time: the
        provider does not show the effect yet."""
        if key in self._looked_up:
            raise Unavailable(f"What was done for {self.step_input.target} does not show yet; it is looked at again.")
        self._looked_up.add(key)
        self.case.replace(await self._register.read(self.step_input.cancellation_id))
        ended = self.case.outcome_of(key)
        assert ended is not None
        return ended

    # Rule: An attempt that was held up calls nobody
    def check_time(self) -> None:
        """Raises Unavailable. The breaker of each provider asks once more before each request."""
        check_deadline(self._deadline)

    # Rule: An undo waits for attempts that may still be on their way
    async def wait_for_quiet(self, undone: Sequence[EffectKey]) -> None:
        """Before an undo: an attempt whose end nobody noted may still be on its way to the provider, also where another one
        has made the effect meanwhile. Raises Unavailable until it cannot be any more."""
        all_known = all(self.case.is_outcome_known(key) for key in undone)
        left = await self._register.quiet_after(self.step_input.cancellation_id, all_known=all_known) - now()
        if left > timedelta(0):
            raise Unavailable(
                f"An earlier attempt for {self.step_input.target} may still be under way; it is looked at again when it "
                "cannot be.",
                retry_after=left.total_seconds(),
            )

    async def end(self, *facts: Fact, reference: str | None = None, detail: str = "") -> None:
        """The step has had its effect, or there was nothing to do. The books may have said so with the effect already."""
        done = self.ended(reference=reference, detail=detail)
        new = self._not_written(facts)
        if done in self._written_with_effect and not new:
            return

        def change(case: Case) -> Sequence[Fact]:
            said = case.outcome_of(done.key)
            return new if said and said.outcome is EffectOutcome.DONE else (*new, done)

        await self._write(change)

    def ended(self, *, reference: str | None = None, detail: str = "") -> EffectEnded:
        """That the step has had its effect."""
        return EffectEnded(key=self.step_input.key, outcome=EffectOutcome.DONE, reference=reference, detail=detail)

    async def answer(self, entries: Sequence[Entry] = ()) -> Booked:
        """The entries that the run does not know yet: those that this attempt has read and written, and these `entries`. The
        books are read again only where somebody else has written in between."""
        self.case.add(*entries)
        new = [entry for entry in self.case.entries if entry.seq > self.step_input.last_seq]
        if self.case.has_all_entries:
            return Booked(entries=tuple(new))
        return await self.read_answer()

    async def read_answer(self) -> Booked:
        """The same, read from the books as they are now, whoever has written them."""
        last_seq = self.step_input.last_seq
        return Booked(entries=await self._register.read(self.step_input.cancellation_id, after=last_seq))

    # Rule: A look is repeated until there is something new [what is new]
    async def answer_look(self, look: Look) -> Booked:
        """What the look has found. Raises NothingNew when it has found nothing, and the look is to be repeated until it
        does."""
        answer = await self.read_answer()
        if look.poll is not None and not answer.entries:
            raise NothingNew(f"Nothing new about {look.target}; it is looked at again.", look.poll.total_seconds())
        return answer


def check_local_attempt(orders: Orders) -> None:
    """A local attempt does not call an order management system over a network: the workflow's own task would stay open for
    as long. Raises NotLocal: an ordinary attempt follows at once."""
    if activity.info().is_local and not orders.is_local:
        raise NotLocal("The order management system is asked by an ordinary attempt.")


def check_done(answer: object, refusal: ErrorCode) -> None:
    """Raise again what the counterpart has refused to an earlier attempt; `answer` is that of `make_effect`."""
    if isinstance(answer, EffectEnded) and answer.outcome is not EffectOutcome.DONE:
        raise Refused(refusal, answer.detail)


def end_of(answer: T | EffectEnded, describe: Callable[[T], EffectAnswer]) -> EffectEnded | EffectAnswer:
    """How an effect ended: as an earlier attempt has noted, or by the answer to this one."""
    return answer if isinstance(answer, EffectEnded) else describe(answer)


@asynccontextmanager
async def begin_attempt(register: Register, step_input: StepInput) -> AsyncIterator[Attempt]:
    """Read the books, for the run that holds the cancellation. What is known when the step cannot go on goes with the error,
    so that the run hears of it too. Raises NotTheHolder. Refused: HAS_ENDED."""
    case = Case(await register.read(step_input.cancellation_id))
    attempt = Attempt(register, step_input, case)
    if case.ended and case.holder == attempt.run:
        ended = Refused(
            ErrorCode.HAS_ENDED, f"The cancellation of order {step_input.order_id} has ended: {case.ended.sentence}"
        )
        ended.booked = await attempt.answer()
        raise ended
    check_holder(case, attempt.run)
    try:
        yield attempt
    except StepError as error:
        error.booked = await attempt.read_answer()
        raise
