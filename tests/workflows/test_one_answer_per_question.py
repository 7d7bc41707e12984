"""Each question gets one answer: of contradicting messages exactly one is accepted, and what was accepted happens."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError

from domain.messages import ResolveStep
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.request import Actor, ActorKind, ReasonCode
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.carrier.model import FaultKind as CarrierFault
from sandbox.carrier.model import Operation, Script, TrackerStatus
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, request
from tests.observing import Message, eventually
from tests.system import AGENT, SUPERVISOR, Handle, System, customer_of, resolve, settled
from tests.workflows.samples import captured, in_network
from tests.workflows.test_settled_by_hand import settles

EXPENSIVE = "600.00 USD"
PENDING = "pm_card_pendingRefund"
BANK = "BANK-9"
RISK = Actor(kind=ActorKind.RISK, id="risk-1")
MERCHANT = Actor(kind=ActorKind.MERCHANT, id="shop-1")
WEB_SHOP = Actor(kind=ActorKind.SYSTEM, id="web-shop")


async def wait_in(system: System, sample: SampleOrder, state: State) -> Handle:
    """A run that waits in `state`, and no worker that would hear what is said to it."""
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, state)
    return handle


async def answers_in_one_task(system: System, handle: Handle, messages: Sequence[Message]) -> list[str | None]:
    """What was answered to each message (None: acknowledged), once the run has ended."""
    sent = await system.send_unheard(handle, *messages)
    async with system.worker():
        answers = [await system.refusal(message) for message in sent]
        with contextlib.suppress(WorkflowFailureError):
            await asyncio.wait_for(system.end(handle), 30)
    return answers


async def refund_of(system: System, sample: SampleOrder) -> str:
    payment = system.shop.payments[sample.order_id][0]
    return (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[-1].object_id


# Two messages in one task


@pytest.mark.parametrize("first", ["approve", "reject"])
async def test_an_approval_is_given_or_refused(real_time_system: System, first: str) -> None:
    """M8, E16: two people answer at the same moment."""
    system = real_time_system
    sample = captured(total=EXPENSIVE)
    handle = await wait_in(system, sample, State.WAITING_FOR_APPROVAL)
    messages: list[Message] = [lambda: system.approve(handle), lambda: system.reject(handle, AGENT)]
    approved, rejected = (0, 1) if first == "approve" else (1, 0)
    answers = await answers_in_one_task(system, handle, messages if first == "approve" else messages[::-1])
    assert answers.count(None) == 1
    assert (answers[rejected] is None) == (await system.outcomes(sample.order_id) == [Outcome.ROLLED_BACK])
    assert (answers[approved] is None) == (await system.refunds(sample.order_id) == [money(EXPENSIVE)])
    assert (await system.read_order(sample.order_id)).held_by is None


async def test_what_is_withdrawn_is_not_approved_any_more(real_time_system: System) -> None:
    """E16, D1"""
    system = real_time_system
    sample = captured(total=EXPENSIVE)
    handle = await wait_in(system, sample, State.WAITING_FOR_APPROVAL)
    withdrawn, approved = await answers_in_one_task(
        system, handle, [lambda: system.withdraw(handle, customer_of(sample)), lambda: system.approve(handle)]
    )
    assert withdrawn is None
    assert approved is not None
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]
    assert await system.refunds(sample.order_id) == []


@pytest.mark.parametrize("staff", ["done_by_hand", "nothing_due", "retry"])
async def test_the_stop_of_what_is_withdrawn_is_not_decided_any_more(real_time_system: System, staff: str) -> None:
    """E16: the carrier is silent, the customer withdraws, and staff decides about the parcel in the same task."""
    system = real_time_system
    sample = in_network(Script.INTERCEPT_SILENT)
    handle = await wait_in(system, sample, State.WAITING_FOR_CARRIER)

    async def decide() -> None:
        if staff == "retry":
            await system.retry(handle, StepName.STOP_SHIPMENT, "S1")
        else:
            await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", staff, "DEPOT-7"))

    withdrawn, decided = await answers_in_one_task(
        system, handle, [lambda: system.withdraw(handle, customer_of(sample)), decide]
    )
    assert withdrawn is None
    assert decided is not None
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]
    assert await system.refunds(sample.order_id) == []
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested", "intercept.cancelled"]


@pytest.mark.parametrize("first", ["done_by_hand", "roll_back"])
async def test_two_people_decide_about_a_parcel_and_one_is_accepted(real_time_system: System, first: str) -> None:
    """E16, at the carrier's wait."""
    system = real_time_system
    sample = in_network(Script.INTERCEPT_SILENT)
    handle = await wait_in(system, sample, State.WAITING_FOR_CARRIER)
    stopped = resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "DEPOT-7")
    undone = resolve(StepName.STOP_SHIPMENT, "S1", "roll_back", "TICKET-1", AGENT)
    messages: list[Message] = [lambda: system.resolve(handle, stopped), lambda: system.resolve(handle, undone)]
    by_hand, undoing = (0, 1) if first == "done_by_hand" else (1, 0)
    answers = await answers_in_one_task(system, handle, messages if first == "done_by_hand" else messages[::-1])
    assert answers.count(None) == 1
    assert (answers[by_hand] is None) == (await system.refunds(sample.order_id) == [money("64.00 USD")])
    assert (answers[undoing] is None) == (await system.outcomes(sample.order_id) == [Outcome.ROLLED_BACK])


