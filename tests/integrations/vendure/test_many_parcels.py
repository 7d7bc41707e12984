"""An order in Vendure of many parcels: as many calls are to be made, and Vendure answers few of them at once."""

import pytest

from domain.money import money
from domain.outcome import Outcome
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request
from tests.workflows.samples import an_id

pytestmark = pytest.mark.long


@pytest.mark.timeout(400)
@pytest.mark.parametrize("parcels", [20, 60])
async def test_an_order_of_many_picks_is_cancelled(over: OverVendure, parcels: int) -> None:
    """E21: each of them is withdrawn."""
    total = f"{2 * parcels}.00 USD"
    lines = tuple(line(f"L{at}", 1, "2.00 USD") for at in range(parcels))
    order = await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=(card(total),)))
    for at in range(parcels):
        await over.pack(order, at)
    async with over.system.worker():
        _, handle = await over.system.submit(request(order))
        result = await over.system.finish(handle, within=300)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(total))
    assert {state for _, state in await over.fulfillments(order)} == {"Cancelled"}
    await check_books(over, order, result)
