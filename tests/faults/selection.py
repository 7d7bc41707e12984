"""A selection of every harness, always the same, and so small that it can be run on a copy of the tree with a bug in it.

python -m tests.faults.selection [--until I5 …]

What is broken is printed at once, in lines that begin with the invariant. The exit code is 1 then. With --until it ends as
soon as one of these is broken. What could not be run to its end is printed too, in lines that begin with NOT RUN; where that
is all, the exit code is 2.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NoReturn

from domain.outcome import Outcome
from sandbox.gateway.messages import FaultKind
from sandbox.marketplace.model import FaultKind as SaleFault
from sandbox.marketplace.model import Operation as SaleOperation
from tests.faults import acts, pairs, providers, sweep
from tests.faults.acts import Deed, Histories
from tests.faults.disturbed import Case, Fault
from tests.faults.drawing import draw_plan
from tests.faults.meddling import Act, ActCase, HeardCalls
from tests.faults.model import Invariant, Violation
from tests.faults.opening import open_system
from tests.faults.points import Moment, Point
from tests.faults.provider_cases import Provider, ProviderCase, ProviderFault, Target
from tests.faults.provider_families import AnyCase, ExpiredCase, Undisturbed
from tests.faults.results import NOT_RUN, CaseResult, Draw, Ended, quieten, report
from tests.faults.stage import Database, open_stage
from tests.faults.stories import LONGER_STORIES, STORIES, Course, Story
from tests.faults.swarm import run_plan
from tests.faults.test_providers import CASES as PROVIDER_CASES
from tests.faults.undisturbed import run_story
from tests.faults.words import Word
from tests.fixtures.databases import Databases
from tests.system import System

_STORIES_AT_ONCE = 8
_STORY_TAKES = _CASE_TAKES = 300.0
"""Seconds at most: on a busy machine, which is no bug."""
_STOPS_WITHIN = 30.0
_SWEEP_AT_ONCE = 4
_SWARM = draw_plan(147, 25)
_FEW_ACTS, _FEW_PAIRS, _FIRST_MOMENTS = 12, 8, 6
_ACTS = (
    (Story.LABEL, Histories.LONG),
    (Story.REFUND_TAKEN_BACK, Histories.LONG),
    (Story.APPROVED, Histories.SHORT),
    (Story.INTERCEPT_FAILS, Histories.SHORT),
)
_PAIRS = {Story.APPROVED: (Word.APPROVE, Word.REJECT), Story.STORE_CREDIT: (Word.STORE_CREDIT, Word.DONE_BY_HAND)}
"""Each with two words that contradict one another, which always meet."""
REPEATED = ((pairs.Order.TWICE, Word.NO_PROOF), (pairs.Order.TAKEN_UP, Word.WITHDRAW))
"""What the books refuse, and the run does not know that yet. At the last wait of each story."""
_TERMINATED = Story.GOODS_LET_GO
"""A story that is rolled back: its run is ended at every second moment, and at some of them less of it is asked for."""


def _forgotten(story: Story, operation: str) -> ExpiredCase:
    """The answer to the first of these calls is lost, and the gateway has forgotten its key by the next one."""
    lost = ProviderCase(
        story=story,
        target=Target(provider=Provider.GATEWAY, name="T1"),
        operation=operation,
        number=1,
        fault=ProviderFault(kind=FaultKind.DROP_AFTER_COMMIT),
    )
    return ExpiredCase(fault=lost)


_MORE_OF_OTHERS = (
    ActCase(story=Story.LABEL, act=Act.PREVENT, number=2),
    ActCase(story=Story.PENDING_REFUND, act=Act.PREVENT, number=5),  # the refund is under way
    ActCase(story=Story.STORE_CREDIT, act=Act.REFUND_ALL, number=99),
    ActCase(story=Story.AUTHORISED, act=Act.CAPTURE, number=2),
    ProviderCase(
        story=Story.ONE_OF_THREE_SOLD,
        target=Target(provider=Provider.MARKETPLACE, name="T1"),
        operation=SaleOperation.ORDERS_REFUND,
        number=1,
        fault=ProviderFault(kind=SaleFault.DROP_AFTER_COMMIT),
    ),
    ActCase(story=Story.LABEL, act=Act.INQUIRE, number=1),
    _forgotten(Story.RESERVED_AGAIN, "payment_intent.create"),
    _forgotten(Story.ONE_LINE_OF_TWO, "refund.create"),  # the payment has more than was refunded
)


def _disturbed(story: Story, fault: Fault, moment: Moment, call: str) -> Case:
    return Case(story=story, fault=fault, point=Point(call=call, number=1, moment=moment))


_SWEEP = (
    _disturbed(Story.LABEL, Fault.WORKER_KILLED, Moment.BEFORE, "gateway.refund"),
    _disturbed(Story.LABEL, Fault.WORKER_KILLED, Moment.AFTER, "gateway.refund"),
    _disturbed(Story.LABEL, Fault.ANSWER_LOST, Moment.AFTER, "gateway.refund"),
    _disturbed(Story.ONE_LINE_OF_TWO, Fault.ANSWER_LOST, Moment.AFTER, "gateway.refund"),
    _disturbed(Story.LABEL, Fault.WORKER_KILLED, Moment.AFTER, "orders.close"),
    _disturbed(Story.LABEL, Fault.DATABASE_LOCKED, Moment.BEFORE, "books.close"),
    _disturbed(Story.APPROVAL_REFUSED, Fault.WORKER_KILLED, Moment.AFTER, "labels.buy_again"),
    _disturbed(Story.APPROVAL_REFUSED, Fault.ANSWER_LOST, Moment.AFTER, "labels.void"),
    _disturbed(Story.RESERVED_AGAIN, Fault.ANSWER_LOST, Moment.AFTER, "gateway.authorise_again"),
    _disturbed(Story.GIFT_CARD_AND_CARD, Fault.ANSWER_LOST, Moment.AFTER, "stored_value.restore"),
)

Lines = AsyncGenerator[str, None]


async def run_machine() -> Lines:
    """The state machine of a case, in a process of its own beside all the others."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.domain.broken", stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async for line in child.stdout:
            yield line.decode().rstrip()
        if await child.wait() not in {0, 1}:
            yield f"{NOT_RUN} the state machine ended with {child.returncode}"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def run_stories(folder: Path) -> Lines:
    """Every story, undisturbed."""
    turns = asyncio.Semaphore(_STORIES_AT_ONCE)

    async def run(system: System, course: Course) -> list[Violation]:
        async with turns:
            return await run_story(system, course, _STORY_TAKES)

    async with open_system(folder) as system, system.worker():
        courses = (*STORIES.values(), *LONGER_STORIES.values())
        for ended in asyncio.as_completed([run(system, course) for course in courses]):
            for violation in await ended:
                yield str(violation)


