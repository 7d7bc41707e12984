"""What every implementation of the port `orders` has to do (providers/orders/port.py). Whoever connects a shop subclasses
`OrdersContract`, says in `shop` how an order gets into it, and runs the tests.

What a system cannot do it has to say: `can_freeze`, `has_picks` and `shows_refunds` are what is expected of the answers. One
that keeps parcels passes parcels_contract.py too.
"""

import pytest

from domain.errors import ErrorCode, Refused, Unavailable
from domain.findings import Subject
from domain.money import Money, money
from domain.order import Order, OrderState
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from providers.orders.port import GivenBack
from tests.providers.closing_contract import ClosingContract
from tests.providers.shop_under_test import ShopUnderTest, an_order, closing, key

__all__ = ["OrdersContract", "ShopUnderTest"]


class OrdersContract(ClosingContract):
    # What it can do

    async def test_it_says_of_each_subject_in_one_line_whether_it_is_known(self, shop: ShopUnderTest) -> None:
        findings = await shop.orders.list_findings()
        assert sorted(finding.subject for finding in findings) == sorted(Subject)
        for finding in findings:
            assert finding.sentence.endswith("."), finding
            assert finding.sentence.splitlines() == [finding.sentence.strip()], finding

    async def test_what_it_says_of_itself_is_what_it_does(self, shop: ShopUnderTest) -> None:
        known = {finding.subject for finding in await shop.orders.list_findings() if finding.known}
        assert (Subject.FREEZING in known) is self.can_freeze
        assert (Subject.PICKS in known) is self.has_picks
        assert (Subject.GIVEN_BACK in known) is self.shows_refunds
        assert (Subject.GOODS_COMING_BACK in known) is not shop.orders.restocks_at_once

    # Reading

    async def test_an_order_is_read_as_it_was_placed(self, shop: ShopUnderTest) -> None:
        asked = an_order()
        placed = await shop.orders.read(await shop.place_order(asked))
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
        yen = Money(amount=9900, currency="JPY")
        sold = an_order()
        line = sold.lines[0].model_copy(update={"total": yen, "tax": Money.zero("JPY")})
        card = sold.tenders[0].model_copy(update={"amount": yen})
        order = sold.model_copy(
            update={"currency": "JPY", "lines": (line,), "tenders": (card,), "shipping": Money.zero("JPY")}
        )
        read = await shop.orders.read(await shop.place_order(order))
        assert (read.lines[0].total, read.tenders[0].amount, read.shipping) == (yen, yen, Money.zero("JPY"))

    async def test_an_unknown_order_is_refused_in_a_sentence(self, shop: ShopUnderTest) -> None:
        with pytest.raises(Refused, match="O-404") as refused:
            await shop.orders.read("O-404")
        assert refused.value.code is ErrorCode.ORDER_NOT_FOUND

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
        """The one that is resumed may have a new id."""
        part = ShipmentLine(line_id=placed.lines[0].line_id, quantity=1)
        if not self.has_picks:
            stop = key(placed.order_id, StepName.STOP_SHIPMENT, target="S1")
            with pytest.raises(Refused, match=placed.order_id) as refused:
                await shop.orders.withdraw_pick(placed.order_id, "S1", key=stop)
            assert refused.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
            return
        await shop.ship(placed.order_id, Shipment(shipment_id="S1", lines=(part,)))
        [pick] = (await shop.orders.read(placed.order_id)).shipments
        stop = key(placed.order_id, StepName.STOP_SHIPMENT, target=pick.shipment_id)
        for _ in range(2):
            await shop.orders.withdraw_pick(placed.order_id, pick.shipment_id, key=stop)
        assert [s.stopped for s in (await shop.orders.read(placed.order_id)).shipments] == [True]
        resume = key(placed.order_id, StepName.RESUME_SHIPMENT, target=pick.shipment_id)
        for orders in (shop.orders, shop.orders, shop.restarted()):
            await orders.resume_pick(placed.order_id, pick.shipment_id, key=resume)
        [resumed] = (await shop.orders.read(placed.order_id)).shipments
        assert (resumed.stopped, resumed.lines) == (False, (part,))

    async def test_a_pick_that_nobody_withdrew_is_not_resumed(self, shop: ShopUnderTest, placed: Order) -> None:
        await shop.orders.resume_pick(
            placed.order_id, "S-404", key=key(placed.order_id, StepName.RESUME_SHIPMENT, target="S-404")
        )
        assert await shop.orders.read(placed.order_id) == placed

    # Money

    async def test_what_was_given_back_is_noted_once_and_moves_nothing(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        given = refunded(placed, "re_1", "30.00 EUR")
        for _ in range(2):
            await shop.orders.note_given_back(placed.order_id, given, key=key(placed.order_id))
        assert await shop.orders.read(placed.order_id) == placed
        assert await shop.given_back(placed.order_id) == self.shown(("re_1", "30.00 EUR"))

    async def test_what_has_failed_is_taken_off_and_what_others_gave_back_stays(
        self, shop: ShopUnderTest, placed: Order
    ) -> None:
        """The customer has the amount once: the refund of this cancellation has failed, and was made another way."""
        other = key(placed.order_id, request_id="R-2")
        await shop.orders.note_given_back(placed.order_id, refunded(placed, "re_0", "5.00 EUR"), key=other)
        for reference in ("re_1", "credit-1"):
            given = refunded(placed, reference, "30.00 EUR")
            await shop.orders.note_given_back(placed.order_id, given, key=key(placed.order_id))
        expected = self.shown(("credit-1", "30.00 EUR"), ("re_0", "5.00 EUR"))
        assert sorted(await shop.given_back(placed.order_id)) == expected
        await shop.orders.note_given_back(placed.order_id, [], key=key(placed.order_id))
        assert await shop.given_back(placed.order_id) == self.shown(("re_0", "5.00 EUR"))

    def shown(self, *given: tuple[str, str]) -> list[tuple[str, Money]]:
        return [(reference, money(amount)) for reference, amount in given] if self.shows_refunds else []


def refunded(order: Order, reference: str, amount: str) -> list[GivenBack]:
    return [GivenBack(tender_id=order.tenders[0].tender_id, reference=reference, amount=money(amount))]
