"""Orders in the order book: hold, release, stopping in the warehouse, closing. On SQLite and PostgreSQL."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import Decided, Ended, WithdrawalAsked
from domain.money import Money, money
from domain.order import OrderState
from domain.outcome import Outcome
from domain.permissions import NotTheHolder
from domain.step import StepName
from providers.order_book.book import SqlOrderBook
from providers.order_book.columns import EffectKind
from providers.outbox.port import NewNotice, NoticeKind
from providers.register.sql import SqlRegister
from sandbox import books
from tests.providers.order_book_samples import (
    CARD,
    OTHER_RUN,
    RUN,
    cancellation,
    hold,
    line,
    order,
    parcel,
    release,
    write,
)

RECEIVED = NewNotice(kind=NoticeKind.RECEIVED)
EMAIL = "customer@example.test"


async def test_an_order_is_read_as_it_was_put_in(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    placed = order(
        lines=(line(), line("52.35 USD", line_id="L2", quantity=1, tax="8.36 USD")),
        shipments=(parcel("S1", 2, label="shp_1"), parcel("S2", 1)),
        shipping="4.90 USD",
    ).model_copy(update={"shipping_tax": money("0.78 USD"), "discount": money("1.00 USD"), "country": "DE"})
    await books.add_order(database, placed, email=EMAIL)

    assert await order_book.read_order("O-1") == placed


@pytest.mark.parametrize(
    ("currency", "amount", "minor"), [("JPY", "9899", 9899), ("KWD", "12.345", 12345), ("USD", "52.35", 5235)]
)
async def test_amounts_keep_the_minor_units_of_their_currency(
    order_book: SqlOrderBook, database: AsyncEngine, currency: str, amount: str, minor: int
) -> None:
    """B30."""
    worth = f"{amount} {currency}"
    tender = CARD.model_copy(update={"amount": money(worth)})
    await books.add_order(database, order(lines=(line(worth, quantity=1),), tenders=(tender,)), email=EMAIL)

    read = await order_book.read_order("O-1")

    assert read.lines[0].total == Money(amount=minor, currency=currency)
    assert read.tenders[0].amount == Money(amount=minor, currency=currency)


async def test_an_unknown_order_is_refused(order_book: SqlOrderBook) -> None:
    """A1, as far as the order book goes."""
    with pytest.raises(Refused, match="no order O-404") as no:
        await order_book.read_order("O-404")
    assert no.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_a_hold_is_put_on_once_however_often_it_is_asked_for(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """A4: the effect of a repeated call."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())

    for _ in range(3):
        await hold(order_book, opened, [RECEIVED])

    assert (await order_book.read_order("O-1")).held_by == opened.cancellation_id
    case = Case(await books.facts(database, "O-1"))
    assert (case.request, case.decided, case.holder) == (opened.request, opened.decided, RUN)
    assert case.is_done(StepName.VERIFY_ORDER, "O-1")
    kinds = [entry.fact.kind for entry in case.entries]
    assert kinds == ["requested", "holder_set", "effect_noted", "decided", "effect_ended"]
    assert [effect.kind for effect in await books.effects(database)] == [EffectKind.HOLD_ORDER]
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.RECEIVED]


