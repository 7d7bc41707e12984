"""What every implementation of the port `orders` has to do (providers/orders/port.py). Whoever connects a shop subclasses
`OrdersContract`, says in `shop` how an order gets into it, and runs the tests.

What a system cannot do it has to say: `can_freeze`, `has_picks` and `has_parcels` are what is expected of the answers. E21
and E26 are rows of the cases in docs/process.md.
"""

import asyncio
from datetime import UTC, datetime
from typing import Protocol
from zlib import crc32

import pytest

from domain.closing import ClosedLine, Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey, cancellation_id
from domain.money import Money, money
from domain.order import Contact, Order, OrderLine, OrderState, Tender, TenderKind
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from providers.orders.port import GivenBack, Orders


class ShopUnderTest(Protocol):
    """A shop with its adapter, and what people and other systems do in it."""

    @property
    def orders(self) -> Orders:
        """The adapter."""
        ...

    async def place(self, order: Order) -> str:
        """An order with these lines, tenders and contact: its number. Line ids may be the shop's own."""
        ...

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        """Staff takes units out of a line."""
        ...

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        """The warehouse hands a parcel to the carrier."""
        ...

    async def for_sale(self, order_id: str, line_id: str) -> int:
        """How many units of the line's product can be sold."""
        ...


def an_order(order_id: str) -> Order:
    """Three of one thing and one of another, paid by card."""
    return Order(
        order_id=order_id,
        customer_id="C-1",
        placed_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        currency="EUR",
        lines=(
            OrderLine(
                line_id="L1",
                sku=f"SKU-1-{order_id}",
                title="A chair",
                quantity=3,
                total=money("90.00 EUR"),
                tax=money("14.37 EUR"),
            ),
            OrderLine(
                line_id="L2",
                sku=f"SKU-2-{order_id}",
                title="A table",
                quantity=1,
                total=money("200.00 EUR"),
                tax=money("31.93 EUR"),
            ),
        ),
        tenders=(Tender(tender_id="T1", kind=TenderKind.CARD, amount=money("294.90 EUR"), reference=f"pi_{order_id}"),),
        shipments=(),
        shipping=money("4.90 EUR"),
        contact=Contact(email="anna@customer.example", language="en"),
    )


def key(
    order_id: str, step: StepName = StepName.CLOSE_ORDER, *, request_id: str = "R-1", target: str = ""
) -> EffectKey:
    return EffectKey(cancellation_id(order_id, request_id), step, target or order_id)


def closing(order: Order, *units: int) -> Closing:
    """So many units of each line leave the order."""
    lines = [
        ClosedLine(line_id=line.line_id, quantity=quantity, shipment_id=None, gone_before=line.cancelled)
        for line, quantity in zip(order.lines, units, strict=True)
        if quantity
    ]
    return Closing(lines=tuple(lines))


