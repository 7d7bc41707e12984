"""Rolling back before the pivot: everything that was done is undone, last step first, and nothing else happens."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.decision import order_not_found
from domain.messages import Approve, Reject, Withdraw
from domain.money import money
from domain.order import OrderFlag, OrderState
from domain.outcome import GoodsStatus, Outcome, State
from domain.request import Actor, ActorKind
from domain.step import StepName, StepStatus
from sandbox import books, built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import AGENT, SUPERVISOR, Handle, System, resolve
from tests.workflows.samples import an_id, captured, in_network
from workflows.cancellation import CancellationWorkflow

EXPENSIVE = "600.00 USD"


async def assert_untouched(system: System, order_id: str) -> None:
    """The order goes on as before: no hold, no money moved, nothing on paper."""
    order = await system.read_order(order_id)
    assert order.held_by is None
    assert order.state is OrderState.OPEN
    assert not any(shipment.stopped for shipment in order.shipments)
    assert await system.refunds(order_id) == []
    assert await system.voids(order_id) == 0
    assert await books.documents(system.engine) == []


async def update_refusal(handle: Handle, update: object, message: object) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(update, message)  # type: ignore[call-overload]
    cause = refused.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.message


def customer(sample: SampleOrder) -> Actor:
    return Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id)


# Approval


async def test_a_value_above_the_limit_waits_for_a_second_person(system: System) -> None:
    """A9: the requester is never the approver, and neither is a customer."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    mine = request(sample).model_copy(update={"actor": AGENT, "customer_id": None})
    submission, handle = await system.submit(mine)
    assert submission.plan is not None
    assert submission.plan.refund == money(EXPENSIVE)
    progress = await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    assert "above the limit" in progress.waits[0].reason
    assert await system.carrier_effects(sample.order_id) == []
    assert "somebody else" in await update_refusal(handle, CancellationWorkflow.approve, Approve(actor=AGENT))
    outsider = Approve(actor=customer(sample))
    assert "may not approve" in await update_refusal(handle, CancellationWorkflow.approve, outsider)
    await system.send(handle, CancellationWorkflow.approve, Approve(actor=SUPERVISOR, note="known customer"))
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert [(entry.action, entry.actor, entry.note) for entry in result.actions] == [
        ("approved", SUPERVISOR, "known customer")
    ]


async def test_silence_on_an_approval_rolls_back(system: System) -> None:
    """A9: after the expiry."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    result = await system.end(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert "Nobody approved" in result.sentence
    assert [entry.action for entry in result.actions] == [
        "reminder: the approval is due",
        "escalated: nobody has answered",
    ]
    await assert_untouched(system, sample.order_id)


async def test_an_approval_refused_after_the_goods_were_stopped_lets_them_go_on(system: System) -> None:
    """D5, A11: under fraud review the goods are stopped first and only the money waits."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    await system.send(handle, CancellationWorkflow.reject, Reject(actor=SUPERVISOR))
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.ROLLED_BACK, GoodsStatus.MOVING_AGAIN)
    await assert_untouched(system, sample.order_id)
    relabelled = (await system.read_order(sample.order_id)).shipments[0]
    assert relabelled.label_reference != system.shop.labels[sample.order_id][0]
    sent = {notice.kind.value for notice in await books.notices(system.engine)}
    assert sent == {"received", "not_cancelled"}


# Withdrawal


