"""A second request for an order: its own decision and plan, refused while another is under way, and never lost."""

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from client.errors import StarterError
from domain.messages import RefundEvent, Submission
from domain.money import money
from domain.order import OrderFlag, OrderState
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope
from domain.step import StepName
from order_cancellation import ExitCode
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import ApiSystem
from tests.fixtures.starter import address_of, begin_starter, end_starter, run_starter
from tests.observing import eventually
from tests.system import AGENT, System, customer_of
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id, captured

L1, L2 = LineScope(line_id="L1", quantity=1), LineScope(line_id="L2", quantity=1)
EXPENSIVE, CHEAP = money("600.00 USD"), money("20.00 USD")


def two_lines() -> SampleOrder:
    """The first line is above the limit, so that its cancellation waits for a second person."""
    lines = (line("L1", 1, str(EXPENSIVE)), line("L2", 1, str(CHEAP)))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("620.00 USD"),))


async def submission(system: System, asked: CancellationRequest) -> Submission:
    """Ask as a backend service does; the run is watched to its end with the others."""
    answer = await system.library.start(asked)
    system.started.append(system.current(asked.order_id))
    return answer


async def approve_and_end(system: System, order_id: str) -> None:
    handle = system.current(order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    await system.end(handle)


# Another scope while one is under way


@pytest.mark.parametrize("asks", ["customer", "agent"])
async def test_another_scope_is_refused_as_under_way_and_carried_out_when_asked_again(
    system: System, asks: str
) -> None:
    """M9, E5"""
    sample = two_lines()
    await system.shop.place_order(sample)
    await submission(system, request(sample, L1, request_id="first"))
    actor = customer_of(sample) if asks == "customer" else AGENT
    second = request(sample, L2, request_id="second").model_copy(update={"actor": actor})
    with pytest.raises(StarterError) as refused:
        await submission(system, second)
    assert refused.value.code is ExitCode.REFUSED
    assert "under way" in refused.value.sentence
    assert "again" in refused.value.sentence
    await approve_and_end(system, sample.order_id)
    assert await system.refunds(sample.order_id) == [EXPENSIVE]
    answer = await submission(system, second)
    assert answer.plan is not None
    assert answer.plan.refund == CHEAP
    await system.end(system.current(sample.order_id))
    assert await system.refunds(sample.order_id) == [EXPENSIVE, CHEAP]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED, Outcome.CANCELLED]
    await system.assert_books_balance()


async def test_another_scope_over_http_is_a_conflict_and_carried_out_when_asked_again(api_system: ApiSystem) -> None:
    """M9, E5"""
    api, system = api_system.api, api_system.system
    sample = two_lines()
    await system.shop.place_order(sample)
    ours = {"customer_id": sample.customer_id, "reason": "no_longer_needed"}
    first, second = ({**ours, "lines": [{"line_id": name, "quantity": 1}]} for name in ("L1", "L2"))
    await api.start(sample.order_id, first, request_id="first")
    refused = await api.start(sample.order_id, second, request_id="second")
    assert refused.status_code == 409, refused.text
    assert "under way" in refused.text
    await approve_and_end(system, sample.order_id)
    carried_out = await api.start(sample.order_id, second, request_id="second")
    assert carried_out.is_success, carried_out.text
    await system.end(system.current(sample.order_id))
    assert await system.refunds(sample.order_id) == [EXPENSIVE, CHEAP]


async def test_another_scope_in_a_file_is_carried_out_after_the_first(
    open_system: System, dev_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    """M9, E5: by itself, or by the next run over the same file."""
    system = open_system
    sample = two_lines()
    await system.shop.place_order(sample)
    await submission(system, request(sample, L1, request_id="first"))
    file = tmp_path / "requests.jsonl"
    file.write_text(request(sample, L2, request_id="second").model_dump_json() + "\n", encoding="utf-8")
    bulk = await begin_starter(address_of(dev_server), "bulk", str(file), "--json")
    results = file.with_name(f"{file.name}.results.jsonl")

    async def sent() -> bool:
        return bulk.returncode is not None or (results.exists() and results.read_text(encoding="utf-8") != "")

    with contextlib.suppress(AssertionError):  # it may wait for the first one's end
        await eventually(sent, "the line has an answer", within=4)
    await approve_and_end(system, sample.order_id)
    await end_starter(bulk)
    await run_starter(address_of(dev_server), "bulk", str(file), "--json")

    async def both() -> bool:
        return await system.refunds(sample.order_id) == [EXPENSIVE, CHEAP]

    await eventually(both, "the second line's money went back too", within=15)
    await eventually(lambda: _ended(system, sample, 2), "both cancellations have ended")


async def test_a_statutory_withdrawal_is_acknowledged_at_once_and_carried_out_afterwards(
    api_system: ApiSystem,
) -> None:
    """E28: from the second line, while the refund of the first one takes five days to settle."""
    api, system = api_system.api, api_system.system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, str(CHEAP))),
        tenders=(card("84.00 USD", card="pm_card_pendingRefund"),),
        country="DE",
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )
    await system.shop.place_order(sample)
    ours = {"customer_id": sample.customer_id}
    first = {**ours, "reason": "no_longer_needed", "lines": [{"line_id": "L1", "quantity": 1}]}
    withdrawal = {**ours, "reason": "statutory_withdrawal", "lines": [{"line_id": "L2", "quantity": 1}]}
    await api.start(sample.order_id, first, request_id="first")
    handle = system.current(sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await api.start(sample.order_id, withdrawal, request_id="second")

    async def acknowledged() -> bool:
        return "withdrawal_acknowledged" in {notice.kind.value for notice in await system.notices(sample.order_id)}

    await eventually(acknowledged, "the withdrawal is acknowledged while the first is under way", within=5)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    receipts = [n.received_at for n in await system.notices(sample.order_id) if n.kind == "withdrawal_acknowledged"]
    assert len(receipts) == 1
    assert receipts[0] is not None
    began = await system.began_at(handle)
    assert began <= receipts[0] < began + timedelta(minutes=1)
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())

    async def both() -> bool:
        return await system.refunds(sample.order_id) == [money("64.00 USD"), CHEAP]

    await eventually(both, "the product carries the withdrawal out by itself", within=30)
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await eventually(lambda: _ended(system, sample, 2), "both cancellations have ended")
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED


