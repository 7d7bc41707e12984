"""The marketplace stand-in itself: what the tests of everything else rely on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.errors import Unavailable
from domain.payment import RefundStatus
from domain.request import ReasonCode
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.port import SaleLine
from sandbox.marketplace.model import MARKETPLACE_KEY, FaultKind, Operation, SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin, marketplace_process


@pytest.fixture(scope="module")
async def mirakl(marketplace_sandbox: MarketplaceAdmin) -> AsyncIterator[httpx2.AsyncClient]:
    """A bare client with the key."""
    headers = {"Authorization": MARKETPLACE_KEY}
    async with httpx2.AsyncClient(base_url=f"{marketplace_sandbox.url}/api", headers=headers) as http:
        yield http


def asked(line_id: str, **other: Any) -> dict[str, Any]:
    usual = {"quantity": 1, "amount": 5, "shipping_amount": 0, "currency_iso_code": "EUR", "reason_code": "16"}
    return {"order_line_id": line_id, **usual, "excluded_from_shipment": True, **other}


async def test_an_order_is_shown_in_decimals_with_what_was_cancelled(
    marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient
) -> None:
    line = SoldLine(id="S-1-1", quantity=2, price=1050, shipping=250, tax=100, commission=130)
    await marketplace_sandbox.sell("S-1", [line])
    theirs = await marketplace_sandbox.withdraw("S-1", "S-1-1", 1)
    answer = (await mirakl.get("/orders", params={"order_ids": "S-1"})).json()
    assert answer["total_count"] == 1
    [order] = answer["orders"]
    assert (order["order_id"], order["currency_iso_code"], order["can_cancel"]) == ("S-1", "EUR", False)
    [shown] = order["order_lines"]
    assert (shown["price"], shown["shipping_price"], shown["total_commission"]) == (10.5, 2.5, 1.3)
    assert (shown["quantity"], shown["order_line_state"], shown["cancelations"]) == (2, "SHIPPING", [])
    [refund] = shown["refunds"]
    assert (refund["id"], refund["quantity"], refund["amount"], refund["shipping_amount"]) == (theirs.id, 1, 5.25, 0)
    assert (refund["commission_total_amount"], refund["taxes"][0]["amount"]) == (0.52, 0.5)
    assert (refund["refund_state"], refund["state"]) == ("WAITING_REFUND_PAYMENT", "WAITING_REFUND_PAYMENT")


async def test_unknown_orders_are_left_out_and_a_wrong_key_is_not_let_in(mirakl: httpx2.AsyncClient) -> None:
    assert (await mirakl.get("/orders", params={"order_ids": "none"})).json() == {"orders": [], "total_count": 0}
    answer = await mirakl.get("/orders", params={"order_ids": "none"}, headers={"Authorization": "other"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_line_id": "S-none"},
        {"amount": 10.51},
        {"amount": 1.005},
        {"amount": -1},
        {"quantity": 3},
        {"shipping_amount": 1},
        {"currency_iso_code": "USD"},
        {"reason_code": "34"},
        {"excluded_from_shipment": False},
    ],
)
async def test_a_refund_that_does_not_fit_the_sale_is_refused_whole(
    marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient, wrong: dict[str, Any]
) -> None:
    line = SoldLine(id="S-2-1", quantity=2, price=1050)
    await marketplace_sandbox.sell("S-2", [line, line.model_copy(update={"id": "S-2-2"})])
    body = {"refunds": [asked("S-2-1"), {**asked("S-2-2"), **wrong}]}
    assert (await mirakl.put("/orders/refund", json=body)).status_code == 400
    assert await marketplace_sandbox.effects("S-2") == []


@pytest.mark.parametrize(
    ("charged", "path", "name"), [(True, "/orders/cancel", "cancelations"), (False, "/orders/refund", "refunds")]
)
async def test_units_are_cancelled_until_the_buyer_is_charged_and_refunded_afterwards(
    marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient, charged: bool, path: str, name: str
) -> None:
    await marketplace_sandbox.sell("S-3", [SoldLine(id="S-3-1", quantity=1, price=500)], charged=charged)
    code = "34" if charged else "16"
    answer = await mirakl.put(path, json={name: [asked("S-3-1", reason_code=code)]})
    assert answer.status_code == 400
    assert await marketplace_sandbox.effects("S-3") == []


async def test_taxes_have_to_be_named(marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient) -> None:
    await marketplace_sandbox.sell("S-4", [SoldLine(id="S-4-1", quantity=1, price=500, tax=95)])
    assert (await mirakl.put("/orders/refund", json={"refunds": [asked("S-4-1")]})).status_code == 400
    named = asked("S-4-1", taxes=[{"code": "VAT", "amount": 0.95}])
    answer = await mirakl.put("/orders/refund", json={"refunds": [named]})
    [refund] = answer.json()["refunds"]
    assert (refund["order_line_id"], refund["amount"]) == ("S-4-1", 5)
    [effect] = await marketplace_sandbox.effects("S-4")
    assert effect.reference == refund["refund_id"]


async def test_a_drop_is_a_closed_socket(marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient) -> None:
    await marketplace_sandbox.add_fault(Operation.ORDERS_READ, FaultKind.DROP_BEFORE_COMMIT, order_id="S-5")
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await mirakl.get("/orders", params={"order_ids": "S-5"})


async def test_a_fault_is_for_its_sale_and_can_be_taken_back(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    for order_id in ("S-6", "S-7"):
        await marketplace_sandbox.sell(order_id, [SoldLine(id=f"{order_id}-1", quantity=1, price=500)])
    await marketplace_sandbox.add_fault(Operation.ORDERS_READ, FaultKind.HTTP_500, times=1000, order_id="S-6")
    with pytest.raises(Unavailable):
        await marketplace.read_sale("S-6")
    await marketplace.read_sale("S-7")
    await marketplace_sandbox.clear_faults()
    await marketplace.read_sale("S-6")


async def test_calls_are_counted_by_operation_for_a_sale_and_in_all(
    marketplace_sandbox: MarketplaceAdmin, mirakl: httpx2.AsyncClient
) -> None:
    await marketplace_sandbox.sell("S-counted", [SoldLine(id="S-counted-1", quantity=1, price=500)])
    for _ in range(2):
        await mirakl.get("/orders", params={"order_ids": "S-counted"})
    await mirakl.put("/orders/refund", json={"refunds": [asked("S-counted-1")]})
    assert await marketplace_sandbox.calls("S-counted") == {"orders.read": 2, "orders.refund": 1}
    assert (await marketplace_sandbox.calls())["orders.read"] >= 2


async def test_a_killed_process_has_forgotten_nothing(tmp_path: Path) -> None:
    """Sales, cancelations, effects and faults outlive SIGKILL."""
    first = marketplace_process(tmp_path).start()
    marketplace = MiraklMarketplace(first.url, MARKETPLACE_KEY, orders_every=0)
    async with MarketplaceAdmin(first.url) as admin:
        await admin.sell("S-8", [SoldLine(id="S-8-1", quantity=1, price=500, commission=50)])
        made = await marketplace.cancel("S-8", [SaleLine(line_id="S-8-1", quantity=1)], ReasonCode.OTHER, key="k/1")
        await admin.add_fault(Operation.ORDERS_READ, FaultKind.HTTP_500, order_id="S-8")
        effects = await admin.effects()
    first.kill()

    second = marketplace_process(tmp_path, port=int(first.url.rpartition(":")[2])).start()
    try:
        async with MarketplaceAdmin(second.url) as admin:
            assert await admin.effects() == effects
            with pytest.raises(Unavailable):
                await marketplace.read_sale("S-8")
            assert (await marketplace.read_sale("S-8")).refunds == made
            await admin.settle("S-8")
            [settled] = (await marketplace.read_sale("S-8")).refunds
            assert settled.status is RefundStatus.SUCCEEDED
    finally:
        await marketplace.aclose()
        second.stop()


async def test_the_orders_may_be_listed_once_a_minute(tmp_path: Path) -> None:
    """F27: what is asked earlier is refused, with the time to come back."""
    process = marketplace_process(tmp_path, orders_every=60).start()
    try:
        async with httpx2.AsyncClient(base_url=process.url, headers={"Authorization": MARKETPLACE_KEY}) as http:
            assert (await http.get("/api/orders", params={"order_ids": "M-1,M-2"})).status_code == 200
            early = await http.get("/api/orders", params={"order_ids": "M-3"})
            assert early.status_code == 429
            assert 50 < int(early.headers["Retry-After"]) <= 60
    finally:
        process.stop()


async def test_a_hundred_orders_are_listed_at_a_time(mirakl: httpx2.AsyncClient) -> None:
    """F27"""
    answer = await mirakl.get("/orders", params={"order_ids": ",".join(f"M-{n}" for n in range(101))})
    assert answer.status_code == 400
