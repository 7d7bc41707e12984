"""A local attempt that is given up after two seconds, and had its effect."""

import asyncio
from typing import Any

import pytest

from domain.outcome import Outcome
from sandbox.gateway.messages import FaultKind
from sandbox.shop import request
from tests.system import System
from tests.workflows.samples import captured


async def test_a_refusal_whose_first_attempt_was_given_up_is_not_an_earlier_one(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt has kept the refusal, and its answer comes too late. The ordinary one finds it in the books, as
    something that is over; it is this run's own all the same, as its holder says, and not an existing one."""
    sample = captured()
    await system.shop.place(sample)
    refuse, late = system.register.refuse, True

    async def slow(*args: Any, **kwargs: Any) -> None:
        nonlocal late
        await refuse(*args, **kwargs)
        if late:
            late = False
            await asyncio.sleep(4)

    monkeypatch.setattr(system.register, "refuse", slow)
    asked = request(sample).model_dump(mode="json") | {"reason": "out_of_stock"}
    result = await system.cancel(request(sample).model_validate(asked))
    assert (result.outcome, result.existing) == (Outcome.REJECTED, False)


async def test_a_time_in_the_past_does_not_break_the_runs_own_code(open_system: System) -> None:
    """A gateway (or what stands before it) answers 429 with `Retry-After: -5`: it is asked again at once, and the engine,
    which takes no timer that lies in the past, does not hear of it."""
    system, sample = open_system, captured(parcels=())
    await system.shop.place(sample)
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=-5, times=1)
    handle = await system.start(request(sample))
    await system.finish(handle)
    assert not await system.has_failed_task(handle)
