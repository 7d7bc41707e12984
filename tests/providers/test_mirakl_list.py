"""The marketplace's list of orders, which may be read once a minute, a hundred orders at a time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import OutcomeUnknown, Unavailable
from domain.money import money
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox.marketplace.model import MARKETPLACE_KEY, FaultKind, Operation
from sandbox.marketplace_admin import MarketplaceAdmin, marketplace_process
from tests.providers.test_mirakl import REASON, REQUESTED, effects, of, sold


@pytest.fixture
async def once_a_second(tmp_path: Path) -> AsyncIterator[MarketplaceAdmin]:
    """A marketplace whose list of orders may be read once a second."""
    process = marketplace_process(tmp_path, orders_every=1).start()
    try:
        async with MarketplaceAdmin(process.url) as admin:
            yield admin
    finally:
        process.stop()


async def test_many_sales_are_read_with_one_call_and_not_before_it_is_time(once_a_second: MarketplaceAdmin) -> None:
    """F27, E11: the list may be read once a minute, a hundred orders at a time. The stand-in refuses what comes earlier."""
    mirakl = MiraklMarketplace(once_a_second.url, MARKETPLACE_KEY, orders_every=1)
    orders = [await sold(once_a_second) for _ in range(130)]
    found = await asyncio.gather(*(mirakl.read_sale(order) for order in orders))
    assert [sale.reference for sale in found] == orders
    assert await once_a_second.calls() == {"orders.read": 2}
    await once_a_second.withdraw(orders[0], f"{orders[0]}-2", 1)
    assert len((await mirakl.read_sale(orders[0])).refunds) == 1, "who looks for news is shown nothing old"
    assert await once_a_second.calls() == {"orders.read": 3}
    await mirakl.aclose()


async def test_who_comes_long_before_the_next_list_is_given_its_time(
    marketplace_sandbox: MarketplaceAdmin,
) -> None:
    """F27: a little earlier, so that the list is not read without them."""
    mirakl = MiraklMarketplace(marketplace_sandbox.url, MARKETPLACE_KEY)
    order_id = await sold(marketplace_sandbox)
    assert (await mirakl.read_sale(order_id)).refunds == ()
    assert (await mirakl.read_sale(order_id, fresh=False)).refunds == (), "a quote, and the decision that follows it"
    with pytest.raises(Unavailable, match="in the next one") as caught:
        await mirakl.read_sale(order_id)
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 55
    await mirakl.aclose()


async def test_what_was_cancelled_is_read_with_the_next_list_and_is_unknown_so_long(
    marketplace_sandbox: MarketplaceAdmin,
) -> None:
    """F27, B18: what was read a moment ago is good enough to cancel by; nothing that was read before counts after it."""
    mirakl = MiraklMarketplace(marketplace_sandbox.url, MARKETPLACE_KEY)
    order_id = await sold(marketplace_sandbox)
    await mirakl.read_sale(order_id)
    with pytest.raises(OutcomeUnknown, match="in the next one") as caught:
        await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert caught.value.retry_after is not None
    assert 55 < caught.value.retry_after <= 60
    with pytest.raises(Unavailable, match="in the next one"):
        await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await marketplace_sandbox.calls(order_id) == {"orders.read": 1, "orders.refund": 1}
    await mirakl.aclose()


async def test_what_was_cancelled_is_found_in_the_next_list_by_whomever_it_is_read(
    once_a_second: MarketplaceAdmin,
) -> None:
    """F27, B18"""
    mirakl = MiraklMarketplace(once_a_second.url, MARKETPLACE_KEY, orders_every=1)
    order_id, other = await sold(once_a_second), await sold(once_a_second)
    await mirakl.read_sale(order_id)
    with pytest.raises(OutcomeUnknown):
        await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    await mirakl.read_sale(other)  # waits for the next list
    [refund] = await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert refund.amount == money("45.00 EUR")
    assert await effects(once_a_second, order_id) == [(REQUESTED, "1", 1)]
    assert await once_a_second.calls() == {"orders.read": 2, "orders.refund": 1}
    await mirakl.aclose()


async def test_an_order_that_is_not_there_is_not_found_among_others_that_are(once_a_second: MarketplaceAdmin) -> None:
    """F27"""
    mirakl = MiraklMarketplace(once_a_second.url, MARKETPLACE_KEY, orders_every=1)
    order_id = await sold(once_a_second)
    names = (order_id, "M-none", f"{order_id},{order_id}")
    found = await asyncio.gather(*(mirakl.read_sale(name) for name in names), return_exceptions=True)
    assert [type(answer).__name__ for answer in found] == ["Payment", "Refused", "Refused"]
    assert await once_a_second.calls() == {"orders.read": 1}
    await mirakl.aclose()


async def test_an_order_that_the_list_refuses_keeps_nobody_else_from_being_read(
    once_a_second: MarketplaceAdmin,
) -> None:
    """F27: a call that is refused names no order; fewer are asked for with the next one."""
    mirakl = MiraklMarketplace(once_a_second.url, MARKETPLACE_KEY, orders_every=1)
    good, bad = await sold(once_a_second), await sold(once_a_second)
    await once_a_second.add_fault(Operation.ORDERS_READ, FaultKind.REFUSE, times=9, order_id=bad)
    read: dict[str, str] = {}
    for _ in range(4):
        waiting = [order for order in (bad, good) if read.get(order) in {None, "Unavailable"}]
        found = await asyncio.gather(*(mirakl.read_sale(order) for order in waiting), return_exceptions=True)
        read |= {order: type(answer).__name__ for order, answer in zip(waiting, found, strict=True)}
    assert read == {bad: "Refused", good: "Payment"}
    await mirakl.aclose()


async def test_a_list_that_nobody_heard_is_asked_for_again_at_once(unused_tcp_port: int) -> None:
    """F27, C14"""
    mirakl = MiraklMarketplace(f"http://127.0.0.1:{unused_tcp_port}", MARKETPLACE_KEY)
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            await mirakl.read_sale("M-1")
        assert caught.value.retry_after is None
    await mirakl.aclose()
