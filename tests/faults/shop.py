"""What the order management system and the gift cards say that they did."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select

from providers.database.engine import reading
from providers.orders.built_in.tables import EffectRow
from providers.stored_value.tables import AccountEntryRow
from tests.faults.model import AtShop, DoneToParcel
from tests.system import System

DEACTIVATED, ACTIVATED = "gift_card.deactivated", "gift_card.activated"


async def read_shop_effects(system: System, order_id: str) -> list[AtShop]:
    """The oldest first."""
    async with reading(system.engine).connect() as session:
        rows = await session.execute(
            select(EffectRow.kind, EffectRow.cancellation_id, EffectRow.key, EffectRow.reference, EffectRow.at)
            .where(EffectRow.order_id == order_id)
            .order_by(EffectRow.at, EffectRow.key)
        )
        return [
            AtShop(kind=kind.value, cancellation_id=by, target=_target_of(key), reference=reference, at=seconds_of(at))
            for kind, by, key, reference, at in rows
        ]


def seconds_of(at: datetime) -> float:
    """Since 1970, of what a table has in UTC."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _target_of(key: str) -> str:
    """The third of its parts; the number is the last. What it is called does not matter, as long as two effects on one
    thing call it the same."""
    return key.split("/", 2)[-1].rpartition("/")[0]


async def read_gift_card(system: System, account: str) -> Sequence[DoneToParcel]:
    """How it was taken off the market, and put back there."""
    async with reading(system.engine).connect() as session:
        rows = await session.execute(
            select(AccountEntryRow.key, AccountEntryRow.undoes, AccountEntryRow.deactivates, AccountEntryRow.at)
            .where(AccountEntryRow.account_id == account)
            .order_by(AccountEntryRow.entry_id)
        )
        found = rows.all()
    deactivations = {row.key for row in found if row.deactivates}
    return [
        DoneToParcel(kind=ACTIVATED if row.undoes else DEACTIVATED, at=seconds_of(row.at))
        for row in found
        if row.key in deactivations or row.undoes in deactivations
    ]
