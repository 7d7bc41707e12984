"""What an order is left with: its freeze, its labels, and the stored value after a roll-back."""

import asyncio
from functools import partial
from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from domain.case import Case
from domain.errors import OutcomeUnknown, Unavailable
from domain.facts import EffectNoted, EffectOutcome
from domain.keys import EffectKey
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.step import StepName
from providers.orders.built_in.tables import GivenBackRow
from providers.orders.plain import PlainOrders
from sandbox import books, built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import System, customer_of, resolve, settled
from tests.workflows.samples import an_id, captured, in_network, split_tender


def two_lines() -> SampleOrder:
    lines = (line("L1", 1, "64.00 USD"), line("L2", 1, "36.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("100.00 USD"),))


@pytest.mark.parametrize("resolution", ["done_by_hand", "nothing_due"])
async def test_what_remains_of_an_order_that_was_closed_by_hand_is_not_frozen_for_ever(
    system: System, resolution: str
) -> None:
    """DESIGN 3 step 5: the hold comes off what remains; E25: the rest ships; E5: it can be cancelled afterwards."""
    sample = two_lines()
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1), request_id="first"))
    wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.resolve(handle, settled(wait, resolution, "TICKET-1"))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert (await system.read_order(sample.order_id)).held_by is None


async def test_what_went_back_of_an_order_that_was_closed_by_hand_is_in_the_order(system: System) -> None:
    """I3, DESIGN 6: "note the money"; the refund had settled when the person resolved the close."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-1"))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    async with async_sessionmaker(system.engine)() as session:
        rows = await session.scalars(select(GivenBackRow).where(GivenBackRow.order_id == sample.order_id))
        assert [row.amount for row in rows] == [6400]


@pytest.mark.parametrize("dies", [True, False], ids=["worker_dies", "worker_lives"])
async def test_a_freeze_that_arrives_after_the_release_does_not_stay(
    bare_system: System, monkeypatch: pytest.MonkeyPatch, *, dies: bool
) -> None:
    """E19: the call was on its way when its attempt was given up; the customer has withdrawn meanwhile."""
    system, sample = bare_system, captured(parcels=())
    await system.shop.place_order(sample)
    freeze, sent = system.orders.freeze, list[int]()
    arrives, arrived = asyncio.Event(), asyncio.Event()

    async def on_its_way(*args: Any, **more: Any) -> bool:
        if sent:  # until they have withdrawn: another attempt is not to be quicker than they are
            raise Unavailable("The shop is away.")
        sent.append(1)

        async def call() -> bool:
            await arrives.wait()
            done = await freeze(*args, **more)
            arrived.set()
            return done

        late = asyncio.create_task(call())
        if dies:
            raise Unavailable("The worker was killed.")  # what the server takes it for
        return await asyncio.shield(late)

    monkeypatch.setattr(system.orders, "freeze", on_its_way)
    async with system.worker():
        handle = await system.start(request(sample))

        async def is_sent() -> bool:
            return bool(sent)

        await eventually(is_sent, "the freeze is on its way")
        await system.withdraw(handle, customer_of(sample))
        result = await system.finish(handle, 60)
        assert result.outcome is Outcome.WITHDRAWN
        arrives.set()
        await arrived.wait()
        await asyncio.sleep(1)
        assert (await system.read_order(sample.order_id)).held_by is None, "frozen for ever, by what has ended"


async def test_what_was_collected_for_a_spent_gift_card_is_given_back_by_the_next_cancellation(system: System) -> None:
    """I1, I11: rolled back; the customer paid the 10.00 that were spent; then all is cancelled after all."""
    sample = split_tender()
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample, request_id="first"))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    order = await system.read_order(sample.order_id)
    await built_in.spend_balance(system.engine, order.tenders[0].reference, money("10.00 USD"), key="spent-1")
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    for number in range(2):
        wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
        if wait is None:
            break
        await system.resolve(handle, settled(wait, "done_by_hand", f"COLLECTED-{number}"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await built_in.lock_order(system.engine, sample.order_id, None)
    submission, _ = await system.submit(request(sample, request_id="second"))
    assert submission.plan is not None
    assert [str(t.refund) for t in submission.plan.tenders] == ["10.00 USD", "42.35 USD"]


async def test_a_label_that_the_shop_cannot_record_is_bought_once(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5, I9: at most one committed effect each. `relabel` is that of a shop like django-oscar (PlainOrders)."""
    system = bare_system
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    buy, bought = system.labels.buy_again, list[Any]()

    async def buy_again(*args: Any, **more: Any) -> Any:
        new = await buy(*args, **more)
        bought.append(new.label_reference)
        return new

    monkeypatch.setattr(system.labels, "buy_again", buy_again)
    monkeypatch.setattr(system.orders, "relabel", partial(PlainOrders.relabel, cast("PlainOrders", system.orders)))
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.reject(handle)
        wait = await system.wait_for_step(handle, StepName.RESUME_SHIPMENT)
        assert wait
        await system.retry(handle, StepName.RESUME_SHIPMENT, wait.target or "")
        await system.wait_for_wait(
            handle, lambda again: len(bought) > 1 or again.due_at != wait.due_at, "it waits once more"
        )
    assert len(set(bought)) == 1, bought


async def test_what_is_bought_and_relabelled_after_a_lost_answer_is_one_label(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9: the shop's answer to the new label is lost once."""
    system = bare_system
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    relabel, lost = system.orders.relabel, list[int]()

    async def lose(*args: Any, **more: Any) -> None:
        await relabel(*args, **more)
        if not lost:
            lost.append(1)
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(system.orders, "relabel", lose)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.reject(handle)
        assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    order = await system.read_order(sample.order_id)
    assert not order.shipments[0].stopped
    assert await _unfinished(system, sample.order_id) == []


async def test_an_intercept_that_is_taken_back_after_a_lost_answer_is_known_to_be(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9: UPS's answer is lost once, and the next look finds no intercept any more."""
    system, sample = bare_system, in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    cancel, lost = system.intercepts.cancel, list[int]()

    async def lose(*args: Any, **more: Any) -> Any:
        answer = await cancel(*args, **more)
        if not lost:
            lost.append(1)
            raise OutcomeUnknown("The carrier's answer was lost.")
        return answer

    monkeypatch.setattr(system.intercepts, "cancel", lose)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.withdraw(handle, customer_of(sample))
        assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN
    assert lost
    assert await _unfinished(system, sample.order_id) == []


async def _unfinished(system: System, order_id: str) -> list[EffectKey]:
    """What the register keeps as noted, or as unknown, although all is over."""
    case = Case(await books.facts(system.engine, order_id))
    noted = [entry.fact.key for entry in case.entries if isinstance(entry.fact, EffectNoted)]
    ends = {key: case.outcome_of(key) for key in noted}
    return [key for key, end in ends.items() if end is None or end.outcome is EffectOutcome.UNKNOWN]
