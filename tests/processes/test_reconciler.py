"""Events whose webhook never came: api.py finds them in the providers' lists, at stand-ins that deliver nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from domain.errors import Unavailable
from domain.money import money
from domain.outcome import Outcome, State
from providers.books.tables import WebhookEventRow
from providers.events.easypost import EasyPostEvents
from providers.events.port import EventSource
from providers.events.stripe import StripeEvents
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox.carrier.model import EASYPOST_KEY, EventKind, Script, TrackerStatus
from sandbox.carrier_admin import CarrierAdmin, carrier_process
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.serving import Process
from sandbox.shop import request
from tests.fixtures.api import Api, ApiSystem, environment, running_api, system_at_work
from tests.fixtures.databases import Databases
from tests.fixtures.gateway import GatewaySandbox, gateway_process
from tests.fixtures.mail import Mailbox
from tests.fixtures.specifications import watched
from tests.fixtures.temporal import start_dev_server
from tests.processes.events import signals, waiting_for_settlement, was_delivered
from tests.system import Handle, System, eventually
from tests.workflows.samples import in_network

MORE_THAN_A_PAGE = 101


@dataclass(frozen=True)
class QuietSystem:
    """Everything but the API. The gateway sends no events, and the carrier's are refused where it sends them."""

    system: System
    gateway: Process
    env: dict[str, str]


def reconciling(env: dict[str, str], gateway_url: str, easypost_url: str) -> dict[str, str]:
    return {
        **env,
        "STRIPE_API_KEY": SANDBOX_KEY,
        "STRIPE_BASE_URL": gateway_url,
        "EASYPOST_API_KEY": EASYPOST_KEY,
        "EASYPOST_BASE_URL": easypost_url,
        "RECONCILE_EVERY": "PT0.2S",
    }


@pytest.fixture(scope="module")
async def quiet(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, marketplace: MiraklMarketplace, mailbox: Mailbox
) -> AsyncIterator[QuietSystem]:
    folder = tmp_path_factory.mktemp("quiet")
    database_url = await databases.sqlite(folder / "books.db")
    async with await start_dev_server() as server:
        gateway = gateway_process(tmp_path_factory, "--settle-seconds", "432000").start()
        carrier = watched(
            carrier_process(folder, webhook_url=f"{gateway.url}/sandbox/nobody-knows-this", scan_seconds=3600)
        ).start()
        try:
            async with system_at_work(
                server, database_url, gateway.url, carrier.url, marketplace, mailer=mailbox.mailer()
            ) as system:
                env = environment(server.client.service_client.config.target_host, database_url)
                yield QuietSystem(system, gateway, reconciling(env, gateway.url, system.shop.carrier.easypost_url))
        finally:
            gateway.stop()
            carrier.stop()


@asynccontextmanager
async def looking(quiet: QuietSystem, folder: Path, **env: str) -> AsyncIterator[Api]:
    async with running_api(folder / "api.log", {**quiet.env, **env}) as api:
        yield api


async def logged(api: Api, event: str, **fields: Any) -> dict[str, Any]:
    """The first line of the log like this."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found.extend(line for line in api.lines() if line["event"] == event and fields.items() <= line.items())
        return bool(found)

    await eventually(there, f"{event} {fields} is in the log")
    return found[0]


async def rows_of(engine: AsyncEngine, subject: str) -> list[WebhookEventRow]:
    """Kept events about a refund or a parcel."""
    async with AsyncSession(engine) as session:
        return [*(await session.scalars(select(WebhookEventRow).where(WebhookEventRow.subject == subject)))]


async def waiting_for_return(system: System) -> tuple[Handle, str]:
    """A run whose parcel is to be returned: with the label."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    return handle, system.shop.labels[sample.order_id][0]


async def test_a_refund_that_settled_without_a_webhook_ends_the_wait(quiet: QuietSystem, tmp_path: Path) -> None:
    """B22: each of its events is delivered once, however often the list is looked through."""
    system = quiet.system
    _, handle, _, refund = await waiting_for_settlement(system)
    await system.shop.gateway.settle(refund)
    async with looking(quiet, tmp_path) as api:
        result = await handle.result()
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("52.35 USD"))
        await logged(api, "events_reconciled", provider="stripe", found=0)
    signalled = await signals(handle)
    assert signalled
    assert sorted(set(signalled)) == sorted(signalled)


