"""Requests that meet in one run: a stranger's, a second one, one that was said before."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from client.errors import StarterError, UnderWay
from domain.decision import Rule
from domain.keys import id_of
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.request import Actor, ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import System
from tests.workflows.samples import an_id, captured

EXPENSIVE = "600.00 USD"
STRANGER = Actor(kind=ActorKind.CUSTOMER, id="C-stranger")


def of_a_stranger(sample: SampleOrder) -> CancellationRequest:
    changed = {"request_id": "stranger", "customer_id": STRANGER.id, "actor": STRANGER}
    return request(sample).model_copy(update=changed)


@pytest.mark.parametrize("reason", [ReasonCode.NO_LONGER_NEEDED, ReasonCode.STATUTORY_WITHDRAWAL])
async def test_the_owners_request_that_meets_a_strangers_run_is_decided_for_the_owner(
    open_system: System, reason: ReasonCode
) -> None:
    """A1, E5: the stranger's run knows no order. The owner's request joins nothing of it; it gets its own answer."""
    system, sample = open_system, captured()
    await system.shop.place_order(sample)
    await system.start(of_a_stranger(sample))
    asked = request(sample, reason=reason)
    submission = await system.library.start(asked)
    assert submission.decision is not None
    assert submission.decision.rule is Rule.WITHIN_POLICY, "the owner's own order"
    assert submission.cancellation_id == id_of(asked)
    await system.finish(system.current(sample.order_id))
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_strangers_withdrawal_does_not_show_them_the_owners_cancellation(bare_system: System) -> None:
    """A1: the owner's run was lost. A stranger asks, and withdraws before a worker has looked: they learn nothing."""
    system = bare_system
    sample = captured(total=EXPENSIVE, parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    async with system.worker():
        _, lost = await system.submit(request(sample))
        await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
        await system.approve(lost)
        await system.wait_for_state(lost, State.WAITING_FOR_CARRIER)
        await system.lose(lost)
    handle = await system.start(of_a_stranger(sample))
    sent = await system.send_unheard(handle, lambda: system.withdraw(handle, STRANGER))
    async with system.worker():
        await asyncio.wait(sent)
        for task in sent:
            task.exception()
        result = await system.finish(handle)
    assert result.actions == (), "who approved the owner's cancellation"
    assert [row.step for row in result.steps] == [StepName.VERIFY_ORDER], "where the owner's parcel is"
    assert result.cancellation_id == id_of(of_a_stranger(sample))


async def test_a_strangers_withdrawal_opens_nothing_on_somebody_elses_order(bare_system: System) -> None:
    """A1: nothing is called but the OMS read; the owner gets no mail about what they never asked for."""
    system, sample = bare_system, captured()
    await system.shop.place_order(sample)
    handle = await system.start(of_a_stranger(sample))
    sent = await system.send_unheard(handle, lambda: system.withdraw(handle, STRANGER))
    async with system.worker():
        await asyncio.wait(sent)
        for task in sent:
            task.exception()
        result = await system.finish(handle)
    assert await system.notices(sample.order_id) == [], "the owner is written to about a stranger's request"
    assert await system.outcomes(sample.order_id) == []
    assert result.outcome is Outcome.REJECTED


async def test_a_cancel_request_to_a_strangers_run_opens_nothing_on_somebody_elses_order(bare_system: System) -> None:
    """A1: the process's own order to roll back is kept no more than the stranger's."""
    system, sample = bare_system, captured()
    await system.shop.place_order(sample)
    handle = await system.start(of_a_stranger(sample))
    await handle.cancel()
    async with system.worker():
        result = await system.finish(handle)
    assert result.outcome is Outcome.REJECTED
    assert result.decision is not None
    assert result.decision.rule is Rule.ORDER_NOT_FOUND
    assert await system.outcomes(sample.order_id) == []
    assert await system.notices(sample.order_id) == []


# After the order was closed, while the money settles


def two_units() -> SampleOrder:
    """Two units of one line; the refund takes days to settle."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "64.00 USD"),),
        tenders=(card("64.00 USD", card="pm_card_pendingRefund"),),
    )


@pytest.mark.parametrize("reason", [ReasonCode.NO_LONGER_NEEDED, ReasonCode.STATUTORY_WITHDRAWAL])
async def test_the_rest_of_the_order_does_not_join_the_part_that_has_left_it(
    system: System, reason: ReasonCode
) -> None:
    """Rule 15, M9, E28: one unit is cancelled and its refund settles; the customer asks for what is left. That is another
    scope: refused as under way, or deferred; answered with the first one's plan, it is lost."""
    sample = two_units()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1), request_id="first"))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    joined = None
    with contextlib.suppress(StarterError):
        joined = await system.library.start(request(sample, request_id="the-rest", reason=reason))
    assert joined is None or joined.deferred, f"the second unit is lost: it got the plan {joined.plan}"


