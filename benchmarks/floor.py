"""`make bench`: what a cancellation costs, next to the floor that the engine sets, measured in the same run on this machine.

The floor is a workflow of four empty activities. The product is measured on a captured card without a parcel, and on one
whose parcel has a label; it is real but for the stand-ins of gateway, carrier and mail server, a process each. Every
measurement has a Temporal server and workers of its own. The tables and the picture of docs/performance.md are written anew.
"""

import argparse
import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmarks.figures import Measured, Sizes
from benchmarks.measuring import STAGES, Measurement, replay
from benchmarks.plot import plot
from benchmarks.processes import Machine
from benchmarks.report import page_block, replace_block, terminal_view
from client.errors import StarterError
from client.views import new_console
from runtime.shutdown import exit_now
from sandbox.demo import only_this_machine
from sandbox.serving import ROOT
from sandbox.stack import StackError
from sandbox.staying import cancel_on_signals

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "pictures" / "performance.svg"

WHOLE = Sizes(rounds=3, warm_up=12, alone=25, crowd=100, concurrency=50, waiting=200)
QUICK = Sizes(rounds=1, warm_up=1, alone=2, crowd=6, concurrency=6, waiting=5, histories=5)


async def measure(sizes: Sizes, console: Console) -> Measured:
    cancel_on_signals()
    at, began, load_before = datetime.now(UTC), time.monotonic(), os.getloadavg()[0]
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=sizes.rounds * STAGES + 1)
        done = -1

        def show(stage: str) -> None:
            nonlocal done
            done += 1
            what = f"round {done // STAGES + 1} of {sizes.rounds}: {stage}" if done < sizes.rounds * STAGES else stage
            progress.update(bar, completed=done, description=what)
            if not console.is_terminal:
                console.print(f"{time.monotonic() - began:4.0f} s  {what}")

        measurement = Measurement(sizes, show)
        rounds = [await measurement.round() for _ in range(sizes.rounds)]
        show("replay of the recorded histories")
        replayed = await replay(sizes.histories)
    return Measured(
        at=at,
        seconds=time.monotonic() - began,
        machine=Machine.this(measurement.temporal_server),
        load_before=load_before,
        load_after=os.getloadavg()[0],
        sizes=sizes,
        rounds=tuple(rounds),
        replay=replayed,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.floor", description="Measure the product against the floor.")
    parser.add_argument(
        "--quick", action="store_true", help="a few runs of each, to see that it works; the page stays as it is"
    )
    parser.add_argument("--json", type=Path, help="write every figure here, each round's by itself")
    given = parser.parse_args()
    console = new_console(width=160)
    only_this_machine()
    try:
        # The page is looked at before the work: a page without markers would be found out only after it.
        replace_block(PAGE.read_text(encoding="utf-8"), "")
        measured = asyncio.run(measure(QUICK if given.quick else WHOLE, console))
    except asyncio.CancelledError:
        console.print("Stopped; nothing is running any more, and nothing was written.")
        return 130
    except (StackError, StarterError, ValueError) as error:
        console.print(Text(str(error), style="bold red"), soft_wrap=True)
        return 1
    console.print(terminal_view(measured))
    if given.json:
        given.json.write_text(measured.model_dump_json(indent=2), encoding="utf-8")
    if not given.quick:
        block = page_block(measured, os.path.relpath(PLOT, PAGE.parent))
        PAGE.write_text(replace_block(PAGE.read_text(encoding="utf-8"), block), encoding="utf-8")
        PLOT.write_text(plot(measured.median), encoding="utf-8")
        console.print(f"Written: {PAGE.relative_to(ROOT)}, {PLOT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    exit_now(main())