async def test_a_return_scan_whose_webhook_was_refused_ends_the_wait(quiet: QuietSystem, tmp_path: Path) -> None:
    """C6"""
    handle, label = await waiting_for_return(quiet.system)
    await quiet.system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    async with looking(quiet, tmp_path):
        assert (await handle.result()).outcome is Outcome.CANCELLED


async def test_an_event_while_it_looks_is_found_at_a_later_turn(quiet: QuietSystem, tmp_path: Path) -> None:
    """B22, C6"""
    system = quiet.system
    _, refunded, _, refund = await waiting_for_settlement(system)
    stopped, label = await waiting_for_return(system)
    async with looking(quiet, tmp_path) as api:
        for provider in ("stripe", "easypost"):
            await logged(api, "events_reconciled", provider=provider, found=0)
        await system.shop.gateway.settle(refund)
        await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
        for handle in (refunded, stopped):
            assert (await handle.result()).outcome is Outcome.CANCELLED


async def test_an_event_that_came_by_webhook_is_not_delivered_again(api_system: ApiSystem, tmp_path: Path) -> None:
    system = api_system.system
    sample, handle, _, refund = await waiting_for_settlement(system)

    async def came() -> bool:
        return bool(await rows_of(system.engine, refund))

    await eventually(came, "the webhook has come")
    (row,) = await rows_of(system.engine, refund)
    await was_delivered(system.engine, row.event_id)
    env = environment(api_system.temporal, api_system.database_url)
    env = reconciling(env, system.shop.gateway.url, system.shop.carrier.easypost_url)
    async with running_api(tmp_path / "api.log", env) as api:
        await logged(api, "events_reconciled", provider="stripe")
        await logged(api, "events_reconciled", provider="easypost")
        assert row.event_id not in {line["event_id"] for line in api.lines() if line["event"] == "event_found"}
    (after,) = await rows_of(system.engine, refund)
    assert after.attempts == 1
    assert (await signals(handle)).count(row.event_id) == 1
    await handle.terminate(f"the test of order {sample.order_id} is over")


async def test_events_about_nothing_of_ours_are_kept_and_not_delivered(quiet: QuietSystem, tmp_path: Path) -> None:
    shop = quiet.system.shop
    total = money("20.00 USD")
    refund = await shop.gateway.refund_elsewhere(await shop.gateway.create_payment(total, capture=total), total)
    parcel = await shop.carrier.parcel(Script.IN_NETWORK)
    await shop.carrier.scan(parcel.shipment_id, TrackerStatus.OUT_FOR_DELIVERY)
    async with looking(quiet, tmp_path) as api:
        for subject in (refund, parcel.tracking_number):

            async def found(subject: str = subject) -> bool:
                return bool(await rows_of(quiet.system.engine, subject))

            await eventually(found, f"the event about {subject} is kept")
            (row,) = await rows_of(quiet.system.engine, subject)
            assert (row.order_id, row.delivered_at) == (None, None)
            assert (await logged(api, "event_found", event_id=row.event_id))["status"] == "unmatched"


