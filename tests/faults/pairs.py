"""Every two messages at every wait, in both orders: in one workflow task, and one after the other, when the second may come
too late for its question. And every message twice, in one task: of the run that waits, and of one that takes up a run which
was lost there.

    python -m tests.faults.pairs --results DIR [--database postgresql] [--share 10] [STORY …]

A case that is in DIR already, run on the same code, is not run again.
"""

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.outcome import Wait
from tests.faults.command import Asked, run_command
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Said, Verb, Violation, World
from tests.faults.promises import End, taken_at_once
from tests.faults.results import CaseResult
from tests.faults.staff import place_order
from tests.faults.stories import STORIES, Story
from tests.faults.trial import Trial
from tests.faults.waits import name_of
from tests.faults.words import Word, answers_of, speak
from tests.faults.world import read_worlds
from tests.system import System

HARNESS = "pairs"
_AT_ONCE, _GROUP = 6, 18
_LONGEST = 150
_ONE_QUESTION = frozenset(
    {
        Word.RETRY,
        Word.DONE_BY_HAND,
        Word.NO_PROOF,
        Word.NOTHING_DUE,
        Word.ROLL_BACK,
        Word.STORE_CREDIT,
        Word.BANK_TRANSFER,
    }
)


class Order(StrEnum):
    """TOGETHER: no worker polls while they are sent, so that the next one meets both in one task. TWICE: so does one message
    that is sent again as it was. TAKEN_UP: the run was lost before, and asked for again; the new one meets the message twice
    in its first task, when it does not know yet what the books know."""

    TOGETHER = "together"
    LATE = "late"
    TWICE = "twice"
    TAKEN_UP = "taken_up"

    @property
    def is_repeated(self) -> bool:
        return self in {Order.TWICE, Order.TAKEN_UP}


@dataclass(frozen=True)
class Case:
    story: Story
    wait: str
    order: Order
    first: Word
    second: Word

    def __str__(self) -> str:
        return f"{self.story}/{self.wait}/{self.order}/{self.first}/{self.second}"


class _AtWait(Exception):
    """The run waits where it was to wait."""


class Meeting(Trial[Case]):
    """Of two messages."""

    async def stop_at_wait(self, wait: Wait) -> None:
        if name_of(wait) == self.case.wait:
            raise _AtWait

    async def begin(self) -> None:
        """Until the run waits where the messages are to meet it."""
        self.staff.before_answer = self.stop_at_wait
        await self.staff.submit()
        try:
            await self.come_to_rest()
        except _AtWait:
            self.hit = True
        self.staff.before_answer = None

    async def speak_together(self) -> None:
        if not self.hit:
            return
        if self.case.order is Order.TAKEN_UP:
            await self.staff.handle.terminate("by mistake")
            self.staff.watched.said.append(Said(verb=Verb.TERMINATE))
            await self.staff.submit()
        self.spoken = await speak(self.staff, self.case.first, self.case.second, as_one=self.case.order.is_repeated)

    async def finish(self) -> None:
        if self.hit and self.case.order is Order.LATE:
            for word in (self.case.first, self.case.second):
                self.spoken += await speak(self.staff, word)
                await answers_of(self.spoken)
        await self.hear_answers()
        await self.come_to_rest()

    def judge(self, world: World, usual: End) -> CaseResult:
        found = self.find_broken(world, usual, lost=self.case.order is Order.TAKEN_UP)
        both = taken_at_once(self.asked, _ONE_QUESTION)
        if self.case.order is Order.TOGETHER and len(both) > 1:
            sentence = f"one question was answered twice: {', '.join(both)}"
            found.append(Violation(invariant=Invariant.ANSWERED, order_id=world.order.order_id, sentence=sentence))
        said = ", ".join(
            f"{asked.word} {'unanswered' if asked.answer is None else asked.answer.accepted}" for asked in self.asked
        )
        fault = f"{self.case.first} and {self.case.second}, {self.case.order}"
        return self.result(HARNESS, fault, f"{self.case.wait}: {said}", found)


class Meetings:
    def __init__(self, system: System) -> None:
        self._system = system
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def dry_run(self, story: Story) -> tuple[End, list[str]]:
        """How it ends undisturbed, and where it waits."""
        return (await self.dry_runs([story]))[story]

    async def dry_runs(self, stories: Sequence[Story]) -> dict[Story, tuple[End, list[str]]]:
        async def run(story: Story) -> tuple[End, list[str]]:
            async with self._turn:
                return await self._dry_run(story)

        async with self._system.worker():
            found = await asyncio.gather(*(run(story) for story in stories))
        return dict(zip(stories, found, strict=True))

    async def _dry_run(self, story: Story) -> tuple[End, list[str]]:
        staff = await place_order(self._system, STORIES[story])
        waits: list[str] = []

        async def record(wait: Wait) -> None:
            if name_of(wait) not in waits:
                waits.append(name_of(wait))

        staff.before_answer = record
        await staff.submit()
        await staff.see_through(_LONGEST)
        [world] = await read_worlds(self._system, [staff.watched])
        found = violations(world)
        assert not found, found
        return End.of(world), waits

    async def run(self, cases: Sequence[Case], usual: Mapping[Story, End]) -> list[CaseResult]:
        trials = [Meeting(case, await place_order(self._system, STORIES[case.story])) for case in cases]
        async with self._system.worker():
            await asyncio.gather(*(self._in_turn(trial.begin()) for trial in trials))
        together = [trial for trial in trials if trial.case.order is not Order.LATE]
        await asyncio.gather(*(self._in_turn(trial.speak_together()) for trial in together))
        async with self._system.worker():
            await asyncio.gather(*(self._in_turn(trial.finish()) for trial in trials))
            worlds = await read_worlds(self._system, [trial.staff.watched for trial in trials])
        return [trial.judge(world, usual[trial.case.story]) for trial, world in zip(trials, worlds, strict=True)]

    async def _in_turn(self, work: Coroutine[None, None, None]) -> None:
        async with self._turn:
            await work


def list_cases(story: Story, waits: Sequence[str]) -> list[Case]:
    return [
        Case(story, wait, order, first, second)
        for wait in waits
        for order in Order
        for first in Word
        for second in Word
        if first is second or not order.is_repeated
    ]


async def meet(asked: Asked) -> None:
    async with asked.open_system("undisturbed") as system:
        known = await Meetings(system).dry_runs(asked.stories)
    usual = {story: end for story, (end, _) in known.items()}
    cases = [case for story, (_, waits) in known.items() for case in list_cases(story, waits)]
    await asked.run_cases(HARNESS, cases, usual, _GROUP, _run_group)


async def _run_group(system: System, group: Sequence[Case], usual: Mapping[Story, End]) -> list[CaseResult]:
    return await Meetings(system).run(group, usual)


if __name__ == "__main__":
    sys.exit(run_command(HARNESS, __doc__, meet))
