"""The built-in order management system: reading, freezing, picks, labels and payments. On SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from domain.closing import Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Contact
from domain.step import StepName
from providers.orders.built_in.orders import BuiltInOrders
from providers.orders.built_in.tables import GivenBackRow
from providers.orders.port import GivenBack
from sandbox import books, built_in
from tests.providers.merchant import CARD, Cancellation, cancellation, line, order, parcel

EMAIL = "customer@example.test"
ONE = cancellation(order())
OTHER = cancellation(order(), request_id="R-2")


def verify(one: Cancellation = ONE) -> EffectKey:
    return one.key(StepName.VERIFY_ORDER)


async def frozen_by(database: AsyncEngine) -> str | None:
    return (await books.order(database, "O-1")).held_by


async def test_an_order_is_read_as_it_was_put_in(built_in_orders: BuiltInOrders, database: AsyncEngine) -> None:
    """With where its customer is written to, and nothing of what only our books know."""
    placed = order(
        lines=(line(), line("52.35 USD", line_id="L2", quantity=1, tax="8.36 USD")),
        shipments=(parcel("S1", 2, label="shp_1"), parcel("S2", 1)),
        shipping="4.90 USD",
    ).model_copy(update={"shipping_tax": money("0.78 USD"), "discount": money("1.00 USD"), "country": "DE"})
    await built_in.add_order(database, placed, email=EMAIL, language="de-AT")

    read = await built_in_orders.read("O-1")

    of_oms = {"contact": Contact(email=EMAIL, language="de-AT"), "shipping_credited": None}
    assert read == placed.model_copy(update=of_oms)


@pytest.mark.parametrize(
    ("currency", "amount", "minor"), [("JPY", "9899", 9899), ("KWD", "12.345", 12345), ("USD", "52.35", 5235)]
)
async def test_amounts_keep_the_minor_units_of_their_currency(
    built_in_orders: BuiltInOrders, database: AsyncEngine, currency: str, amount: str, minor: int
) -> None:
    """B30."""
    worth = f"{amount} {currency}"
    tender = CARD.model_copy(update={"amount": money(worth)})
    await built_in.add_order(database, order(lines=(line(worth, quantity=1),), tenders=(tender,)), email=EMAIL)

    read = await built_in_orders.read("O-1")

    assert read.lines[0].total == Money(amount=minor, currency=currency)
    assert read.tenders[0].amount == Money(amount=minor, currency=currency)


async def test_an_unknown_order_is_refused(built_in_orders: BuiltInOrders) -> None:
    """A1, as far as the order management system goes."""
    unknown = order("O-404")
    key = verify(cancellation(unknown))
    nothing = Closing(lines=())
    for asked in (
        built_in_orders.read("O-404"),
        built_in_orders.freeze(unknown, key=key),
        built_in_orders.withdraw_pick("O-404", "S1", key=key),
        built_in_orders.close("O-404", nothing, None, key=key),
    ):
        with pytest.raises(Refused, match="no order O-404") as no:
            await asked
        assert no.value.code is ErrorCode.ORDER_NOT_FOUND
    await built_in_orders.thaw("O-404", key=key)


# Freezing


async def test_an_order_is_frozen_once_however_often_it_is_asked_for(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    """A4, I5: also at the same time. The promise to the customer stands, and the order is read as before."""
    await built_in.add_order(database, order(), email=EMAIL)
    seen, stock = await built_in_orders.read("O-1"), await built_in.stock(database, "SKU-L1")

    assert await asyncio.gather(*(built_in_orders.freeze(seen, key=verify()) for _ in range(10))) == [True] * 10

    assert await frozen_by(database) == ONE.cancellation_id
    assert await built_in_orders.read("O-1") == seen
    assert await built_in.stock(database, "SKU-L1") == stock
    assert await built_in.effects(database) == []


async def test_one_cancellation_at_a_time_freezes_an_order(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    seen = await built_in_orders.read("O-1")
    rivals = [cancellation(order(), request_id=f"R-{n}") for n in range(20)]

    answers = await asyncio.gather(
        *(built_in_orders.freeze(seen, key=verify(rival)) for rival in rivals), return_exceptions=True
    )

    refusals = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refusals) == 19
    assert [answer for answer in answers if not isinstance(answer, Unavailable)] == [True]
    holder = await frozen_by(database)
    assert holder == rivals[answers.index(True)].cancellation_id
    assert all(f"is frozen for {holder}" in refusal.message for refusal in refusals)


async def test_an_order_that_has_changed_since_it_was_read_is_not_frozen(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    """I2: the plan knows nothing of a parcel that was packed meanwhile. The order is read and decided about again."""
    await built_in.add_order(database, order(), email=EMAIL)
    seen = await built_in_orders.read("O-1")
    await built_in.add_shipment(database, "O-1", parcel("S1", 3, label="shp_1"))

    with pytest.raises(Unavailable, match="read and decided about again"):
        await built_in_orders.freeze(seen, key=verify())

    assert await frozen_by(database) is None
    assert await built_in_orders.freeze(await built_in_orders.read("O-1"), key=verify())
    assert await frozen_by(database) == ONE.cancellation_id


async def test_that_another_one_has_frozen_it_is_said_before_that_it_has_changed(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    """Reading it again would not help, so a person learns whom it is frozen for."""
    await built_in.add_order(database, order(), email=EMAIL)
    seen = await built_in_orders.read("O-1")
    await built_in_orders.freeze(seen, key=verify())
    await built_in.add_shipment(database, "O-1", parcel("S1", 3))

    with pytest.raises(Unavailable, match=f"is frozen for {ONE.cancellation_id}"):
        await built_in_orders.freeze(seen, key=verify(OTHER))


async def test_only_who_has_frozen_an_order_lets_it_go_on(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    stock = await built_in.stock(database, "SKU-L1")
    seen = await built_in_orders.read("O-1")
    await built_in_orders.freeze(seen, key=verify())

    await built_in_orders.thaw("O-1", key=OTHER.key(StepName.RELEASE_ORDER))
    assert await frozen_by(database) == ONE.cancellation_id

    for _ in range(2):
        await built_in_orders.thaw("O-1", key=ONE.key(StepName.RELEASE_ORDER))
    assert await frozen_by(database) is None
    assert (await built_in_orders.read("O-1"), await built_in.stock(database, "SKU-L1")) == (seen, stock)
    assert not await built_in_orders.freeze(seen, key=verify()), "late"
    assert not await built_in_orders.freeze(seen, key=verify(OTHER)), "it has let the order go already"


# Picks, labels and payments


async def test_a_pick_is_withdrawn_and_resumed(built_in_orders: BuiltInOrders, database: AsyncEngine) -> None:
    await built_in.add_order(database, order(shipments=(parcel("S1", 3),)), email=EMAIL)
    stop, resume = ONE.key(StepName.STOP_SHIPMENT, "S1"), ONE.key(StepName.RESUME_SHIPMENT, "S1")

    async def stopped() -> bool:
        return (await built_in_orders.read("O-1")).shipments[0].stopped

    for _ in range(2):
        await built_in_orders.withdraw_pick("O-1", "S1", key=stop)
    assert await stopped()

    for _ in range(2):
        await built_in_orders.resume_pick("O-1", "S1", key=resume)
    assert not await stopped()

    await built_in_orders.withdraw_pick("O-1", "S1", key=stop)  # late: its effect was, and has been undone
    assert not await stopped()
    assert [effect.kind for effect in await built_in.effects(database)] == ["withdraw_pick", "resume_pick"]
    await built_in_orders.withdraw_pick("O-1", "S1", key=stop.next)
    assert await stopped()


async def test_attempts_at_the_same_time_have_one_effect(built_in_orders: BuiltInOrders, database: AsyncEngine) -> None:
    """I5: attempts with one key, at once."""
    await built_in.add_order(database, order(shipments=(parcel("S1", 3),)), email=EMAIL)
    key = ONE.key(StepName.STOP_SHIPMENT, "S1")

    await asyncio.gather(*(built_in_orders.withdraw_pick("O-1", "S1", key=key) for _ in range(10)))

    assert [effect.kind for effect in await built_in.effects(database)] == ["withdraw_pick"]


async def test_a_key_has_one_meaning(built_in_orders: BuiltInOrders, database: AsyncEngine) -> None:
    await built_in.add_order(database, order(shipments=(parcel("S1", 3),)), email=EMAIL)
    key = ONE.key(StepName.STOP_SHIPMENT, "S1")
    await built_in_orders.withdraw_pick("O-1", "S1", key=key)

    with pytest.raises(Refused) as no:
        await built_in_orders.resume_pick("O-1", "S1", key=key)

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert (await built_in_orders.read("O-1")).shipments[0].stopped


@pytest.mark.parametrize("shipment_id", ["S1", "S2", "S404"])
async def test_a_parcel_with_a_label_or_gone_is_not_the_warehouses_to_stop(
    built_in_orders: BuiltInOrders, database: AsyncEngine, shipment_id: str
) -> None:
    placed = order(shipments=(parcel("S1", 2, label="shp_1"), parcel("S2", 1)))
    await built_in.add_order(database, placed, email=EMAIL, handed_over={"S2"})

    with pytest.raises(Refused, match=f"{shipment_id} of order O-1") as no:
        await built_in_orders.withdraw_pick("O-1", shipment_id, key=ONE.key(StepName.STOP_SHIPMENT, shipment_id))

    assert no.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
    assert await built_in.effects(database) == []


@pytest.mark.parametrize("shipment_id", ["S1", "S2", "S404"])
async def test_what_was_not_withdrawn_or_is_gone_is_not_resumed(
    built_in_orders: BuiltInOrders, database: AsyncEngine, shipment_id: str
) -> None:
    gone = parcel("S2", 1).model_copy(update={"stopped": True})
    placed = order(shipments=(parcel("S1", 2), gone))
    await built_in.add_order(database, placed, email=EMAIL, handed_over={"S2"})
    before = await built_in_orders.read("O-1")

    await built_in_orders.resume_pick("O-1", shipment_id, key=ONE.key(StepName.RESUME_SHIPMENT, shipment_id))

    assert await built_in_orders.read("O-1") == before
    assert await built_in.effects(database) == []


async def test_a_new_label_and_a_new_payment_replace_the_voided_ones(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    """M19: each once for its key."""
    await built_in.add_order(database, order(shipments=(parcel("S1", 3, label="shp_1"),)), email=EMAIL)
    resume, restore = ONE.key(StepName.RESUME_SHIPMENT, "S1"), ONE.key(StepName.RESTORE_PAYMENT, "T-card")

    for n in (2, 3):
        await built_in_orders.relabel("O-1", "S1", f"shp_{n}", f"1Z{n}", key=resume)
        await built_in_orders.replace_payment("O-1", "T-card", f"pi_{n}", key=restore)
    with pytest.raises(Refused) as no_tender:
        await built_in_orders.replace_payment("O-1", "T-404", "pi_9", key=ONE.key(StepName.RESTORE_PAYMENT, "T-404"))
    with pytest.raises(Refused, match="void the label") as no_parcel:
        await built_in_orders.relabel("O-1", "S404", "shp_9", "1Z9", key=ONE.key(StepName.RESUME_SHIPMENT, "S404"))

    read = await built_in_orders.read("O-1")
    shipment = read.shipments[0]
    assert (shipment.label_reference, shipment.tracking_number, shipment.stopped) == ("shp_2", "1Z2", False)
    assert read.tenders[0].reference == "pi_2"
    assert no_tender.value.code is ErrorCode.PAYMENT_NOT_FOUND
    assert no_parcel.value.code is ErrorCode.STOP_NOT_UNDOABLE
    assert [effect.kind for effect in await built_in.effects(database)] == ["relabel", "replace_payment"]


async def test_what_has_gone_back_is_recorded_once_by_its_reference(
    built_in_orders: BuiltInOrders, database: AsyncEngine
) -> None:
    """For whoever looks at the order; whichever step says so, and one transfer may stand for two tenders."""
    await built_in.add_order(database, order(), email=EMAIL)
    refund = GivenBack(tender_id="T-card", reference="re_1", amount=money("52.35 USD"))
    transfer = GivenBack(tender_id="T-card", reference="bank 1", amount=money("4.00 USD"))
    for_another = transfer.model_copy(update={"tender_id": "T-gift"})

    await built_in_orders.note_given_back("O-1", [], key=ONE.key(StepName.CLOSE_ORDER))
    await built_in_orders.note_given_back("O-1", [refund], key=ONE.key(StepName.CLOSE_ORDER))
    for _ in range(2):
        given = [refund, transfer, for_another]
        await built_in_orders.note_given_back("O-1", given, key=ONE.key(StepName.CLOSE_CANCELLATION))

    assert sorted(await noted(database)) == [
        ("bank 1", "T-card", 400),
        ("bank 1", "T-gift", 400),
        ("re_1", "T-card", 5235),
    ]


async def noted(database: AsyncEngine) -> list[tuple[str, str, int]]:
    async with AsyncSession(database) as session:
        rows = await session.scalars(select(GivenBackRow))
        return [(row.reference, row.tender_id, row.amount) for row in rows]
