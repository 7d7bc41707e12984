"""What the lists of runs show: state, owner, due time and amount, by the runs' search attributes. Against the dev server."""

import json
import runpy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from client.engine import list_runs
from client.listing import Filter
from client.runs import quoted
from client.status import Summary
from client.submitting import Submitter
from domain.decision import Rule
from domain.messages import Approve, RefundEvent, ShipmentEvent, Withdraw
from domain.money import Money, money
from domain.outcome import CancellationResult, Outcome, State
from domain.request import Actor, ActorKind, workflow_id
from domain.step import Owner
from runtime import search_attributes as attributes
from runtime.plugin import TASK_QUEUE
from sandbox.carrier.model import Script
from sandbox.serving import ROOT
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.fixtures.starter import Starter, address_of
from tests.system import SUPERVISOR, System, customer_of, eventually
from tests.workflows.samples import an_id, captured

Act = Callable[[System, SampleOrder], Awaitable[None]]


async def listed(system: System, order_id: str, *states: State) -> Summary:
    """The row of the list, once it shows one of these states."""
    rows: list[Summary] = []

    async def there() -> bool:
        page = await system.library.list(Filter(order_ids=(order_id,)))
        rows[:] = [row for row in page.cancellations if row.state in states]
        return bool(rows)

    await eventually(there, f"order {order_id} is listed as {' or '.join(states)}")
    return rows[0]


async def found_by(system: System, query: str) -> set[str]:
    return {run.workflow_id async for run in list_runs(system.client, query)}


async def approve(system: System, sample: SampleOrder) -> None:
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))


async def withdraw(system: System, sample: SampleOrder) -> None:
    await system.library.withdraw(sample.order_id, Withdraw(actor=customer_of(sample)))


def sold(total: str, taken: str) -> SampleOrder:
    """Paid by a card from which so much was taken; the rest is reserved."""
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, total),), tenders=(card(total, captured=taken),))


@pytest.mark.parametrize(
    ("sample", "planned", "act", "given_back"),
    [
        (captured(total="600.00 USD"), "600.00 USD", approve, "600.00 USD"),
        (sold("610.00 USD", "0.00 USD"), "610.00 USD", approve, "610.00 USD"),
        (captured(total="620.10 USD"), "620.10 USD", withdraw, "0.00 USD"),
        (captured(total="90000 JPY"), "90000 JPY", approve, "90000 JPY"),
        (captured(total="900.120 KWD"), "900.120 KWD", approve, "900.120 KWD"),
    ],
    ids=["refunded", "released", "withdrawn", "without decimals", "with three"],
)
async def test_a_wait_shows_the_amount_and_the_end_what_was_given_back(
    open_system: System, sample: SampleOrder, planned: str, act: Act, given_back: str
) -> None:
    await open_system.shop.place_order(sample)
    await open_system.library.start(request(sample))
    waiting = await listed(open_system, sample.order_id, State.WAITING_FOR_APPROVAL)
    assert (waiting.owner, waiting.amount) == (Owner.SECOND_PERSON, money(planned))
    assert waiting.due_at is not None
    assert workflow_id(sample.order_id) in await found_by(open_system, f"{attributes.AMOUNT.name} = {quoted(planned)}")
    await act(open_system, sample)
    result = await open_system.library.result(sample.order_id)
    ended = await listed(open_system, sample.order_id, State(result.outcome.value))
    assert (ended.amount, ended.owner, ended.due_at) == (money(given_back), None, None)
    assert ended.amount == all_given_back(result)


def all_given_back(result: CancellationResult) -> Money:
    assert result.refunded is not None
    assert result.released is not None
    return result.refunded + result.released


async def test_a_part_that_could_not_be_stopped_is_not_in_the_amount(open_system: System) -> None:
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "24.00 USD")),
        tenders=(card("64.00 USD"),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(Script.DELIVERED, L2=1)),
    )
    await open_system.shop.place_order(sample)
    await open_system.library.start(request(sample))
    result = await open_system.library.result(sample.order_id)
    ended = await listed(open_system, sample.order_id, State.PARTIALLY_CANCELLED)
    assert ended.amount == all_given_back(result) == money("40.00 USD")


async def test_a_rejected_request_shows_no_amount(open_system: System, starter: Starter) -> None:
    sample = captured(parcels=(parcel(Script.DELIVERED, L1=1),))
    await open_system.shop.place_order(sample)
    await open_system.library.start(request(sample))
    assert (await open_system.library.result(sample.order_id)).outcome is Outcome.REJECTED
    assert (await listed(open_system, sample.order_id, State.REJECTED)).amount is None


async def attributes_of(run: WorkflowHandle[Any, Any], *, tasks: int) -> dict[str, str]:
    """What a run showed when so many of its workflow tasks were completed: 0 is what it was started with."""
    events = (await run.fetch_history()).events
    completed = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]
    shown = {**events[0].workflow_execution_started_event_attributes.search_attributes.indexed_fields}
    for event in events:
        upsert = event.upsert_workflow_search_attributes_event_attributes
        if upsert.workflow_task_completed_event_id in completed[:tasks]:
            shown |= upsert.search_attributes.indexed_fields
    return {name: json.loads(payload.data) for name, payload in shown.items() if payload.data}


