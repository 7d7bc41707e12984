"""What the customer is written about is not lost with the attempt that found it."""

import dataclasses
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from domain.outcome import Outcome, State
from domain.request import ReasonCode
from providers.books.books import SqlBooks
from providers.outbox.port import NewNotice, NoticeKind
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import request
from tests.system import System
from tests.workflows.samples import captured, in_network


class FullDisk(SqlBooks):
    """The first notice of this kind, written for itself, does not get into the books."""

    def __init__(self, engine: AsyncEngine, kind: NoticeKind) -> None:
        super().__init__(engine)
        self.left = {kind}

    async def add_notices(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        if lost := self.left & {notice.kind for notice in notices}:
            self.left -= lost
            raise Unavailable("The disk is full.")
        await super().add_notices(cancellation_id, order_id, notices)


def with_a_full_disk(system: System, kind: NoticeKind) -> System:
    return dataclasses.replace(system, books=FullDisk(system.engine, kind))


async def kinds(system: System, order_id: str) -> list[str]:
    return [notice.kind.value for notice in await system.notices(order_id)]


async def test_a_statutory_withdrawal_that_is_refused_is_acknowledged(bare_system: System) -> None:
    """E1: the law wants its receipt acknowledged, also where the books were away between the refusal and the notice."""
    system = with_a_full_disk(bare_system, NoticeKind.WITHDRAWAL_ACKNOWLEDGED)
    sample = captured(parcels=in_network(Script.DELIVERED).parcels)
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample, reason=ReasonCode.STATUTORY_WITHDRAWAL))
        assert (await system.end(handle)).outcome is Outcome.REJECTED
    assert await kinds(system, sample.order_id) == ["withdrawal_acknowledged", "not_cancelled"]


async def test_a_parcel_that_comes_back_is_written_about(bare_system: System) -> None:
    """C3: the customer sees in the tracking that it goes back, and hears why."""
    system = with_a_full_disk(bare_system, NoticeKind.PARCEL_STOPPED)
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        assert (await system.end(handle)).outcome is Outcome.CANCELLED
    assert "parcel_stopped" in await kinds(system, sample.order_id)