async def test_a_whole_order_request_written_out_joins_after_the_close_too(system: System) -> None:
    """Rule 15: all units of all lines are the whole order, on any day of the same cancellation."""
    sample = two_units()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, request_id="first"))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    again = await system.library.start(request(sample, LineScope(line_id="L1", quantity=2), request_id="written-out"))
    assert again.joined


async def test_a_deferred_request_id_with_other_content_is_a_conflict(system: System) -> None:
    """A4, E28: the second withdrawal names another line under the same id. Acknowledged, it would be lost."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "20.00 USD"), line("L3", 1, "30.00 USD")),
        tenders=(card("114.00 USD", card="pm_card_pendingRefund"),),
        country="DE",
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1), request_id="first"))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)

    def withdrawal(line_id: str) -> CancellationRequest:
        scope = LineScope(line_id=line_id, quantity=1)
        return request(sample, scope, request_id="second", reason=ReasonCode.STATUTORY_WITHDRAWAL)

    assert (await system.library.start(withdrawal("L2"))).deferred
    with pytest.raises(StarterError) as refused:
        await system.library.start(withdrawal("L3"))
    assert "other content" in refused.value.sentence
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await system.wake(handle)
    await system.finish(handle)
    late, _ = await system.submit(withdrawal("L3"))
    assert late.decision.rule is Rule.REQUEST_CONFLICT, "before the first withdrawal is sent again"


async def test_a_suspects_money_goes_back_to_its_own_card_when_risk_itself_asks(system: System) -> None:
    """Rule 15, A11: the reason asks for the original tender only, whether the request opens a cancellation or joins one."""
    sample = captured(fault="refund.create:refuse")
    await system.shop.place_order(sample)
    by_risk = {"actor": Actor(kind=ActorKind.RISK, id="risk-1"), "customer_id": None}
    asked = request(sample, reason=ReasonCode.CONFIRMED_FRAUD).model_copy(update=by_risk)
    _, handle = await system.submit(asked)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].choices == (), "the suspect is offered store credit"


@pytest.mark.parametrize("when", ["while the order is verified", "as the run takes a lost one up"])
async def test_a_suspects_money_goes_back_to_its_own_card_whenever_risk_joins(system: System, when: str) -> None:
    """Rule 15: also before there is a decision, and with the request that a run begins with."""
    sample = captured(total=EXPENSIVE, fault="refund.create:refuse")
    await system.shop.place_order(sample)
    by_risk = {"actor": Actor(kind=ActorKind.RISK, id="risk-1"), "customer_id": None, "request_id": "by-risk"}
    asked = request(sample, reason=ReasonCode.SUSPECTED_FRAUD).model_copy(update=by_risk)
    if when == "while the order is verified":
        await system.disturb_look(sample.order_id, FaultKind.SLOW, seconds=5)
        handle = await system.start(request(sample))
        await system.submit(asked)
    else:
        _, lost = await system.submit(request(sample))
        await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
        await system.lose(lost)
        _, handle = await system.submit(asked)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert [wait.choices for wait in (await system.progress(handle)).waits] == [()], (
        "the suspect is offered store credit"
    )


@pytest.mark.parametrize("reason", [ReasonCode.NO_LONGER_NEEDED, ReasonCode.STATUTORY_WITHDRAWAL])
async def test_a_request_without_a_limit_is_not_rejected_by_the_limit_of_the_one_it_meets(
    system: System, reason: ReasonCode
) -> None:
    """A program that may give back 10.00 asks first, and the gateway is slow; then somebody whom nothing bounds."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.EU_CONSUMER}), "country": "DE"})
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.SLOW, seconds=5, times=2)
    bounded = request(sample).model_copy(update={"request_id": "bounded", "at_most": money("10.00 USD")})
    await system.start(bounded)
    asked = request(sample, reason=reason)
    if reason is ReasonCode.STATUTORY_WITHDRAWAL:
        met = await system.library.start(asked)
        assert met.deferred, met.decision
    else:
        with pytest.raises(UnderWay):
            await system.library.start(asked)
    assert (await system.end(system.current(sample.order_id))).outcome is Outcome.REJECTED
    submission = await system.library.start(asked)
    assert submission.decision is not None
    assert submission.decision.rule is Rule.WITHIN_POLICY, submission.decision.sentence
    await system.finish(system.current(sample.order_id))
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