async def run_sweep(folder: Path) -> Lines:
    async with open_stage(folder) as stage:
        undisturbed = await sweep.try_out(stage, sorted({case.story for case in _SWEEP}))
        for result in await sweep.run_cases(stage, _SWEEP, undisturbed, at_once=_SWEEP_AT_ONCE):
            for sentence in result.violations:
                yield sentence
            for other in result.differences:
                yield f"{Invariant.TERMINAL} {result.case}: {other}"
            if result.wrong:
                yield f"{NOT_RUN} {result.case}: {result.wrong}"


async def run_providers(folder: Path) -> Lines:
    async with open_system(folder) as system, providers.listening(system, HeardCalls(), _CASE_TAKES) as counterparts:

        async def run(case: AnyCase) -> CaseResult:
            story = case.fault.story if isinstance(case, ExpiredCase) else case.story
            outcome = Outcome.ROLLED_BACK if story is Story.APPROVAL_REFUSED else Outcome.CANCELLED
            usual = Undisturbed(story=story, calls=(), outcomes=(outcome.value,))
            return await providers.run_case(counterparts, case, {story: usual})

        for ended in asyncio.as_completed([run(case) for case in (*PROVIDER_CASES, *_MORE_OF_OTHERS)]):
            for sentence in (await ended).violations:
                yield sentence


