"""What stays until somebody stops it: where everything is."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence

from rich.console import Console

from providers.database.engine import open_engine
from runtime.api_keys import SANDBOX_KEYS
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway_admin import GatewayAdmin
from sandbox.links import list_links
from sandbox.marketplace_admin import MarketplaceAdmin
from sandbox.serving import ROOT
from sandbox.shop import Shop
from sandbox.stack import Stack
from sandbox.vendure.shop import SandboxVendure

PYTHON = sys.executable.removeprefix(f"{ROOT}/")


@contextlib.asynccontextmanager
async def open_shop(stack: Stack) -> AsyncIterator[Shop]:
    """To place sample orders where this stack has its orders."""
    async with contextlib.AsyncExitStack() as opened:
        engine = open_engine(stack.database_url)
        opened.push_async_callback(engine.dispose)
        vendure = SandboxVendure(stack.vendure.url, plugin=True) if stack.vendure else None
        yield Shop(
            await opened.enter_async_context(GatewayAdmin(stack.gateway.url)),
            await opened.enter_async_context(CarrierAdmin(stack.carrier.url)),
            engine,
            await opened.enter_async_context(MarketplaceAdmin(stack.marketplace.url)),
            await opened.enter_async_context(vendure) if vendure else None,
        )


async def run_until_stopped(stack: Stack, console: Console, to_try: Sequence[tuple[str, str]], example: str) -> None:
    """Print the addresses, what there is `to_try`, and a command line as an `example`; until somebody stops us."""
    exports = stack.exports
    address = "".join(f"{line.removeprefix('export ')} " for line in exports if "TEMPORAL" in line)
    keys = ", ".join(f"{key} ({role}:{who})" for key, (role, who) in SANDBOX_KEYS.items())
    rows = (
        *list_links(stack.ui.url),
        ("HTTP API", f"{stack.api.url}/docs"),
        ("  keys", keys),
        ("Mails", stack.mail_pages.url),
        *to_try,
        ("Command line", f"{address}{PYTHON} starter.py {example}"),
        ("Data and logs", str(stack.folder)),
    )
    console.print()
    if exports:
        console.print(
            "Another program has the usual ports (another `make up`?). Paste this into each other terminal first:"
        )
        for line in exports:
            console.print(line, highlight=False, soft_wrap=True)
        console.print()
    for name, value in rows:
        console.print(f"{name:<15}{value}", highlight=False, soft_wrap=True)
    console.print("Ctrl-C stops everything.")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    console.print("Stopping …", style="dim")


def cancel_on_signals() -> None:
    """The first signal cancels the task that calls this; while it stops its processes, more of them change nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asked: list[int] = []

    def stop(signum: int) -> None:
        if not asked:
            asked.append(signum)
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stop, signum)
