"""What can go wrong at the counterparts: every call with every fault, money that others move at every moment, and
idempotency keys that the gateway has forgotten when a lost answer is asked for again.

python -m tests.faults.providers --results DIR [--only faults|acts|expired …] [--share 10]

Each case is an order of its own. A case that met no fault proves nothing and is not counted. Results are lines of JSON in
DIR/providers.jsonl; cases that are there, run on the same code, are not run again. The exit code is 1 where something was
broken, and 2 where a case could not be run.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from tests.faults.invariants import violations
from tests.faults.meddling import ActCase, Dashboard, HeardCalls, HeardGateway, Listener
from tests.faults.opening import open_system
from tests.faults.provider_cases import Calls, ProviderCase, add_fault, read_calls, take_back_faults, targets_of
from tests.faults.provider_families import (
    AnyCase,
    ExpiredCase,
    Family,
    Undisturbed,
    all_cases,
    family_of,
    fault_of,
)
from tests.faults.rest import NotAtRest
from tests.faults.results import CaseResult, Draw, Results, code, report, summarise
from tests.faults.staff import Staff, place_order
from tests.faults.stories import STORIES, UNDISTURBED_AT_ONCE, Story
from tests.faults.world import read_world
from tests.system import System

HARNESS = "providers"
_FORGOTTEN = 25 * 3600
"""Seconds after which the gateway knows no idempotency key any more."""
LONGEST = 900.0
_BATCH = 120
"""Cases on one set of processes: their lists of effects grow with each."""


_AT_ONCE: Mapping[Family, int] = {Family.FAULTS: 20, Family.ACTS: 12, Family.EXPIRED: 1}
"""The gateway's clock is everybody's: only one order at a time may let it jump."""


@dataclass
class Counterparts:
    """`heard` are the calls that the process makes to the gateway. An order has `longest` seconds to come to rest."""

    system: System
    heard: HeardCalls
    dashboard: Dashboard
    longest: float = LONGEST


@asynccontextmanager
async def open_counterparts(folder: Path) -> AsyncIterator[Counterparts]:
    async with open_system(folder) as system:
        heard = HeardCalls()
        async with listening(system, heard) as counterparts:
            yield counterparts


@asynccontextmanager
async def listening(system: System, heard: HeardCalls, longest: float = LONGEST) -> AsyncIterator[Counterparts]:
    """With a worker whose calls to the gateway are heard."""
    admin = system.shop.gateway
    system.gateway = HeardGateway(admin.url, heard)
    dashboard = Dashboard(admin)
    try:
        async with system.worker():
            yield Counterparts(system, heard, dashboard, longest)
    finally:
        await system.gateway.aclose()
        await dashboard.aclose()


async def try_out(counterparts: Counterparts, story: Story) -> Undisturbed:
    system = counterparts.system
    staff = await _place_order(system, story)
    targets = targets_of(staff)
    before = [await read_calls(system, staff, target) for target in targets]
    await staff.submit()
    await staff.see_through(LONGEST)
    calls = [
        Calls(story=story, target=target, operation=operation, count=count - earlier.get(operation, 0))
        for target, earlier in zip(targets, before, strict=True)
        for operation, count in sorted((await read_calls(system, staff, target)).items())
        if count > earlier.get(operation, 0)
    ]
    world = await read_world(system, staff.watched)
    assert not violations(world), f"{story} undisturbed: {violations(world)}"
    return Undisturbed(story=story, calls=tuple(calls), outcomes=_outcomes(world.cancellations))


async def _try_out_each(counterparts: Counterparts, stories: Sequence[Story]) -> list[Undisturbed]:
    turns = asyncio.Semaphore(UNDISTURBED_AT_ONCE)

    async def run(story: Story) -> Undisturbed:
        async with turns:
            return await try_out(counterparts, story)

    return await asyncio.gather(*(run(story) for story in stories))


async def _place_order(system: System, story: Story) -> Staff:
    staff = await place_order(system, STORIES[story])
    staff.pause = 3
    return staff


def _outcomes(found: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(getattr(recorded, "outcome", None)) for recorded in found)


# The cases


async def run_case(counterparts: Counterparts, case: AnyCase, undisturbed: Mapping[Story, Undisturbed]) -> CaseResult:
    began = time.monotonic()
    match case:
        case ProviderCase():
            met, broken = await _run_fault(counterparts, case, undisturbed[case.story])
        case ActCase():
            met, broken = await _run_act(counterparts, case)
        case ExpiredCase():
            met, broken = await _run_expired(counterparts, case)
    return CaseResult(
        harness=HARNESS,
        case=str(case),
        fault=fault_of(case),
        hit=met > 0,
        survived=not broken,
        violations=tuple(broken),
        seconds=round(time.monotonic() - began, 1),
    )


async def _run_fault(counterparts: Counterparts, case: ProviderCase, undisturbed: Undisturbed) -> tuple[int, list[str]]:
    system = counterparts.system
    staff = await _place_order(system, case.story)
    await add_fault(system, staff, case)
    await staff.submit()
    stuck = await _rest(staff, counterparts)
    met = await take_back_faults(system, staff, case)
    broken = stuck or await _read_broken(staff)
    if case.fault.ends_alike and not broken and not staff.unlocked:
        ends = _outcomes((await read_world(system, staff.watched)).cancellations)
        if ends != undisturbed.outcomes:
            broken = [f"I3 it ended as {', '.join(ends)}, and undisturbed as {', '.join(undisturbed.outcomes)}"]
    return met, broken


async def _run_act(counterparts: Counterparts, case: ActCase) -> tuple[int, list[str]]:
    """The gateway's event comes after the end; that of a refund that has failed where the inbox matches it."""
    system = counterparts.system
    staff = await _place_order(system, case.story)
    order = staff.watched.order
    [payment] = system.shop.payments[order.order_id]
    [paid] = [tender.amount for tender in order.tenders if tender.reference == payment]
    done: list[bool] = []
    dashboard = counterparts.dashboard
    await dashboard.act_before(case.act, payment, paid)

    async def act(number: int) -> None:
        if number == case.number and not done:
            done.append(await dashboard.act(case.act, payment, paid))

    counterparts.heard.listen(order.order_id, Listener(before=act))
    await staff.submit()
    broken = await _rest(staff, counterparts) or await _read_broken(staff)
    if not done:
        await act(case.number)
        await staff.settle()  # the event that says so is the last one
    await dashboard.act_afterwards(case.act, payment)
    failed = dashboard.failed.get(payment)
    if failed is None or await system.find_reopened(order.order_id, failed):
        await system.notify_of_refund(order.order_id)
    broken += await _rest(staff, counterparts) or await _read_broken(staff)
    return int(any(done)), broken


