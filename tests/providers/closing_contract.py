"""What closing an order has to do in every shop (docs/providers.md): a part of the suite in orders_contract.py."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.order import Order, OrderState
from domain.step import StepName
from tests.providers.shop_under_test import ShopUnderTest, an_order, closing, key


class ClosingContract:
    can_freeze = False
    """Nobody else changes an order that is frozen, and `freeze` sees whether it has changed."""
    has_picks = False
    """A shipment without a label is in the warehouse's work, and can be withdrawn from it."""
    shows_refunds = False
    """It records what has gone back to the customer."""

    @pytest.fixture
    async def placed(self, shop: ShopUnderTest, request: pytest.FixtureRequest) -> Order:
        """The order as the adapter reads it."""
        order_id = await shop.place_order(an_order())
        return await shop.orders.read(order_id)

    # Lines

    async def test_the_whole_order_is_closed(self, shop: ShopUnderTest, placed: Order) -> None:
        before = [await shop.for_sale(placed.order_id, line.line_id) for line in placed.lines]
        await shop.orders.close(placed.order_id, closing(placed, 3, 1), None, key=key(placed.order_id))
        order = await shop.orders.read(placed.order_id)
        assert order.state is OrderState.CANCELLED
        after = [await shop.for_sale(placed.order_id, line.line_id) for line in placed.lines]
        assert [b - a for a, b in zip(before, after, strict=True)] == [3, 1], "the promise is released"

    async def test_one_unit_of_three_leaves_and_the_rest_stays(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
        order = await shop.orders.read(placed.order_id)
        assert [line.cancelled for line in order.lines] == [1, 0]
        assert [line.quantity for line in order.lines] == [3, 1]
        assert order.state is OrderState.PARTIALLY_CANCELLED

    async def test_of_two_attempts_at_once_one_closes(self, shop: ShopUnderTest, placed: Order) -> None:
        """An attempt that was held up goes on beside the next one, perhaps in another worker. Each of them returns."""
        before = await shop.for_sale(placed.order_id, placed.lines[0].line_id)
        close = closing(placed, 1, 0)
        workers = [shop.restarted() for _ in range(4)]
        await asyncio.gather(
            *(orders.close(placed.order_id, close, None, key=key(placed.order_id)) for orders in workers)
        )
        assert [line.cancelled for line in (await shop.orders.read(placed.order_id)).lines] == [1, 0]
        assert await shop.for_sale(placed.order_id, placed.lines[0].line_id) == before + 1

    async def test_a_second_cancellation_takes_out_what_the_first_left(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        await shop.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
        left = await shop.orders.read(placed.order_id)
        second = key(placed.order_id, request_id="R-2")
        await shop.orders.close(placed.order_id, closing(left, 2, 1), None, key=second)
        assert (await shop.orders.read(placed.order_id)).state is OrderState.CANCELLED

    async def test_units_that_staff_took_out_are_never_taken_out_twice(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """The order is brought to its target, or the difference is refused. Staff's unit and ours are not added up."""
        await shop.take_out(placed.order_id, placed.lines[0].line_id, 1)
        code = None
        try:
            await shop.orders.close(placed.order_id, closing(placed, 2, 0), None, key=key(placed.order_id))
        except Refused as refused:
            code = refused.code
        gone = tuple(line.cancelled for line in (await shop.orders.read(placed.order_id)).lines)
        assert (code, gone) in {(None, (2, 0)), (ErrorCode.ORDER_CHANGED, (1, 0))}

    async def test_a_closed_order_goes_on_with_what_remains(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.orders.freeze(placed, key=key(placed.order_id, StepName.VERIFY_ORDER))
        await shop.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
        left = await shop.orders.read(placed.order_id)
        hold = key(placed.order_id, StepName.VERIFY_ORDER, request_id="R-2")
        assert await shop.orders.freeze(left, key=hold) is self.can_freeze, "not frozen for the first any more"

    async def test_units_that_had_left_before_are_not_counted_once_more(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        chairs = placed.lines[0].line_id
        await shop.take_out(placed.order_id, chairs, 1)
        left, before = await shop.orders.read(placed.order_id), await shop.for_sale(placed.order_id, chairs)
        await shop.orders.close(placed.order_id, closing(left, 1, 0), None, key=key(placed.order_id))
        assert await units_gone(shop, placed) == [2, 0], "the target is what had left before, and ours"
        assert await shop.for_sale(placed.order_id, chairs) == before + 1

    async def test_two_lines_of_one_product_are_two_lines(self, shop: ShopUnderTest) -> None:
        sold = an_order()
        twice = (sold.lines[0], sold.lines[1].model_copy(update={"sku": sold.lines[0].sku}))
        order = await shop.orders.read(await shop.place_order(sold.model_copy(update={"lines": twice})))
        before = await shop.for_sale(order.order_id, order.lines[0].line_id)
        await shop.orders.close(order.order_id, closing(order, 2, 1), None, key=key(order.order_id))
        assert await units_gone(shop, order) == [2, 1]
        assert await shop.for_sale(order.order_id, order.lines[1].line_id) == before + 3

    @pytest.mark.parametrize(("by_staff", "ours"), [(2, 3), (0, 5)])
    async def test_no_line_loses_more_units_than_it_has(
        self, shop: ShopUnderTest, placed: Order, by_staff: int, ours: int
    ) -> None:
        """Whatever is answered: a line may have become shorter since it was read."""
        chairs = placed.lines[0].line_id
        if by_staff:
            await shop.take_out(placed.order_id, chairs, by_staff)
        before = await shop.for_sale(placed.order_id, chairs)
        with contextlib.suppress(Exception):
            await shop.orders.close(placed.order_id, closing(placed, ours, 0), None, key=key(placed.order_id))
        [taken, tables] = await units_gone(shop, placed)
        assert by_staff <= taken <= 3
        assert tables == 0
        assert await shop.for_sale(placed.order_id, chairs) == before + taken - by_staff

    # Lost answers, and others at the same time

    async def test_closed_again_under_the_same_key_nothing_more_leaves(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """The answer was lost, once also with the worker's memory."""
        before = await shop.for_sale(placed.order_id, placed.lines[0].line_id)
        for orders in (shop.orders, shop.orders, shop.restarted()):
            await orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
        assert await units_gone(shop, placed) == [1, 0]
        assert await shop.for_sale(placed.order_id, placed.lines[0].line_id) == before + 1

    async def test_closed_again_after_another_cancellation_nothing_leaves_or_comes_back(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """The repetition comes so late that more units have left the order than it asks for."""
        first, second = key(placed.order_id), key(placed.order_id, request_id="R-2")
        before = await shop.for_sale(placed.order_id, placed.lines[0].line_id)
        await shop.orders.close(placed.order_id, closing(placed, 1, 0), None, key=first)
        left = await shop.orders.read(placed.order_id)
        await shop.orders.close(placed.order_id, closing(left, 1, 1), None, key=second)
        for orders in (shop.orders, shop.restarted()):
            await orders.close(placed.order_id, closing(placed, 1, 0), None, key=first)
            await orders.close(placed.order_id, closing(left, 1, 1), None, key=second)
        assert await units_gone(shop, placed) == [2, 1]
        assert await shop.for_sale(placed.order_id, placed.lines[0].line_id) == before + 2

    async def test_an_attempt_that_is_cut_off_is_finished_by_the_next(self, shop: ShopUnderTest) -> None:
        """A worker that stops ends its calls, wherever they are; the next one begins anew."""
        for turns in range(12):
            order = await shop.orders.read(await shop.place_order(an_order()))
            close, chairs = closing(order, 1, 0), order.lines[0].line_id
            before = await shop.for_sale(order.order_id, chairs)
            attempt = asyncio.create_task(shop.orders.close(order.order_id, close, None, key=key(order.order_id)))
            await after_turns(turns)
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            await shop.restarted().close(order.order_id, close, None, key=key(order.order_id))
            assert await units_gone(shop, order) == [1, 0]
            assert await shop.for_sale(order.order_id, chairs) == before + 1

    async def test_a_shop_that_cannot_be_reached_is_unavailable_and_nothing_is_half_done(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """Afterwards the same call under the same key does all of it."""
        close, chairs = closing(placed, 1, 1), placed.lines[0].line_id
        before = await shop.for_sale(placed.order_id, chairs)
        await shop.set_reachable(False)
        try:
            with pytest.raises(Unavailable):
                await shop.orders.read(placed.order_id)
            with pytest.raises(Unavailable):
                await shop.orders.close(placed.order_id, close, None, key=key(placed.order_id))
        finally:
            await shop.set_reachable(True)
        assert await shop.orders.read(placed.order_id) == placed
        assert await shop.for_sale(placed.order_id, chairs) == before
        await shop.orders.close(placed.order_id, close, None, key=key(placed.order_id))
        assert await units_gone(shop, placed) == [1, 1]
        assert await shop.for_sale(placed.order_id, chairs) == before + 1

    async def test_a_shop_that_goes_away_during_a_close_has_closed_or_is_unavailable(self, shop: ShopUnderTest) -> None:
        """Unavailable says that nothing has left the order, OutcomeUnknown that something may have."""

        async def sold() -> tuple[Order, Coroutine[Any, Any, None]]:
            order = await shop.orders.read(await shop.place_order(an_order()))
            return order, shop.orders.close(order.order_id, closing(order, 1, 1), None, key=key(order.order_id))

        _, close = await sold()
        began = time.perf_counter()
        await close
        whole = time.perf_counter() - began
        for wait in (*range(1, 7), *(whole * part / 10 for part in range(1, 10))):
            order, close = await sold()
            chairs = order.lines[0].line_id
            before = await shop.for_sale(order.order_id, chairs)
            attempt = asyncio.create_task(close)
            await (after_turns(wait) if isinstance(wait, int) else asyncio.sleep(wait))
            await shop.set_reachable(False)
            try:
                [answer] = await asyncio.gather(attempt, return_exceptions=True)
            finally:
                await shop.set_reachable(True)
            assert answer is None or isinstance(answer, Unavailable | OutcomeUnknown), repr(answer)
            if isinstance(answer, Unavailable):
                assert await units_gone(shop, order) == [0, 0], "raise OutcomeUnknown once something has left the order"
            await shop.restarted().close(order.order_id, closing(order, 1, 1), None, key=key(order.order_id))
            assert await units_gone(shop, order) == [1, 1]
            assert await shop.for_sale(order.order_id, chairs) == before + 1

    async def test_what_staff_takes_out_at_the_same_time_is_not_lost(self, shop: ShopUnderTest) -> None:
        """Either of the two comes first. Where staff comes first, our units are found to have left already, or the close is
        refused."""

        async def sold() -> tuple[Order, str, int]:
            order = await shop.orders.read(await shop.place_order(an_order()))
            chairs = order.lines[0].line_id
            return order, chairs, await shop.for_sale(order.order_id, chairs)

        order, chairs, before = await sold()
        await shop.take_out(order.order_id, chairs, 2)
        by_staff = await shop.for_sale(order.order_id, chairs) - before
        for turns in range(-6, 7):
            order, chairs, before = await sold()
            close = shop.orders.close(order.order_id, closing(order, 1, 0), None, key=key(order.order_id))
            answer, done = await asyncio.gather(
                after_turns(-turns, close),
                after_turns(turns, shop.take_out(order.order_id, chairs, 2)),
                return_exceptions=True,
            )
            assert done is None
            refused = answer.code if isinstance(answer, Refused) else answer
            taken = (await units_gone(shop, order))[0]
            assert (refused, taken) in {(None, 3), (None, 2), (ErrorCode.ORDER_CHANGED, 2)}
            assert await shop.for_sale(order.order_id, chairs) == before + by_staff + taken - 2


async def units_gone(shop: ShopUnderTest, order: Order) -> list[int]:
    """By line, the units that have left the order."""
    return [line.cancelled for line in (await shop.orders.read(order.order_id)).lines]


async def after_turns(turns: int, call: Awaitable[None] | None = None) -> None:
    """Make the call after so many turns of the event loop, so that it meets what runs beside it at another point each
    time."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if call is not None:
        await call
