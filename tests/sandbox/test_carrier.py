"""The carrier stand-in itself: what the tests of everything else rely on."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from easypost.util import validate_webhook

from domain.errors import OutcomeUnknown, Unavailable
from domain.shipment import GoodsGroup, LabelStatus
from providers.carrier.easypost import EasyPostLabels, reference_for
from providers.carrier.ups import UpsIntercepts
from sandbox.carrier.model import (
    EASYPOST_KEY,
    UPS_CLIENT_ID,
    UPS_CLIENT_SECRET,
    WEBHOOK_SECRET,
    EventKind,
    FaultKind,
    Operation,
    Script,
    TrackerStatus,
)
from sandbox.carrier_admin import CarrierAdmin, carrier_process

UPS_HEADERS = {
    "transId": "0a1b9c2d8e3f43",
    "platformType": "XOLT",
    "inquiryType": "U",
    "Content-Type": "application/json",
}
RETURN = {
    "requestType": "RS",
    "requesterContactInfo": {"name": "Shipping", "telephone": "+10000000000"},
    "reasonForReturn": "AM",
    "specialInstructions": None,
}


@pytest.fixture(scope="module")
async def ups(carrier_sandbox: CarrierAdmin) -> AsyncIterator[httpx2.AsyncClient]:
    """A bare client with a valid token and every header UPS asks for."""
    async with httpx2.AsyncClient(base_url=carrier_sandbox.ups_url) as http:
        answer = await http.post(
            "/security/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(UPS_CLIENT_ID, UPS_CLIENT_SECRET),
        )
        http.headers.update({**UPS_HEADERS, "Authorization": f"Bearer {answer.json()['access_token']}"})
        yield http


async def test_tracking_numbers_are_valid_1z_numbers(carrier_sandbox: CarrierAdmin) -> None:
    """By UPS's check digit: letters count as their place in the alphabet plus 1, every second digit double."""
    for _ in range(12):
        number = (await carrier_sandbox.parcel(Script.LABEL_ONLY)).tracking_number
        assert re.fullmatch(r"1Z[A-Z0-9]{16}", number)
        digits = [int(char) if char.isdigit() else (ord(char) - ord("A") + 2) % 10 for char in number[2:17]]
        weighed = sum(digit * weight for digit, weight in zip(digits, itertools.cycle((1, 2)), strict=False))
        assert (weighed + int(number[17])) % 10 == 0


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("transId", "ab"),
        ("transId", "longer-than-14-characters"),
        ("platformType", "WEB"),
        ("inquiryType", "C"),
        ("Content-Type", "text/plain"),
    ],
)
async def test_ups_insists_on_its_headers(
    carrier_sandbox: CarrierAdmin, ups: httpx2.AsyncClient, header: str, value: str
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    answer = await ups.get(f"/eligibility/intercept/{parcel.tracking_number}", headers={header: value})
    assert answer.status_code == 400
    assert answer.json()["response"]["errors"][0]["code"] == "710"


@pytest.mark.parametrize(
    "wrong",
    [
        {"unexpected": True},
        {"reasonForReturn": "ZZ"},
        {"requesterContactInfo": {"name": "Shipping"}},
        {"requesterContactInfo": {"name": "Shipping", "telephone": "0800 1234"}},
        {"specialInstructions": ""},
        {"requestType": "AA"},
    ],
)
async def test_ups_insists_on_its_body(
    carrier_sandbox: CarrierAdmin, ups: httpx2.AsyncClient, wrong: dict[str, Any]
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    answer = await ups.post(f"/return/{parcel.tracking_number}", content=json.dumps({**RETURN, **wrong}))
    assert answer.status_code == 400
    assert answer.json()["response"]["errors"][0]["code"] == "710"


async def test_special_instructions_must_be_there_even_as_null(
    carrier_sandbox: CarrierAdmin, ups: httpx2.AsyncClient
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    without = {name: value for name, value in RETURN.items() if name != "specialInstructions"}
    assert (await ups.post(f"/return/{parcel.tracking_number}", content=json.dumps(without))).status_code == 400
    assert (await ups.post(f"/return/{parcel.tracking_number}", content=json.dumps(RETURN))).json()["success"] is True


async def test_ups_wants_a_1z_number_and_a_token(ups: httpx2.AsyncClient) -> None:
    assert (await ups.get("/eligibility/intercept/9405500207552011812764")).status_code == 400
    answer = await ups.get("/eligibility/intercept/1Z9999999999999999", headers={"Authorization": "Bearer other"})
    assert answer.status_code == 401


async def test_a_drop_is_a_closed_socket(carrier_sandbox: CarrierAdmin, ups: httpx2.AsyncClient) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.add_fault(
        Operation.INTERCEPT_ELIGIBILITY, FaultKind.DROP_BEFORE_COMMIT, parcel=parcel.shipment_id
    )
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await ups.get(f"/eligibility/intercept/{parcel.tracking_number}")


async def test_a_fault_is_for_its_parcel_and_can_be_taken_back(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    broken = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    other = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_READ, FaultKind.HTTP_500, times=1000, parcel=broken.shipment_id)
    with pytest.raises(Unavailable):
        await labels.track(broken.shipment_id)
    await labels.track(other.shipment_id)
    await carrier_sandbox.clear_faults()
    assert (await labels.track(broken.shipment_id)).label is LabelStatus.ACTIVE


async def test_a_fault_begins_after_some_calls_and_is_taken_back(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    label = (await carrier_sandbox.parcel(Script.LABEL_ONLY)).shipment_id
    await carrier_sandbox.add_fault(Operation.SHIPMENT_READ, FaultKind.HTTP_500, parcel=label)
    await carrier_sandbox.clear_faults(label)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_READ, FaultKind.HTTP_500, parcel=label, after=1)
    await labels.track(label)
    assert await carrier_sandbox.faults_left(label) == 1
    with pytest.raises(Unavailable):
        await labels.track(label)
    assert await carrier_sandbox.faults_left(label) == 0


async def test_a_fault_waits_for_a_shipment_by_its_reference(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    old = (await carrier_sandbox.parcel(Script.LABEL_ONLY)).shipment_id
    await labels.void(old)
    key = f"can-{old}/resume_shipment/S1/1"
    reference = reference_for(key)
    for operation in (Operation.SHIPMENT_CREATE, Operation.SHIPMENT_BUY):
        await carrier_sandbox.add_fault(operation, FaultKind.HTTP_500, parcel=reference)
        with pytest.raises(OutcomeUnknown):
            await labels.buy_again(old, key=key)
    assert (await labels.buy_again(old, key=key)).label_reference != old
    assert await carrier_sandbox.faults_left(reference) == 0
    assert (await carrier_sandbox.calls(reference))["shipment.create"] >= 1


async def test_calls_are_counted_by_operation_for_a_parcel_and_in_all(
    carrier_sandbox: CarrierAdmin, ups: httpx2.AsyncClient
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    for _ in range(2):
        await ups.get(f"/eligibility/intercept/{parcel.tracking_number}")
    await ups.post(f"/return/{parcel.tracking_number}", json=RETURN)
    assert await carrier_sandbox.calls(parcel.shipment_id) == {"intercept.eligibility": 2, "intercept.return": 1}
    assert (await carrier_sandbox.calls())["intercept.eligibility"] >= 2


async def test_a_killed_process_has_forgotten_nothing(tmp_path: Path) -> None:
    """Parcels, effects, intercepts, the clock, tokens and faults outlive SIGKILL."""
    first = carrier_process(tmp_path).start()
    async with CarrierAdmin(first.url) as admin:
        labels = EasyPostLabels(EASYPOST_KEY, admin.easypost_url)
        intercepts = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, admin.ups_url)
        voided = await admin.parcel(Script.LABEL_ONLY, reference="order-1/shipment-1")
        turned = await admin.parcel(Script.IN_NETWORK)
        await labels.void(voided.shipment_id)
        await intercepts.request(turned.tracking_number, key="k/1")
        await admin.add_fault(Operation.SHIPMENT_READ, FaultKind.HTTP_500, parcel=voided.shipment_id)
        ahead = await admin.advance(86400)
        effects = await admin.effects()
    first.kill()

    second = carrier_process(tmp_path, port=int(first.url.rpartition(":")[2])).start()
    try:
        async with CarrierAdmin(second.url) as admin:
            assert await admin.now() >= ahead
            assert await admin.effects() == effects
            with pytest.raises(Unavailable):
                await labels.track(voided.shipment_id)
            assert (await labels.track(voided.shipment_id)).label is LabelStatus.VOID_SUBMITTED
            assert (await labels.track(turned.shipment_id)).group is GoodsGroup.COMING_BACK
            assert not (await intercepts.cancel(turned.tracking_number, key="k/2")).accepted
    finally:
        await intercepts.aclose()
        second.stop()


class Receiver:
    """A webhook endpoint that refuses its first delivery."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.events: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection: it answers `Connection: close`."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.title(): value for name, value in headers.items()}
        event = validate_webhook(await reader.readexactly(int(headers["Content-Length"])), headers, WEBHOOK_SECRET)
        if self.refused:
            self.events.append(event)
        else:
            self.refused.append(event["id"])
        status = b"200 OK" if self.events else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def easypost(admin: CarrierAdmin, path: str, **params: str | int) -> dict[str, Any]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {EASYPOST_KEY}"}) as http:
        return dict((await http.get(admin.easypost_url + path, params=params)).raise_for_status().json())


async def test_events_are_signed_repeated_unordered_and_tried_again(tmp_path: Path) -> None:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks/easypost"
    process = carrier_process(tmp_path, webhook_url=url).start()
    try:
        async with CarrierAdmin(process.url) as admin:
            parcel = await admin.parcel(Script.IN_NETWORK)
            scans = [TrackerStatus.OUT_FOR_DELIVERY, TrackerStatus.FAILURE, TrackerStatus.IN_TRANSIT]
            for status in [*scans, TrackerStatus.DELIVERED]:
                await admin.scan(parcel.shipment_id, status)
            voided = await admin.parcel(Script.LABEL_ONLY)
            await EasyPostLabels(EASYPOST_KEY, admin.easypost_url).void(voided.shipment_id)
            await admin.advance(30 * 86400)
            async with asyncio.timeout(20):
                # Five events, of which the first and the fourth are delivered twice.
                while len(receiver.events) < 7:  # noqa: ASYNC110 - what is waited for happens in another process
                    await asyncio.sleep(0.05)
            payloads_of_the_refused = await easypost(admin, f"/events/{receiver.refused[0]}/payloads")
            listed = await easypost(admin, "/events", page_size=3)
            next_page = await easypost(admin, "/events", page_size=3, before_id=listed["events"][-1]["id"])
    finally:
        process.stop()
        server.close()
    ids = [event["id"] for event in receiver.events]
    assert receiver.refused[0] in ids
    refused = payloads_of_the_refused["payloads"]
    assert refused[0]["response_code"] == 503
    assert json.loads(refused[0]["request_body"]) == next(
        event for event in receiver.events if event["id"] in receiver.refused
    )
    assert [sorted(event) for event in listed["events"]] == [
        ["created_at", "description", "id", "mode", "object", "status", "user_id"]
    ] * 3
    assert (listed["has_more"], next_page["has_more"], len(next_page["events"])) == (True, False, 2)
    assert {event["id"] for event in listed["events"] + next_page["events"]} == set(ids)
    assert len(set(ids)) == 5
    statuses = [
        event["result"]["status"] for event in receiver.events if event["description"] == EventKind.TRACKER_UPDATED
    ]
    assert set(statuses) == {*scans, TrackerStatus.DELIVERED}
    assert list(dict.fromkeys(statuses)) != [*scans, TrackerStatus.DELIVERED]
    [refund] = [event["result"] for event in receiver.events if event["description"] == EventKind.REFUND_SUCCESSFUL]
    assert (refund["shipment_id"], refund["status"]) == (voided.shipment_id, "refunded")
