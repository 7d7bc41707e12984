"""Every effect of the process, disturbed in every way: its worker is killed, or stands still until another one has done all,
the answer of its counterpart is lost, Temporal is killed, the database is locked or restarted, before it and after it.

python -m tests.faults.sweep --results DIR [--database postgresql] [--share 10] [--story STORY …] [--fault FAULT …]

Each case is an order of its own. It survives when what can be seen of it in the end breaks no invariant and is what an
undisturbed order of its story leaves. Results are lines of JSON in DIR/sweep-sqlite.jsonl; cases that are there, run on the
same code, are not run again. The exit code is 1 where something was broken, and 2 where a case could not be run.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tests.faults.disturbed import Case, Fault, Seen, cases_of, play
from tests.faults.results import Draw, Ended, OnCommit, Results, quieten, report
from tests.faults.stage import Database, Stage, open_stage
from tests.faults.stories import UNDISTURBED_AT_ONCE, Story

_BATCH = 100
"""Cases on one set of processes: the lists of the stand-ins and the tables of Temporal grow with each."""

_AT_ONCE = {Fault.TEMPORAL_KILLED: 4, Fault.DATABASE_RESTARTED: 4}
"""What is killed there is everybody's."""


class Result(OnCommit):
    """`wrong`: what the test itself could not do. The case says nothing then."""

    case: str
    story: Story
    fault: Fault
    point: str
    hit: bool
    survived: bool
    violations: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    wrong: str = ""
    seconds: float = 0


def open_results(folder: Path, database: Database) -> Results[Result]:
    """Those of one database. A case that was not hit, or that the test could not run, is run again; one that broke something
    is not."""
    return Results(Result, folder, f"sweep-{database}", lambda result: not (result.hit or has_failed(result)))


async def try_out(stage: Stage, stories: Sequence[Story]) -> dict[Story, Seen]:
    """What becomes of an order of each story when nothing happens."""
    turns = asyncio.Semaphore(UNDISTURBED_AT_ONCE)

    async def run(story: Story) -> Seen:
        async with turns:
            return await play(stage, Case(story=story))

    seen = await asyncio.gather(*(run(story) for story in stories))
    for story, found in zip(stories, seen, strict=True):
        assert not found.violations, f"{story} undisturbed: {found.violations}"
    return dict(zip(stories, seen, strict=True))


async def run_cases(
    stage: Stage,
    cases: Iterable[Case],
    undisturbed: Mapping[Story, Seen],
    *,
    at_once: int,
    on_result: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    turns = asyncio.Semaphore(at_once)

    async def run(case: Case) -> Result:
        async with turns:
            result = await _run_case(stage, case, undisturbed[case.story])
        on_result(result)
        return result

    return await asyncio.gather(*(run(case) for case in cases))


async def _run_case(stage: Stage, case: Case, undisturbed: Seen) -> Result:
    assert case.fault is not None
    asked = Result(case=str(case), story=case.story, fault=case.fault, point=str(case.point), hit=False, survived=False)
    try:
        seen = await play(stage, case)
    except Exception as error:  # noqa: BLE001 - the other cases go on
        return asked.model_copy(update={"wrong": f"{type(error).__name__}: {error}"[:1000]})
    differences: tuple[str, ...] = ()
    if seen.end and undisturbed.end and not seen.unlocked:
        differences = tuple(seen.end.differences(undisturbed.end))
    return asked.model_copy(
        update={
            "hit": seen.hit,
            "survived": seen.hit and not seen.violations and not differences,
            "violations": seen.violations,
            "differences": differences,
            "seconds": round(seen.seconds, 1),
        }
    )


async def sweep(
    database: Database,
    stories: Sequence[Story],
    faults: Sequence[Fault],
    results: Results[Result],
    *,
    at_once: int,
    folder: Path,
    draw: Draw,
) -> None:
    async with open_stage(folder / "undisturbed", database) as stage:
        undisturbed = await try_out(stage, stories)
    drawn = draw.of([case for story in stories for case in cases_of(story, undisturbed[story].calls, database)])
    cases = [case for case in drawn if case.fault in faults and str(case) not in results.found]
    progress = _Progress(results, len(cases))
    for start in range(0, len(cases), _BATCH):
        for fault in faults:
            batch = [case for case in cases if case.fault is fault][start : start + _BATCH]
            if not batch:
                continue
            on_file = fault is Fault.TEMPORAL_KILLED
            async with open_stage(folder / f"{fault}-{start}", database, temporal_on_file=on_file) as stage:
                await run_cases(
                    stage,
                    batch,
                    undisturbed,
                    at_once=min(at_once, _AT_ONCE.get(fault, at_once)),
                    on_result=progress.add,
                )


class _Progress:
    def __init__(self, results: Results[Result], total: int) -> None:
        self._results = results
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def add(self, result: Result) -> None:
        self._results.add(result)
        self._done += 1
        if not result.survived:
            report(describe(result))
        if self._done % 10 == 0 or self._done == self._total:
            report(f"{self._done} of {self._total} cases after {time.monotonic() - self._began:.0f} s")


def has_failed(result: Result) -> bool:
    """A fault that hit nothing does not count."""
    return bool(result.violations or result.differences)


def describe(result: Result) -> str:
    why = [*result.violations, *result.differences, *([result.wrong] if result.wrong else [])]
    return f"{result.case}: {'; '.join(why) or 'not hit'}"


def summarise(results: Sequence[Result]) -> str:
    """One line for each fault."""
    lines = [f"{'fault':<20}{'cases':>8}{'hit':>8}{'survived':>10}{'violations':>12}{'other end':>11}{'wrong':>7}"]
    kinds = [*((fault.value, [r for r in results if r.fault is fault]) for fault in Fault), ("all", list(results))]
    for name, found in kinds:
        counts = Counter(
            {
                "hit": sum(result.hit for result in found),
                "survived": sum(result.survived for result in found),
                "violations": sum(bool(result.violations) for result in found),
                "differences": sum(bool(result.differences) for result in found),
                "wrong": sum(bool(result.wrong) for result in found),
            }
        )
        lines.append(
            f"{name:<20}{len(found):>8}{counts['hit']:>8}{counts['survived']:>10}{counts['violations']:>12}"
            f"{counts['differences']:>11}{counts['wrong']:>7}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--database", type=Database, choices=list(Database), default=Database.SQLITE)
    parser.add_argument("--story", type=Story, action="append", choices=list(Story))
    parser.add_argument("--fault", type=Fault, action="append", choices=list(Fault))
    parser.add_argument("--share", type=int, default=1, help="run one in so many cases")
    parser.add_argument("--at-once", type=int, default=6)
    asked = parser.parse_args()
    results = open_results(asked.results, asked.database)
    quieten()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Ended.NOT_OVER))  # what was started is stopped
    with tempfile.TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as folder:
        asyncio.run(
            sweep(
                asked.database,
                asked.story or list(Story),
                asked.fault or list(Fault),
                results,
                at_once=asked.at_once,
                folder=Path(folder),
                draw=Draw(share=asked.share),
            )
        )
    for result in results.found.values():
        if not result.survived:
            print(describe(result))
    print(summarise(list(results.found.values())))
    return Ended.of(
        broken=any(has_failed(result) for result in results.found.values()),
        wrong=any(result.wrong for result in results.found.values()),
    )


if __name__ == "__main__":
    sys.exit(main())
