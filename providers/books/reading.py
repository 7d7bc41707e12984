"""The books' entries, read at once for an order."""

from sqlalchemy import bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.facts import Entry
from domain.known_order import KnownOrder
from domain.outcome import CARRIED_OUT
from providers.books.tables import CancellationRow, FactRow
from providers.database.columns import table_of

_CANCELLATIONS, _FACTS = table_of(CancellationRow), table_of(FactRow)
_OF_ORDER = (
    select(_FACTS.c.cancellation_id, _FACTS.c.content)
    .join(_CANCELLATIONS, _CANCELLATIONS.c.cancellation_id == _FACTS.c.cancellation_id)
    .where(_CANCELLATIONS.c.order_id == bindparam("order"))
    .order_by(_CANCELLATIONS.c.opened_at, _CANCELLATIONS.c.cancellation_id, _FACTS.c.seq)
)
_FIRST_READ = (
    select(_CANCELLATIONS.c.first_read)
    .where(
        _CANCELLATIONS.c.order_id == bindparam("order"),
        _CANCELLATIONS.c.first_read.is_not(None),
        # One that was rolled back has taken nothing out, so what the order costs now counts.
        or_(_CANCELLATIONS.c.outcome.is_(None), _CANCELLATIONS.c.outcome.in_(CARRIED_OUT)),
    )
    .order_by(_CANCELLATIONS.c.opened_at)
    .limit(1)
)


async def known_order(session: AsyncSession, order_id: str) -> KnownOrder:
    """Every entry of each of its cancellations, and what was read of it first."""
    found: dict[str, list[Entry]] = {}
    for cancellation, entry in (await session.execute(_OF_ORDER, {"order": order_id})).tuples():
        found.setdefault(cancellation, []).append(entry)
    first_read = await session.scalar(_FIRST_READ, {"order": order_id}) if found else None
    return KnownOrder(found.values(), first_read)
