"""The pure parts of the benchmark: medians, ratios and their aims, the page, and what the operating system says."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.figures import (
    Counts,
    Crowd,
    Measured,
    Replayed,
    Round,
    Sizes,
    Subject,
    Subjects,
    Times,
    Timing,
    median,
    quantile,
    ratios,
)
from benchmarks.floor import PAGE
from benchmarks.plot import plot
from benchmarks.processes import Machine, usage_of
from benchmarks.report import BEGIN, END, page_block, replace_block


def times(milliseconds: float) -> Times:
    return Times(answer_p50=milliseconds / 2, answer_p99=milliseconds, run_p50=milliseconds, run_p99=2 * milliseconds)


def crowd(times_of_run: Times, *, worker: float, server: float, speed: float) -> Crowd:
    return Crowd(
        runs_per_second=speed,
        times=times_of_run,
        cpu={"worker": worker, "Temporal": server, "gateway": 5, "carrier": 1, "mail": 1, "caller": 6},
        peak=150,
        failed_attempts=0,
        counts=Counts(events=31, workflow_tasks=5, activities=4, local_activities=0),
    )


def a_round(slow: float = 1) -> Round:
    """The floor takes 60 ms, 20 ms of the worker and 40 of the server, and runs 30 a second; the product does it in so many
    times of each: whole run 4, worker 4, server 1.25, throughput a third. `slow`: the product's figures besides."""

    def subjects(run: float, worker: float, server: float, speed: float) -> Subjects:
        figures = crowd(times(run), worker=worker, server=server, speed=speed)
        return Subjects(alone=times(run), one_worker=figures, two_workers=figures)

    product = subjects(240 * slow, 80 * slow, 50 * slow, 10 / slow)
    return Round(
        subjects={
            Subject.FLOOR: subjects(60, 20, 40, 30),
            Subject.CAPTURED: product,
            Subject.LABEL: product,
        },
        waiting_memory=200 * slow,
    )


def measured(*rounds: Round, load: float = 0.1) -> Measured:
    return Measured(
        at=datetime(2026, 12, 1, tzinfo=UTC),
        seconds=500,
        machine=Machine(
            cpu="A CPU",
            cores=2,
            system="Linux 6",
            python="3.11",
            temporal_server="1.32.0",
            sqlite="3.40",
            packages={"temporalio": "1.35.0"},
        ),
        load_before=load,
        load_after=1.5,
        sizes=Sizes(rounds=len(rounds), warm_up=1, alone=2, crowd=3, concurrency=50, waiting=5),
        rounds=rounds,
        replay=Replayed(histories=4, events=200, histories_per_second=20, cpu=0.2),
    )


def test_the_figures_are_the_medians_of_the_rounds() -> None:
    found = median([a_round(3), a_round(1), a_round(2)])
    assert found.waiting_memory == 400
    assert found.subjects[Subject.CAPTURED].one_worker.cpu["worker"] == 160
    assert found.subjects[Subject.FLOOR].alone.run_p50 == 60


def test_the_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.99) == 99
    assert quantile([7.0], 0.99) == 7
    assert Times.of([Timing(answer=0.1, run=0.2)]).run_p99 == 200


def test_each_ratio_is_to_the_floor_of_its_round_and_stands_beside_its_aim() -> None:
    found = {(ratio.what, ratio.subject): ratio for ratio in ratios([a_round(1), a_round(1.2), a_round(5)])}
    server = found["CPU of the Temporal server a run", Subject.CAPTURED]
    assert (server.ratio, server.aim, server.reached) == (1.5, 1.2, False)
    server = found["CPU of the Temporal server a run", Subject.LABEL]
    assert (server.ratio, server.aim, server.reached) == (1.5, 1.5, True)
    assert found["CPU of the worker a run", Subject.CAPTURED].ratio == pytest.approx(4.8)
    decision = found["decision, to the floor's whole run", Subject.CAPTURED]
    assert decision.ratio == pytest.approx(2.4)
    assert decision.aim == 1.2
    one, two = (
        found[f"throughput, {workers}", Subject.CAPTURED] for workers in ("one worker process", "two worker processes")
    )
    assert one.ratio == two.ratio == pytest.approx(10 / 1.2 / 30)
    assert (one.aim, one.reached, two.aim, two.reached) == (0.3, False, 0.4, False)
    assert {ratio.reached for ratio in ratios([a_round(0.5)])} == {True}


def test_only_what_is_between_the_markers_is_written_anew() -> None:
    page = f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    once = replace_block(page, "new")
    assert once == f"Before.\n\n{BEGIN}\nnew\n{END}\n\nAfter.\n"
    assert replace_block(once, "new") == once


@pytest.mark.parametrize("page", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="The page needs the lines"):
        replace_block(page, "new")


def test_the_page_in_the_documents_has_its_markers() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert END in replace_block(page, "new")


def test_the_page_shows_the_figures_the_aims_and_the_machine() -> None:
    block = page_block(measured(a_round()), "pictures/performance.svg")
    assert "| CPU a run: worker | 20.0 ms | 80.0 ms | 80.0 ms |" in block
    assert "| CPU of the worker a run | ✓ 4.00 (at most 4.50) | ✓ 4.00 (at most 5.00) |" in block
    assert "| throughput, two worker processes | ✗ 0.33 (at least 0.40) | ✗ 0.33 (at least 0.40) |" in block
    assert "2026-12-01, one round" in block
    assert "2 cores, A CPU" in block
    assert "(pictures/performance.svg)" in block
    tables = [re.findall(r"^\|.*\|$", part, re.MULTILINE) for part in block.split("\n\n")]
    assert [len({line.count("|") for line in table}) for table in tables if table] == [1, 1]


def test_the_page_says_when_the_machine_was_busy() -> None:
    assert "busy" not in page_block(measured(a_round(), load=0.1), "x.svg")
    assert "busy" in page_block(measured(a_round(), load=3), "x.svg")


def test_the_picture_is_well_formed() -> None:
    svg = ElementTree.fromstring(plot(a_round()))
    texts = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"floor", "captured card", "with a label", "30.0", "10.0", "143"} <= texts


@pytest.fixture
def odd_name() -> Iterator[None]:
    """The name of a process may hold whatever separates the fields around it."""
    name = Path("/proc/self/comm")
    before = name.read_text()
    name.write_text("a) R 1 (b")
    yield
    name.write_text(before)


def test_cpu_and_memory_of_a_process(odd_name: None) -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    before = os.times()
    usage = usage_of(os.getpid())
    after = os.times()
    assert before.user + before.system - 2 * tick <= usage.cpu <= after.user + after.system + 2 * tick
    assert 0 < usage.memory <= usage.peak


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such file"):
        usage_of(0)
