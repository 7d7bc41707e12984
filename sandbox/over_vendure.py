"""`make up OMS=vendure`: the product over a real shop, with orders that nobody has cancelled yet."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from client.layout import Rows
from domain.money import Money
from domain.order import Order
from sandbox.stack import Stack, new_stack
from sandbox.staying import PYTHON, cancel_on_signals, open_shop, run_until_stopped
from sandbox.vendure.samples import SAMPLES, VendureSample
from sandbox.vendure.shop import CANCELLATIONS_USERNAME, PASSWORD, USERNAME

_OVER_HTTP = (
    "curl -i API/orders/5004/cancellation -H 'Authorization: Bearer sandbox' -H 'Idempotency-Key: web-5004' "
    """-H 'Content-Type: application/json' -d '{"customer_id": "4", "reason": "no_longer_needed", "channel": "web_shop"}'"""
)


async def stay_over_vendure(console: Console, folder: Path) -> int:
    cancel_on_signals()
    console.print(
        Text(
            "Starting Vendure, Temporal, the gateway, carrier, marketplace and mail stand-ins, the worker and the API …\n"
            "The first time, Vendure also fills its database, which takes up to a minute.",
            style="dim",
        )
    )
    async with new_stack(folder, stay=True, over_vendure=True) as stack:
        await stack.start()
        console.print(Text(f"Placing {len(SAMPLES)} orders in Vendure …", style="dim"))
        async with open_shop(stack) as shop:
            assert shop.vendure is not None
            await shop.vendure.add_administrator(CANCELLATIONS_USERNAME, PASSWORD, ("ReadOrder", "UpdateOrder"))
            await stack.start_worker()
            orders = [await shop.place_order(sample.order) for sample in SAMPLES]
            [label] = shop.labels["5005"]
        console.print()
        console.print(_table(SAMPLES, orders))
        await run_until_stopped(stack, console, _to_try(stack, label), "list")
    return 0


def _table(samples: Sequence[VendureSample], orders: Sequence[Order]) -> Rows:
    rows = Rows("order", "customer", "paid", "what it is")
    for sample, order in zip(samples, orders, strict=True):
        paid = Money.total((tender.amount for tender in order.tenders), order.currency)
        rows.add_row(order.order_id, order.customer_id, str(paid), sample.title)
    return rows


def _to_try(stack: Stack, label: str) -> tuple[tuple[str, str], ...]:
    """`label` is that of the parcel of order 5005."""
    assert stack.vendure is not None
    arrival = f"curl -i {stack.carrier.url}/sandbox/parcels/{label}/scan -H 'Content-Type: application/json' "
    return (
        ("Vendure", f"{stack.vendure.url}/dashboard/orders"),
        ("  login", f"{USERNAME}, password {PASSWORD}"),
        ("Cancel 5001", f"{PYTHON} starter.py start 5001 --actor customer:1 --reason no_longer_needed"),
        ("Cancel 5004", _OVER_HTTP.replace("API", stack.api.url)),
        ("Cancel 5005", f"{PYTHON} starter.py start 5005 --actor customer:5 --reason no_longer_needed"),
        ("  it is back", f"""{arrival}-d '{{"status": "delivered"}}'"""),
    )
