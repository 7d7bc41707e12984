"""The full run: every harness with all that it has; beside each other what runs on SQLite, what runs on PostgreSQL, and
what waits most of the time.

python -m tests.faults.full --results DIR [--share 10 | --short] [--only HARNESS …]

Each is a process of its own, and each goes on where it was ended, so this command does too. With --share only one in so
many cases is run, always the same ones; of what is counted in orders, runs or minutes, so much less. With --short each
harness has a share of its own, which is a matter of minutes: `make test-faults` runs that.

A harness that stops with an error, or says nothing any more, is begun again; where that does not help it is reported, and
the others go on. Nothing is left running when this command ends, however it ends. The exit code is 1 when a promise is
broken, and 2 when none is, but something has not been run to its end.
"""

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sandbox.serving import ROOT
from tests.faults.results import Ended, report
from tests.faults.stage import Database

_STARTS = 3
_SILENT_FOR = 45 * 60
"""Seconds. Each of them says more often how far it is."""
_LONGEST_LINE = 2**24


class Harness(StrEnum):
    OUTAGE = "outage"
    WAITING = "waiting"
    SWARM = "swarm"
    PAIRS = "pairs"
    SWEEP = "sweep"
    PROVIDERS = "providers"
    ACTS = "acts"


@dataclass(frozen=True)
class Part:
    """Of the full run. `short` is its share of a short run; without one it is left out there. `sizes` are options whose
    values are divided by the share, and at least `least`; a part without any draws its cases itself. `waits`: it does
    nothing most of the time."""

    harness: Harness
    database: Database | None = None
    seed: int | None = None
    short: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    least: int = 1
    waits: bool = False

    def __str__(self) -> str:
        words = [self.harness.value, self.database, f"seed {self.seed}" if self.seed else None]
        return " ".join(word for word in words if word)

    @property
    def lane(self) -> str:
        """Parts of one lane run one after the other, lanes beside each other: one for each core, and what waits."""
        return "waiting" if self.waits else self.database or Database.SQLITE

    def arguments(self, results: Path, share: int) -> list[str]:
        given = {"--results": str(results)}
        if self.database:
            given["--database"] = self.database.value
        if self.seed:
            given["--seed"] = str(self.seed)
        given |= {name: str(max(math.ceil(size / share), self.least)) for name, size in self.sizes.items()}
        if not self.sizes:
            given["--share"] = str(share)
        return [word for option in given.items() for word in option]


FULL: tuple[Part, ...] = (
    Part(Harness.OUTAGE, short=10, sizes={"--runs": 2_000, "--minutes": 60}, waits=True),
    Part(Harness.WAITING, short=10, sizes={"--runs": 2_000}, least=8),
    *(
        Part(Harness.SWARM, on, seed, short=40 if seed == 1 else None, sizes={"--orders": 2_000})
        for seed in (1, 2, 3)
        for on in Database
    ),
    Part(Harness.PAIRS, Database.SQLITE, short=500),
    Part(Harness.PAIRS, Database.POSTGRESQL),
    Part(Harness.SWEEP, Database.SQLITE, short=200),
    Part(Harness.SWEEP, Database.POSTGRESQL, short=200),
    Part(Harness.PROVIDERS, short=200),
    Part(Harness.ACTS, Database.SQLITE),
    Part(Harness.ACTS, Database.POSTGRESQL, short=2_000),
)


async def run_part(part: Part, arguments: Sequence[str]) -> Ended:
    for start in range(1, _STARTS + 1):
        code = await _run_once(part, arguments)
        if code in {Ended.SOUND, Ended.BROKEN}:
            return Ended(code)
        report(f"[{part}] stopped with {code} before it was over; that was start {start} of {_STARTS}")
    return Ended.NOT_OVER


async def _run_once(part: Part, arguments: Sequence[str]) -> int:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.faults.offspring", str(os.getpid()), f"tests.faults.{part.harness}", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LONGEST_LINE,
        start_new_session=True,  # Ctrl-C is for us; it hears of it from us
    )
    try:
        await _show(part, child)
        return await child.wait()
    finally:
        await _stop(child)


async def _show(part: Part, child: asyncio.subprocess.Process) -> None:
    """What it says, until it and all that it has started have ended, or it says nothing any more."""
    assert child.stdout is not None
    try:
        while line := await asyncio.wait_for(child.stdout.readline(), _SILENT_FOR):
            report(f"[{part}] {line.decode(errors='replace').rstrip()}")
    except TimeoutError:
        report(f"[{part}] has said nothing for {_SILENT_FOR / 60:.0f} minutes")
        await _stop(child)


async def _stop(child: asyncio.subprocess.Process) -> None:
    """Returns when it has ended all that it had started, also where we are to stop ourselves."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await asyncio.shield(child.wait())


async def run_parts(parts: Sequence[tuple[Part, int]], results: Path) -> dict[str, Ended]:
    """Each with its share."""
    ended: dict[str, Ended] = {}
    ourselves = asyncio.current_task()
    assert ourselves is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ourselves.cancel)

    async def run_each(some: Sequence[tuple[Part, int]]) -> None:
        for part, share in some:
            began = time.monotonic()
            report(f"[{part}] begins")
            ended[str(part)] = await run_part(part, part.arguments(results, share))
            word = ended[str(part)].name.lower().replace("_", " ")
            report(f"[{part}] {word} after {time.monotonic() - began:.0f} s; {len(ended)} of {len(parts)} parts")

    async with (
        asyncio.TaskGroup() as lanes
    ):  # where this is cancelled it waits for them, and so for what they have started
        for lane in sorted({part.lane for part, _ in parts}):
            lanes.create_task(run_each([asked for asked in parts if asked[0].lane == lane]))
    return ended


def choose_parts(only: Collection[Harness], share: int | None) -> list[tuple[Part, int]]:
    """And the share of each. None: of a short run."""
    shares = [(part, part.short if share is None else share) for part in FULL if part.harness in only]
    return [(part, of_it) for part, of_it in shares if of_it is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="DIR")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--share", type=int, default=1, help="run one in so many cases")
    size.add_argument("--short", action="store_true", help="run what takes some minutes")
    parser.add_argument("--only", type=Harness, nargs="+", choices=list(Harness), default=list(Harness))
    asked = parser.parse_args()
    parts = choose_parts(asked.only, None if asked.short else asked.share)
    try:
        ended = asyncio.run(run_parts(parts, asked.results.absolute()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report("Stopped. The same command goes on from here.")
        return Ended.NOT_OVER
    for part, _ in parts:
        print(f"{part}: {ended[str(part)].name.lower().replace('_', ' ')}")
    return min((code for code in ended.values() if code), default=Ended.SOUND)


if __name__ == "__main__":
    sys.exit(main())