async def test_a_customer_withdraws_while_the_carrier_is_asked(system: System) -> None:
    """D1: the intercept is taken back, then the hold; outcome withdrawn."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.send(handle, CancellationWorkflow.withdraw, Withdraw(actor=customer(sample)))
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.WITHDRAWN, GoodsStatus.MOVING_AGAIN)
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested", "intercept.cancelled"]
    undone = [row.step for row in result.steps if row.step in {StepName.RESUME_SHIPMENT, StepName.RELEASE_ORDER}]
    assert undone == [StepName.RESUME_SHIPMENT, StepName.RELEASE_ORDER]
    await assert_untouched(system, sample.order_id)


async def test_compensations_run_in_reverse_order(system: System) -> None:
    """D1, I9: the last shipment that was stopped goes on first, the hold comes off last."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("90.00 USD"),),
        parcels=(parcel(None, L1=1), parcel(Script.LABEL_ONLY, L1=1), parcel(Script.INTERCEPT_SILENT, L1=1)),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.send(handle, CancellationWorkflow.withdraw, Withdraw(actor=customer(sample)))
    await system.end(handle)
    history = await handle.fetch_history()
    scheduled = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert scheduled[-3:] == ["resume_shipment", "resume_shipment", "resume_shipment"]
    rows = (await handle.query(CancellationWorkflow.progress)).steps
    assert rows[-1].step is StepName.RELEASE_ORDER
    resumed = [row.target for row in rows if row.step is StepName.RESUME_SHIPMENT]
    assert resumed == ["S3", "S2", "S1"]
    assert all(row.status is StepStatus.DONE for row in rows if row.step is StepName.RESUME_SHIPMENT)
    await assert_untouched(system, sample.order_id)


async def test_nobody_else_withdraws_a_customers_request(system: System) -> None:
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    stranger = Withdraw(actor=Actor(kind=ActorKind.CUSTOMER, id="C-other"))
    refused = await update_refusal(handle, CancellationWorkflow.withdraw, stranger)
    assert refused == order_not_found(sample.order_id)


async def test_after_the_money_has_gone_a_withdrawal_is_refused_with_the_reason(system: System) -> None:
    """D2: while a refund waits for its settlement, and after the end."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    withdraw = Withdraw(actor=customer(sample))
    assert "being given back" in await update_refusal(handle, CancellationWorkflow.withdraw, withdraw)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


# A cancel request by Temporal


async def test_a_cancel_request_is_the_roll_back(system: System) -> None:
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await handle.cancel()
    result = await system.end(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    await assert_untouched(system, sample.order_id)


async def test_after_the_pivot_a_cancel_request_changes_nothing(system: System) -> None:
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await handle.cancel()
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    await system.assert_books_balance()


# A failed step, and a compensation that meets a no


async def test_a_refusal_before_the_pivot_rolls_back_and_the_run_fails_with_its_step_table(
    real_time_system: System,
) -> None:
    """Rule 10. The caller who waits for the decision hears the reason."""
    system = real_time_system
    sample = captured()
    order = await system.shop.place_order(sample)
    tender = order.tenders[0].model_copy(update={"reference": "pi_unknown"})
    broken = order.model_copy(update={"order_id": an_id(), "tenders": (tender,)})
    await built_in.add_order(system.engine, broken, email="c@customer.example")
    asked = request(sample).model_copy(update={"order_id": broken.order_id})
    async with system.worker():
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await system.submit(asked)  # starts the run as well: a run by itself might have ended before
        assert "no such payment" in str(refused.value.cause)
        handle = system.current(broken.order_id)
        system.started.append(handle)
        result = await system.read_rolled_back(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert [(row.step, row.status) for row in result.steps] == [
        (StepName.VERIFY_ORDER, StepStatus.FAILED),
        (StepName.RELEASE_ORDER, StepStatus.DONE),
    ]


async def test_a_compensation_that_meets_a_no_waits_for_a_person_and_then_goes_on(system: System) -> None:
    """Rule 2: the parcel was returned before the intercept could be taken back."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    await system.send(handle, CancellationWorkflow.withdraw, Withdraw(actor=customer(sample)))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "ship the goods again" in progress.waits[0].reason
    await handle.cancel()  # a further cancel request does not stop a roll-back
    answer = resolve(StepName.RESUME_SHIPMENT, "S1", "done_by_hand", "SHIPMENT-77")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    result = await system.end(handle)
    assert result.outcome is Outcome.WITHDRAWN
    resolved = next(row for row in result.steps if row.step is StepName.RESUME_SHIPMENT)
    assert (resolved.status, resolved.reference) == (StepStatus.RESOLVED, "SHIPMENT-77")
    assert (await system.read_order(sample.order_id)).held_by is None
