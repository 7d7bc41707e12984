"""One act at each moment of each story: what people say, a cancel request, a terminate, a reset, while a task or an activity
is under way, in the middle of it, and between them; also where a run continues as new again and again.

    python -m tests.faults.acts --results DIR [--database postgresql] [--share 10] [STORY …]

A case that is in DIR already, run on the same code, is not run again.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from domain.outcome import Wait
from tests import loss
from tests.faults.command import Asked, run_command
from tests.faults.invariants import violations
from tests.faults.model import Said, Verb, World
from tests.faults.moments import Moment, Moments, Place, Watch
from tests.faults.promises import End
from tests.faults.rest import NotAtRest
from tests.faults.results import CaseResult
from tests.faults.staff import place_order
from tests.faults.stories import STORIES, UNDISTURBED_AT_ONCE, Story
from tests.faults.trial import Trial
from tests.faults.words import Word, speak
from tests.faults.world import read_worlds
from tests.system import System, eventually
from workflows import continuing

HARNESS = "acts"
_AT_ONCE, _GROUP = 10, 40
_HELD_FOR = 15.0
"""Seconds. An attempt has 30."""
_KEYS_EXPIRE = 25 * 3600
_PARCELS_ARRIVE = 30 * 24 * 3600
_LITTLE_WORK = 6
"""Steps, messages and waits: so few that a run continues as new as often as it can, and so many that it gets anywhere."""


class Deed(StrEnum):
    """What is done to a run from outside. After a terminate the order is asked for again, by the same request or by another
    one; LATE: once the gateway has forgotten its keys; HELD: and withdrawn, while the attempt that was under way stands
    still, for less time than it has. RESET_ENDED: to each task of a run that is over."""

    TERMINATE_SAME = "terminate_same"
    TERMINATE_ANOTHER = "terminate_another"
    TERMINATE_HELD = "terminate_held"
    TERMINATE_SAME_LATE = "terminate_same_late"
    TERMINATE_ANOTHER_LATE = "terminate_another_late"
    RESET_FIRST = "reset_first"
    RESET_LAST = "reset_last"
    RESET_ENDED = "reset_ended"

    @property
    def is_late(self) -> bool:
        return self.value.endswith("late")

    @property
    def by_another(self) -> bool:
        return "another" in self.value


Act = Word | Deed


class Histories(StrEnum):
    LONG = "long"
    SHORT = "short"


@dataclass(frozen=True)
class Case:
    """`at` is the number of the moment; of RESET_ENDED, of the task."""

    story: Story
    histories: Histories
    act: Act
    at: int

    def __str__(self) -> str:
        return f"{self.story}/{self.histories}/{self.act}/{self.at}"


@dataclass
class ActTrial(Trial[Case]):
    watch: Watch = field(default_factory=Watch)
    _acting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def act(self) -> None:
        async with self._acting:
            await self._act()

    async def _act(self) -> None:
        match self.case.act:
            case Word() as word:
                self.spoken = await speak(self.staff, word)
                self.hit = True
            case Deed.RESET_FIRST | Deed.RESET_LAST:
                await self.reset(0 if self.case.act is Deed.RESET_FIRST else -1)
            case Deed.RESET_ENDED:
                pass
            case _:
                await self._terminate()

    async def reset(self, task: int) -> None:
        try:
            await loss.reset(self.staff.system.client, self.staff.handle, task)
        except (IndexError, RPCError):
            return  # no task is completed yet, or there is no other one to reset to
        self.staff.watched.said.append(Said(verb=Verb.RESET))
        self.hit = True

    async def _terminate(self) -> None:
        try:
            await self.staff.handle.terminate("by mistake")
        except RPCError:
            return  # it has ended
        self.staff.watched.said.append(Said(verb=Verb.TERMINATE))
        self.hit = True
        if not Deed(self.case.act).is_late:
            await self.submit_again()
        if self.case.act is Deed.TERMINATE_HELD:
            self.spoken = await speak(self.staff, Word.WITHDRAW)
            with suppress(AssertionError):  # whoever undoes it waits for the attempt
                await eventually(self._is_over, "the run is over", within=_HELD_FOR)

    async def _is_over(self) -> bool:
        status = await loss.status(self.staff.system.client, self.staff.handle)
        return status is not WorkflowExecutionStatus.RUNNING

    async def submit_again(self) -> None:
        again = f"again-{self.staff.sample.order_id}" if Deed(self.case.act).by_another else None
        try:
            await self.staff.submit(again)
        except NotAtRest as unanswered:
            self.stuck = str(unanswered)

    async def see_through(self) -> None:
        await self.come_to_rest()
        async with self._acting:  # the run may be over by the act itself, and another one begin
            pass
        await self.come_to_rest()
        await self.hear_answers()

    async def wait(self, wait: Wait) -> None:
        """A moment at which nothing is under way."""
        name = f"{wait.state} {wait.step or ''}"
        moment = Moment(self.staff.handle.id, Place.WAITING, name)
        if not self.watch.seen or self.watch.seen[-1] != str(moment):
            await self.watch.reach(moment)

    def judge(self, world: World, usual: End) -> CaseResult:
        at, seen = self.case.at, self.watch.seen
        moment = seen[at] if at < len(seen) else ""
        return self.result(HARNESS, str(self.case.act), moment, self.find_broken(world, usual))


class Sweep:
    """On a worker that is halted at each moment."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._moments = Moments()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def dry_run(self, story: Story, histories: Histories) -> tuple[End, Watch, int]:
        """How it ends undisturbed, its moments, and how many tasks its run has completed."""
        return (await self.dry_runs([story], histories))[story]

    async def dry_runs(self, stories: Sequence[Story], histories: Histories) -> dict[Story, tuple[End, Watch, int]]:
        turns = asyncio.Semaphore(UNDISTURBED_AT_ONCE)

        async def run(story: Story) -> tuple[End, Watch, int]:
            async with turns:
                return await self._dry_run(story, histories)

        with lengths(histories):
            async with self._moments.worker(self._system):
                found = await asyncio.gather(*(run(story) for story in stories))
        return dict(zip(stories, found, strict=True))

    async def _dry_run(self, story: Story, histories: Histories) -> tuple[End, Watch, int]:
        trial = await self._begin(Case(story, histories, Deed.RESET_ENDED, -1))
        await trial.staff.submit()
        await trial.see_through()
        watch = Watch(seen=[*trial.watch.seen])
        history = await trial.staff.handle.fetch_history()
        tasks = sum(event.HasField("workflow_task_completed_event_attributes") for event in history.events)
        [world] = await read_worlds(self._system, [trial.staff.watched])
        found = violations(world)
        assert not found, found
        assert not trial.stuck, trial.stuck
        return End.of(world), watch, tasks

    async def run(self, cases: Sequence[Case], usual: Mapping[Story, End]) -> list[CaseResult]:
        """Cases of one length of histories, at the same time."""
        with lengths(cases[0].histories):
            async with self._moments.worker(self._system):
                trials = await asyncio.gather(*(self._run(case) for case in cases))
                late = [trial for trial in trials if trial.hit and trial.case.act in _LATE]
                if late:
                    await self._system.shop.gateway.advance(_KEYS_EXPIRE)
                    await asyncio.gather(*(self._submit_again(trial) for trial in late))
                await self._system.shop.carrier.advance(_PARCELS_ARRIVE)  # what money went back for is where it is
                worlds = await read_worlds(self._system, [trial.staff.watched for trial in trials])
        return [trial.judge(world, usual[trial.case.story]) for trial, world in zip(trials, worlds, strict=True)]

    async def _begin(self, case: Case) -> ActTrial:
        staff = await place_order(self._system, STORIES[case.story])
        watch = Watch(at=None if case.act is Deed.RESET_ENDED else case.at)
        trial = ActTrial(case, staff, watch=watch)
        watch.act = trial.act
        staff.before_answer = trial.wait
        self._moments.watch(staff.sample.order_id, watch)
        return trial

    async def _run(self, case: Case) -> ActTrial:
        async with self._turn:
            trial = await self._begin(case)
            await trial.staff.submit()
            await trial.see_through()
            if case.act is Deed.RESET_ENDED and not trial.stuck:
                await trial.reset(case.at)
                await trial.see_through()
            return trial

    async def _submit_again(self, trial: ActTrial) -> None:
        async with self._turn:
            await trial.submit_again()
            await trial.see_through()


