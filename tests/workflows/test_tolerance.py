"""What a run and its callers bear: signals of any form, words of another version, an error of its own beside others."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.converter import PayloadCodec
from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

from client.cancellations import Cancellations
from client.errors import StarterError
from domain.money import money
from domain.outcome import Outcome, State
from runtime.plugin import plugin
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.observing import eventually
from tests.system import System, customer_of
from tests.workflows.samples import an_id, captured

PENDING = "pm_card_pendingRefund"
SHORT = timedelta(seconds=3)
# A task that fails leaves behind what it had begun, and Python warns of that when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class OlderVersion(PayloadCodec):
    """Reads a word as one that it does not know: what an older worker or library meets while a newer one is at work."""

    def __init__(self, word: str) -> None:
        self._word = f':"{word}"'.encode()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        unknown = b':"a_word_of_tomorrow"'
        return [
            Payload(metadata=payload.metadata, data=payload.data.replace(self._word, unknown)) for payload in payloads
        ]


class Mistake(Interceptor):
    """A programming error in the run's own code: where it is about to stop the shipment `S2`."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        return _MistakenRun


class _MistakenRun(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_MistakenStep(outbound))


class _MistakenStep(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        if input.activity == "stop_shipment" and input.args[0].target == "S2":
            raise AttributeError("a mistake of ours")
        return super().start_activity(input)


def older_client(system: System, version: OlderVersion) -> Client:
    client = system.client
    converter = dataclasses.replace(client.data_converter, payload_codec=version)
    return Client(client.service_client, namespace=client.namespace, data_converter=converter)


def older_worker(system: System, version: OlderVersion) -> Worker:
    return system.worker(client=older_client(system, version), plugins=[plugin()])


# Two versions at once


async def test_a_word_of_a_newer_worker_waits_for_the_deploy(real_time_system: System) -> None:
    """M22, E18: an activity of a newer worker has answered; the money has moved."""
    system = real_time_system
    sample = captured()
    await system.shop.place_order(sample)
    async with older_worker(system, OlderVersion("succeeded")):
        handle = await system.start(request(sample), task_lasts=SHORT)

        async def read() -> bool:
            running = (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
            return not running or await system.has_failed_task(handle)

        await eventually(read, "the older worker has met the answer")
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert await system.outcomes(sample.order_id) == [None]
    async with system.worker():
        await asyncio.wait_for(system.end(handle), 60)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert (await system.read_order(sample.order_id)).held_by is None
    await system.assert_books_balance()


@pytest.mark.parametrize("word", ["waiting_for_settlement", "refund_pending"])
async def test_an_older_library_answers_for_a_newer_run(real_time_system: System, word: str) -> None:
    """E18: a state that the library does not know yet is said in a sentence, or as it is."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        library = Cancellations(older_client(system, OlderVersion(word)), task_queue=system.task_queue)
        with contextlib.suppress(StarterError):
            assert (await library.status(sample.order_id)).order_id == sample.order_id


# An error of our own, beside others


async def test_a_mistake_in_one_of_two_parallel_stops_is_seen_at_once(real_time_system: System) -> None:
    """M27: the first parcel's carrier is silent for days. After the deploy the customer withdraws, and both go on."""
    system = real_time_system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "64.00 USD"),),
        tenders=(card("64.00 USD"),),
        parcels=(parcel(Script.INTERCEPT_SILENT, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
    )
    await system.shop.place_order(sample)
    async with system.worker(more_interceptors=[Mistake()]):
        handle = await system.start(request(sample), task_lasts=SHORT)
        await eventually(lambda: system.has_failed_task(handle), "the mistake is seen", within=8)
    async with system.worker():
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.withdraw(handle, customer_of(sample))
        await asyncio.wait_for(system.end(handle), 60)
    stopped, undone = {"intercept.requested", "label.void_submitted"}, {"intercept.cancelled"}
    assert set(await system.carrier_effects(sample.order_id)) == stopped | undone
    order = await system.read_order(sample.order_id)
    assert order.held_by is None
    assert order.shipments[1].label_reference not in system.shop.labels[sample.order_id]
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]
    assert await system.refunds(sample.order_id) == []


# Signals


@pytest.mark.parametrize("about", ["shipment", "refund"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="none"),
        pytest.param(({"event_id": "a"}, {"event_id": "b"}), id="two"),
        pytest.param(("a text",), id="a text"),
        pytest.param(([1, {"event_id": None}],), id="a list"),
        pytest.param((None,), id="null"),
    ],
)
async def test_a_signal_of_any_form_does_no_harm(
    real_time_system: System, about: Literal["shipment", "refund"], arguments: tuple[object, ...]
) -> None:
    """M23: the run goes on, and hears the next signal."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.signal_by_hand(handle, about, *arguments)
        await system.shop.gateway.advance(timedelta(days=6).total_seconds())
        await system.wake(handle)

        async def ended() -> bool:
            return (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED

        await eventually(ended, "the run has ended", within=8)
    assert not await system.has_failed_task(handle)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    await system.assert_books_balance()