async def test_the_oldest_of_more_refund_events_than_a_page_holds_is_found(quiet: QuietSystem, tmp_path: Path) -> None:
    system = quiet.system
    _, handle, _, refund = await waiting_for_settlement(system)
    await system.shop.gateway.settle(refund)
    total = money("20.00 USD")
    other = await system.shop.gateway.create_payment(total, capture=total)
    for _ in range(MORE_THAN_A_PAGE // 2 + 1):  # two events each
        await system.shop.gateway.refund_elsewhere(other, money("0.01 USD"))
    async with looking(quiet, tmp_path) as api:
        assert (await handle.result()).outcome is Outcome.CANCELLED
        assert (await logged(api, "events_reconciled", provider="stripe"))["found"] > MORE_THAN_A_PAGE


async def test_the_oldest_of_more_scans_than_a_page_holds_is_found(quiet: QuietSystem, tmp_path: Path) -> None:
    system = quiet.system
    handle, label = await waiting_for_return(system)
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    other = await system.shop.carrier.parcel(Script.IN_NETWORK)
    for _ in range(MORE_THAN_A_PAGE):
        await system.shop.carrier.scan(other.shipment_id, TrackerStatus.IN_TRANSIT)
    async with looking(quiet, tmp_path):
        assert (await handle.result()).outcome is Outcome.CANCELLED

        async def all_found() -> bool:
            return len(await rows_of(system.engine, other.tracking_number)) == MORE_THAN_A_PAGE

        await eventually(all_found, "every scan is kept")


async def test_a_provider_that_is_down_is_asked_again_and_holds_no_other_up(quiet: QuietSystem, tmp_path: Path) -> None:
    system = quiet.system
    _, refunded, _, refund = await waiting_for_settlement(system)
    stopped, label = await waiting_for_return(system)
    await system.shop.gateway.settle(refund)
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    quiet.gateway.kill()
    try:
        async with looking(quiet, tmp_path) as api:
            away = await logged(api, "events_not_listed", provider="stripe")
            assert (away["level"], away["code"]) == ("warning", "unavailable")
            await logged(api, "event_delivered", provider="easypost")
            again_at_the_same_address(quiet.gateway)
            for handle in (refunded, stopped):
                assert (await handle.result()).outcome is Outcome.CANCELLED
            assert api.process.running
    finally:
        if not quiet.gateway.running:
            again_at_the_same_address(quiet.gateway)


def again_at_the_same_address(process: Process) -> None:
    process.argv = [*process.argv, "--port", process.url.rpartition(":")[2]]
    process.start()


async def test_a_key_that_is_not_accepted_is_a_warning_without_the_key(quiet: QuietSystem, tmp_path: Path) -> None:
    """I8: and everything else goes on."""
    wrong = {"STRIPE_API_KEY": "sk_live_canary", "EASYPOST_API_KEY": "EZAK-canary"}
    async with looking(quiet, tmp_path, **wrong) as api:
        for provider, name in (("stripe", "STRIPE_API_KEY"), ("easypost", "EASYPOST_API_KEY")):
            line = await logged(api, "events_not_listed", provider=provider)
            assert line["code"] == "provider_rejected_credentials"
            assert name in line["error"]
        assert (await api.http.get("/ready")).status_code == 200
        assert "canary" not in api.process.log.read_text()
    assert api.lines()[-1]["event"] == "api_stopped"


async def test_what_cannot_be_reconciled_is_said_once(quiet: QuietSystem, tmp_path: Path) -> None:
    """No key; and at EasyPost no webhook, without which it does not say what its events are about."""
    async with looking(quiet, tmp_path, STRIPE_API_KEY="", EASYPOST_WEBHOOK_SECRETS="") as api:
        assert (await api.http.get("/ready")).status_code == 200
        said = {line["provider"]: line["reason"] for line in api.lines() if line["event"] == "events_not_reconciled"}
        assert said["stripe"] == "STRIPE_API_KEY is not set"
        assert said["easypost"].startswith("EASYPOST_WEBHOOK_SECRETS is not set")
    ours = [line["event"] for line in api.lines() if line["event"].startswith("events_")]
    assert ours == ["events_not_reconciled"] * 2


async def unknown(_: str) -> bool:
    return False


async def test_an_event_of_the_carrier_that_was_not_sent_anywhere_is_left_out(carrier_sandbox: CarrierAdmin) -> None:
    """EasyPost lists it and does not say what it is about; kept like that, its webhook would be a repetition."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.RETURN_TO_SENDER)
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {EASYPOST_KEY}"}) as http:
        listed = (await http.get(f"{carrier_sandbox.easypost_url}/events")).json()["events"]
    assert listed[0]["description"] == EventKind.TRACKER_UPDATED
    assert "result" not in listed[0]
    source = EasyPostEvents(EASYPOST_KEY, carrier_sandbox.easypost_url)
    ago = datetime.now(UTC) - timedelta(hours=1)
    assert [event async for event in source.since(ago, unknown)] == []
    await source.aclose()


@pytest.mark.parametrize("path", ["/sandbox/nothing/here", "/sandbox/health?"])
@pytest.mark.parametrize("kind", [StripeEvents, EasyPostEvents])
async def test_an_address_where_something_else_answers_is_no_usable_answer(
    gateway_sandbox: GatewaySandbox, kind: type[StripeEvents] | type[EasyPostEvents], path: str
) -> None:
    """Not found, and JSON of another kind."""
    source: EventSource = kind("sk_test_key", gateway_sandbox.process.url + path)
    with pytest.raises(Unavailable):
        await anext(source.since(datetime.now(UTC), unknown))
    await source.aclose()
