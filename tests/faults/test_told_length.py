"""I7 of a run that the SDK tells another length of its history than a replay (docs/decisions/0062)."""

import pytest

from domain.outcome import Outcome
from sandbox.shop import request
from tests.interleaving import QueriesLast, query_unheard
from tests.replaying import find_failed_replays, list_handles
from tests.system import System
from tests.workflows.samples import captured
from workflows import continuing


async def test_a_run_that_continues_as_new_just_when_it_is_queried_replays(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: the run's code hears of the local activity's result in the task after the query's, when its history is longer. At
    a replay it hears of it, and is told the length, at the query's task."""
    monkeypatch.setattr(continuing, "_MOST_WORK", 1)
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    asked = await query_unheard(system.client, handle)
    order = QueriesLast(lost=True)
    async with order.watch(system.worker(workflow_runner=order)):
        await asked
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    handles = await list_handles(system, handle.id)
    assert len(handles) > 1, "it has continued as new"
    assert await find_failed_replays(handles, system.client.namespace) == []
