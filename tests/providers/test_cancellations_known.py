"""What our books know of an order, laid over what the order management system has. On SQLite and PostgreSQL."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.earlier import EarlierReversal
from domain.facts import Fact, NothingDue
from domain.request import LineScope
from domain.step import StepName
from sandbox import books, built_in
from tests.domain.build import earlier_reversal
from tests.providers.merchant import (
    STAFF,
    Cancellation,
    Merchant,
    by_hand,
    cancellation,
    order,
    refunded,
    released,
)

EMAIL = "customer@example.test"


async def part_of(merchant: Merchant, database: AsyncEngine) -> Cancellation:
    """A unit of L1 for 100.00 is to be cancelled."""
    await built_in.add_order(database, order(), email=EMAIL)
    opened = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(opened)
    return opened


async def earlier(database: AsyncEngine) -> tuple[EarlierReversal, ...]:
    return (await books.order(database, "O-1")).tenders[0].earlier_reversals


async def test_what_an_earlier_cancellation_did_to_a_tender_is_laid_over_the_order(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """B3, M4: from the facts of cancellations that closed the order, and not before. What was given another way and what was
    declared not due are its part as well; the gateway knows only of its own refunds."""
    opened = await part_of(merchant, database)
    credited = refunded("20.00 USD", "SV-1")
    key = str(opened.key(StepName.GIVE_STORE_CREDIT, "T-card"))
    credited = credited.model_copy(update={"refund": credited.refund.model_copy(update={"key": key})})
    waived = NothingDue(step=StepName.REVERSE_PAYMENT, target="T-card", reference="N-1", by=STAFF)
    facts: list[Fact] = [
        refunded("10.00 USD", "re_1"),
        released("30.00 USD"),
        by_hand("25.00 USD", "bank 1"),
        credited,
        waived,
    ]
    await merchant.write(opened, *facts)
    before = await earlier(database)

    await merchant.close(opened)

    assert before == ()
    assert await earlier(database) == (
        earlier_reversal(
            "70.00 USD",
            "re_1",
            released="30.00 USD",
            of_provider="10.00 USD",
            another_way="45.00 USD",
            cancellation_id=opened.cancellation_id,
        ),
    )


@pytest.mark.parametrize(("collected", "kept"), [(None, "100.00 USD"), ("100.00 USD", None)])
async def test_a_cancellation_that_was_rolled_back_leaves_what_the_customer_kept(
    merchant: Merchant, database: AsyncEngine, collected: str | None, kept: str | None
) -> None:
    """M18"""
    opened = await part_of(merchant, database)
    back = [by_hand(collected, "bank statement 8", StepName.RESTORE_PAYMENT)] if collected else []
    await merchant.write(opened, by_hand("100.00 USD", "bank 1"), *back)

    await merchant.release(opened)

    mine = opened.cancellation_id
    left = [earlier_reversal(kept, of_provider="0.00 USD", another_way=kept, cancellation_id=mine)] if kept else []
    assert [*await earlier(database)] == left


async def test_a_cancellation_that_was_rolled_back_leaves_what_the_customer_paid_back(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M18, I1: the gateway does not have it."""
    opened = await part_of(merchant, database)
    collected = by_hand("100.00 USD", "bank statement 8", StepName.RESTORE_PAYMENT)
    await merchant.write(opened, refunded("100.00 USD", "re_1"), collected)

    await merchant.release(opened)

    left = earlier_reversal("0.00 USD", "re_1", paid_back="100.00 USD", cancellation_id=opened.cancellation_id)
    assert await earlier(database) == (left,)


async def test_what_was_done_to_a_payment_that_was_replaced_says_nothing_of_the_new_one(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M19: the rest was rolled back and reserved again, over as much as was left."""
    opened = await part_of(merchant, database)
    await merchant.close(opened, released("100.00 USD"))
    await merchant.end(opened)
    rest = cancellation(await books.order(database, "O-1"), request_id="the-rest")
    await merchant.hold(rest)
    before = await earlier(database)

    restore = rest.key(StepName.RESTORE_PAYMENT, "T-card")
    await merchant.orders.replace_payment("O-1", "T-card", "pi_2", key=restore)

    released_before = earlier_reversal("0.00 USD", released="100.00 USD", cancellation_id=opened.cancellation_id)
    assert before == (released_before,)
    assert await earlier(database) == ()


@pytest.mark.parametrize("collected", ["100.00 USD", "30.00 USD", None])
async def test_what_was_collected_before_a_payment_was_replaced_is_still_to_be_given_back(
    merchant: Merchant, database: AsyncEngine, collected: str | None
) -> None:
    """M19, I1: rolled back; the rest was reserved again."""
    opened = await part_of(merchant, database)
    back = [by_hand(collected, "bank statement 8", StepName.RESTORE_PAYMENT)] if collected else []
    await merchant.write(opened, refunded("100.00 USD", "re_1"), *back)
    restore = opened.key(StepName.RESTORE_PAYMENT, "T-card")
    await merchant.orders.replace_payment("O-1", "T-card", "pi_2", key=restore)

    await merchant.release(opened)

    left = [
        earlier_reversal(
            f"-{paid_back}", of_provider="0.00 USD", paid_back=paid_back, cancellation_id=opened.cancellation_id
        )
        for paid_back in (collected,)
        if paid_back
    ]
    assert [*await earlier(database)] == left


async def test_the_orders_of_a_payment_are_known(merchant: Merchant, database: AsyncEngine) -> None:
    """E3: once their cancellations are decided."""
    for order_id in ("O-1", "O-2"):
        await built_in.add_order(database, order(order_id), email=EMAIL)
    await merchant.hold(cancellation(order("O-1")))
    assert await merchant.books.orders_of(["pi_1"]) == ["O-1"]
    await merchant.hold(cancellation(order("O-2")))
    assert await merchant.books.orders_of(["pi_1", "pi_2"]) == ["O-1", "O-2"]
    assert await merchant.books.orders_of([]) == []