async def run_acts(folder: Path) -> Lines:
    async with open_system(folder) as system:
        swept = acts.Sweep(system)
        for story, histories in _ACTS:
            usual, watch, tasks = await swept.dry_run(story, histories)
            few = Draw().of(acts.list_cases(story, histories, len(watch.seen), tasks))[:_FEW_ACTS]
            if histories is Histories.SHORT:  # while it is answered, the run would continue as new
                few += [acts.Case(story, histories, Word.ANOTHER, at) for at in range(_FIRST_MOMENTS)]
            for sentence in _violations_of(await swept.run(few, {story: usual})):
                yield sentence
        usual, watch, _ = await swept.dry_run(_TERMINATED, Histories.LONG)
        moments = range(0, len(watch.seen), 2)
        ended = [acts.Case(_TERMINATED, Histories.LONG, Deed.TERMINATE_SAME, at) for at in moments]
        noted = [at for at, seen in enumerate(watch.seen) if seen == "noted_in stop_shipment"]
        ended += [acts.Case(_TERMINATED, Histories.LONG, Deed.TERMINATE_HELD, at) for at in noted]
        another = [acts.Case(_TERMINATED, Histories.LONG, Word.WIDER, at) for at in moments[::4]]
        for sentence in _violations_of(await swept.run([*another, *ended], {_TERMINATED: usual})):
            yield sentence


async def run_pairs(folder: Path) -> Lines:
    async with open_system(folder) as system:
        meetings = pairs.Meetings(system)
        for story, (first, second) in _PAIRS.items():
            usual, waits = await meetings.dry_run(story)
            few = Draw().of(pairs.list_cases(story, waits))[:_FEW_PAIRS]
            always = [
                pairs.Case(story, waits[-1], pairs.Order.TOGETHER, *both) for both in ((first, second), (second, first))
            ]
            always += [pairs.Case(story, waits[-1], order, word, word) for order, word in REPEATED]
            for sentence in _violations_of(await meetings.run([*few, *always], {story: usual})):
                yield sentence


async def run_swarm(folder: Path) -> Lines:
    databases = Databases(folder)
    for violation in (await run_plan(_SWARM, folder / "site", databases, Database.SQLITE)).violations:
        yield str(violation)


def _violations_of(results: Sequence[CaseResult]) -> list[str]:
    return [sentence for result in results for sentence in result.violations]


HARNESSES: tuple[Callable[[Path], Lines], ...] = (
    run_stories,
    run_pairs,
    run_sweep,
    run_providers,
    run_swarm,
    run_acts,
)


async def find_broken(folder: Path) -> Lines:
    """By the harnesses, one after the other, and by the state machine beside them."""
    found = asyncio.Queue[str]()
    machine = _collect("run_machine", run_machine(), found)
    running = {asyncio.create_task(work) for work in (_run_harnesses(folder, found), machine)}
    try:
        while running:
            line = asyncio.create_task(found.get())
            done, _ = await asyncio.wait({*running, line}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & running:
                task.result()
            running -= done
            if line in done:
                yield line.result()
            line.cancel()
        while not found.empty():
            yield found.get_nowait()
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_STOPS_WITHIN)


async def _run_harnesses(folder: Path, found: "asyncio.Queue[str]") -> None:
    for harness in HARNESSES:
        began, inner = time.monotonic(), folder / harness.__name__
        await asyncio.to_thread(inner.mkdir)
        await _collect(harness.__name__, harness(inner), found)
        report(f"{harness.__name__}: {time.monotonic() - began:.0f} s")


async def _collect(name: str, lines: Lines, found: "asyncio.Queue[str]") -> None:
    """One that cannot even begin, because its stories break something undisturbed, has not run; the others do."""
    try:
        async with aclosing(lines):
            async for line in lines:
                found.put_nowait(line)
    except Exception as error:  # noqa: BLE001 - a bug may be met by the harness itself
        found.put_nowait(f"{NOT_RUN} {name}: {error!r}"[:400].replace("\n", " "))


def end_of(lines: Sequence[str]) -> Ended:
    wrong = [line for line in lines if line.startswith(NOT_RUN)]
    return Ended.of(broken=len(lines) > len(wrong), wrong=bool(wrong))


async def main(until: Collection[Invariant]) -> NoReturn:
    """Ends the process itself: a call to a server that is gone by then may never end."""
    quieten()
    lines_seen: list[str] = []
    with tempfile.TemporaryDirectory(prefix="selection-", ignore_cleanup_errors=True) as folder:
        async with aclosing(find_broken(Path(folder))) as lines:
            async for line in lines:
                lines_seen.append(line)
                print(line, flush=True)
                if line.partition(" ")[0] in until:
                    break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end_of(lines_seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=Invariant, choices=list(Invariant), nargs="*", default=[])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Ended.NOT_OVER))  # what was started is stopped
    asyncio.run(main(parser.parse_args().until))
