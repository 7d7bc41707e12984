"""Runs of the product and of the floor, asked for the way a caller does, and timed where the caller waits."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowHistory
from temporalio.common import WorkflowIDConflictPolicy

from benchmarks.empty import TASK_QUEUE, EmptyWorkflow
from benchmarks.figures import Counts, Timing
from client.cancellations import Cancellations
from domain.decision import Verdict
from domain.outcome import Outcome
from domain.request import workflow_id
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, Shop, card, line, parcel, request

_TOO_LONG = timedelta(minutes=3)
_PLACED_AT_ONCE = 8
_COUNTED = 20  # runs whose histories are read
_ORDINARY, _ABOVE_THE_LIMIT = "64.00 USD", "640.00 USD"


class Load(ABC):
    """One kind of run. An id is used once."""

    @abstractmethod
    async def prepare(self, count: int) -> list[str]:
        """What so many runs need, made before they are timed; returns the id of each."""

    @abstractmethod
    async def run(self, name: str) -> Timing:
        """One run, from the request to its result."""

    @abstractmethod
    def handle(self, name: str) -> WorkflowHandle[object, object]: ...

    async def run_all(self, names: Sequence[str], concurrency: int) -> list[Timing]:
        """At most `concurrency` at once; as one ends the next begins."""
        free = asyncio.Semaphore(concurrency)

        async def run(name: str) -> Timing:
            async with free:
                return await self.run(name)

        return await asyncio.gather(*map(run, names))

    async def counts(self, names: Sequence[str]) -> Counts:
        """What the server has written of these runs, of some of them when they are many."""
        histories = [await self.handle(name).fetch_history() for name in names[:_COUNTED]]
        kinds = Counter(event.event_type for history in histories for event in history.events)
        return Counts(
            events=sum(kinds.values()) / len(histories),
            workflow_tasks=kinds[EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED] / len(histories),
            activities=kinds[EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED] / len(histories),
            local_activities=sum(map(_local_activities, histories)) / len(histories),
        )


def _local_activities(history: WorkflowHistory) -> int:
    return sum(event.marker_recorded_event_attributes.marker_name == "core_local_activity" for event in history.events)


class Floor(Load):
    """Empty runs: update-with-start, answered by the first workflow task, then the result."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = count(1)

    async def prepare(self, count: int) -> list[str]:
        return [f"empty-{next(self._numbers)}" for _ in range(count)]

    async def run(self, name: str) -> Timing:
        began = time.perf_counter()
        start = WithStartWorkflowOperation(
            EmptyWorkflow.run,
            id=name,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        await self._client.execute_update_with_start_workflow(EmptyWorkflow.submit, start_workflow_operation=start)
        answered = time.perf_counter()
        await (await start.workflow_handle()).result(rpc_timeout=_TOO_LONG)
        return Timing(answer=answered - began, run=time.perf_counter() - began)

    def handle(self, name: str) -> WorkflowHandle[object, object]:
        return self._client.get_workflow_handle(name)


class Orders(Load):
    """Cancellations of orders over one captured card, without a parcel or in one that has its label."""

    def __init__(self, client: Client, shop: Shop, *, label: bool) -> None:
        self._client = client
        self._cancellations = Cancellations(client)
        self._shop = shop
        self._parcels = (parcel(Script.LABEL_ONLY, L1=1),) if label else ()
        self._numbers = count(1)
        self._orders: dict[str, SampleOrder] = {}

    async def prepare(self, count: int) -> list[str]:
        return await self._place(count, _ORDINARY)

    async def run(self, name: str) -> Timing:
        began = time.perf_counter()
        submission = await self._cancellations.start(request(self._orders[name]), wait=_TOO_LONG)
        answered = time.perf_counter()
        assert submission.decision
        result = await self._cancellations.result(name, wait=_TOO_LONG)
        assert result.outcome is Outcome.CANCELLED
        return Timing(answer=answered - began, run=time.perf_counter() - began)

    def handle(self, name: str) -> WorkflowHandle[object, object]:
        return self._client.get_workflow_handle(workflow_id(name))

    async def wait_for_approval(self, count: int) -> None:
        """Begin so many cancellations that wait for a second person."""
        free = asyncio.Semaphore(_PLACED_AT_ONCE)

        async def begin(name: str) -> None:
            async with free:
                submission = await self._cancellations.start(request(self._orders[name]), wait=_TOO_LONG)
                assert submission.decision
                assert submission.decision.verdict is Verdict.NEEDS_APPROVAL

        await asyncio.gather(*map(begin, await self._place(count, _ABOVE_THE_LIMIT)))

    async def _place(self, count: int, total: str) -> list[str]:
        free = asyncio.Semaphore(_PLACED_AT_ONCE)

        async def place_order() -> str:
            order = SampleOrder(
                order_id=str(next(self._numbers)),
                lines=(line("L1", 1, total),),
                tenders=(card(total),),
                parcels=self._parcels,
            )
            async with free:
                await self._shop.place_order(order)
            self._orders[order.order_id] = order
            return order.order_id

        return await asyncio.gather(*(place_order() for _ in range(count)))
