"""Activities on the merchant's order management system and on our own books, which are not one transaction: what one of them
has done is found by the next attempt."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.closing import ClosingActivities
from activities.deciding import Deciding
from activities.orders import OrderActivities
from activities.register import RegisterActivities
from activities.signatures import QuoteCancellation, ReceiveRequest, StepInput, VerifyOrder
from activities.tenders import Payments
from domain.case import Case
from domain.closing import Closing
from domain.decision import Rule
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import OrderClosed, Requested, WithdrawalAsked
from domain.holder import NotTheHolder
from domain.keys import EffectKey, id_of
from domain.money import money
from domain.order import Order, Tender, TenderKind
from domain.request import ReasonCode
from domain.step import StepName
from providers.carrier.easypost import EasyPostLabels
from providers.gateway.stripe import StripeGateway
from providers.orders.built_in.orders import BuiltInOrders
from sandbox import books, built_in
from tests.activities.samples import attempt
from tests.providers.merchant import OTHER_RUN, RUN, Cancellation, Merchant, cancellation, order
from tests.system import POLICY

PAID = Tender(tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("300.00 USD"), reference="GC-1")
PLACED = order(tenders=(PAID,)).model_copy(update={"placed_at": datetime.now(UTC)})
ONE = cancellation(PLACED)
RECEIVED_AT = datetime(2026, 3, 2, tzinfo=UTC)


class LosingOrders(BuiltInOrders):
    """Does what it is asked, and its answer is lost; `lost` times."""

    lost = 0

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        done = await super().freeze(seen, key=key)
        self._lose()
        return done

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        await super().close(order_id, closing, before, key=key)
        self._lose()

    def _lose(self) -> None:
        if self.lost:
            self.lost -= 1
            raise Unavailable("The order management system does not answer.")


@pytest.fixture
def merchant(database: AsyncEngine) -> Merchant:
    return Merchant.at(database)


@pytest.fixture
def oms(database: AsyncEngine) -> LosingOrders:
    return LosingOrders(database)


@pytest.fixture
def orders(
    merchant: Merchant, oms: LosingOrders, gateway: StripeGateway, labels: EasyPostLabels, deciding: Deciding
) -> OrderActivities:
    payments = Payments(merchant.books, merchant.stored_value, gateway, None)
    return OrderActivities(
        register=merchant.books,
        outbox=merchant.books,
        orders=oms,
        payments=payments,
        labels=labels,
        policy=POLICY,
        deciding=deciding,
    )


@pytest.fixture
def deciding(merchant: Merchant, gateway: StripeGateway, labels: EasyPostLabels) -> Deciding:
    return Deciding(
        register=merchant.books,
        stored_value=merchant.stored_value,
        payments=Payments(merchant.books, merchant.stored_value, gateway, None),
        labels=labels,
        policy=POLICY,
    )


@pytest.fixture
def closing(merchant: Merchant, oms: LosingOrders, deciding: Deciding) -> ClosingActivities:
    return ClosingActivities(register=merchant.books, orders=oms, deciding=deciding)


def verify(one: Cancellation) -> VerifyOrder:
    key = one.key(StepName.VERIFY_ORDER)
    return VerifyOrder(
        cancellation_id=one.cancellation_id,
        order_id=one.order_id,
        target=one.order_id,
        key=key,
        request=one.request,
        requested_at=RECEIVED_AT,
    )


async def close_step(merchant: Merchant, one: Cancellation) -> StepInput:
    case = await merchant.case(one)
    return StepInput(
        cancellation_id=one.cancellation_id,
        order_id=one.order_id,
        target=one.order_id,
        key=case.key_of(StepName.CLOSE_ORDER, one.order_id),
        last_seq=case.last_seq,
    )


async def put_in(database: AsyncEngine) -> None:
    await built_in.add_order(database, PLACED, email="customer@example.test")


async def test_an_order_that_was_frozen_and_whose_answer_was_lost_is_decided_by_the_next_attempt(
    orders: OrderActivities, oms: LosingOrders, merchant: Merchant, database: AsyncEngine
) -> None:
    """M3: that it is about to be frozen is in the books before; then it is frozen once, decided once, and said once."""
    await put_in(database)
    oms.lost = 1
    with pytest.raises(Unavailable):
        await attempt(orders.verify_order, verify(ONE))
    case = await merchant.case(ONE)
    assert [entry.fact.kind for entry in case.entries] == ["requested", "holder_set", "effect_noted"]
    assert (await books.order(database, "O-1")).held_by == ONE.cancellation_id

    for _ in range(2):
        verified = await attempt(orders.verify_order, verify(ONE))

    case = Case(verified.entries)
    assert case.plan is not None
    assert case.entries == (await merchant.case(ONE)).entries
    kinds = [entry.fact.kind for entry in case.entries]
    assert kinds == ["requested", "holder_set", "effect_noted", "decided", "effect_ended"]
    assert len(await books.notices(database)) == 1
    assert (await merchant.books.of_order("O-1")).first_read is not None


async def test_an_order_that_somebody_else_has_frozen_is_looked_at_again(
    orders: OrderActivities, merchant: Merchant, database: AsyncEngine
) -> None:
    """Our books know no other cancellation of it, so a person has to look there."""
    await put_in(database)
    seen = await merchant.orders.read("O-1")
    other = cancellation(PLACED, request_id="of-another-shop-system")
    await merchant.orders.freeze(seen, key=other.key(StepName.VERIFY_ORDER))

    with pytest.raises(Unavailable, match=f"is frozen for {other.cancellation_id}"):
        await attempt(orders.verify_order, verify(ONE))

    assert (await merchant.case(ONE)).decided is None
    await merchant.orders.thaw("O-1", key=other.key(StepName.RELEASE_ORDER))
    assert Case((await attempt(orders.verify_order, verify(ONE))).entries).decided


async def test_an_order_that_was_closed_and_whose_answer_was_lost_is_found_closed_by_the_next_attempt(
    orders: OrderActivities, closing: ClosingActivities, oms: LosingOrders, merchant: Merchant, database: AsyncEngine
) -> None:
    """E21: nothing leaves it twice, and what our books have of it is not lost."""
    await put_in(database)
    await attempt(orders.verify_order, verify(ONE))
    oms.lost = 1
    with pytest.raises(Unavailable):
        await attempt(closing.close_order, await close_step(merchant, ONE))
    assert not (await merchant.case(ONE)).ever_closed
    assert (await merchant.orders.read("O-1")).lines[0].cancelled == 3

    for _ in range(2):
        await attempt(closing.close_order, await close_step(merchant, ONE))

    case = await merchant.case(ONE)
    assert [entry.fact for entry in case.entries if isinstance(entry.fact, OrderClosed)] == [OrderClosed()]
    stock = await built_in.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved) == (3, 0)
    assert [effect.kind for effect in await built_in.effects(database)] == ["close_order"]


async def test_an_order_that_others_have_taken_units_out_of_is_not_closed(
    orders: OrderActivities, closing: ClosingActivities, merchant: Merchant, database: AsyncEngine
) -> None:
    """I2: also at the second attempt."""
    await put_in(database)
    await attempt(orders.verify_order, verify(ONE))
    async with database.begin() as connection:
        await connection.execute(text("UPDATE order_lines SET cancelled = 3, reserved = 0"))

    for _ in range(2):
        with pytest.raises(Refused, match="taken 3 of line L1 out of order O-1") as changed:
            await attempt(closing.close_order, await close_step(merchant, ONE))
        assert changed.value.code is ErrorCode.ORDER_CHANGED

    assert not (await merchant.case(ONE)).ever_closed


async def test_a_quote_does_not_promise_the_plan_of_a_cancellation_that_is_being_rolled_back(
    orders: OrderActivities, merchant: Merchant, database: AsyncEngine
) -> None:
    """A3: a start is refused as under way then, too."""
    await put_in(database)
    await attempt(orders.verify_order, verify(ONE))
    asked = cancellation(PLACED, request_id="R-2").request
    step = QuoteCancellation(
        cancellation_id=id_of(asked),
        order_id="O-1",
        target="O-1",
        key=ONE.key(StepName.QUOTE_CANCELLATION),
        request=asked,
    )
    assert (await attempt(orders.quote_cancellation, step)).existing == ONE.cancellation_id
    withdrawn = WithdrawalAsked(by=ONE.request.actor)
    await merchant.books.write(ONE.cancellation_id, RUN, lambda _: [withdrawn])

    with pytest.raises(Refused, match=f"under way .{ONE.cancellation_id}.. Ask again when it has ended") as refused:
        await attempt(orders.quote_cancellation, step)

    assert refused.value.code is ErrorCode.UNDER_WAY


async def test_another_run_closes_nothing(
    orders: OrderActivities, closing: ClosingActivities, merchant: Merchant, database: AsyncEngine
) -> None:
    """M25"""
    await put_in(database)
    await attempt(orders.verify_order, verify(ONE))
    await merchant.books.take_up(ONE.cancellation_id, OTHER_RUN)
    with pytest.raises(NotTheHolder) as lost:
        await attempt(closing.close_order, await close_step(merchant, ONE), RUN)
    assert lost.value.holder == OTHER_RUN
    assert (await merchant.orders.read("O-1")).lines[0].cancelled == 0


async def test_a_request_for_an_unknown_order_is_answered_and_not_kept_for_later(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """A1: a statutory withdrawal, too."""
    await put_in(database)
    register = RegisterActivities(merchant.books, merchant.books, merchant.orders, POLICY, StripeGateway("sk_test_1"))
    asked = cancellation(order("O-404"), request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL).request
    step = ReceiveRequest(
        cancellation_id=id_of(asked),
        order_id="O-404",
        target="O-404",
        key=ONE.key(StepName.RECEIVE_REQUEST),
        request=asked,
        requested=Requested(request=asked, at=RECEIVED_AT),
        received_at=RECEIVED_AT,
        ask_again_at=RECEIVED_AT,
    )

    answer = await attempt(register.receive_request, step)

    assert (answer.deferred, answer.decision.rule if answer.decision else None) == (False, Rule.ORDER_NOT_FOUND)
    assert await merchant.books.find_deferred("O-404", "R-2") is None
    assert await books.notices(database) == []
