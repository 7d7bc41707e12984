"""`make up OMS=vendure` as somebody tries it: the documented commands are pasted, and Vendure's books agree with ours."""

import signal
from pathlib import Path

import pytest
from temporalio.client import Client

from client.cancellations import Cancellations
from domain.money import money
from domain.outcome import Outcome
from runtime.plugin import plugin
from sandbox.staying import PYTHON
from sandbox.vendure.placing import UNITS_IN_STOCK
from sandbox.vendure.samples import SAMPLES
from sandbox.vendure.shop import SandboxVendure
from tests.e2e.pasting import Up, blocks
from tests.e2e.running import alive, children_of, read_addresses, read_until, start_demo
from tests.integrations.vendure.paid_out import paid_out
from tests.system import eventually

pytestmark = pytest.mark.long

STATES = {
    "5001": "PaymentSettled",
    "5002": "PaymentSettled",
    "5003": "PaymentAuthorized",
    "5004": "PaymentSettled",
    "5005": "Shipped",
    "5006": "Shipped",
    "5007": "PartiallyDelivered",
    "5008": "PaymentSettled",
    "5009": "PaymentSettled",
    "5010": "PaymentSettled",
    "5011": "PaymentSettled",
    "5012": "PaymentSettled",
}
"""In Vendure, of each order that waits to be tried. Two of them are being picked, which is no state of the order."""

CANCELLED = {"5001": money("291.55 EUR"), "5004": money("119.00 EUR")}
"""By the documented commands: with what is to be given back."""


@pytest.mark.timeout(300)
async def test_an_order_placed_in_vendure_is_cancelled_as_documented(tmp_path: Path) -> None:
    """By the command line and over HTTP; afterwards Vendure's books, its stock and our ledger say the same."""
    folder = tmp_path / "up"
    demo = await start_demo(folder, "--stay", "--oms", "vendure")
    try:
        said = await read_until(demo, "Ctrl-C stops everything")
        processes = children_of(demo.pid)
        await check_as_documented(folder, said)
    finally:
        demo.send_signal(signal.SIGINT)
        await demo.communicate()
    assert demo.returncode == 0
    assert alive(processes) == set()


async def check_as_documented(folder: Path, said: str) -> None:
    at = read_addresses(said)
    up = Up(temporal=at["Temporal"], api=at["HTTP API"], folder=folder)
    commands = [block for block in blocks("docs/providers.md") if not block.startswith(".venv/bin/python -")]
    async with SandboxVendure(at["Vendure"], plugin=True) as shop:
        assert {code: (await shop.read(code)).state for code in STATES} == STATES
        assert [len((await shop.read(code)).fulfillments) for code in ("5001", "5002", "5004")] == [0, 1, 1]
        assert len(STATES) == len(SAMPLES)
        printed = said.replace(PYTHON, ".venv/bin/python").replace(at["HTTP API"], "${API_URL:-http://127.0.0.1:8000}")
        for command in commands:
            assert command.replace("\\\n  ", "").splitlines()[0] in printed
            code, answer = await up.paste(command)
            assert (code, "urn:order-cancellation:" in answer) == (0, False), answer
        async with Cancellations(await Client.connect(at["Temporal"], plugins=[plugin()])) as library:
            results = {order_id: await library.result(order_id) for order_id in CANCELLED}
        assert {result.outcome for result in results.values()} == {Outcome.CANCELLED}
        assert {order_id: result.refunded for order_id, result in results.items()} == CANCELLED
        for order_id, amount in CANCELLED.items():
            order = await shop.read(order_id)
            assert (order.state, order.total, [line.quantity for line in order.lines]) == (
                "Cancelled",
                0,
                [0 for _ in order.lines],
            )
            assert {parcel.state for parcel in order.fulfillments} <= {"Cancelled"}
            assert await shop.read_holder(order_id) is None
            assert await shop.given_back(order_id) == await paid_out(folder, order_id)
            assert [given for _, given in await shop.given_back(order_id)] == [amount]
            for line in order.lines:
                level = await shop.read_stock(order_id, line.id)
                assert (level.on_hand, level.allocated) == (UNITS_IN_STOCK, 0)
        await check_parcel_that_comes_back(shop, up, printed)
        level = await shop.read_stock("5012", (await shop.read("5012")).lines[0].id)
        assert (level.on_hand, level.allocated) == (UNITS_IN_STOCK, 1), "nobody has cancelled it"


async def check_parcel_that_comes_back(shop: SandboxVendure, up: Up, printed: str) -> None:
    """Its order stays as it is in Vendure until the parcel has arrived, although its cancellation is over."""
    lines = [line.strip() for line in printed.splitlines()]
    start = next(line for line in lines if line.startswith("Cancel 5005")).removeprefix("Cancel 5005").strip()
    arrive = next(line for line in lines if line.startswith("it is back")).removeprefix("it is back").strip()
    for command in (start, ".venv/bin/python starter.py result 5005"):
        code, answer = await up.paste(command)
        assert code == 0, answer
    order = await shop.read("5005")
    assert (order.state, [line.quantity for line in order.lines]) == ("Shipped", [1])
    code, answer = await up.paste(arrive)
    assert (code, "204" in answer) == (0, True), answer

    async def has_left() -> bool:
        return (await shop.read("5005")).state == "Cancelled"

    await eventually(has_left, "the parcel has arrived, and its order is cancelled in Vendure", within=60)
    level = await shop.read_stock("5005", (await shop.read("5005")).lines[0].id)
    assert (level.on_hand, level.allocated) == (UNITS_IN_STOCK, 0)
