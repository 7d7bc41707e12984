"""Vendure's own dashboard, over the orders of `make up OMS=vendure`: it shows what our ledger says."""

import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from temporalio.client import Client

from client.cancellations import Cancellations
from domain.outcome import State
from domain.request import Actor, ActorKind, CancellationRequest, Channel, ReasonCode
from runtime.plugin import plugin
from sandbox.vendure.shop import PASSWORD, USERNAME
from tests.browser.conftest import PICTURES, WIDE
from tests.e2e.running import read_addresses, read_until, start_demo
from tests.integrations.vendure.paid_out import paid_out
from tests.observing import eventually

CANCELLED = {"5001": "1", "5004": "4"}
WAITS = {"5008": "8"}
"""With the customer of each."""


@dataclass(frozen=True)
class Dashboard:
    """Seen by staff. `folder`: of `make up`."""

    page: Page
    url: str
    folder: Path

    async def open_page(self, path: str, heading: str) -> None:
        await self.page.goto(f"{self.url}/dashboard/{path}")
        await expect(self.page.get_by_role("heading", name=heading, level=1)).to_be_visible()

    def find_card(self, title: str) -> Locator:
        return self.page.locator("[data-slot=card]", has=self.page.get_by_text(title, exact=True)).first

    def find_row(self, words: str) -> Locator:
        return self.page.locator("tbody tr", has_text=words)

    async def take_picture(self, name: str) -> None:
        if PICTURES is not None:
            await self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")

    async def take_picture_of_cards(self, name: str, first: str, last: str) -> None:
        """From one card to another one below it."""
        if PICTURES is None:
            return
        height = await self.page.evaluate("document.documentElement.scrollHeight")
        await self.page.set_viewport_size({"width": WIDE, "height": height})
        top, bottom = [await self.find_card(title).bounding_box() for title in (first, last)]
        assert top is not None
        assert bottom is not None
        below = bottom["y"] + bottom["height"] - top["y"]
        await self.page.screenshot(
            path=PICTURES / f"{name}.png",
            animations="disabled",
            clip={"x": top["x"], "y": top["y"], "width": top["width"], "height": below},
        )


@pytest.fixture(scope="module")
async def cancelled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Path]]:
    """Two orders that are cancelled, and one that waits for a second person."""
    folder = tmp_path_factory.mktemp("dashboard") / "up"
    demo = await start_demo(folder, "--stay", "--oms", "vendure")
    try:
        at = read_addresses(await read_until(demo, "Ctrl-C stops everything"))
        client = await Client.connect(at["Temporal"], plugins=[plugin()])
        async with Cancellations(client) as library:
            for order_id, customer in (CANCELLED | WAITS).items():
                await library.start(request(order_id, customer))
            for order_id in CANCELLED:
                await library.result(order_id)

            async def is_waiting() -> bool:
                return (await library.status("5008")).state is State.WAITING_FOR_APPROVAL

            await eventually(is_waiting, "order 5008 waits for a second person")
        yield at["Vendure"], folder
    finally:
        demo.send_signal(signal.SIGINT)
        await demo.communicate()


def request(order_id: str, customer: str) -> CancellationRequest:
    return CancellationRequest(
        request_id=f"req-{order_id}",
        order_id=order_id,
        customer_id=customer,
        actor=Actor(kind=ActorKind.CUSTOMER, id=customer),
        channel=Channel.WEB_SHOP,
        reason=ReasonCode.NO_LONGER_NEEDED,
    )


@pytest.fixture
async def dashboard(browser: Browser, cancelled: tuple[str, Path]) -> AsyncIterator[Dashboard]:
    url, folder = cancelled
    page = await browser.new_page(viewport={"width": WIDE, "height": 900})
    await page.goto(f"{url}/dashboard")
    await page.get_by_placeholder("Email").fill(USERNAME)
    await page.get_by_placeholder("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("Super Admin")).to_be_visible()
    yield Dashboard(page, url, folder)
    await page.close()


@pytest.mark.timeout(300)
async def test_the_list_of_orders_shows_which_are_cancelled(dashboard: Dashboard) -> None:
    await dashboard.open_page("orders", "Orders")
    for order_id in CANCELLED:
        await expect(dashboard.find_row(order_id)).to_contain_text(re.compile(r"Cancelled.*€0\.00"))
    await expect(dashboard.find_row("5008")).to_contain_text(re.compile(r"Payment settled.*€833\.00"))
    await dashboard.take_picture("vendure-orders")


@pytest.mark.timeout(300)
async def test_an_order_shows_what_the_ledger_has_given_back(dashboard: Dashboard) -> None:
    [(reference, amount)] = await paid_out(dashboard.folder, "5001")
    await dashboard.open_page("orders/1", "5001")
    await expect(dashboard.page.get_by_text("Cancelled", exact=True)).to_be_visible()
    for article in ("Hiking boots", "Rain jacket"):
        await expect(dashboard.find_row(article)).to_contain_text(re.compile(r"0\s*€0\.00"))
    await dashboard.page.get_by_role("button", name="Refunds (1)").click()
    payment = dashboard.find_card("Payment details")
    for words in ("Settled", f"€{str(amount).removesuffix(' EUR')}", reference):
        await expect(payment).to_contain_text(words)
    history = dashboard.find_card("Order history")
    for words in ("Order cancelled", "Items refunded", "Order cancellations"):
        await expect(history).to_contain_text(words)
    await dashboard.take_picture_of_cards("vendure-order", "Payment details", "Order history")


@pytest.mark.timeout(300)
async def test_an_order_that_waits_is_held_by_its_cancellation(dashboard: Dashboard) -> None:
    await dashboard.open_page("orders/8", "5008")
    held = dashboard.page.get_by_role("group").filter(has_text="Held by cancellation").get_by_role("textbox")
    await expect(held).to_have_value(re.compile("^can-5008-"))
    await expect(held).to_be_disabled()


@pytest.mark.timeout(300)
async def test_the_articles_are_for_sale_again(dashboard: Dashboard) -> None:
    """On hand, and promised to orders: nothing of what is cancelled, one of what waits."""
    await dashboard.open_page("product-variants", "Product Variants")
    for sku, stock in {"SKU-5001-L1": "100 / 0", "SKU-5001-L2": "100 / 0", "SKU-5004-L1": "100 / 0"}.items():
        await expect(dashboard.find_row(sku)).to_contain_text(stock)
    await expect(dashboard.find_row("SKU-5008-L1")).to_contain_text("100 / 1")
    await dashboard.take_picture("vendure-stock")
