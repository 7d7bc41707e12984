"""What was done with an order's money: by the lists of the gateway, of the stored value and of the marketplace."""

from collections.abc import Container, Mapping, Sequence

from sqlalchemy import select

from domain.order import Order, TenderKind
from providers.database.engine import reading
from providers.stored_value.tables import AccountEntryRow
from sandbox.gateway.messages import Effect, EffectKind
from sandbox.marketplace.model import Actor as SaleActor
from sandbox.marketplace.model import EffectKind as SaleKind
from tests.faults.model import (
    CAPTURED,
    CHARGED_BACK,
    FAILED,
    REFUNDED,
    RELEASED,
    RESERVED,
    SETTLED,
    AtGateway,
    World,
)
from tests.faults.prices import price_of_units
from tests.faults.shop import seconds_of
from tests.system import System

_KINDS = {
    EffectKind.PAYMENT_CAPTURED: CAPTURED,
    EffectKind.REFUND_CREATED: REFUNDED,
    EffectKind.REFUND_SETTLED: SETTLED,
    EffectKind.REFUND_FAILED: FAILED,
    EffectKind.REFUND_CANCELED: FAILED,
    EffectKind.PAYMENT_VOIDED: RELEASED,
    EffectKind.DISPUTE_LOST: CHARGED_BACK,
    EffectKind.DISPUTE_REINSTATED: CHARGED_BACK,
}
_OF_REFUNDS = frozenset({REFUNDED, SETTLED, FAILED})


def at_gateway(order: Order, effects: Sequence[Effect], keys: Container[str]) -> list[AtGateway]:
    """`keys`: those under which the harness has called for others. A failure is told by the bank: it is about a refund of
    whoever has made that."""
    tender_of = {tender.reference: tender.tender_id for tender in order.tenders}
    theirs = {found.object_id for found in effects if found.kind is EffectKind.REFUND_CREATED and found.key in keys}
    return [
        AtGateway(
            kind=_KINDS[effect.kind],
            tender_id=tender_of[effect.payment_id],
            object_id=effect.object_id,
            amount=-effect.amount if effect.kind is EffectKind.DISPUTE_REINSTATED else effect.amount,
            key=effect.key,
            by_others=effect.object_id in theirs
            if _KINDS[effect.kind] in _OF_REFUNDS
            else effect.key is None or effect.key in keys,
            at=effect.really_at,
        )
        for effect in effects
        if effect.payment_id in tender_of and effect.kind in _KINDS
    ]


def never_taken(order: Order, effects: Sequence[Effect]) -> list[str]:
    had = {EffectKind.PAYMENT_AUTHORISED, EffectKind.PAYMENT_CAPTURED}
    taken = {effect.payment_id for effect in effects if effect.kind in had}
    cards = (tender for tender in order.tenders if tender.kind is TenderKind.CARD)
    return [tender.tender_id for tender in cards if tender.reference not in taken]


def of_other_orders(
    order: Order, effects: Sequence[AtGateway], paid: Mapping[str, frozenset[str]], cancellations: Container[str]
) -> set[str]:
    """The refunds that bear the key of a cancellation of another order that shares the payment."""
    payment_of = {tender.tender_id: tender.reference for tender in order.tenders}
    return {
        effect.object_id
        for effect in effects
        if effect.kind == REFUNDED
        and effect.cancellation not in cancellations
        and effect.cancellation in paid[payment_of[effect.tender_id]]
    }


def given_twice_to_others(world: World) -> int:
    """What other orders had been given of payments that they share with this one, beyond what was captured for them, when
    this one was planned: by the process, and by somebody in the dashboard. The process takes that for this order's."""
    planned_at = max(
        (effect.at for found in world.cancellations for effect in found.effects if "/verify_order/" in effect.key),
        default=0,
    )
    failed = {effect.object_id for effect in world.for_other_orders if effect.kind == FAILED}
    refunds = [
        effect
        for effect in world.for_other_orders
        if effect.kind == REFUNDED and effect.object_id not in failed and effect.at < planned_at
    ]
    beyond = 0
    for tender_id, captured in world.captured_for:
        given = sum(effect.amount for effect in refunds if effect.tender_id == tender_id)
        beyond += max(given + captured - world.total(CAPTURED, tender_id=tender_id), 0)
    return beyond


def reserved(effects: Sequence[Effect], cancellations: Container[str]) -> list[AtGateway]:
    """The payments that a roll-back has made. They are under the key of the step that made them:
    `{cancellation}/{step}/{tender}/{number}`."""
    found = []
    for effect in effects:
        cancellation, _, key = (effect.key or "").partition("/")
        if effect.kind is EffectKind.PAYMENT_AUTHORISED and cancellation in cancellations:
            tender_id = key.partition("/")[2].rpartition("/")[0]
            made = {"object_id": effect.object_id, "amount": effect.amount, "key": effect.key, "at": effect.really_at}
            found.append(AtGateway.model_validate({"kind": RESERVED, "tender_id": tender_id, **made}))
    return found


async def on_accounts(system: System, order: Order) -> list[AtGateway]:
    """What was put on gift cards and store credit for this order, and what of it was taken back."""
    kinds = {tender.tender_id: tender.kind for tender in order.tenders}
    async with reading(system.engine).connect() as session:
        rows = await session.execute(
            select(AccountEntryRow.__table__)
            .where(AccountEntryRow.order_id == order.order_id, AccountEntryRow.deactivates.is_(False))
            .order_by(AccountEntryRow.entry_id)
        )
        return [
            AtGateway(
                kind=FAILED if row.undoes else REFUNDED,
                tender_id=row.tender_id or "",
                object_id=row.undoes or row.key,
                amount=abs(row.amount),
                key=row.key,
                on_account=True,
                at=seconds_of(row.at),
            )
            for row in rows
            if kinds.get(row.tender_id or "") is not TenderKind.MARKETPLACE
        ]


async def at_marketplace(system: System, order: Order) -> list[AtGateway]:
    """What was cancelled of the sale, at what the units cost here. The marketplace has no place for a key of ours: what the
    seller cancelled there is the process's."""
    sold = next((tender for tender in order.tenders if tender.kind is TenderKind.MARKETPLACE), None)
    if sold is None or system.shop.marketplace is None:
        return []
    return [
        AtGateway(
            kind=REFUNDED,
            tender_id=sold.tender_id,
            object_id=effect.reference,
            amount=price_of_units(order, {effect.line_id: effect.quantity}),
            key=None,
            by_others=effect.by is not SaleActor.SELLER,
        )
        for effect in await system.shop.marketplace.effects(sold.reference)
        if effect.kind is not SaleKind.REFUNDED
    ]
