"""The command of a harness whose cases run on systems of its own process: acts and pairs."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.faults.opening import open_system
from tests.faults.promises import End
from tests.faults.results import CaseResult, Draw, Results, quieten, report, report_group, summarise
from tests.faults.stage import Database
from tests.faults.stories import Story
from tests.system import System

C = TypeVar("C")

_ON_ONE_SYSTEM = 400
"""Cases: the lists of the stand-ins and the tables of Temporal grow with each."""


@dataclass(frozen=True)
class Asked:
    """What is to be run, and where its results are."""

    harness: str
    stories: Sequence[Story]
    database: Database
    draw: Draw
    results: Results[CaseResult]
    folder: Path

    @asynccontextmanager
    async def open_system(self, name: str) -> AsyncIterator[System]:
        async with open_system(self.folder / name, self.database) as system:
            yield system

    async def run_cases(
        self,
        name: str,
        cases: Sequence[C],
        usual: Mapping[Story, End],
        group: int,
        run: Callable[[System, Sequence[C], Mapping[Story, End]], Awaitable[list[CaseResult]]],
    ) -> None:
        """Those that were drawn and have no result yet, so many at a time as a `group` has. `usual` are the ends of the
        stories undisturbed."""
        drawn = self.draw.of(cases)
        left = [case for case in drawn if str(case) not in self.results.found]
        report(f"{name}: {len(left)} of {len(drawn)} cases left, of {len(cases)} that there are")
        for first in range(0, len(left), _ON_ONE_SYSTEM):
            async with self.open_system(f"{name}-{first}") as system:
                for start in range(first, min(first + _ON_ONE_SYSTEM, len(left)), group):
                    began = time.monotonic()
                    found = await run(system, left[start : min(start + group, first + _ON_ONE_SYSTEM)], usual)
                    self.results.add(*found)
                    report_group(found, start, len(left), time.monotonic() - began)


def run_command(harness: str, description: str | None, run: Callable[[Asked], Coroutine[None, None, None]]) -> int:
    """Returns the exit code (results.py)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stories", nargs="*", type=Story, default=[*Story], metavar="STORY")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR")
    parser.add_argument("--database", type=Database, choices=list(Database), default=Database.SQLITE)
    parser.add_argument("--share", type=int, default=1, help="run one in so many cases")
    given = parser.parse_args()
    quieten()
    results = Results(CaseResult, given.results, f"{harness}-{given.database}")
    with tempfile.TemporaryDirectory(prefix=f"{harness}-", ignore_cleanup_errors=True) as folder:
        draw = Draw(share=given.share)
        asyncio.run(run(Asked(harness, given.stories, given.database, draw, results, Path(folder))))
    return summarise(results)
