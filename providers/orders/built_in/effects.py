"""The record of what was done under which idempotency key."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from providers.database.columns import table_of
from providers.orders.built_in.tables import EffectKind, EffectRow

_EFFECTS = table_of(EffectRow)
_FIND = select(_EFFECTS.c.kind, _EFFECTS.c.order_id).where(_EFFECTS.c.key == bindparam("key"))
_INSERT = insert(_EFFECTS)


async def is_done(session: AsyncSession, key: EffectKey, kind: EffectKind) -> bool:
    """Whether this key has done it already. Refused: IDEMPOTENCY_CONFLICT when that was something else."""
    found = (await session.execute(_FIND, {"key": str(key)})).first()
    if found is not None and found.kind is not kind:
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"The key {key} was used for {found.kind.value} of order {found.order_id} already; "
            f"{kind.value} needs a key of its own.",
        )
    return found is not None


async def record_effect(
    session: AsyncSession, key: EffectKey, kind: EffectKind, *, order_id: str, reference: str | None = None
) -> None:
    row = {
        "key": str(key),
        "kind": kind,
        "order_id": order_id,
        "cancellation_id": key.cancellation_id,
        "reference": reference,
        "at": datetime.now(UTC),
    }
    await session.execute(_INSERT, row)