@pytest.mark.parametrize("staff", ["done_by_hand", "roll_back", "retry"])
@pytest.mark.parametrize("first", ["customer", "staff"])
async def test_a_refused_refund_goes_back_one_way(real_time_system: System, first: str, staff: str) -> None:
    """M5, E16, I11: the customer chooses store credit while staff settles, undoes or retries the refund."""
    system = real_time_system
    sample = captured(fault="refund.create:refuse")
    handle = await wait_in(system, sample, State.NEEDS_ATTENTION)

    async def decide() -> None:
        if staff == "retry":
            await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
        else:
            await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", staff, BANK))

    async def choose() -> None:
        await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)

    messages = [choose, decide] if first == "customer" else [decide, choose]
    answers = await answers_in_one_task(system, handle, messages)
    chosen, decided = answers if first == "customer" else answers[::-1]
    credit = await system.store_credit(sample.customer_id)
    by_hand, by_gateway = await system.paid_by_hand(BANK), await system.refunds(sample.order_id)
    assert answers.count(None) == 1
    assert (chosen is None) == (credit == money("64.00 USD"))
    if decided is None:
        assert by_hand == money("64.00 USD" if staff == "done_by_hand" else "0.00 USD")
        assert by_gateway == ([money("64.00 USD")] if staff == "retry" else [])
        assert credit == money("0.00 USD")
    await system.assert_books_balance()


async def test_two_people_pay_by_hand_and_one_is_accepted(real_time_system: System) -> None:
    """E16, I11, at the settlement's wait."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    handle = await wait_in(system, sample, State.WAITING_FOR_SETTLEMENT)
    mine = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", BANK)
    theirs = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-10", AGENT)
    sent = await system.send_unheard(
        handle, lambda: system.resolve(handle, mine), lambda: system.resolve(handle, theirs)
    )
    async with system.worker():
        answers = [await system.refusal(message) for message in sent]
        accepted, refused = (BANK, "BANK-10") if answers[0] is None else ("BANK-10", BANK)
        assert answers.count(None) == 1
        await eventually(lambda: _is_paid(system, accepted), "the transfer is in the ledger")
    assert await system.paid_by_hand(refused) == money("0.00 USD")


async def test_the_same_decision_of_the_same_person_is_acknowledged_again(real_time_system: System) -> None:
    """E16: a double click on a transfer by hand; it is in the ledger once."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    handle = await wait_in(system, sample, State.WAITING_FOR_SETTLEMENT)
    mine = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", BANK)
    sent = await system.send_unheard(handle, lambda: system.resolve(handle, mine), lambda: system.resolve(handle, mine))
    async with system.worker():
        assert [await system.refusal(message) for message in sent] == [None, None]
        await eventually(lambda: _is_paid(system, BANK), "the transfer is in the ledger")


