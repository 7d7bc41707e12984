"""How a cancellation closes its order and ends, in the books. On SQLite and PostgreSQL."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import OrderClosed
from domain.holder import NotTheHolder
from domain.money import money
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.request import LineScope
from domain.step import StepName
from providers.outbox.port import NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import (
    OTHER_RUN,
    RUN,
    Merchant,
    by_card,
    cancellation,
    credit,
    ending,
    order,
    refunded,
)

CANCELLED = NewNotice(kind=NoticeKind.CANCELLED)
EMAIL = "customer@example.test"
ONE = cancellation(order())
OTHER = cancellation(order(), request_id="R-2")


def kinds(case: Case) -> list[str]:
    return [entry.fact.kind for entry in case.entries]


async def frozen_by(database: AsyncEngine) -> str | None:
    return (await books.order(database, "O-1")).held_by


async def test_only_the_holder_closes_an_order(merchant: Merchant, database: AsyncEngine) -> None:
    """M25, E19: neither another cancellation nor another run of this one, and neither ends it."""
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)

    for cancelled, run in ((OTHER, RUN), (ONE, OTHER_RUN)):
        with pytest.raises(NotTheHolder):
            await merchant.books.close(OrderClosed(), [], None, key=cancelled.key(StepName.CLOSE_ORDER), run=run)
        with pytest.raises(NotTheHolder):
            await merchant.books.end(ending(cancelled), run=run)

    case = await merchant.case(ONE)
    assert (case.order_closed, case.ended) == (False, None)
    assert await frozen_by(database) == ONE.cancellation_id
    assert [row.outcome for row in await books.cancellations(database)] == [None]


async def test_that_an_order_is_closed_is_written_once(merchant: Merchant, database: AsyncEngine) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)
    key = ONE.key(StepName.CLOSE_ORDER)

    closed = [await merchant.books.close(OrderClosed(), [CANCELLED], None, key=key, run=RUN) for _ in range(3)]

    case = Case(closed[-1])
    assert kinds(case).count("order_closed") == 1
    assert (case.is_done(StepName.CLOSE_ORDER, "O-1"), case.ended) == (True, None)
    assert closed[0] == closed[-1] == await merchant.books.read(ONE.cancellation_id)
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.CANCELLED]


@pytest.mark.parametrize("meanwhile", [False, True], ids=["", "something was written meanwhile"])
async def test_a_cancellation_whose_money_has_settled_ends_with_its_order(
    merchant: Merchant, database: AsyncEngine, *, meanwhile: bool
) -> None:
    """By what was known when its end was worked out; otherwise it is worked out again."""
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)
    given = credit(ONE, by_card("300.00 USD", "re_1"))
    await merchant.write(ONE, refunded("300.00 USD", "re_1"))
    await merchant.books.credit(given, [], key=ONE.key(StepName.CREDIT_REFUND), run=RUN)
    end = ending(ONE, given, seen=(await merchant.case(ONE)).last_seq)
    if meanwhile:
        await merchant.write(ONE, refunded("300.00 USD", "re_1", RefundStatus.FAILED))

    entries = await merchant.books.close(OrderClosed(), [CANCELLED], end, key=ONE.key(StepName.CLOSE_ORDER), run=RUN)

    case = Case(entries)
    assert (case.ever_closed, case.ended) == (True, None if meanwhile else end.ended)
    outcomes = [row.outcome for row in await books.cancellations(database)]
    assert outcomes == [None if meanwhile else Outcome.CANCELLED]
    assert await books.payable(database, ONE.cancellation_id) == money("0.00 USD")


async def test_an_attempt_finds_that_an_earlier_one_of_its_run_has_ended_it(
    merchant: Merchant, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)
    await merchant.close(ONE)

    ended = [await merchant.books.end(ending(ONE), run=RUN) for _ in range(2)]

    assert ended[0] == ended[1] == await merchant.books.read(ONE.cancellation_id)
    with pytest.raises(NotTheHolder):
        await merchant.books.end(ending(ONE), run=OTHER_RUN)


async def test_the_rest_of_an_order_is_free_before_the_money_has_settled(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """E25: the hold is off, and the cancellation is still under way."""
    await built_in.add_order(database, order(), email=EMAIL)
    opened = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(opened)

    await merchant.close(opened, refunded("100.00 USD", "re_1", RefundStatus.PENDING))

    assert await frozen_by(database) is None
    with pytest.raises(Refused) as under_way:
        await merchant.hold(OTHER)
    assert under_way.value.code is ErrorCode.ORDER_HELD