_LATE = frozenset(deed for deed in Deed if deed.is_late)


@contextmanager
def lengths(histories: Histories) -> Iterator[None]:
    """SHORT: a run continues as new long before it would."""
    before = continuing._MOST_WORK
    if histories is Histories.SHORT:
        continuing._MOST_WORK = _LITTLE_WORK
    try:
        yield
    finally:
        continuing._MOST_WORK = before


def list_cases(story: Story, histories: Histories, moments: int, tasks: int) -> list[Case]:
    acts: list[Act] = [*Word, *(deed for deed in Deed if deed is not Deed.RESET_ENDED)]
    cases = [Case(story, histories, act, at) for act in acts for at in range(moments)]
    return cases + [Case(story, histories, Deed.RESET_ENDED, at) for at in range(tasks)]


async def sweep(asked: Asked) -> None:
    for histories in Histories:
        async with asked.open_system(f"undisturbed-{histories}") as system:
            known = await Sweep(system).dry_runs(asked.stories, histories)
        usual = {story: end for story, (end, _, _) in known.items()}
        cases = [
            case
            for story, (_, watch, tasks) in known.items()
            for case in list_cases(story, histories, len(watch.seen), tasks)
        ]
        await asked.run_cases(histories, cases, usual, _GROUP, _run_group)


async def _run_group(system: System, group: Sequence[Case], usual: Mapping[Story, End]) -> list[CaseResult]:
    return await Sweep(system).run(group, usual)


if __name__ == "__main__":
    sys.exit(run_command(HARNESS, __doc__, sweep))
