"""Refunds that fail at once, late, or after somebody else has stepped in: what is owed is given once."""

import contextlib
import dataclasses
from datetime import timedelta
from typing import Any

from domain.errors import StepError
from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.payment import Refunded
from domain.request import Actor, ActorKind, Channel, ReasonCode
from domain.step import StepName
from domain.terms import RefundMethod
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, request
from tests.observing import eventually
from tests.system import System, customer_of, resolve
from tests.workflows.refunds import refund_of, refunded_in_part_by_others
from tests.workflows.samples import captured
from tests.workflows.test_given_by_others import refund_refused
from tests.workflows.test_settled_by_hand import under_way

PRICE = money("64.00 USD")


async def still_refunded(system: System, sample: SampleOrder) -> Money:
    return (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded


class RefusesLate(StripeGateway):
    """Takes a refund and answers at once that the bank did not: `failed`."""

    def __init__(self, gateway: StripeGateway, system: System) -> None:
        self.__dict__.update(gateway.__dict__)
        self._system = system

    async def refund(self, reference: str, amount: Money, *, key: str) -> Refunded:
        made = (await super().refund(reference, amount, key=key)).refund
        await self._system.shop.gateway.fail(made.reference)
        return Refunded(refund=await self.read_refund(made.reference), payment=await self.read_payment(reference))


async def test_a_refund_that_fails_at_once_is_made_again_under_the_next_key_and_does_not_spin(
    bare_system: System,
) -> None:
    """Rules 5 and 13: a retry makes a second refund, under key 2; the run does not turn in circles."""
    gateway: Any = RefusesLate(bare_system.gateway, bare_system)
    system, sample = dataclasses.replace(bare_system, gateway=gateway), captured(parcels=())
    async with system.worker():
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")

        async def tried() -> bool:
            events = len((await handle.fetch_history()).events)
            return events > 300 or len(await system.refunds(sample.order_id)) == 2

        await eventually(tried, "it is tried again")
        assert len((await handle.fetch_history()).events) < 300, "the run spins"
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        await system.terminate_runs()


async def test_no_other_way_is_offered_when_a_dispute_made_the_refund_fail(system: System) -> None:
    """E7, F11: the bank pays. Store credit besides would be paid twice."""
    sample = under_way()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    await system.wake(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.shop.gateway.fail(await refund_of(system, sample))
    await system.wake(handle)

    async def failed() -> bool:
        return any("failed" in wait.reason for wait in (await system.progress(handle)).waits)

    await eventually(failed, "the run has seen that the refund failed")
    refused = await system.refusal(system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT))
    await system.skip(timedelta(minutes=1))
    assert await system.store_credit(sample.customer_id) == money("0.00 USD"), "the bank pays 64.00 too"
    assert refused


async def test_two_transfers_under_one_reference_are_both_in_the_ledger(system: System) -> None:
    """I4: the department names the same transfer for both parts of 44.00 and 20.00, or one word for all it does."""
    reference = "BANK-1"
    sample = captured()
    handle, theirs = await refunded_in_part_by_others(system, sample)
    await system.approve(handle)
    await system.end(handle)
    for failed in (await refund_of(system, sample), theirs):
        await system.shop.gateway.fail(failed)
        handle = await system.notify_of_refund(sample.order_id)
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", reference))
        result = await system.finish(handle)
        assert result.refunded == PRICE
        assert await system.paid_by_hand(reference) == result.refunded - await still_refunded(system, sample)
        await system.assert_books_balance()


class RefundsBetween(StripeGateway):
    """Somebody refunds 20.00 in the dashboard between our look and our first call."""

    def __init__(self, gateway: StripeGateway, system: System) -> None:
        self.__dict__.update(gateway.__dict__)
        self._system = system
        self._between = True

    async def refund(self, reference: str, amount: Money, *, key: str) -> Refunded:
        if self._between:
            self._between = False
            await self._system.shop.gateway.refund_elsewhere(reference, money("20.00 USD"))
        return await super().refund(reference, amount, key=key)


async def test_somebody_who_refunds_between_our_look_and_our_call_leaves_the_rest_to_us(bare_system: System) -> None:
    """B8, B9: the gateway keeps its no under our key for a day, so the rest goes back under the next one, at once."""
    gateway: Any = RefundsBetween(bare_system.gateway, bare_system)
    system, sample = dataclasses.replace(bare_system, gateway=gateway), captured(parcels=())
    async with system.worker():
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        result = await system.finish(handle)
        assert result.outcome is Outcome.CANCELLED
        assert await system.refunds(sample.order_id) == [money("20.00 USD"), money("44.00 USD")]
        rows = [row for row in result.steps if row.step is StepName.REVERSE_PAYMENT]
        assert all(row.ended_at and row.ended_at - row.started_at < timedelta(minutes=1) for row in rows), "it rested"
        await system.assert_books_balance()
        await system.terminate_runs()


async def test_store_credit_that_a_suspect_had_chosen_is_not_given_once_the_suspicion_is_known(system: System) -> None:
    """A11: the gateway does not answer after the choice; meanwhile somebody of risk joins."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    [payment] = system.shop.payments[sample.order_id]
    gateway = system.shop.gateway
    await gateway.add_fault("payment_intent.retrieve", FaultKind.HTTP_429, payment=payment, times=60, retry_after=3000)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    await system.skip(timedelta(minutes=4))
    assert await system.wait_for_step(handle, StepName.GIVE_STORE_CREDIT, "T1")
    by_risk = {"actor": Actor(kind=ActorKind.RISK, id="risk-1"), "reason": ReasonCode.CONFIRMED_FRAUD}
    more = request(sample, request_id="fraud").model_copy(update={**by_risk, "channel": Channel.BACK_OFFICE})
    joined, _ = await system.submit(more)
    assert joined.joined
    while await gateway.faults_left(payment):
        with contextlib.suppress(StepError):
            await system.gateway.read_payment(payment)
    await system.retry(handle, StepName.GIVE_STORE_CREDIT, "T1")
    assert (await system.finish(handle)).refunded == money("64.00 USD"), "to the card, which the gateway takes now"
    assert await system.store_credit(sample.customer_id) == money("0.00 USD")