class OrdersContract:
    can_freeze = False
    """Nobody else changes an order that is frozen, and `freeze` sees whether it has changed."""
    has_parcels = True
    """Its orders show what has left. Without parcels an order is as if nothing ever left."""
    has_picks = False
    """A shipment without a label is in the warehouse's work, and can be withdrawn from it."""

    @pytest.fixture
    async def placed(self, shop: ShopUnderTest, request: pytest.FixtureRequest) -> Order:
        """The order as the adapter reads it."""
        order_id = await shop.place(an_order(f"O-{crc32(request.node.name.encode())}"))
        return await shop.orders.read(order_id)

    # Reading

    async def test_an_order_is_read_as_it_was_placed(self, placed: Order) -> None:
        asked = an_order(placed.order_id)
        assert [(line.title, line.quantity, line.total, line.tax, line.cancelled) for line in placed.lines] == [
            (line.title, line.quantity, line.total, line.tax, 0) for line in asked.lines
        ]
        assert [(t.kind, t.amount, t.reference) for t in placed.tenders] == [
            (t.kind, t.amount, t.reference) for t in asked.tenders
        ]
        assert (placed.currency, placed.shipping, placed.placed_at) == (asked.currency, asked.shipping, asked.placed_at)
        assert placed.state is OrderState.OPEN
        assert placed.contact is not None
        assert placed.contact.email == "anna@customer.example"
        assert placed.customer_id

    async def test_what_only_our_books_know_is_left_out(self, placed: Order) -> None:
        assert (placed.held_by, placed.shipping_credited) == (None, None)
        assert not any(tender.earlier_reversals for tender in placed.tenders)

    async def test_amounts_are_in_the_minor_units_of_their_currency(self, shop: ShopUnderTest) -> None:
        """A yen has none."""
        yen = Money(amount=9899, currency="JPY")
        sold = an_order("O-JPY")
        line = sold.lines[0].model_copy(update={"total": yen, "tax": Money.zero("JPY"), "sku": "SKU-JPY"})
        card = sold.tenders[0].model_copy(update={"amount": yen, "reference": "pi_jpy"})
        order = sold.model_copy(
            update={"currency": "JPY", "lines": (line,), "tenders": (card,), "shipping": Money.zero("JPY")}
        )
        read = await shop.orders.read(await shop.place(order))
        assert (read.lines[0].total, read.tenders[0].amount, read.shipping) == (yen, yen, Money.zero("JPY"))

    async def test_an_unknown_order_is_refused_in_a_sentence(self, shop: ShopUnderTest) -> None:
        with pytest.raises(Refused, match="O-404") as refused:
            await shop.orders.read("O-404")
        assert refused.value.code is ErrorCode.ORDER_NOT_FOUND

    async def test_a_parcel_that_has_left_is_seen(self, shop: ShopUnderTest, placed: Order) -> None:
        if not self.has_parcels:
            assert placed.shipments == ()
            return
        part = ShipmentLine(line_id=placed.lines[0].line_id, quantity=2)
        parcel = Shipment(
            shipment_id="S1", lines=(part,), carrier="UPS", label_reference="shp_1", tracking_number="1Z1"
        )
        await shop.ship(placed.order_id, parcel)
        shipments = (await shop.orders.read(placed.order_id)).shipments
        assert len(shipments) == 1, "no parcel is seen after `ship`: has_parcels = False where the shop has none"
        [seen] = shipments
        assert (seen.lines, seen.label_reference, seen.tracking_number) == ((part,), "shp_1", "1Z1")

    # Freezing

    async def test_freezing_is_done_or_said_to_be_impossible(self, shop: ShopUnderTest, placed: Order) -> None:
        hold = key(placed.order_id, StepName.VERIFY_ORDER)
        answers = [await shop.orders.freeze(placed, key=hold) for _ in range(2)]
        assert answers == [self.can_freeze, self.can_freeze]

    async def test_an_order_that_has_changed_is_not_frozen(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.take_out(placed.order_id, placed.lines[0].line_id, 1)
        hold = key(placed.order_id, StepName.VERIFY_ORDER)
        if self.can_freeze:
            with pytest.raises(Unavailable):
                await shop.orders.freeze(placed, key=hold)
        else:
            assert await shop.orders.freeze(placed, key=hold) is False

    async def test_thawing_what_is_not_frozen_does_nothing(self, shop: ShopUnderTest, placed: Order) -> None:
        thaw = key(placed.order_id, StepName.RELEASE_ORDER)
        await shop.orders.thaw(placed.order_id, key=thaw)
        await shop.orders.thaw("O-404", key=thaw)
        assert await shop.orders.read(placed.order_id) == placed

    async def test_a_frozen_order_that_is_thawed_is_as_it_was(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.orders.freeze(placed, key=key(placed.order_id, StepName.VERIFY_ORDER))
        await shop.orders.thaw(placed.order_id, key=key(placed.order_id, StepName.RELEASE_ORDER))
        assert await shop.orders.read(placed.order_id) == placed
        hold = key(placed.order_id, StepName.VERIFY_ORDER, request_id="R-2")
        assert await shop.orders.freeze(placed, key=hold) is self.can_freeze, "for another cancellation"

    @pytest.mark.parametrize("frozen", [True, False], ids=["frozen_before", "never_frozen"])
    async def test_a_freeze_that_arrives_after_the_thaw_does_not_stay(
        self, shop: ShopUnderTest, placed: Order, *, frozen: bool
    ) -> None:
        """E19: its attempt was given up while it was on its way, and nobody thaws the order again."""
        hold = key(placed.order_id, StepName.VERIFY_ORDER)
        if frozen:
            await shop.orders.freeze(placed, key=hold)
        await shop.orders.thaw(placed.order_id, key=key(placed.order_id, StepName.RELEASE_ORDER))
        assert await shop.orders.freeze(placed, key=hold) is False
        other = key(placed.order_id, StepName.VERIFY_ORDER, request_id="R-2")
        assert await shop.orders.freeze(placed, key=other) is self.can_freeze

    async def test_a_freeze_that_arrives_after_the_close_does_not_stay(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """The same of a cancellation of the shipping charge, which takes nothing out of the order."""
        await shop.orders.close(placed.order_id, closing(placed, 0, 0), None, key=key(placed.order_id))
        assert await shop.orders.freeze(placed, key=key(placed.order_id, StepName.VERIFY_ORDER)) is False
        other = key(placed.order_id, StepName.VERIFY_ORDER, request_id="R-2")
        assert await shop.orders.freeze(placed, key=other) is self.can_freeze

    # Picks

    async def test_a_pick_is_withdrawn_and_resumed_or_refused_in_a_sentence(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        part = ShipmentLine(line_id=placed.lines[0].line_id, quantity=1)
        stop = key(placed.order_id, StepName.STOP_SHIPMENT, target="S1")
        if not self.has_picks:
            with pytest.raises(Refused, match=placed.order_id) as refused:
                await shop.orders.withdraw_pick(placed.order_id, "S1", key=stop)
            assert refused.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
            return
        await shop.ship(placed.order_id, Shipment(shipment_id="S1", lines=(part,)))
        for _ in range(2):
            await shop.orders.withdraw_pick(placed.order_id, "S1", key=stop)
        assert [s.stopped for s in (await shop.orders.read(placed.order_id)).shipments] == [True]
        resume = key(placed.order_id, StepName.RESUME_SHIPMENT, target="S1")
        for _ in range(2):
            await shop.orders.resume_pick(placed.order_id, "S1", key=resume)
        assert [s.stopped for s in (await shop.orders.read(placed.order_id)).shipments] == [False]

    async def test_a_pick_that_nobody_withdrew_is_not_resumed(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.orders.resume_pick(
            placed.order_id, "S-404", key=key(placed.order_id, StepName.RESUME_SHIPMENT, target="S-404")
        )
        assert await shop.orders.read(placed.order_id) == placed

    # Closing

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

    async def test_closed_again_under_the_same_key_nothing_more_leaves(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """E21: the answer was lost."""
        before = await shop.for_sale(placed.order_id, placed.lines[0].line_id)
        for _ in range(3):
            await shop.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
        assert [line.cancelled for line in (await shop.orders.read(placed.order_id)).lines] == [1, 0]
        assert await shop.for_sale(placed.order_id, placed.lines[0].line_id) == before + 1

    async def test_of_two_attempts_at_once_one_closes(self, shop: ShopUnderTest, placed: Order) -> None:
        """E21: an attempt that was held up goes on beside the next one, perhaps in another worker. Each of them returns."""
        before = await shop.for_sale(placed.order_id, placed.lines[0].line_id)
        close = closing(placed, 1, 0)
        await asyncio.gather(
            *(shop.orders.close(placed.order_id, close, None, key=key(placed.order_id)) for _ in range(4))
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
        """E26: the order is brought to its target or the difference refused, and no line has more gone than both."""
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

    # Money

    async def test_what_was_given_back_is_noted_once_and_moves_nothing(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        given = [GivenBack(tender_id="T1", reference="re_1", amount=Money(amount=3000, currency="EUR"))]
        for _ in range(2):
            await shop.orders.note_given_back(placed.order_id, given, key=key(placed.order_id))
        assert await shop.orders.read(placed.order_id) == placed