async def test_attempts_at_the_same_time_have_one_effect(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I5: attempts with one key, at once."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())

    await asyncio.gather(*(hold(order_book, opened, [RECEIVED]) for _ in range(10)))

    assert [effect.kind for effect in await books.effects(database)] == [EffectKind.HOLD_ORDER]


async def test_one_cancellation_at_a_time_holds_an_order(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    rivals = [cancellation(order(), request_id=f"R-{n}") for n in range(20)]

    answers = await asyncio.gather(*(hold(order_book, rival) for rival in rivals), return_exceptions=True)

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert Counter(refusal.code for refusal in refusals) == {ErrorCode.ORDER_HELD: 19}
    assert len([answer for answer in answers if answer is None]) == 1
    holder = (await order_book.read_order("O-1")).held_by
    assert all(f"held by cancellation {holder}" in refusal.message for refusal in refusals)
    assert [row.cancellation_id for row in await books.cancellations(database)] == [holder]


async def test_an_order_that_has_changed_since_it_was_read_is_not_held(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """I2: the plan knows nothing of a parcel that was packed meanwhile. The order is read and decided about again."""
    await books.add_order(database, order(), email=EMAIL)
    seen, one = await order_book.read_order("O-1"), cancellation(order())
    await books.add_shipment(database, "O-1", parcel("S1", 3, label="shp_1"))

    with pytest.raises(Unavailable, match="read and decided about again"):
        await order_book.hold_order(seen, one.requested, one.decided, [], key=one.key(StepName.VERIFY_ORDER), run=RUN)

    assert (await order_book.read_order("O-1")).held_by is None
    assert await register.read(one.cancellation_id) == ()
    assert await books.cancellations(database) == []
    await hold(order_book, one)
    assert (await order_book.read_order("O-1")).held_by == one.cancellation_id


@pytest.mark.parametrize("step", [StepName.STOP_SHIPMENT, StepName.RESUME_SHIPMENT])
async def test_nothing_but_undoing_is_done_in_the_books_once_the_roll_back_is_ordered(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine, step: StepName
) -> None:
    """I9: an attempt that was held up neither stops the parcel again nor notes that it does."""
    placed = order(shipments=[parcel("S1", 3)])
    one = cancellation(placed)
    await books.add_order(database, placed, email=EMAIL)
    await hold(order_book, one)
    await order_book.withdraw_pick("O-1", "S1", key=one.key(StepName.STOP_SHIPMENT, "S1"), run=RUN)
    await write(register, one, WithdrawalAsked(by=one.request.actor))
    before = await register.read(one.cancellation_id)
    if step is StepName.RESUME_SHIPMENT:
        await order_book.resume_pick("O-1", "S1", key=one.key(step, "S1"), run=RUN)
    else:
        with pytest.raises(Refused) as undone:
            await order_book.withdraw_pick("O-1", "S1", key=one.key(step, "S1", 2), run=RUN)
        assert undone.value.code is ErrorCode.ROLLED_BACK
    stopped = (await order_book.read_order("O-1")).shipments[0].stopped
    assert stopped is (step is StepName.STOP_SHIPMENT)
    assert (await register.read(one.cancellation_id) == before) is (step is StepName.STOP_SHIPMENT)


async def test_the_database_itself_refuses_a_second_open_cancellation(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    await books.add_order(database, order(), email=EMAIL)
    await hold(order_book, cancellation(order()))

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO cancellations"
                    " (cancellation_id, order_id, holder_namespace, holder_run, facts, quiet_after, opened_at)"
                    " SELECT 'other', order_id, holder_namespace, holder_run, facts, quiet_after, opened_at"
                    " FROM cancellations"
                )
            )


async def test_a_key_has_one_meaning(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    placed = order(shipments=(parcel("S1", 3),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await hold(order_book, opened)
    key = opened.key(StepName.STOP_SHIPMENT, "S1")
    await order_book.withdraw_pick("O-1", "S1", key=key, run=RUN)

    with pytest.raises(Refused) as no:
        await order_book.resume_pick("O-1", "S1", key=key, run=RUN)

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert (await order_book.read_order("O-1")).shipments[0].stopped


async def test_a_release_gives_the_order_back_and_ends_the_cancellation(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """D1: the hold is off, the promise stands, the facts say how it ended."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())
    await hold(order_book, opened)
    before = await books.stock(database, "SKU-L1")

    await release(order_book, register, opened, [NewNotice(kind=NoticeKind.NOT_CANCELLED)])
    await order_book.release_order("O-1", [], key=opened.key(StepName.RELEASE_ORDER), run=RUN)

    read = await order_book.read_order("O-1")
    assert (read.held_by, read.state) == (None, OrderState.OPEN)
    assert await books.stock(database, "SKU-L1") == before
    ended = Case(await register.find("O-1", "R-1")).ended
    assert ended == Ended(outcome=Outcome.WITHDRAWN, sentence="Withdrawn by customer:C-1.")
    assert [effect.kind for effect in await books.effects(database)] == [
        EffectKind.HOLD_ORDER,
        EffectKind.RELEASE_ORDER,
    ]

    again = cancellation(order(), request_id="R-2")
    await hold(order_book, again)
    assert (await order_book.read_order("O-1")).held_by == again.cancellation_id


async def test_a_release_without_a_hold_does_nothing(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    opened, unknown = cancellation(order()), cancellation(order("O-404"))

    for one in (opened, unknown):
        await order_book.release_order(one.order_id, [RECEIVED], key=one.key(StepName.RELEASE_ORDER), run=RUN)

    assert await books.effects(database) == []
    assert await books.notices(database) == []
    await hold(order_book, opened)
    other = cancellation(order(), request_id="R-2")
    await order_book.release_order("O-1", [], key=other.key(StepName.RELEASE_ORDER), run=RUN)
    assert (await order_book.read_order("O-1")).held_by == opened.cancellation_id


async def test_a_late_repeat_of_the_hold_does_not_freeze_the_order_again(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())
    await hold(order_book, opened)
    await release(order_book, register, opened)

    with pytest.raises(NotTheHolder):
        await hold(order_book, opened)

    assert (await order_book.read_order("O-1")).held_by is None


async def test_a_withdrawal_that_came_before_the_hold_wins(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """D1, M2: the customer withdrew while the order was being verified; and without an order there is nothing to release."""
    await books.add_order(database, order(), email=EMAIL)
    for one in (cancellation(order()), cancellation(order("O-404"))):
        withdrawn = [WithdrawalAsked(by=one.request.actor)]
        await register.open(one.requested, RUN, lambda case, facts=withdrawn: facts)  # type: ignore[misc]
        if one.order_id == "O-1":
            await hold(order_book, one, [RECEIVED])
            assert (await order_book.read_order("O-1")).held_by is None
        await order_book.release_order(one.order_id, [RECEIVED], key=one.key(StepName.RELEASE_ORDER), run=RUN)

    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.WITHDRAWN, Outcome.WITHDRAWN]
    assert [effect.kind for effect in await books.effects(database)] == [EffectKind.RELEASE_ORDER]
    assert not [entry for entry in await books.facts(database, "O-1") if isinstance(entry.fact, Decided)]


async def test_a_pick_is_withdrawn_and_resumed(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    placed = order(shipments=(parcel("S1", 3),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await hold(order_book, opened)
    stop, resume = opened.key(StepName.STOP_SHIPMENT, "S1"), opened.key(StepName.RESUME_SHIPMENT, "S1")

    for _ in range(2):
        await order_book.withdraw_pick("O-1", "S1", key=stop, run=RUN)
    assert (await order_book.read_order("O-1")).shipments[0].stopped

    for _ in range(2):
        await order_book.resume_pick("O-1", "S1", key=resume, run=RUN)
    assert not (await order_book.read_order("O-1")).shipments[0].stopped

    await order_book.withdraw_pick("O-1", "S1", key=stop, run=RUN)  # late: its effect was, and has been undone
    assert not (await order_book.read_order("O-1")).shipments[0].stopped
    assert [effect.kind for effect in await books.effects(database)] == [
        EffectKind.HOLD_ORDER,
        EffectKind.WITHDRAW_PICK,
        EffectKind.RESUME_PICK,
    ]
    case = Case(await books.facts(database, "O-1"))
    assert case.is_done(StepName.STOP_SHIPMENT, "S1")
    assert case.is_done(StepName.RESUME_SHIPMENT, "S1")
    assert case.keys_noted(StepName.STOP_SHIPMENT, target="S1") == (stop,)


async def test_a_paused_attempt_stops_no_parcel_of_an_order_that_was_taken_over_or_released(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """M25, E19."""
    placed = order(shipments=(parcel("S1", 3),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await hold(order_book, opened)
    key = opened.key(StepName.STOP_SHIPMENT, "S1")
    await register.take_up(opened.cancellation_id, OTHER_RUN)

    with pytest.raises(NotTheHolder) as superseded:
        await order_book.withdraw_pick("O-1", "S1", key=key, run=RUN)
    await register.take_up(opened.cancellation_id, RUN)
    await release(order_book, register, opened)
    with pytest.raises(NotTheHolder) as ended:
        await order_book.withdraw_pick("O-1", "S1", key=key, run=RUN)

    assert (superseded.value.holder, ended.value.holder) == (OTHER_RUN, None)
    assert not (await order_book.read_order("O-1")).shipments[0].stopped
    assert key not in Case(await books.facts(database, "O-1")).all_keys_noted(key.step, target=key.target)


@pytest.mark.parametrize("shipment_id", ["S1", "S404"])
async def test_a_parcel_with_a_label_is_not_the_warehouses_to_stop(
    order_book: SqlOrderBook, database: AsyncEngine, shipment_id: str
) -> None:
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await hold(order_book, opened)

    key = opened.key(StepName.STOP_SHIPMENT, shipment_id)
    with pytest.raises(Refused, match=f"{shipment_id} of order O-1") as no:
        await order_book.withdraw_pick("O-1", shipment_id, key=key, run=RUN)

    assert no.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
    assert [effect.kind for effect in await books.effects(database)] == [EffectKind.HOLD_ORDER]


async def test_a_new_label_and_a_new_payment_replace_the_voided_ones(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """M19. Their effects are the carrier's and the gateway's: nothing of them is ended here."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await hold(order_book, opened)
    before = await books.facts(database, "O-1")

    for n in (2, 3):
        resume = opened.key(StepName.RESUME_SHIPMENT, "S1")
        await order_book.relabel("O-1", "S1", f"shp_{n}", f"1Z{n}", key=resume, run=RUN)
        restore = opened.key(StepName.RESTORE_PAYMENT, "T-card")
        await order_book.replace_payment("O-1", "T-card", f"pi_{n}", key=restore, run=RUN)
    nothing = opened.key(StepName.RESTORE_PAYMENT, "T-404")
    with pytest.raises(Refused) as no:
        await order_book.replace_payment("O-1", "T-404", "pi_9", key=nothing, run=RUN)

    read = await order_book.read_order("O-1")
    shipment = read.shipments[0]
    assert (shipment.label_reference, shipment.tracking_number, shipment.stopped) == ("shp_2", "1Z2", False)
    assert read.tenders[0].reference == "pi_2"
    assert no.value.code is ErrorCode.PAYMENT_NOT_FOUND
    assert await books.facts(database, "O-1") == before
