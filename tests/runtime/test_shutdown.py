"""How what runs beside a process's main work is stopped."""

import asyncio

import pytest

from runtime.shutdown import cancel_and_wait


async def test_a_task_that_loses_one_cancel_is_stopped_all_the_same() -> None:
    """As asyncio.wait_for loses one that lands together with an answer, before Python 3.12."""
    lost = 0

    async def loses_the_first() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    task = asyncio.create_task(loses_the_first())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert lost == 1
    assert task.cancelled()


async def test_what_a_task_failed_with_is_not_lost() -> None:
    async def fails() -> None:
        raise ValueError("seen")

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    with pytest.raises(ValueError, match="seen"):
        await cancel_and_wait(task)
