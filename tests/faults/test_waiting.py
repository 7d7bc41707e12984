"""Many runs wait for long: a worker's memory stays bounded, the next worker resumes all, and no history grows."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, request
from tests.faults.waiting import measure_on_processes
from tests.system import Handle, System, settled
from tests.workflows.samples import captured, in_network
from tests.workflows.test_long_waits import PENDING, PRICE, events_of

pytestmark = pytest.mark.long

DAYS = 60
MOST_EVENTS = 120
"""A run with a parcel that waits for nothing has about 40. A wait that begins, is overdue and ends adds a dozen: a timer,
the attributes, and a look for each. Looks that find nothing are attempts of one activity and write no event: 60 days are 240
of them at the gateway, and 720 at the carrier."""


def settling() -> SampleOrder:
    return captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})


async def place_refused(system: System) -> SampleOrder:
    """Its refund is refused, so a person has to give the money back."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    return sample


async def begin(system: System, sample: SampleOrder, state: State) -> Handle:
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, state)
    return handle


@pytest.mark.timeout(1_800)
async def test_fifty_runs_wait_for_two_months_in_few_events(system: System) -> None:
    """M11, E17, rule 13: for the gateway, for a carrier and for a person."""
    pending, silent = [settling() for _ in range(25)], [in_network(Script.INTERCEPT_SILENT) for _ in range(5)]
    for sample in (*pending, *silent):
        await system.shop.place_order(sample)
    refused = [await place_refused(system) for _ in range(20)]
    runs = [
        *[await begin(system, sample, State.WAITING_FOR_SETTLEMENT) for sample in pending],
        *[await begin(system, sample, State.WAITING_FOR_CARRIER) for sample in silent],
        *[await begin(system, sample, State.NEEDS_ATTENTION) for sample in refused],
    ]
    for _ in range(DAYS):
        await system.skip(timedelta(days=1))

    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    for sample in silent:
        await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    for handle in runs[-len(refused) :]:
        wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        assert wait is not None
        await system.resolve(handle, settled(wait, "done_by_hand", f"BANK-{handle.id}"))
    await system.skip(timedelta(hours=7))

    results = await asyncio.gather(*(handle.result() for handle in runs))
    assert {result.outcome for result in results} == {Outcome.CANCELLED}
    for sample in (*pending, *silent):
        assert await system.refunds(sample.order_id) == [PRICE]
    assert not [amount for sample in refused for amount in await system.refunds(sample.order_id)]
    events = [found for handle in runs for found in await events_of(system, handle)]
    assert len(events) == len(runs), "none of them had to continue as new"
    assert max(events) < MOST_EVENTS
    await system.assert_books_balance()


MOST_PER_RUN = 0.4
"""MiB. A run that waits costs half of it (docs/configuration.md), and a worker that has just started grows by itself."""


@pytest.mark.timeout(900)
async def test_runs_that_wait_cost_little_memory_and_the_next_worker_resumes_all(tmp_path: Path) -> None:
    """I3, D12; at its size: python -m tests.faults.waiting"""
    figures = await measure_on_processes(160, tmp_path / "stack", say=print)
    assert figures.problems == ()
    assert figures.refunds == 160
    first, *_, last = figures.mebibytes[1:]
    assert last - first < MOST_PER_RUN * 120
    assert figures.most_events < MOST_EVENTS