def content_of(sample: SampleOrder) -> dict[str, Any]:
    """The request as a client sends it that knows nothing of this code."""
    content: dict[str, Any] = json.loads(request(sample).model_dump_json())
    return content


async def start_bare(client: Client, sample: SampleOrder) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "CancellationWorkflow", content_of(sample), id=workflow_id(sample.order_id), task_queue=TASK_QUEUE
    )


async def test_a_run_that_was_started_without_attributes_sets_them_in_its_first_task(open_system: System) -> None:
    sample = captured(parcels=())
    await open_system.shop.place_order(sample)
    run = await start_bare(await Client.connect(address_of(open_system.server)), sample)
    await open_system.library.result(sample.order_id)
    assert await attributes_of(run, tasks=0) == {}
    first = await attributes_of(run, tasks=1)
    at_start = {"OrderId": sample.order_id, "CancellationState": "running", "CancellationReason": "no_longer_needed"}
    assert at_start.items() <= first.items()
    assert (await listed(open_system, sample.order_id, State.CANCELLED)).amount == money("64.00 USD")


async def test_a_run_that_nobody_has_taken_up_yet_is_listed(real_time_system: System) -> None:
    """Also one that was started without attributes: a run without a worker is to be seen."""
    sample = captured()
    await start_bare(real_time_system.client, sample)
    assert (await listed(real_time_system, sample.order_id, State.RUNNING)).reason is None
    await real_time_system.current(sample.order_id).terminate()


@pytest.mark.parametrize("event", [RefundEvent(event_id="evt_1"), ShipmentEvent(event_id="evt_2")])
async def test_what_wakes_a_run_starts_it_with_its_attributes(
    open_system: System, event: RefundEvent | ShipmentEvent
) -> None:
    sample = captured(parcels=())
    await open_system.shop.place_order(sample)
    await open_system.library.start(request(sample))
    await open_system.library.result(sample.order_id)
    await Submitter(open_system.client, TASK_QUEUE).wake(request(sample), event)
    await open_system.library.result(sample.order_id)
    shown = await attributes_of(open_system.current(sample.order_id), tasks=0)
    assert shown == {
        "OrderId": sample.order_id,
        "CancellationState": "running",
        "CancellationReason": "no_longer_needed",
    }


async def test_the_python_example_starts_the_run_with_its_attributes(open_system: System) -> None:
    sample = captured(parcels=())
    await open_system.shop.place_order(sample)
    example = runpy.run_path(str(ROOT / "docs" / "contract" / "examples" / "cancel.py"))
    await example["cancel"](await Client.connect(address_of(open_system.server)), content_of(sample))
    shown = await attributes_of(open_system.current(sample.order_id), tasks=0)
    assert shown == {
        "OrderId": sample.order_id,
        "CancellationState": "running",
        "CancellationReason": "no_longer_needed",
    }


async def test_what_no_book_keeps_is_left_out_of_the_lists(open_system: System) -> None:
    """P11: an unknown order, and somebody else's, which stays listed by its own cancellation."""
    unknown, theirs = captured(), captured(parcels=())
    await open_system.shop.place_order(theirs)
    await open_system.library.start(request(theirs))
    await open_system.library.result(theirs.order_id)
    stranger = Actor(kind=ActorKind.CUSTOMER, id="C-stranger")
    for sample in (unknown, theirs):
        asked = request(sample, request_id="req-stranger")
        refused = await open_system.library.start(
            asked.model_copy(update={"actor": stranger, "customer_id": stranger.id})
        )
        assert refused.decision is not None
        assert refused.decision.rule is Rule.ORDER_NOT_FOUND
    ended = f"WorkflowType = 'CancellationWorkflow' AND {attributes.STATE.name} = 'rejected'"

    async def both_ended() -> bool:
        wanted = {workflow_id(unknown.order_id), workflow_id(theirs.order_id)}
        return wanted <= await found_by(open_system, ended)

    await eventually(both_ended, "both requests are refused, and that is published")
    page = await open_system.library.list(Filter(order_ids=(unknown.order_id, theirs.order_id)))
    assert [(row.order_id, row.state) for row in page.cancellations] == [(theirs.order_id, State.CANCELLED)]
    assert (await open_system.library.status(theirs.order_id)).state is State.CANCELLED
    rejected = await open_system.library.list(Filter(state=State.REJECTED), limit=1000)
    assert not {unknown.order_id, theirs.order_id} & {row.order_id for row in rejected.cancellations}


async def test_the_command_line_lists_the_amount(open_system: System, starter: Starter) -> None:
    sample = captured(total="600.00 USD")
    await open_system.shop.place_order(sample)
    await open_system.library.start(request(sample))
    await listed(open_system, sample.order_id, State.WAITING_FOR_APPROVAL)
    shown = await starter("list", "--state", "waiting_for_approval")
    assert f"order {sample.order_id}  waiting for approval · 600.00 USD · waits for second person" in shown.out