async def _is_paid(system: System, reference: str) -> bool:
    return await system.paid_by_hand(reference) == money("64.00 USD")


# A message while the run looks, and while it ends


async def test_a_transfer_that_is_reported_during_a_look_at_the_refund_is_in_the_books(system: System) -> None:
    """M6: the look that is under way finds that the refund has settled."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await _begin_slow_look(system, sample, handle)
    answer = await system.refusal(system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", BANK)))
    if answer is None:
        await eventually(lambda: _is_paid(system, BANK), "what was acknowledged is in the ledger", within=8)
    else:
        assert await system.paid_by_hand(BANK) == money("0.00 USD")


async def test_a_roll_back_that_is_ordered_during_a_look_at_the_refund_happens(system: System) -> None:
    """M6: it is refused, or the order is not cancelled."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await _begin_slow_look(system, sample, handle)
    answer = await system.refusal(
        system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back", "TICKET-1"))
    )
    if answer is None:
        await _wait_for_end_or_person(system, handle)
        assert await system.outcomes(sample.order_id) != [Outcome.CANCELLED]
    else:
        await system.end(handle)
        assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


async def test_a_roll_back_that_is_ordered_during_a_look_at_a_parcel_happens(system: System) -> None:
    """M6: the look that is under way finds the parcel on its way back."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.add_fault(Operation.SHIPMENT_READ, CarrierFault.SLOW, parcel=label, seconds=2)
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    await system.wake_by_carrier(handle)
    await system.wait_for_attempt(handle)
    answer = await system.refusal(
        system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "roll_back", "TICKET-1"))
    )
    if answer is None:
        await _wait_for_end_or_person(system, handle)
        assert await system.refunds(sample.order_id) == []
    else:
        await system.end(handle)
        assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_withdrawal_while_the_run_comes_to_a_no_is_what_it_ends_with(system: System) -> None:
    """E16: the parcel of the order turns out to be delivered while the customer withdraws."""
    sample = in_network(Script.DELIVERED)
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    # Too slow for the local attempt, and then for the ordinary one to be over at once.
    await system.shop.gateway.add_fault("payment_intent.retrieve", FaultKind.SLOW, payment=payment, seconds=3, times=2)
    handle = await system.start(request(sample))
    await system.wait_for_attempt(handle)
    answer = await system.refusal(system.withdraw(handle, customer_of(sample)))
    result = await system.end(handle)
    assert result.outcome is (Outcome.WITHDRAWN if answer is None else Outcome.REJECTED)
    assert (await system.read_order(sample.order_id)).held_by is None
    assert await system.carrier_effects(sample.order_id) == []


async def _begin_slow_look(system: System, sample: SampleOrder, handle: Handle) -> None:
    """The gateway has settled, and takes two seconds to say so to a look that has begun."""
    payment = system.shop.payments[sample.order_id][0]
    refund = await refund_of(system, sample)
    await system.shop.gateway.add_fault("payment_intent.retrieve", FaultKind.SLOW, payment=payment, seconds=2)
    await system.shop.gateway.settle(refund)
    await system.wake(handle)

    async def asked() -> bool:
        return await system.shop.gateway.faults_left(payment) == 0

    await eventually(asked, "the gateway is asked")


async def _wait_for_end_or_person(system: System, handle: Handle) -> None:
    async def rests() -> bool:
        progress = await system.progress(handle)
        at_work = {State.RUNNING, State.ROLLING_BACK, State.WAITING_FOR_CARRIER, State.WAITING_FOR_SETTLEMENT}
        return progress.state not in at_work

    await eventually(rests, "the run has ended or waits for a person")


# Who may withdraw


@pytest.mark.parametrize("by", ["customer", "web_shop"])
async def test_nobody_but_staff_withdraws_what_risk_asked_for(system: System, by: str) -> None:
    """M7: under fraud review; also as the web shop's own key sends it over HTTP."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    asked = {"actor": RISK, "customer_id": None, "reason": ReasonCode.CONFIRMED_FRAUD}
    _, handle = await system.submit(request(sample).model_copy(update=asked))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    assert await system.refusal(system.withdraw(handle, customer_of(sample) if by == "customer" else WEB_SHOP))
    await system.approve(handle)
    await system.end(handle)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]


