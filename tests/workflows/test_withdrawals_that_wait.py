"""Statutory withdrawals: their acknowledgement says that we write again about the goods and the money, and nobody waits for
an answer any more. Whatever becomes of them, a mail says so."""

import pytest

from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, ReasonCode
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.fixtures.api import ApiSystem
from tests.observing import eventually
from tests.system import System
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id


def of_consumer(*, sent: bool = False) -> SampleOrder:
    """Its refunds take days. `sent`: the second line is out for delivery."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("84.00 USD", card=PENDING),),
        parcels=(parcel(Script.OUT_FOR_DELIVERY, L2=1),) if sent else (),
        country="DE",
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )


def withdrawal(sample: SampleOrder) -> CancellationRequest:
    asked = request(sample, request_id="withdrawal")
    return asked.model_copy(update={"reason": ReasonCode.STATUTORY_WITHDRAWAL})


async def mails_about_withdrawal(system: System, sample: SampleOrder) -> list[str]:
    """What the customer heard of it, and not of the first request: without the cancellation's id."""
    sent = [notice.notice_id.partition("/") for notice in await system.notices(sample.order_id)]
    return [kind for cancellation, _, kind in sent if cancellation != sent[0][0]]


async def test_who_was_promised_a_mail_hears_that_a_withdrawal_that_had_to_wait_was_rejected(
    api_system: ApiSystem,
) -> None:
    """E28: its goods are out for delivery."""
    api, system = api_system.api, api_system.system
    sample = of_consumer(sent=True)
    await system.shop.place_order(sample)
    ours = {"customer_id": sample.customer_id}
    first = {**ours, "reason": "no_longer_needed", "lines": [{"line_id": "L1", "quantity": 1}]}
    second = {**ours, "reason": "statutory_withdrawal", "lines": [{"line_id": "L2", "quantity": 1}]}
    await api.start(sample.order_id, first, request_id="first")
    handle = system.current(sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await api.start(sample.order_id, second, request_id="second")
    assert await mails_about_withdrawal(system, sample) == ["withdrawal_acknowledged"]
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)

    async def decided() -> bool:
        return await system.outcomes(sample.order_id) == [Outcome.CANCELLED, Outcome.REJECTED]

    await eventually(decided, "the withdrawal is decided", within=30)
    assert await mails_about_withdrawal(system, sample) == [
        "withdrawal_acknowledged",
        "not_cancelled/already_delivered",
    ]


@pytest.mark.parametrize("ended", [False, True], ids=["while the money settles", "after the end"])
async def test_who_withdraws_from_what_is_cancelled_already_hears_so(system: System, ended: bool) -> None:
    """E28: it joins the cancellation, or finds it; whose own mail about the goods went out before."""
    sample = of_consumer()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    if ended:
        await system.shop.gateway.settle(await refund_of(system, sample))
        await system.wake(handle)
        await system.finish(handle)
    answer = await system.library.start(withdrawal(sample))
    assert answer.decision
    assert answer.joined is not ended
    assert await mails_about_withdrawal(system, sample) == ["withdrawal_acknowledged", "cancelled"]
