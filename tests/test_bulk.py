"""D12: a file of order numbers. One cancellation each, one failure stops none, and an interrupted run goes on."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.decision import Rule, Verdict
from domain.order import TenderKind
from domain.outcome import Outcome
from order_cancellation import ExitCode
from sandbox import books, built_in
from sandbox.shop import SampleOrder, card, line, request, stored
from tests.fixtures.starter import Starter, address_of, answers, begin_starter, end_starter, run_starter, summary
from tests.system import System, eventually
from tests.workflows.samples import an_id

AGENT = ("--actor", "merchant:agent-7", "--reason", "out_of_stock")


def authorised() -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD", "0.00 USD"),))


def by_gift_card() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "10.00 USD"),),
        tenders=(stored(TenderKind.GIFT_CARD, "10.00 USD"),),
    )


async def place_orders(system: System, samples: Sequence[SampleOrder]) -> list[str]:
    for sample in samples:
        await system.shop.place_order(sample)
    return [sample.order_id for sample in samples]


def csv_of(folder: Path, *lines: str, header: str = "order_id") -> Path:
    file = folder / "orders.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


async def all_cancelled_once(system: System, order_ids: Sequence[str]) -> None:
    """Wait for the ends; then each order has had one cancellation, and one run."""
    found: list[books.CancellationState] = []

    async def over() -> bool:
        found[:] = await books.cancellations(system.engine)
        return len(found) >= len(order_ids) and all(summary.outcome for summary in found)

    await eventually(over, "every cancellation is over", within=90)
    assert Counter(summary.order_id for summary in found) == Counter(order_ids)
    assert {summary.outcome for summary in found} == {Outcome.CANCELLED}

    async def listed() -> bool:
        return len(await runs(system, order_ids)) >= len(order_ids)

    await eventually(listed, "every run is listed")
    assert Counter(await runs(system, order_ids)) == Counter(order_ids)


async def runs(system: System, order_ids: Sequence[str]) -> list[str]:
    """The orders of the runs that there were, an order once for each."""
    wanted = set(order_ids)
    every = [run.id.removeprefix("cancel-order-") async for run in system.client.list_workflows()]
    return [order_id for order_id in every if order_id in wanted]


async def test_a_hundred_orders_with_an_unknown_one_in_the_middle(
    open_system: System, starter: Starter, tmp_path: Path
) -> None:
    """D12"""
    order_ids = await place_orders(open_system, [authorised() for _ in range(100)])
    file = csv_of(tmp_path, *order_ids[:50], "O-none", *order_ids[50:])
    done = await starter("bulk", str(file), *AGENT, "--json")
    assert done.code == ExitCode.DONE, done.err
    assert done.err == "100 of 101 answered\n"
    assert summary(done).answers == {"approved": 100, "rejected: order_not_found": 1}
    seen = {answer.order_id: answer for answer in answers(file)}
    assert seen.keys() == {*order_ids, "O-none"}
    assert {(str(seen[order_id].release), seen[order_id].verdict) for order_id in order_ids} == {
        ("64.00 USD", Verdict.APPROVED)
    }
    assert (seen["O-none"].line, seen["O-none"].rule) == (52, Rule.ORDER_NOT_FOUND)
    await all_cancelled_once(open_system, order_ids)

    again = await starter("bulk", str(file), *AGENT, "--json")
    assert (again.code, summary(again).answers, summary(again).before) == (ExitCode.DONE, {}, 101)


async def test_an_interrupted_run_says_how_to_go_on_and_starts_nothing_twice(
    open_system: System, starter: Starter, tmp_path: Path, dev_server: WorkflowEnvironment
) -> None:
    """D12"""
    order_ids = await place_orders(open_system, [by_gift_card() for _ in range(30)])
    file = csv_of(tmp_path, *order_ids)
    results = tmp_path / "orders.csv.results.jsonl"
    running = await begin_starter(address_of(dev_server), "bulk", str(file), *AGENT, "--rate", "5", "--json")

    async def some_answered() -> bool:
        return results.exists() and len(answers(file)) >= 3

    await eventually(some_answered, "some orders are answered")
    running.send_signal(signal.SIGINT)
    stopped = await end_starter(running)
    assert stopped.code == ExitCode.INTERRUPTED
    assert "The same command goes on from here" in stopped.err
    first = len(answers(file))
    assert 3 <= first < 30
    assert summary(stopped).unanswered == 30 - first

    with results.open("a", encoding="utf-8") as torn:
        torn.write('{"line": 31, "order_')  # as a power cut would leave it
    rest = await starter("bulk", str(file), *AGENT, "--json")
    assert rest.code == ExitCode.DONE, rest.err
    assert (summary(rest).before, summary(rest).answers) == (first, {"approved": 30 - first})
    await all_cancelled_once(open_system, order_ids)


async def test_wrong_lines_and_a_failure_stop_nothing_and_the_failed_line_is_sent_again(
    open_system: System, starter: Starter, tmp_path: Path
) -> None:
    """D12"""
    order_ids = await place_orders(open_system, [by_gift_card() for _ in range(3)])
    placed = await open_system.shop.place_order(authorised())
    tender = placed.tenders[0].model_copy(update={"reference": "pi_gone"})
    lost = placed.model_copy(update={"order_id": an_id(), "tenders": (tender,)})
    await built_in.add_order(open_system.engine, lost, email="buyer@shop.example")
    file = csv_of(
        tmp_path,
        f"{order_ids[0]},,",
        "Jo Doe <jo@doe.example>,,",
        f"{order_ids[1]},staff_error,typed twice",
        f'{order_ids[1]},bored,"',
        f"{lost.order_id},,",
        f"{order_ids[0]},bored,",
        "",
        f"{order_ids[2]},,",
        f"{order_ids[0]},,",
        header="order_id,reason,note",
    )
    done = await starter("bulk", str(file), *AGENT)
    assert done.code == ExitCode.NOT_CANCELLED
    assert [found.partition(" is not sent: ")[0] for found in done.err.splitlines()] == ["Line 3", "Line 5", "Line 7"]
    assert "jo@doe" not in done.err
    assert "orders.csv.results.jsonl" in done.out
    assert {answer.order_id for answer in answers(file) if answer.failure is None} == {*order_ids}
    (failed,) = [answer for answer in answers(file) if answer.failure is not None]
    assert (failed.order_id, failed.line, failed.failure) == (lost.order_id, 6, ExitCode.NOT_CANCELLED)

    again = summary(await starter("bulk", str(file), *AGENT, "--json"))
    assert (again.lines, again.before, again.wrong) == (8, 4, 3)
    assert again.answers == {"failed: not_cancelled": 1}

    async def over() -> bool:
        found = await books.cancellations(open_system.engine)
        # What failed is rolled back, and the books know that too.
        ends = {record.order_id: record.outcome for record in found}
        return ends == {**dict.fromkeys(order_ids, Outcome.CANCELLED), lost.order_id: Outcome.ROLLED_BACK}

    await eventually(over, "the good lines are cancelled")


async def test_whole_requests_are_read_from_json_lines(open_system: System, starter: Starter, tmp_path: Path) -> None:
    samples = [by_gift_card(), by_gift_card()]
    order_ids = await place_orders(open_system, samples)
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(request(sample).model_dump_json() for sample in samples), encoding="utf-8")
    done = await starter("bulk", str(file), "--json")
    assert done.code == ExitCode.DONE, done.err
    assert {answer.request_id for answer in answers(file)} == {f"req-{order_id}" for order_id in order_ids}
    await all_cancelled_once(open_system, order_ids)


@pytest.mark.parametrize(
    ("content", "args", "says"),
    [
        (None, AGENT, "cannot be read"),
        ("", AGENT, "names its columns"),
        ("O-1\nO-2\n", AGENT, "names its columns"),
        ("order_id,resaon\nO-1,other\n", AGENT, "names its columns"),
        ("order_id\nO-1\n", (), "--actor is needed"),
        ('{"order_id": "O-1"}\n', AGENT, "hold whole requests"),
    ],
)
async def test_a_file_that_cannot_be_read_is_one_sentence(
    content: str | None, args: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    if content is not None:
        await asyncio.to_thread(file.write_text, content, encoding="utf-8")
    answer = await run_starter("127.0.0.1:9", "bulk", str(file), *args)
    assert answer.code == ExitCode.WRONG_INPUT
    assert says in answer.sentence
