"""`make up` in a process of its own, and a Chromium that looks at it."""

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from temporalio.client import Client

from client.cancellations import Cancellations
from client.listing import Filter
from domain.outcome import State
from runtime.plugin import plugin
from sandbox.serving import ROOT
from tests.browser.ui import Desk, Up
from tests.e2e.running import read_addresses, read_until, start_demo
from tests.observing import eventually

_PATIENCE = 15  # seconds until a page shows what it has to, on a busy machine


@pytest.fixture(scope="session")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    demo = await start_demo(tmp_path_factory.mktemp("browser") / "up", "--stay")
    try:
        said = await read_until(demo, "Ctrl-C stops everything")
        links = dict(re.findall(r"^ *(Temporal UI|what waits|for refunds|overdue)\s+(http://\S+)", said, re.MULTILINE))
        at = read_addresses(said)
        client = await Client.connect(at["Temporal"], plugins=[plugin()])
        async with Cancellations(client) as library:

            async def is_opened_again() -> bool:
                wanted = Filter(order_ids=("3005",), state=State.NEEDS_ATTENTION)
                return bool((await library.list(wanted)).cancellations)

            await eventually(is_opened_again, "the refund of order 3005 has failed")
            yield Up(ui=at["Temporal UI"], api=at["HTTP API"], mails=at["Mails"], links=links, library=library)
    finally:
        with suppress(ProcessLookupError):
            demo.send_signal(signal.SIGINT)
        await demo.communicate()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """`make test-browser` says which Chromium."""
    expect.set_options(timeout=_PATIENCE * 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=os.environ["CHROMIUM"])
        yield chromium
        await chromium.close()


WIDE, NARROW = 1440, 1024
PICTURES = ROOT / "docs" / "pictures" if "PICTURES" in os.environ else None
"""Where `make pictures` keeps what a wide window shows."""


@pytest.fixture(scope="session")
async def clerk(browser: Browser) -> BrowserContext:
    """A browser keeps the files of the UI, so that they are fetched once."""
    return await browser.new_context()


async def open_window(clerk: BrowserContext, width: int) -> Page:
    page = await clerk.new_page()
    await page.set_viewport_size({"width": width, "height": 900})
    return page


@pytest.fixture(params=(WIDE, NARROW))
async def desk(up: Up, clerk: BrowserContext, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A window of either width that a clerk may have."""
    page = await open_window(clerk, request.param)
    yield Desk(page, up, PICTURES if request.param == WIDE else None)
    await page.close()


@pytest.fixture
async def narrow(up: Up, clerk: BrowserContext) -> AsyncIterator[Desk]:
    """Where it is about what is done, and not about how it looks."""
    page = await open_window(clerk, NARROW)
    yield Desk(page, up)
    await page.close()


@pytest.fixture
async def wide(up: Up, clerk: BrowserContext) -> AsyncIterator[Desk]:
    """For what the documents show of the end of an order."""
    page = await open_window(clerk, WIDE)
    yield Desk(page, up, PICTURES)
    await page.close()
