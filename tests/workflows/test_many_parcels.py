"""What verification reads of an order is read together, and not of everything in one moment."""

import asyncio

import pytest

from domain.outcome import Outcome
from domain.shipment import Tracking
from sandbox.carrier.model import Script
from sandbox.shop import line, parcel, request
from tests.system import System
from tests.workflows.samples import captured

PARCELS = 24
AT_ONCE = 10


async def test_the_parcels_of_an_order_are_read_together_and_ten_at_a_time(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M32: no read goes on before ten have begun, so one after the other would never end."""
    system = bare_system
    parcels = tuple(parcel(Script.LABEL_ONLY, L1=1) for _ in range(PARCELS))
    sample = captured(parcels=parcels).model_copy(update={"lines": (line("L1", PARCELS, "64.00 USD"),)})
    await system.shop.place_order(sample)
    track, begun, most, reading = system.labels.track, asyncio.Event(), 0, 0

    async def counted(label: str) -> Tracking:
        nonlocal most, reading
        reading += 1
        most = max(most, reading)
        if reading == AT_ONCE:
            begun.set()
        await begun.wait()
        found = await track(label)
        reading -= 1
        return found

    with monkeypatch.context() as patched:
        patched.setattr(system.labels, "track", counted)
        async with system.worker():
            submission, handle = await system.submit(request(sample))
            assert submission.plan is not None
            assert len(submission.plan.shipments) == PARCELS
            assert most == AT_ONCE
            assert (await system.finish(handle)).outcome is Outcome.CANCELLED
