"""Orders that cannot be read as they are: a person sees it at once, in words, and a corrected order goes on by itself."""

import pytest
from sqlalchemy import text

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import Owner, StepName
from sandbox.shop import request
from tests.system import System
from tests.workflows.samples import captured


@pytest.mark.parametrize("written", ["XXX", "usd", "US$"], ids=["no_money", "small_letters", "a_sign"])
async def test_a_currency_that_is_none_waits_for_its_correction_in_words(system: System, written: str) -> None:
    """F5, rule 14: by operations, with the field and the reason, no library's text and no traceback."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await set_currency(system, sample.order_id, written)
    handle = await system.start(request(sample))
    wait = await system.wait_for_step(handle, StepName.VERIFY_ORDER)
    assert wait is not None
    assert (wait.owner, wait.target) == (Owner.OPERATIONS, sample.order_id)
    assert "currency: " in wait.reason
    for foreign in ("pydantic", "Traceback", "https://", "input_value"):
        assert foreign not in wait.reason
    assert (await system.progress(handle)).state is State.NEEDS_ATTENTION
    await set_currency(system, sample.order_id, "USD")
    await system.retry(handle, StepName.VERIFY_ORDER, sample.order_id)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def set_currency(system: System, order_id: str, currency: str) -> None:
    async with system.engine.begin() as database:
        await database.execute(
            text("UPDATE orders SET currency = :currency WHERE order_id = :order"),
            {"currency": currency, "order": order_id},
        )
