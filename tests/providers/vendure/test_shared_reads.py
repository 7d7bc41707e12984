"""Reads of one order at the same moment are one, and never older than the moment in which they were asked for."""

import asyncio

import pytest

from domain.errors import Unavailable
from providers.orders.vendure.shared_reads import SharedReads
from tests.observing import eventually


class Counter:
    """What is read: how many reads have begun. Each waits until it may end."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.begun += 1
        begun = self.begun
        await self.may_end.wait()
        return begun

    async def has_begun(self) -> bool:
        return self.begun > 0


async def test_who_asks_while_a_read_is_under_way_gets_the_next_one() -> None:
    """Something may have been changed since the first one began."""
    reads, counter = SharedReads[int](), Counter()
    first = asyncio.create_task(reads.read("O-1", counter.read))
    await eventually(counter.has_begun, "it has begun")
    later = [asyncio.create_task(reads.read("O-1", counter.read)) for _ in range(60)]
    other = asyncio.create_task(reads.read("O-2", counter.read))
    await asyncio.sleep(0)
    counter.may_end.set()
    assert await first == 1
    assert await other == 2, "another order does not wait"
    assert {await read for read in later} == {3}


async def test_one_that_is_given_up_does_not_end_the_read_of_the_others() -> None:
    reads, counter = SharedReads[int](), Counter()
    given_up, waiting = (asyncio.create_task(reads.read("O-1", counter.read)) for _ in range(2))
    await eventually(counter.has_begun, "it has begun")
    given_up.cancel()
    counter.may_end.set()
    assert await waiting == 1
    assert await reads.read("O-1", counter.read) == 2


async def test_a_failure_is_that_of_all_who_waited() -> None:
    async def fail() -> int:
        raise Unavailable("no")

    reads = SharedReads[int]()
    answers = await asyncio.gather(*(reads.read("O-1", fail) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await reads.read("O-1", fail)
