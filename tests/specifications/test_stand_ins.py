"""Each stand-in answers as its provider describes it, and each adapter calls it so."""

import httpx2
import pytest

from domain.errors import OutcomeUnknown, Refused
from domain.request import ReasonCode
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.events.easypost import EasyPostEvents
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.port import SaleLine
from sandbox.carrier.model import EASYPOST_KEY, FaultKind, Operation, Script, TrackerStatus
from sandbox.carrier_admin import CarrierAdmin
from sandbox.marketplace.model import SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin
from tests.fixtures.specifications import PROVIDERS, Traffic


def problems(traffic: Traffic) -> list[str]:
    return sorted({problem.partition(": ")[2] for problem in traffic.problems})


def operations(provider: str, *, but: str = "") -> set[tuple[str, str, str]]:
    """Those that it describes, but for one that nobody uses."""
    used = [one for one in PROVIDERS[provider].operations if one["path"] != but]
    return {(provider, one["method"], one["path"]) for one in used}


@pytest.fixture(autouse=True)
def nothing_recorded_yet(recorded_traffic: Traffic) -> None:
    recorded_traffic.problems.clear()


async def test_labels_tracking_and_events_are_as_easypost_answers(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, recorded_traffic: Traffic
) -> None:
    """F28"""
    for script in (Script.LABEL_ONLY, Script.DELIVERED, Script.LOST, Script.PAY_ON_USE):
        parcel = await carrier_sandbox.parcel(script)
        await labels.track(parcel.shipment_id)
        await labels.void(parcel.shipment_id)
        await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.IN_TRANSIT)
    old = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.break_(Operation.SHIPMENT_BUY, FaultKind.HTTP_500_AFTER_COMMIT)
    with pytest.raises(OutcomeUnknown):
        await labels.buy_again(old.shipment_id, key="key/1")
    await labels.buy_again(old.shipment_id, key="key/1")
    with pytest.raises(Refused):
        await labels.track("shp_nowhere")
    events = EasyPostEvents(EASYPOST_KEY, carrier_sandbox.easypost_url)

    async def known(_: str) -> bool:
        return False

    async for _ in events.since(await carrier_sandbox.now(), known):
        pass
    async with httpx2.AsyncClient(base_url=carrier_sandbox.easypost_url, auth=(EASYPOST_KEY, "")) as http:
        body = {"tracker": {"tracking_code": old.tracking_number}}
        tracker = (await http.post("/trackers", json=body)).json()["id"]
        await http.get(f"/trackers/{tracker}")
        event = (await http.get("/events", params={"page_size": 1})).json()["events"][0]["id"]
        await http.get(f"/events/{event}/payloads")
    assert "\n".join(problems(recorded_traffic)) == ""
    assert operations("easypost") <= recorded_traffic.seen


async def test_tokens_and_intercepts_are_as_ups_describes_them(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts, recorded_traffic: Traffic
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
    assert "\n".join(problems(recorded_traffic)) == ""
    assert operations("ups") <= recorded_traffic.seen


@pytest.mark.parametrize("charged", [True, False])
async def test_orders_refunds_and_cancelations_are_as_mirakl_describes_them(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, recorded_traffic: Traffic, charged: bool
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
    assert "\n".join(problems(recorded_traffic)) == ""
    unused = "/api/orders/cancel" if charged else "/api/orders/refund"
    assert operations("mirakl", but=unused) <= recorded_traffic.seen