async def _run_expired(counterparts: Counterparts, case: ExpiredCase) -> tuple[int, list[str]]:
    system = counterparts.system
    staff = await _place_order(system, case.fault.story)
    forgotten: list[int] = []

    async def forget() -> None:
        if not forgotten:
            forgotten.append(_FORGOTTEN)
            await system.shop.gateway.advance(_FORGOTTEN)

    counterparts.heard.listen(staff.watched.order.order_id, Listener(lost=forget))
    await add_fault(system, staff, case.fault)
    await staff.submit()
    broken = await _rest(staff, counterparts) or await _read_broken(staff)
    return len(forgotten), broken


async def _rest(staff: Staff, counterparts: Counterparts) -> list[str]:
    """What is broken where it does not come to rest."""
    try:
        await staff.see_through(counterparts.longest)
    except NotAtRest as stuck:
        return [f"I3 {stuck}"[:600]]
    return []


async def _read_broken(staff: Staff) -> list[str]:
    return [str(found) for found in (*staff.seen, *violations(await read_world(staff.system, staff.watched)))]


def open_results(folder: Path) -> Results[CaseResult]:
    """A case that could not be run is run again."""
    return Results(CaseResult, folder, HARNESS, lambda result: bool(result.wrong))


async def run_cases(
    counterparts: Counterparts,
    cases: Sequence[AnyCase],
    undisturbed: Mapping[Story, Undisturbed],
    at_once: int,
    on_result: Callable[[CaseResult], None],
) -> None:
    turns = asyncio.Semaphore(at_once)

    async def run(case: AnyCase) -> None:
        async with turns:
            try:
                result = await run_case(counterparts, case, undisturbed)
            except Exception as error:  # noqa: BLE001 - the other cases go on, and this one is run again the next time
                result = _not_run(case, f"{error!r}"[:1000])
        on_result(result)

    await asyncio.gather(*(run(case) for case in cases))


def _not_run(case: AnyCase, wrong: str) -> CaseResult:
    return CaseResult(
        harness=HARNESS, case=str(case), fault=fault_of(case), hit=False, survived=False, wrong=wrong, seconds=0
    )


class Kept:
    """What the stories come to undisturbed, in a file: a run that goes on, on the same code, takes the same for granted."""

    _stories = TypeAdapter(list[Undisturbed])

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[Undisturbed]:
        """Empty where there is none."""
        return self._stories.validate_json(self._file.read_bytes()) if self._file.exists() else []

    def write(self, stories: list[Undisturbed]) -> None:
        self._file.write_bytes(self._stories.dump_json(stories))


async def run(results: Results[CaseResult], folder: Path, families: Sequence[Family], draw: Draw, kept: Kept) -> None:
    if not kept.read():
        async with open_counterparts(folder / "undisturbed") as counterparts:
            kept.write(await _try_out_each(counterparts, list(STORIES)))
    undisturbed = {found.story: found for found in kept.read()}
    drawn = draw.of(all_cases(list(undisturbed.values()), families))
    cases = [case for case in drawn if str(case) not in results.found]
    progress = _Progress(results, len(cases))
    for family in families:
        mine = [case for case in cases if family_of(case) is family]
        for start in range(0, len(mine), _BATCH):
            batch = mine[start : start + _BATCH]
            async with open_counterparts(folder / f"{family}-{start}") as counterparts:
                await run_cases(counterparts, batch, undisturbed, _AT_ONCE[family], progress.add)


class _Progress:
    def __init__(self, results: Results[CaseResult], total: int) -> None:
        self._results = results
        self._total = total
        self._done = 0

    def add(self, result: CaseResult) -> None:
        self._results.add(result)
        self._done += 1
        word = "broken" if result.violations else "not run" if result.wrong else "ok" if result.hit else "not met"
        report(f"{self._done}/{self._total} {word}: {result.case} ({result.seconds} s)")
        for sentence in (*result.violations, *filter(None, [result.wrong])):
            report(f"    {sentence}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.providers")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--only", type=Family, choices=list(Family), nargs="+", default=list(Family))
    parser.add_argument("--share", type=int, default=1, help="run one in so many cases")
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    logging.disable(logging.CRITICAL)  # an attempt that fails is what is wanted here
    results = open_results(asked.results)
    with tempfile.TemporaryDirectory(prefix="providers-") as folder:
        asyncio.run(
            run(
                results,
                Path(folder),
                asked.only,
                Draw(share=asked.share),
                Kept(asked.results / f"{HARNESS}-undisturbed-{code()}.json"),
            )
        )
    return summarise(results)


if __name__ == "__main__":
    sys.exit(main())
