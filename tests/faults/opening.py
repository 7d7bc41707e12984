"""The system under test outside of pytest, for what takes longer than a test may."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.gateway.stripe import StripeGateway
from providers.mail.smtp import SmtpMailer
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET
from sandbox.carrier_admin import CarrierAdmin, carrier_process
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin
from sandbox.mailbox import mailbox_process
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.marketplace_admin import MarketplaceAdmin, marketplace_process
from sandbox.serving import Process
from tests.fixtures.databases import Databases
from tests.fixtures.gateway import SETTLE_SECONDS, GatewaySandbox
from tests.fixtures.system import Parts, on_database
from tests.fixtures.temporal import start_dev_server
from tests.system import System

_STARTS = 5
_LIST_EVERY = 2.0
"""Seconds in which what was read of a marketplace's list counts; a minute elsewhere."""


@asynccontextmanager
async def open_system(folder: Path) -> AsyncIterator[System]:
    """On a dev server of its own, with counterparts and an empty SQLite database in `folder`; without a worker."""
    mails = folder / "mails"
    await asyncio.to_thread(mails.mkdir, parents=True)
    async with AsyncExitStack() as stack:

        def start(process: Process) -> Process:
            stack.callback(process.stop)
            return process.start()

        argv = ["-m", "sandbox.gateway", "--data", str(folder / "gateway.sqlite")]
        argv += ["--settle-seconds", str(SETTLE_SECONDS)]
        gateway = start(Process("gateway", argv, folder / "gateway.log"))
        admin = await stack.enter_async_context(GatewayAdmin(gateway.url))
        carrier = await stack.enter_async_context(CarrierAdmin(start(carrier_process(folder)).url))
        market = await stack.enter_async_context(MarketplaceAdmin(start(marketplace_process(folder)).url))
        host, port = start(mailbox_process(mails)).url.removeprefix("smtp://").split(":")
        stripe = StripeGateway(SANDBOX_KEY, gateway.url)
        stack.push_async_callback(stripe.aclose)
        ups = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, carrier.ups_url)
        stack.push_async_callback(ups.aclose)
        mirakl = MiraklMarketplace(market.url, MARKETPLACE_KEY, orders_every=_LIST_EVERY)
        stack.push_async_callback(mirakl.aclose)
        parts = Parts(
            gateway_sandbox=GatewaySandbox(gateway, admin),
            gateway=stripe,
            carrier=carrier,
            labels=EasyPostLabels(EASYPOST_KEY, carrier.easypost_url),
            intercepts=ups,
            marketplace_sandbox=market,
            marketplace=mirakl,
            mailer=SmtpMailer(host, int(port), "shop@example.com"),
        )
        server = await stack.enter_async_context(await _start_server())
        url = await Databases(folder).sqlite(folder / "books.db")
        yield await stack.enter_async_context(on_database(server, url, parts))


async def _start_server() -> WorkflowEnvironment:
    """Begun again where a busy machine takes longer than the few seconds that the SDK allows."""
    for _ in range(_STARTS - 1):
        with contextlib.suppress(RuntimeError):
            return await start_dev_server()
    return await start_dev_server()
