"""The filters and links that people are given for lists of runs, each tried on a real dev server."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError

from client.diagnosis import waiting_for
from client.engine import list_runs
from client.runs import CANCELLATIONS
from domain.examination import Counterpart
from domain.messages import Withdraw
from domain.outcome import State
from domain.request import workflow_id
from runtime import search_attributes
from runtime.plugin import TASK_QUEUE
from sandbox.links import VIEWS, overdue_at
from sandbox.serving import ROOT
from sandbox.shop import request
from tests.pausing import pause
from tests.system import System, customer_of, eventually
from tests.workflows.samples import an_id, captured


def documented() -> dict[str, str]:
    """The table of docs/operations.md: question → filter."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.split("| question | filter |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    rows = [re.fullmatch(r"\| (.+\?|all .+?)(?: \(.+\))? \| `(.+)` \|", row) for row in table.splitlines()]
    assert all(rows), table
    return {row[1]: row[2] for row in rows if row}


FILTERS = documented()
LINKS = {**VIEWS, "overdue": overdue_at(datetime.now(UTC))}


@dataclass(frozen=True)
class Orders:
    """One of each kind that lists tell apart."""

    waiting: str
    withdrawn: str
    lost: str
    unreadable: str
    unknown: str
    quoted: str
    paused: str


async def place_orders(system: System) -> Orders:
    ids = dict[str, str]()
    for kind in ("waiting", "withdrawn", "lost", "paused", "quoted"):
        sample = captured(total="600.00 USD")
        await system.shop.place_order(sample)
        ids[kind] = sample.order_id
        if kind == "quoted":
            await system.library.quote(request(sample))
            continue
        await system.library.start(request(sample))
        await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
        if kind == "withdrawn":
            await system.library.withdraw(sample.order_id, Withdraw(actor=customer_of(sample)))
            await system.library.result(sample.order_id)
        elif kind == "paused":
            await pause(system.client, workflow_id(sample.order_id))
        elif kind == "lost":
            await system.current(sample.order_id).terminate()
    unknown = captured()
    await system.library.start(request(unknown))
    unreadable = an_id()
    started = await system.client.start_workflow(
        "CancellationWorkflow", {"order_id": unreadable}, id=workflow_id(unreadable), task_queue=TASK_QUEUE
    )
    with pytest.raises(WorkflowFailureError):
        await started.result()
    return Orders(**ids, unknown=unknown.order_id, unreadable=unreadable)


async def orders_found(system: System, query: str) -> set[str]:
    """Those of its runs, the quotes' included."""
    found = [run.workflow_id async for run in list_runs(system.client, query)]
    return {re.sub(r"^cancel-order-|^quote-order-|-[0-9a-f]{8}$", "", name) for name in found}


async def test_every_documented_filter_and_every_link_finds_what_it_says(open_system: System) -> None:
    """P11, I6"""
    orders = await place_orders(open_system)
    ours = {*vars(orders).values()}

    async def found(query: str) -> set[str]:
        return ours & await orders_found(open_system, query)

    async def all_published() -> bool:
        closed = await found("CloseTime IS NOT NULL AND OrderId IS NULL")
        waits = await found("AttentionOwner IS NOT NULL")
        paused = await found("ExecutionStatus = 'Paused'")
        return (
            closed >= {orders.unknown, orders.quoted, orders.unreadable} and waits >= {orders.waiting} and bool(paused)
        )

    await eventually(all_published, "the list knows of all of them")
    cancellations = {orders.waiting, orders.withdrawn, orders.lost, orders.paused}
    waiting, nothing = {orders.waiting}, set[str]()
    expected = {
        "all cancellations, without quotes and without requests for unknown orders": cancellations,
        "what waits for anybody?": waiting,
        "what waits for a person?": waiting,
        "what waits for the refund department?": nothing,
        "what is overdue?": None,
        "what waits because a system is away?": nothing,
        "which refunds have not settled?": nothing,
        "which give back, or gave back, exactly this much?": {orders.waiting, orders.lost, orders.paused},
        "which runs did an order have, those included that asked for somebody else's?": {orders.unknown},
        "which requests named an unknown order, or somebody else's?": {orders.unknown, orders.unreadable},
        "which were lost (terminated, timed out or cancelled in Temporal)?": {orders.lost},
        "which failed without an outcome, or were taken over by another namespace?": {orders.unreadable},
        "which are stuck on a mistake in the code?": nothing,
        "which has somebody paused, or a step of them?": {orders.paused},
    }
    assert FILTERS.keys() == expected.keys()
    for question, query in FILTERS.items():
        asked = query.replace("1008", orders.unknown).replace("64.00 USD", "600.00 USD")
        if (wanted := expected[question]) is None:  # due by the calendar of the page
            await found(asked)
        else:
            assert await found(asked) == wanted, question
    assert {name: await found(query) for name, query in LINKS.items()} == {
        "Cancellations": cancellations,
        "Waiting": waiting,
        "Refund department": nothing,
        "overdue": nothing,
    }
    assert await found(overdue_at(datetime.now(UTC) + timedelta(days=30))) == waiting


def test_the_documented_filter_of_what_waits_for_a_system_is_what_doctor_counts() -> None:
    assert FILTERS["what waits because a system is away?"] == waiting_for(Counterpart.GATEWAY)


def test_the_documented_list_of_all_cancellations_is_the_one_of_command_line_and_http() -> None:
    assert FILTERS["all cancellations, without quotes and without requests for unknown orders"] == CANCELLATIONS


@pytest.mark.parametrize("query", [*FILTERS.values(), *LINKS.values()], ids=[*FILTERS, *LINKS])
def test_a_filter_names_attributes_that_exist(query: str) -> None:
    """Not `CloseTime`: the Temporal UI (2.54) shows an error page for `CloseTime IS NULL`."""
    of_the_server = {
        "ExecutionStatus",
        "TemporalPauseInfo",
        "TemporalReportedProblems",
        "WorkflowId",
        "WorkflowType",
    }
    named = {*re.findall(r"\b([A-Z][A-Za-z]+) (?:=|!=|<|IN|IS)(?=\W)", query)}
    assert named
    assert named <= of_the_server | {key.name for key in search_attributes.ALL}


def test_the_columns_that_the_page_names_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    columns = re.search(r"put the search attributes into the list once \((.+?); remove", text, re.DOTALL)
    assert columns is not None
    assert {*re.findall(r"`(\w+)`", columns[1])} == {key.name for key in search_attributes.ALL} - {
        "OrderId",
        "CancellationReason",
        "SystemAway",
    }
