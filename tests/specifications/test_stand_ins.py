"""Each stand-in answers as its provider describes it, and each adapter calls it so."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from domain.errors import OutcomeUnknown, Refused
from domain.money import money
from domain.request import ReasonCode
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.events.easypost import EasyPostEvents
from providers.events.stripe import StripeEvents
from providers.gateway.stripe import StripeGateway
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.port import SaleLine
from sandbox.carrier.model import EASYPOST_KEY, FaultKind, Operation, Script, TrackerStatus
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway.app import operations as gateway_operations
from sandbox.gateway.state import State
from sandbox.gateway_admin import SANDBOX_KEY, TestCard
from sandbox.marketplace.model import SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin
from tests.fixtures.gateway import GatewaySandbox
from tests.fixtures.specifications import report_of
from tests.specifications.specification import Specification

TOTAL = money("52.35 USD")


def operations(provider: str, *, but: str = "") -> set[tuple[str, ...]]:
    """Those that it describes, but for one that nobody uses."""
    used = [operation for operation in Specification(provider).operations if operation["path"] != but]
    return {(provider, operation["method"], operation["path"]) for operation in used}


def seen_as_described(stand_in: str) -> set[tuple[str, ...]]:
    report = report_of(stand_in)
    assert "\n".join(report.problems) == ""
    return report.seen


async def test_labels_tracking_and_events_are_as_easypost_answers(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """F28"""
    for script in (Script.LABEL_ONLY, Script.DELIVERED, Script.LOST, Script.PAY_ON_USE):
        parcel = await carrier_sandbox.parcel(script)
        await labels.track(parcel.shipment_id)
        await labels.void(parcel.shipment_id)
        await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.IN_TRANSIT)
    old = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_BUY, FaultKind.HTTP_500_AFTER_COMMIT)
    with pytest.raises(OutcomeUnknown):
        await labels.buy_again(old.shipment_id, key="key/1")
    await labels.buy_again(old.shipment_id, key="key/1")
    with pytest.raises(Refused):
        await labels.track("shp_nowhere")
    events = EasyPostEvents(EASYPOST_KEY, carrier_sandbox.easypost_url)
    async for _ in events.since(await carrier_sandbox.now(), _unknown):
        pass
    async with httpx2.AsyncClient(base_url=carrier_sandbox.easypost_url, auth=(EASYPOST_KEY, "")) as http:
        body = {"tracker": {"tracking_code": old.tracking_number}}
        tracker = (await http.post("/trackers", json=body)).json()["id"]
        await http.get(f"/trackers/{tracker}")
        event = (await http.get("/events", params={"page_size": 1})).json()["events"][0]["id"]
        await http.get(f"/events/{event}/payloads")
    assert operations("easypost") <= seen_as_described(carrier_sandbox.url)


async def test_tokens_and_intercepts_are_as_ups_describes_them(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts
) -> None:
    """F28"""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    declined = await carrier_sandbox.parcel(Script.INTERCEPT_DECLINED)
    await intercepts.request(parcel.tracking_number, key="key/1")
    await intercepts.cancel(parcel.tracking_number, key="key/2")
    assert not (await intercepts.request(declined.tracking_number, key="key/3")).accepted
    assert not (await intercepts.request("1Z9999999999999999", key="key/4")).accepted
    wrong = UpsIntercepts("somebody", "else", carrier_sandbox.ups_url)
    with pytest.raises(Refused):
        await wrong.active(parcel.tracking_number)
    await wrong.aclose()
    async with httpx2.AsyncClient(base_url=carrier_sandbox.ups_url) as http:
        headers = {"transId": "ABC", "platformType": "XOLT", "inquiryType": "U", "Content-Type": "application/json"}
        answer = await http.get(f"/eligibility/intercept/{parcel.tracking_number}", headers=headers)
        assert answer.status_code == 401
    assert operations("ups") <= seen_as_described(carrier_sandbox.url)


@pytest.mark.parametrize("charged", [True, False])
async def test_orders_refunds_and_cancelations_are_as_mirakl_describes_them(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool
) -> None:
    """F28"""
    order_id = f"M-described-{charged}"
    line = SoldLine(
        id=f"{order_id}-1", quantity=2, price=10000, shipping=800, tax=1900, commission=1080, fees={"CARD_FEE": 90}
    )
    line.fees["CARD_FEE"] = 90
    await marketplace_sandbox.sell(order_id, [line], charged=charged)
    for before in (0, 1):
        one = SaleLine(line_id=line.id, quantity=1, cancelled_before=before)
        await marketplace.cancel(order_id, [one], ReasonCode.OTHER, key=f"key/{before}")
    await marketplace_sandbox.settle(order_id)
    await marketplace.read_sale(order_id)
    unused = "/api/orders/cancel" if charged else "/api/orders/refund"
    assert operations("mirakl", but=unused) <= seen_as_described(marketplace_sandbox.url)


def _any_id(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_gateway_stand_in_has_no_call_that_stripe_has_not(tmp_path: Path) -> None:
    """F28"""
    state = State(tmp_path / "gateway.sqlite", settle_seconds=1, webhooks=False, seed=0)
    described = {(method, _any_id(path)) for _, method, path in operations("stripe")}
    assert {(operation.method, _any_id(operation.path)) for operation in gateway_operations(state)} == described


async def test_payments_refunds_disputes_and_events_are_as_stripe_describes_them(
    gateway_sandbox: GatewaySandbox, gateway: StripeGateway
) -> None:
    """F28"""
    admin, key = gateway_sandbox.admin, uuid4().hex
    reserved = await admin.create_payment(TOTAL, mandate=True)
    await gateway.void(await gateway.read_payment(reserved), key=f"{key}/void")
    await gateway.authorise_again(reserved, TOTAL, key=f"{key}/again")
    part = await admin.create_payment(money("106 USD"), capture=money("50 USD"))
    await gateway.void(await gateway.read_payment(part), key=f"{key}/rest")
    waiting = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:requires_action")
    made = (await gateway.refund(waiting, TOTAL, key=f"{key}/refund")).refund
    await gateway.read_refund(made.reference)
    await gateway.cancel_refund(made.reference, key=f"{key}/cancel")
    disputed = await admin.create_payment(TOTAL, TestCard.DISPUTED, capture=TOTAL)
    for _ in range(11):
        await admin.refund_elsewhere(part, money("0.01 USD"))
    for payment in (disputed, part):
        await gateway.read_payment(payment)
    events = StripeEvents(SANDBOX_KEY, gateway_sandbox.process.url)
    assert [event async for event in events.since(datetime.now(UTC) - timedelta(hours=1), _unknown)]
    await events.aclose()
    assert operations("stripe", but="/v1/charges/{charge}") <= seen_as_described(gateway_sandbox.process.url)


async def _unknown(_: str) -> bool:
    return False
