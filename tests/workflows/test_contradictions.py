"""Two people answer one question differently in the same moment, at every wait for a person: one answer is accepted, kept in
the books, and carried out; the other is refused, and leaves nothing behind.

The waits for an approval, for a carrier and for a refund that was refused are in test_one_answer_per_question.py.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest

from domain.facts import NothingDue, RollBackOrdered, SettledByHand
from domain.money import money
from domain.outcome import State
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, request
from tests.observing import Message
from tests.system import AGENT, SUPERVISOR, Handle, System, customer_of, resolve
from tests.workflows.samples import captured, in_network
from tests.workflows.test_settled_by_hand import settles, under_way


async def submitted(system: System, sample: SampleOrder) -> Handle:
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    return handle


async def a_transfer(system: System) -> tuple[SampleOrder, Handle]:
    sample = captured(parcels=(), fault="refund.create:refuse")
    handle = await submitted(system, sample)
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.BANK_TRANSFER)
    await system.wait_for_wait(handle, lambda wait: "transfer" in wait.reason, "the transfer is asked for")
    return sample, handle


async def a_dispute(system: System) -> tuple[SampleOrder, Handle]:
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", disputed=True),)})
    handle = await submitted(system, sample)
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    return sample, handle


async def money_that_came_twice(system: System) -> tuple[SampleOrder, Handle]:
    sample = under_way()
    handle = await submitted(system, sample)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    await settles(system, sample)
    await system.wake(handle)
    await system.wait_for_step(handle, StepName.CHECK_REFUND)
    return sample, handle


async def a_parcel_to_fetch(system: System) -> tuple[SampleOrder, Handle]:
    sample = under_way().model_copy(update={"parcels": captured().parcels})
    handle = await submitted(system, sample)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.OUT_FOR_DELIVERY)
    await settles(system, sample)
    await system.wake_by_carrier(handle)
    await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    return sample, handle


async def a_parcel_to_send_on(system: System) -> tuple[SampleOrder, Handle]:
    sample = in_network(Script.INTERCEPT_IS_FINAL)
    handle = await submitted(system, sample)
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.withdraw(handle, customer_of(sample))
    await system.wait_for_step(handle, StepName.RESUME_SHIPMENT)
    return sample, handle


async def money_to_collect(system: System) -> tuple[SampleOrder, Handle]:
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    await built_in.lock_order(system.engine, sample.order_id, None)
    return sample, handle


@dataclass(frozen=True)
class At:
    """After `begin` the step waits for a person, and two people give these answers."""

    begin: Callable[[System], Awaitable[tuple[SampleOrder, Handle]]]
    step: StepName
    target: str
    answers: tuple[str, str]


WAITS = [
    At(a_transfer, StepName.REVERSE_PAYMENT, "T1", ("done_by_hand", "roll_back")),
    At(a_transfer, StepName.REVERSE_PAYMENT, "T1", ("done_by_hand", "nothing_due")),
    At(a_dispute, StepName.REVERSE_PAYMENT, "T1", ("done_by_hand", "roll_back")),
    At(money_that_came_twice, StepName.CHECK_REFUND, "T1", ("done_by_hand", "nothing_due")),
    At(a_parcel_to_fetch, StepName.STOP_SHIPMENT, "S1", ("done_by_hand", "nothing_due")),
    At(a_parcel_to_send_on, StepName.RESUME_SHIPMENT, "S1", ("done_by_hand", "nothing_due")),
    At(money_to_collect, StepName.RESTORE_PAYMENT, "T1", ("done_by_hand", "nothing_due")),
]
KINDS = {"done_by_hand": SettledByHand, "nothing_due": NothingDue, "roll_back": RollBackOrdered}


@pytest.mark.parametrize("at", WAITS, ids=lambda at: f"{at.begin.__name__}-{at.answers[1]}")
@pytest.mark.parametrize("turned", [False, True], ids=["so", "turned"])
async def test_one_of_two_answers_is_accepted(real_time_system: System, at: At, *, turned: bool) -> None:
    """E16, I10"""
    system = real_time_system
    async with system.worker():
        sample, handle = await at.begin(system)
    said = [
        resolve(at.step, at.target, at.answers[0], "MINE-1", SUPERVISOR),
        resolve(at.step, at.target, at.answers[1], "THEIRS-2", AGENT),
    ]
    if turned:
        said.reverse()
    messages: list[Message] = [partial(system.resolve, handle, answer) for answer in said]
    sent = await system.send_unheard(handle, *messages)
    async with system.worker():
        refusals = [await system.refusal(message) for message in sent]
        assert refusals[0] is None, "the first who asked is accepted"
        assert refusals[1] is not None, "and the second is not"
        kept = await kept_of(system, sample, at)
        assert kept == [(KINDS[said[0].resolution], said[0].reference)]
        if at.begin is not money_that_came_twice:
            await system.finish(handle)
    assert await kept_of(system, sample, at) == kept
    await system.assert_books_balance()
    paid = await system.paid_by_hand(said[1].reference)
    assert paid == money("0.00 USD"), "what was refused left money in the ledger"


async def kept_of(system: System, sample: SampleOrder, at: At) -> list[tuple[type, str]]:
    """What the books keep of what was said about the step."""
    case = (await system.books.of_order(sample.order_id)).of_request(request(sample).request_id)
    entries = case.entries if case else ()
    said = [e.fact for e in entries if isinstance(e.fact, SettledByHand | NothingDue | RollBackOrdered)]
    return [
        (type(fact), fact.reference)
        for fact in said
        if (fact.step, fact.target) == (at.step, at.target) and fact.reference in {"MINE-1", "THEIRS-2"}
    ]
