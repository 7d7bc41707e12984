"""The counterparts of a system under test as processes of their own, outside of pytest."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.gateway.stripe import StripeGateway
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET
from sandbox.carrier_admin import CarrierAdmin, carrier_process
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin
from sandbox.mailbox import mailbox_process
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.marketplace_admin import MarketplaceAdmin, marketplace_process
from sandbox.serving import Process
from tests.fixtures.gateway import SETTLE_SECONDS, GatewaySandbox
from tests.fixtures.mail import Mailbox
from tests.fixtures.system import Parts


async def start_stand_ins(folder: Path, stack: AsyncExitStack, *, orders_every: float = 0) -> tuple[Parts, Mailbox]:
    """They are stopped, and what talks to them is closed, when the stack ends. `orders_every`: seconds between two lists of
    the marketplace's orders."""
    argv = ["-m", "sandbox.gateway", "--data", str(folder / "gateway.sqlite"), "--settle-seconds", str(SETTLE_SECONDS)]
    gateway = Process("gateway", argv, folder / "gateway.log")
    carrier, marketplace, mail = carrier_process(folder), marketplace_process(folder), mailbox_process(folder / "mail")
    processes = (gateway, carrier, marketplace, mail)
    for process in processes:
        stack.callback(process.stop)
    await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes))
    payments = await stack.enter_async_context(GatewayAdmin(gateway.url))
    parcels = await stack.enter_async_context(CarrierAdmin(carrier.url))
    sales = await stack.enter_async_context(MarketplaceAdmin(marketplace.url))
    stripe = StripeGateway(SANDBOX_KEY, gateway.url)
    mirakl = MiraklMarketplace(sales.url, MARKETPLACE_KEY, orders_every=orders_every)
    intercepts = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, parcels.ups_url)
    for adapter in (stripe, mirakl, intercepts):
        stack.push_async_callback(adapter.aclose)
    address = urlsplit(mail.url)
    mailbox = Mailbox(address.hostname or "", address.port or 0, folder / "mail")
    parts = Parts(
        gateway_sandbox=GatewaySandbox(gateway, payments),
        gateway=stripe,
        carrier=parcels,
        labels=EasyPostLabels(EASYPOST_KEY, parcels.easypost_url),
        intercepts=intercepts,
        marketplace_sandbox=sales,
        marketplace=mirakl,
        mailer=mailbox.mailer(),
    )
    return parts, mailbox
