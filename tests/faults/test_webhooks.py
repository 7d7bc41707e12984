"""The gateway's real events of a cancellation, repeated, reordered, late, missing and forged: it always ends the same."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx2
import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from domain.outcome import Outcome, State
from domain.request import workflow_id
from domain.step import StepName
from runtime.plugin import TASK_QUEUE
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import SANDBOX_KEY
from tests import loss
from tests.faults.invariants import violations
from tests.faults.staff import Staff, place_order
from tests.faults.stories import STORIES, Story
from tests.faults.world import read_world
from tests.fixtures.api import STRIPE_SECRET, Api, environment, running_api
from tests.observing import eventually
from tests.system import System

pytestmark = pytest.mark.properties


class Delivery(StrEnum):
    GENUINE = "genuine"
    FORGED = "forged"
    """Signed with another secret."""
    CHANGED = "changed"
    """After it was signed."""
    STALE = "stale"
    """Signed a day ago: somebody has recorded it."""


@dataclass(frozen=True)
class Heard:
    system: System
    api: Api


@pytest.fixture
async def heard(real_time_system: System, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Heard]:
    """With an API to which only the test delivers."""
    system = real_time_system
    system.task_queue = TASK_QUEUE
    temporal = system.client.service_client.config.target_host
    async with running_api(tmp_path / "api.log", environment(temporal, sqlite_url)) as api, system.worker():
        yield Heard(system, api)


async def read_events(system: System, payment: str) -> list[str]:
    """Those of one payment, as they would be delivered, the oldest first."""
    async with httpx2.AsyncClient(base_url=system.shop.gateway.url) as http:
        answer = await http.get(
            "/v1/events", params={"limit": "100"}, headers={"Authorization": f"Bearer {SANDBOX_KEY}"}
        )
    events = answer.raise_for_status().json()["data"]
    return [json.dumps(event) for event in reversed(events) if payment in json.dumps(event)]


async def deliver(api: Api, body: str, how: Delivery) -> int:
    secret = "whsec_of_somebody_else" if how is Delivery.FORGED else STRIPE_SECRET
    signed_at = int(time.time()) - (24 * 3600 if how is Delivery.STALE else 0)
    signature = stripe.WebhookSignature.generate_signature_header(body, secret, signed_at)
    sent = body.replace("evt_", "evt_x") if how is Delivery.CHANGED else body
    answer = await api.http.post("/webhooks/stripe", content=sent.encode(), headers={"Stripe-Signature": signature})
    return answer.status_code


async def settled(system: System) -> tuple[Staff, str]:
    """A cancellation that waits for its first refund, which has settled without its knowing."""
    staff = await place_order(system, STORIES[Story.PENDING_REFUND])
    await staff.submit()
    await system.wait_for_state(staff.handle, State.WAITING_FOR_SETTLEMENT)
    [payment] = system.shop.payments[staff.watched.order.order_id]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.settle(refund.object_id)
    return staff, payment


_DELIVERIES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Delivery)), max_size=8)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_DELIVERIES, late=_DELIVERIES)
async def test_events_in_any_order_repeated_missing_and_forged_come_to_the_same_end(
    heard: Heard, before: list[tuple[int, Delivery]], late: list[tuple[int, Delivery]]
) -> None:
    """Where none was genuine, a person has the run look."""
    system = heard.system
    staff, payment = await settled(system)
    events = await read_events(system, payment)
    assert len(events) >= 3
    for number, how in before:
        status = await deliver(heard.api, events[number % len(events)], how)
        assert (status == 200) is (how is Delivery.GENUINE), (how, status)
    if not any(how is Delivery.GENUINE for _, how in before):
        assert await loss.status(system.client, staff.handle) is WorkflowExecutionStatus.RUNNING
        await system.retry(staff.handle, StepName.REVERSE_PAYMENT, "T1")
    await system.finish(staff.handle)
    for number, how in late:
        await deliver(heard.api, events[number % len(events)], how)

    async def rests() -> bool:
        handle = system.client.get_workflow_handle(workflow_id(staff.watched.order.order_id))
        return await loss.status(system.client, handle) is not WorkflowExecutionStatus.RUNNING

    await eventually(rests, "what a late event has started is over")
    world = await read_world(system, staff.watched)
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [Outcome.CANCELLED]
    assert world.given_back == 6400
