"""The providers' events at api.py: delivered by the stand-ins, and sent by hand where they are to be wrong."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import stripe
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from domain.keys import EffectKey
from domain.messages import RetryStep
from domain.money import money
from domain.outcome import GoodsStatus, Outcome, State
from domain.request import LineScope, workflow_id
from domain.step import StepName
from domain.terms import RefundMethod
from providers.books.inbox import SqlInbox
from providers.books.tables import WebhookEventRow
from providers.database.engine import open_engine
from providers.events.stripe import StripeEventKind
from providers.gateway.stripe_objects import KEY
from providers.inbox.port import Provider, ProviderEvent
from sandbox import built_in
from sandbox.carrier.model import WEBHOOK_SECRET, EventKind, Script, TrackerStatus
from sandbox.carrier.webhooks import sign
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import NEXT_STRIPE_SECRET, STRIPE_SECRET, Api, ApiSystem, environment, running_api
from tests.fixtures.databases import Databases
from tests.processes.events import holding, kept, signals, waiting_for_settlement, was_delivered
from tests.providers import merchant as samples
from tests.system import SUPERVISOR, Handle, System, customer_of, eventually, resolve
from tests.workflows.samples import an_id, captured, in_network
from workflows.cancellation import CancellationWorkflow

STRIPE = "/webhooks/stripe"
EASYPOST = "/webhooks/easypost"


def event(kind: str, payment: str, **more: Any) -> dict[str, Any]:
    """As Stripe sends it, as far as anybody reads it; a refund is one of ours."""
    name = {"refund": "refund", "charge": "charge"}[kind.partition(".")[0]]
    ours = {KEY: str(EffectKey("can-1", StepName.REVERSE_PAYMENT, "T1"))}
    subject = {"id": f"{name}_{uuid4().hex}", "object": name, "payment_intent": payment, "metadata": ours}
    return {"id": f"evt_{uuid4().hex}", "object": "event", "type": kind, "data": {"object": {**subject, **more}}}


async def send(
    api: Api, sent: dict[str, Any] | bytes, *, secret: str = STRIPE_SECRET, age: float = 0
) -> httpx2.Response:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    made_at = int(time.time() - age)
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, made_at)
    return await api.http.post(STRIPE, content=body, headers={"Stripe-Signature": header})


# Delivered by the stand-ins, repeated and out of order as they do


async def test_the_gateways_event_ends_the_wait_for_the_settlement(api_system: ApiSystem) -> None:
    """B22: the run looks by itself only every six hours."""
    system = api_system.system
    _, handle, _, refund = await waiting_for_settlement(system)
    await system.shop.gateway.settle(refund)
    result = await handle.result()
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("52.35 USD"))
    assert await signals(handle)


async def test_the_gateways_event_tells_that_a_refund_has_failed(api_system: ApiSystem) -> None:
    """B23: it needs a person then."""
    system = api_system.system
    _, handle, _, refund = await waiting_for_settlement(system)
    await system.shop.gateway.fail(refund)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await handle.terminate("the test is over")


async def test_the_carriers_event_ends_the_wait_for_the_return_scan(api_system: ApiSystem) -> None:
    """C6: the run looks by itself only every two hours."""
    system = api_system.system
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    assert (await handle.result()).outcome is Outcome.CANCELLED


# After the end


def latest(system: System, order_id: str) -> Handle:
    return system.client.get_workflow_handle_for(CancellationWorkflow.run, workflow_id(order_id))


async def test_a_refund_that_fails_after_the_end_is_heard_of_and_the_cancellation_opened_again(
    api_system: ApiSystem,
) -> None:
    """B23: succeeded became failed; a person makes it again, and it settles."""
    system = api_system.system
    sample = captured()
    await system.shop.place_order(sample)
    ended = await system.cancel(request(sample))
    payment = system.shop.payments[sample.order_id][0]
    [made] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(made.object_id)
    handle = latest(system, sample.order_id)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.cancellation_id == ended.cancellation_id
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    result = await handle.result()
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert len(await system.refunds(sample.order_id)) == 2  # the first of which has failed


async def test_a_refund_of_others_besides_store_credit_is_heard_of_after_the_end(api_system: ApiSystem) -> None:
    """I11: an agent gets the card's refund through in the gateway's dashboard."""
    system = api_system.system
    sample = captured(fault="refund.create:refuse", parcels=())
    await system.shop.place_order(sample)
    _, first = await system.submit(request(sample))
    await system.wait_for_state(first, State.NEEDS_ATTENTION)
    await system.choose(first, customer_of(sample), RefundMethod.STORE_CREDIT)
    await first.result()
    await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("64.00 USD"))
    again = latest(system, sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert "64.00 USD more than is due" in progress.waits[0].reason
    await again.terminate("the test is over")


async def test_a_dispute_that_is_lost_after_the_end_is_heard_of(api_system: ApiSystem) -> None:
    """I11: the customer has the refund already, and the bank pays them once more."""
    system = api_system.system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    await system.shop.gateway.dispute(payment, "lost")
    again = latest(system, sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert "64.00 USD more than is due" in progress.waits[0].reason
    await again.terminate("the test is over")


async def test_a_dispute_that_is_won_after_the_end_is_heard_of_where_it_was_named_as_the_proof(
    api_system: ApiSystem,
) -> None:
    """B27, I1: the customer has nothing."""
    system = api_system.system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    [number] = (await system.gateway.read_payment(payment)).open_disputes
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", number))
    await system.finish(handle)
    await system.shop.gateway.dispute(payment, "won")
    again = latest(system, sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert f"Dispute {number}" in progress.waits[0].reason
    await again.terminate("the test is over")


async def test_what_is_captured_after_the_end_although_it_was_not_to_be_is_heard_of(api_system: ApiSystem) -> None:
    """E29, I1: 20.00 of 60.00 that are reserved were not to be captured."""
    system = api_system.system
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD", "0.00 USD"),))
    await system.shop.place_order(sample)
    await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.shop.gateway.capture(system.shop.payments[sample.order_id][0], money("60.00 USD"), final=True)
    again = latest(system, sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert "20.00 USD of tender T1" in progress.waits[0].reason
    await again.terminate("the test is over")


async def test_a_parcel_that_travels_after_the_end_is_heard_of_and_returned(api_system: ApiSystem) -> None:
    """C4: its label was voided and used all the same."""
    system = api_system.system
    sample = captured()
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.scan(label, TrackerStatus.IN_TRANSIT)
    handle = latest(system, sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    assert (await handle.result()).goods is GoodsStatus.COMING_BACK
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_refund_that_fails_while_its_order_cannot_be_closed_is_looked_at_after_the_end(
    api_system: ApiSystem,
) -> None:
    """B23, D6: the run waits for a person and has looked at its refunds for the last time."""
    system = api_system.system
    sample = captured()
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the accounting period is closed")
    _, first = await system.submit(request(sample))
    await system.wait_for_state(first, State.NEEDS_ATTENTION)
    [made] = await system.shop.gateway.effects(system.shop.payments[sample.order_id][0], EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(made.object_id)

    async def kept_for_later() -> bool:
        about = [row for row in await _rows(system.engine) if row.subject == made.object_id and row.may_undo_outcome]
        later = datetime.now(UTC) + timedelta(minutes=2)
        return bool(about) and all(row.delivered_at is None and row.due_at > later for row in about)

    await eventually(kept_for_later, "the event is kept until the end")
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.retry(first, StepName.CLOSE_ORDER, sample.order_id)
    await first.result()
    async with AsyncSession(system.engine) as session:
        await session.execute(update(WebhookEventRow).values(due_at=datetime.now(UTC)))
        await session.commit()
    again = latest(system, sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert f"Refund {made.object_id} of 64.00 USD to tender T1" in progress.waits[0].reason
    await again.terminate("the test is over")


# Sent by hand


@pytest.mark.parametrize(
    "order",
    list(
        permutations([StripeEventKind.REFUND_CREATED, StripeEventKind.REFUND_UPDATED, StripeEventKind.CHARGE_REFUNDED])
    ),
)
async def test_events_in_any_order_and_repeated_come_to_the_same_end(
    api: Api, api_system: ApiSystem, order: tuple[str, ...]
) -> None:
    """They only wake the run up: before the money has settled they change nothing."""
    system = api_system.system
    _, handle, payment, refund = await waiting_for_settlement(system)
    events = [event(kind, payment, status="succeeded") for kind in order]
    for posted in (*events, *reversed(events)):
        assert (await send(api, posted)).status_code == 200
    for posted in events:
        await was_delivered(system.engine, posted["id"])
    assert (await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)).steps
    await system.shop.gateway.settle(refund)
    for posted in reversed(events):
        assert (await send(api, posted)).json()["status"] == "repeated"
    result = await handle.result()
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("52.35 USD"))
    assert await system.refunds(result.order_id) == [money("52.35 USD")]


async def test_an_event_that_comes_twice_is_delivered_once(api: Api, api_system: ApiSystem) -> None:
    """Ten at the same time, and again."""
    system = api_system.system
    _, handle, payment, refund = await waiting_for_settlement(system)
    mine = event(StripeEventKind.REFUND_UPDATED, payment)
    answers = await asyncio.gather(*(send(api, mine) for _ in range(10)))
    assert sorted(answer.json()["status"] for answer in answers) == ["accepted", *["repeated"] * 9]
    await was_delivered(system.engine, mine["id"])
    assert (await send(api, mine)).json()["status"] == "repeated"
    await system.shop.gateway.settle(refund)
    await handle.result()
    assert (await signals(handle)).count(mine["id"]) == 1


async def test_a_forged_a_changed_and_a_stale_event_are_refused_and_not_kept(api: Api, api_system: ApiSystem) -> None:
    mine = event(StripeEventKind.REFUND_UPDATED, "pi_1")
    body = json.dumps(mine)
    good = stripe.WebhookSignature.generate_signature_header(body, STRIPE_SECRET)
    answers = [
        await send(api, mine, secret="whsec_wrong"),
        await send(api, mine, age=301),
        await api.http.post(STRIPE, content=body.replace("pi_1", "pi_2"), headers={"Stripe-Signature": good}),
        await api.http.post(STRIPE, content=body),
        await api.http.post(STRIPE, content=body, headers={"Stripe-Signature": "t=,v1"}),
        await api.http.post(STRIPE, content=body, headers={b"Stripe-Signature": "t=1,v1=ä".encode()}),
        await api.http.post(STRIPE, content=b"\xff", headers={"Stripe-Signature": good}),
        await api.http.post(EASYPOST, content=body, headers={"X-Hmac-Signature": sign(body.encode(), "wrong")}),
        await api.http.post(EASYPOST, content=body, headers={b"X-Hmac-Signature": "ä".encode()}),
        await api.http.post(EASYPOST, content=body),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:order-cancellation:signature_invalid"
        assert STRIPE_SECRET not in answer.text
    assert await kept(api_system.system.engine, mine["id"]) is None


async def test_while_a_secret_is_replaced_both_are_good(api: Api) -> None:
    for secret in (STRIPE_SECRET, NEXT_STRIPE_SECRET):
        assert (await send(api, event(StripeEventKind.REFUND_UPDATED, "pi_unknown"), secret=secret)).status_code == 200


async def test_events_about_nothing_of_ours_are_taken_and_remembered(api: Api, api_system: ApiSystem) -> None:
    """An unknown payment, an unknown kind about a payment that we know, an unknown parcel."""
    system = api_system.system
    sample = captured()
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    unknown_payment = event(StripeEventKind.REFUND_UPDATED, "pi_unknown")
    unknown_kind = event("charge.updated", system.shop.payments[sample.order_id][0])
    for posted in (unknown_payment, unknown_kind):
        assert (await send(api, posted)).json() == {"event_id": posted["id"], "status": "unmatched"}
    parcel = {
        "id": f"evt_{uuid4().hex}",
        "description": EventKind.TRACKER_UPDATED,
        "result": {"shipment_id": "shp_unknown", "tracking_code": None},
    }
    body = json.dumps(parcel).encode()
    answer = await api.http.post(EASYPOST, content=body, headers={"X-Hmac-Signature": sign(body, WEBHOOK_SECRET)})
    assert answer.json() == {"event_id": parcel["id"], "status": "unmatched"}
    for posted in (unknown_payment, unknown_kind, parcel):
        row = await kept(system.engine, str(posted["id"]))
        assert row is not None
        assert (row.order_id, row.delivered_at) == (None, None)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"id": "evt_1"}', b'{"id": "", "type": "x", "data": {"object": {}}}'])
async def test_a_signed_body_that_is_no_event_is_refused(api: Api, body: bytes) -> None:
    answer = await send(api, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:order-cancellation:not_an_event")


async def test_an_event_of_an_order_without_a_run_has_nobody_to_go_to(api: Api, api_system: ApiSystem) -> None:
    """Ended. Of an order that nobody has asked to cancel it is about nothing, and is never delivered."""
    system = api_system.system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    early = event(StripeEventKind.REFUND_UPDATED, payment)
    assert (await send(api, early)).json()["status"] == "unmatched"
    await system.cancel(request(sample))
    late = event(StripeEventKind.REFUND_UPDATED, payment)
    assert (await send(api, late)).json()["status"] == "accepted"
    await was_delivered(system.engine, late["id"])
    delivered, undelivered = await kept(system.engine, late["id"]), await kept(system.engine, early["id"])
    assert delivered is not None
    assert delivered.attempts == 1
    assert undelivered is not None
    assert (undelivered.attempts, undelivered.delivered_at) == (0, None)


async def test_an_event_that_came_while_temporal_was_away_is_delivered_afterwards(
    api_system: ApiSystem, databases: Databases, tmp_path: Path
) -> None:
    """By another process of the API, out of the same inbox."""
    system = api_system.system
    sample, handle, payment, _ = await waiting_for_settlement(system)
    url = await databases.sqlite(tmp_path / "books.db")
    engine = open_engine(url)
    try:
        paid = samples.CARD.model_copy(update={"reference": payment})
        await holding(engine, samples.order(sample.order_id, tenders=(paid,)))
        mine = event(StripeEventKind.REFUND_UPDATED, payment)
        async with running_api(tmp_path / "away.log", environment("127.0.0.1:9", url)) as api:
            assert (await send(api, mine)).json()["status"] == "accepted"

            async def delayed() -> bool:
                return any(line["event"] == "event_delayed" for line in api.lines())

            await eventually(delayed, "delivering it was tried")
        row = await kept(engine, mine["id"])
        assert row is not None
        assert row.delivered_at is None
        async with running_api(tmp_path / "back.log", environment(api_system.temporal, url)):
            await was_delivered(engine, mine["id"])
        assert (await signals(handle)).count(mine["id"]) == 1
    finally:
        await engine.dispose()
    await handle.terminate("the test is over")


async def test_an_event_that_could_not_be_delivered_for_long_is_kept_and_tried_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    """M29: only a person gives it up."""
    engine = open_engine(sqlite_url)
    try:
        await holding(engine, samples.order())
        mine = ProviderEvent(
            provider=Provider.STRIPE, event_id="evt_1", kind=StripeEventKind.REFUND_UPDATED, payment="pi_1"
        )
        await SqlInbox(engine).receive(mine)
        async with AsyncSession(engine) as session:
            await session.execute(update(WebhookEventRow).values(attempts=40))
            await session.commit()
        async with running_api(tmp_path / "api.log", environment("127.0.0.1:9", sqlite_url)) as api:

            async def tried() -> bool:
                return any(line["event"] == "event_delayed" for line in api.lines())

            await eventually(tried, "it is tried")
        inbox = SqlInbox(engine)
        await inbox.forget_before(datetime.now(UTC) + timedelta(days=30))
        [due] = await inbox.claim_due(datetime.now(UTC) + timedelta(minutes=6), 10)
        assert due.event_id == "evt_1"
    finally:
        await engine.dispose()


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_fault_of_ours_is_a_problem_without_internals_and_its_log_without_the_data(
    sqlite_url: str, tmp_path: Path, form: str
) -> None:
    """I8: a table is missing. The provider sends the event again."""
    engine = open_engine(sqlite_url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE watched"))
    await engine.dispose()
    env = {**environment("127.0.0.1:9", sqlite_url), "LOG_FORMAT": form}
    async with running_api(tmp_path / "api.log", env) as api:
        answer = await send(api, event(StripeEventKind.REFUND_UPDATED, "pi_canary"))
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:order-cancellation:internal_error")
        assert "watched" not in answer.text

        async def logged() -> bool:
            return "no such table" in api.process.log.read_text()

        await eventually(logged, "the fault is in the log")
        for secret in ("pi_canary", STRIPE_SECRET):
            assert secret not in api.process.log.read_text()


async def _rows(engine: AsyncEngine) -> list[WebhookEventRow]:
    async with AsyncSession(engine) as session:
        return [*(await session.scalars(select(WebhookEventRow)))]