@pytest.mark.parametrize("opened_by", ["merchant", "customer"])
async def test_a_customer_does_not_withdraw_what_the_merchant_wants_too(system: System, opened_by: str) -> None:
    """M7: the merchant opened the cancellation, or joined the customer's."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    mine = request(sample)
    asked = {"actor": MERCHANT, "customer_id": None, "reason": ReasonCode.OUT_OF_STOCK, "request_id": "merchant-1"}
    theirs = mine.model_copy(update=asked)
    first, second = (theirs, mine) if opened_by == "merchant" else (mine, theirs)
    _, handle = await system.submit(first)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.submit(second)
    assert await system.refusal(system.withdraw(handle, customer_of(sample)))
    await system.approve(handle)
    await system.end(handle)
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]


async def test_staff_withdraws_what_risk_asked_for(system: System) -> None:
    """M7"""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    asked = {"actor": RISK, "customer_id": None, "reason": ReasonCode.SUSPECTED_FRAUD}
    _, handle = await system.submit(request(sample).model_copy(update=asked))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.withdraw(handle, SUPERVISOR)
    await system.end(handle)
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]
    assert await system.refunds(sample.order_id) == []


# Sent again, because the first answer was lost


DEPOT = ResolveStep.model_validate({"actor": SUPERVISOR, "resolution": "done_by_hand", "reference": "DEPOT-7"})
"""About whatever waits; the person saw that one step does."""


async def test_a_decision_that_names_no_step_is_not_taken_for_the_next_one(system: System) -> None:
    """I10, I11: the parcel was stopped by hand; sent again while the refund waits, nobody has paid 64.00."""
    sample = in_network(Script.INTERCEPT_SILENT).model_copy(
        update={"tenders": (card("64.00 USD", fault="refund.create:refuse"),)}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.resolve(handle, DEPOT)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    refused = await system.refusal(system.resolve(handle, DEPOT))
    assert refused is not None
    assert "DEPOT-7 is recorded already for stop_shipment of S1" in refused
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT), "the refund still waits"
    assert await system.paid_by_hand("DEPOT-7") == money("0.00 USD")


async def test_a_roll_back_that_is_ordered_again_is_acknowledged(system: System) -> None:
    """Rule 12; the result says who ordered it, with which proof, and what had happened."""
    sample = captured(fault="refund.create:refuse", parcels=())
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", BANK))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    undone = resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back", "TICKET-1")
    await system.resolve(handle, undone)
    collect = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert collect
    assert await system.refusal(system.resolve(handle, undone)) is None
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    result = await system.finish(handle)
    assert "refund_department:supervisor-2 ordered it (TICKET-1)" in result.sentence
    assert "the month is closed" in result.sentence


async def test_the_same_answer_to_the_next_look_at_a_parcel_is_taken(system: System) -> None:
    """I10: the carrier cannot be read before the pivot, and days later again: two questions, one person, one ticket."""
    sample = captured().model_copy(
        update={"tenders": (card("64.00 USD", card=PENDING),), "flags": frozenset({OrderFlag.FRAUD_REVIEW})}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    label = system.shop.labels[sample.order_id][0]
    vouched = resolve(StepName.CHECK_SHIPMENT, "S1", "done_by_hand", "PHONE-1")

    async def silent() -> None:
        for operation in (Operation.SHIPMENT_READ, Operation.TRACKER_READ):
            await system.shop.carrier.add_fault(operation, CarrierFault.HTTP_500, times=500, parcel=label)
        await system.wake_by_carrier(handle)

    async def vouch() -> None:
        await system.skip(timedelta(minutes=3))
        assert await system.wait_for_wait(handle, lambda wait: wait.step is StepName.CHECK_SHIPMENT, "the look waits")
        assert await system.refusal(system.resolve(handle, vouched)) is None
        await system.shop.carrier.clear_faults()

    await silent()
    await system.approve(handle)
    await vouch()
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await silent()
    await settles(system, sample)
    await system.wake(handle)
    await vouch()
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