async def _ended(system: System, sample: SampleOrder, times: int) -> bool:
    return await system.outcomes(sample.order_id) == [Outcome.CANCELLED] * times


# The same request again


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.WITHDRAWN])
async def test_the_same_request_gets_the_first_decision_and_plan_after_the_end(
    system: System, outcome: Outcome
) -> None:
    """M10: the first answer was lost; sent again it says the same, and how it ended."""
    sample = captured(total=str(EXPENSIVE))
    await system.shop.place_order(sample)
    first = await submission(system, request(sample))
    handle = system.current(sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    if outcome is Outcome.CANCELLED:
        await system.approve(handle)
    else:
        await system.withdraw(handle, customer_of(sample))
    await system.end(handle)
    again = await submission(system, request(sample))
    assert (again.decision, again.plan) == (first.decision, first.plan)
    assert again.cancellation_id == first.cancellation_id
    assert again.result is not None
    assert again.result.outcome is outcome
    assert await system.outcomes(sample.order_id) == [outcome]
    assert await system.refunds(sample.order_id) == ([EXPENSIVE] if outcome is Outcome.CANCELLED else [])


async def test_an_ended_request_gets_its_own_result_while_another_runs(system: System) -> None:
    """M38"""
    sample = two_lines()
    await system.shop.place_order(sample)
    asked = request(sample, L2, request_id="first")
    first = await submission(system, asked)
    await system.end(system.current(sample.order_id))
    other = await submission(system, request(sample, L1, request_id="second"))
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    again = await submission(system, asked)
    assert again.cancellation_id == first.cancellation_id != other.cancellation_id
    assert (again.decision, again.plan) == (first.decision, first.plan)
    assert again.result is not None
    assert again.result.refunded == CHEAP
    assert await system.refunds(sample.order_id) == [CHEAP]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED, None]


async def test_an_ended_request_gets_its_own_result_and_joins_nothing_while_another_run_is_lost(system: System) -> None:
    """Rule 15, I3, I11: the units of a line are cancelled one by one. The repetition takes the lost cancellation up, and the
    refund of its own cancellation, which fails later, is that one's matter."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "800.00 USD"),), tenders=(card("800.00 USD"),))
    await system.shop.place_order(sample)
    unit = LineScope(line_id="L1", quantity=1)
    asked = request(sample, unit, request_id="first")
    first = await system.cancel(asked)
    refund = await refund_of(system, sample)
    other, lost = await system.submit(request(sample, unit, request_id="second"))
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await system.lose(lost)

    again, handle = await system.submit(asked)
    assert again.result
    assert again.cancellation_id == again.result.cancellation_id == first.cancellation_id != other.cancellation_id
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert (await system.finish(handle)).cancellation_id == other.cancellation_id
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED, Outcome.CANCELLED]

    await system.shop.gateway.fail(refund)
    found = await system.find_reopened(sample.order_id, refund)
    assert found
    await system.library.look_again(found, RefundEvent(event_id="evt_r", subject=refund))
    run = system.current(sample.order_id)
    system.started.append(run)
    wait = await system.wait_for_step(run, StepName.REVERSE_PAYMENT)
    assert wait
    assert refund in wait.reason
    assert (await system.progress(run)).cancellation_id == first.cancellation_id
    await system.retry(run, StepName.REVERSE_PAYMENT, "T1")
    await system.finish(run)


async def test_one_cancellation_is_one_row_however_often_it_is_asked_for(open_system: System) -> None:
    """M13: the same request again, and other requests for what is cancelled already."""
    system = open_system
    sample = captured()
    await system.shop.place_order(sample)
    first = await submission(system, request(sample))
    await system.end(system.current(sample.order_id))
    for request_id in (None, "second", "third"):
        await submission(system, request(sample, request_id=request_id))
        await system.end(system.current(sample.order_id))
    last = (await system.current(sample.order_id).describe()).run_id

    async def listed() -> bool:
        query = f"WorkflowId = '{system.current(sample.order_id).id}' AND ExecutionStatus != 'Running'"
        return last in [run.run_id async for run in system.client.list_workflows(query)]

    await eventually(listed, "the list of runs is up to date")
    rows = [row for row in (await system.library.list(limit=200)).cancellations if row.order_id == sample.order_id]
    assert [row.cancellation_id for row in rows] == [first.cancellation_id]
    assert rows[0].state is State.CANCELLED
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_the_same_scope_joins(system: System) -> None:
    """M9: all units of all lines are the whole order."""
    sample = two_lines()
    await system.shop.place_order(sample)
    first = await submission(system, request(sample, request_id="first"))
    joined = await submission(system, request(sample, L1, L2, request_id="second"))
    assert joined.joined
    assert (joined.cancellation_id, joined.plan) == (first.cancellation_id, first.plan)
    await approve_and_end(system, sample.order_id)
    assert await system.refunds(sample.order_id) == [money("620.00 USD")]
