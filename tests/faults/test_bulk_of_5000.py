"""D12 at its size: a file of 5,000 orders, every part of the stack a process of its own, and the command ended twice in the
middle."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import ColumnElement
from temporalio.client import Client

from domain.decision import Rule
from domain.order import Order
from domain.outcome import Outcome
from domain.request import workflow_id
from order_cancellation import ExitCode
from providers.books.tables import CancellationRow, NoticeRow
from providers.database.engine import open_engine
from sandbox import books, built_in
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from sandbox.proof import examine
from sandbox.shop import SampleOrder, Shop, card, line
from sandbox.stack import Stack, new_stack
from tests.fixtures.starter import Answer, answers, begin_starter, end_starter, run_starter, summary
from tests.system import eventually

ORDERS = 5_000
ODD_EVERY = (
    500  # after so many orders: one that fails, one that is unknown, a line that cannot be read, one that came before
)
LATE = 1_800  # seconds after which nothing more is to be expected
AGENT = ("--actor", "merchant:agent-7", "--reason", "out_of_stock")

pytestmark = [pytest.mark.timeout(2 * LATE), pytest.mark.long]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with new_stack(tmp_path / "stack", stay=False) as stack:
        await stack.start()
        await stack.start_worker()
        yield stack


@pytest.fixture
async def temporal(stack: Stack) -> Client:
    return await Client.connect(stack.address)


@pytest.fixture
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    engine = open_engine(stack.database_url)
    async with GatewayAdmin(stack.gateway.url) as gateway, CarrierAdmin(stack.carrier.url) as carrier:
        yield Shop(gateway, carrier, engine)
    await engine.dispose()


async def place_orders(shop: Shop) -> list[Order]:
    """Paid by card and captured, each for another amount."""
    some_at_once = asyncio.Semaphore(8)

    async def one(number: int) -> Order:
        total = f"{10 + number // 100}.{number % 100:02} USD"
        async with some_at_once:
            return await shop.place_order(
                SampleOrder(order_id=f"B-{number}", lines=(line("L1", 1, total),), tenders=(card(total),))
            )

    return await asyncio.gather(*(one(number) for number in range(ORDERS)))


async def without_its_payment(shop: Shop, like: Order, order_id: str) -> str:
    """An order that the gateway knows no payment of: it cannot be verified."""
    tender = like.tenders[0].model_copy(update={"reference": "pi_gone"})
    lost = like.model_copy(update={"order_id": order_id, "tenders": (tender,)})
    await built_in.add_order(shop.engine, lost, email="buyer@shop.example")
    return order_id


async def ended_after(stack: Stack, file: Path, answered: int, by: signal.Signals, rate: int) -> Answer:
    """Run the command until it has that many answers, and end it."""
    running = await begin_starter(stack.address, "bulk", str(file), *AGENT, "--rate", str(rate), "--json")
    results = file.with_name(f"{file.name}.results.jsonl")

    async def enough() -> bool:
        assert running.returncode is None, f"it ended by itself with {running.returncode}"
        return results.exists() and results.read_bytes().count(b"\n") >= answered

    await eventually(enough, f"{answered} lines are answered", within=LATE)
    running.send_signal(by)
    return await end_starter(running)


async def none_left(engine: AsyncEngine, unfinished: ColumnElement[bool], what: str) -> None:
    async def none() -> bool:
        async with engine.connect() as connection:
            return not await connection.scalar(select(func.count()).where(unfinished))

    await eventually(none, what, within=LATE)


async def test_each_order_is_cancelled_once_although_the_command_is_stopped_and_then_killed(
    stack: Stack, temporal: Client, shop: Shop, tmp_path: Path
) -> None:
    """D12"""
    orders = await place_orders(shop)
    good, lost, unknown = [order.order_id for order in orders], [], []
    lines = ["order_id"]
    for number, order in enumerate(orders, start=1):
        lines.append(order.order_id)
        if number % ODD_EVERY == 0:
            lost.append(await without_its_payment(shop, order, f"B-lost-{number}"))
            unknown.append(f"B-none-{number}")
            lines += [lost[-1], unknown[-1], "Jo Doe <jo@doe.example>", orders[number // 2].order_id]
    odd = len(lost)
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    slow = 4
    stopped = await ended_after(stack, file, 600, signal.SIGINT, slow)
    assert stopped.code == ExitCode.INTERRUPTED, stopped.err
    begun = sorted([run.start_time async for run in temporal.list_workflows()])
    per_second = (len(begun) - 1) / (begun[-1] - begun[0]).total_seconds()
    assert per_second < 1.1 * slow, "more were sent in a second than --rate allows; a busy machine sends fewer"

    killed = await ended_after(stack, file, 2_500, signal.SIGKILL, 50)
    assert killed.code == -signal.SIGKILL
    decided = sum(answer.failure is None for answer in answers(file))

    done = await run_starter(stack.address, "bulk", str(file), *AGENT, "--rate", "50", "--json")
    assert done.code == ExitCode.NOT_CANCELLED, done.err
    report = summary(done)
    assert (report.lines, report.wrong, report.unanswered) == (ORDERS + 4 * odd, odd, 0)
    assert report.answers["failed: not_cancelled"] == odd
    assert report.before + sum(report.answers.values()) + report.wrong == report.lines
    assert report.before == decided + odd, "what was answered is not sent again"

    again = await run_starter(stack.address, "bulk", str(file), *AGENT, "--json")
    assert (summary(again).before, summary(again).answers) == (ORDERS + 2 * odd, {"failed: not_cancelled": odd})

    await none_left(shop.engine, CancellationRow.outcome.is_(None), "every cancellation is over")
    await none_left(shop.engine, NoticeRow.sent_at.is_(None), "every notice is sent")

    found = answers(file)
    assert Counter(answer.order_id for answer in found if answer.failure is None) == Counter([*good, *unknown])
    assert {answer.order_id for answer in found if answer.failure is not None} == {*lost}
    assert {answer.order_id for answer in found if answer.rule is Rule.ORDER_NOT_FOUND} == {*unknown}

    cancellations = await books.cancellations(shop.engine)
    assert Counter((summary.order_id, summary.outcome) for summary in cancellations) == Counter(
        [
            *((order_id, Outcome.CANCELLED) for order_id in good),
            *((order_id, Outcome.ROLLED_BACK) for order_id in lost),  # nothing was done, and why is kept
        ]
    )

    runs = Counter([run.id async for run in temporal.list_workflows()])
    assert runs.keys() == {workflow_id(order_id) for order_id in [*good, *unknown, *lost]}
    # Those whose answer the kill swallowed, and that were over when they were asked for again.
    from_the_record = {answer.order_id for answer in found if answer.outcome is not None}
    assert {order_id for order_id in good if runs[workflow_id(order_id)] > 1} == from_the_record

    totals = {order.order_id: order.lines[0].total for order in orders}
    planned = {answer.order_id: answer.refund for answer in found if answer.refund and answer.outcome is None}
    assert planned == {order_id: totals[order_id] for order_id in good if order_id not in from_the_record}
    refunds = await shop.gateway.effects(kind=EffectKind.REFUND_CREATED)
    assert Counter((refund.payment_id, refund.amount) for refund in refunds) == Counter(
        (shop.payments[order_id][0], total.amount) for order_id, total in totals.items()
    )
    proof = await examine(shop, stack.mails, orders)
    assert not proof.problems
