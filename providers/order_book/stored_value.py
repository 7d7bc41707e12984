"""Gift cards and store credit: here the order book itself is the provider that moves the money.

A card has no balance here. Money of a card that its gateway cannot take back goes to the customer's store credit, which
is opened for that.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, Refused
from domain.facts import RefundSeen, Run
from domain.keys import EffectKey
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Payment, Refund, RefundStatus
from providers.order_book.columns import EffectKind
from providers.order_book.effects import is_done, record_effect
from providers.order_book.reading import lock_order, now
from providers.order_book.tables import AccountEntryRow, AccountRow, EffectRow, OrderRow, ShipmentRow, TenderRow
from providers.register.writing import append, lock, note_and_end


async def read_balance(session: AsyncSession, order_id: str, tender_id: str) -> Payment:
    tender, account = await _account(session, order_id, tender_id)
    entries = (
        await session.scalars(
            select(AccountEntryRow)
            .where(AccountEntryRow.order_id == order_id, AccountEntryRow.tender_id == tender_id)
            .order_by(AccountEntryRow.entry_id)
        )
    ).all()
    undone = {entry.undoes for entry in entries}
    return Payment(
        reference=tender.reference,
        captured=Money(amount=tender.amount, currency=account.currency),
        capturable=Money.zero(account.currency),
        refunded=Money(amount=tender.put_back, currency=account.currency),
        refunds=tuple(_refund(entry, account, undone=entry.key in undone) for entry in entries if entry.undoes is None),
    )


async def restore_balance(
    session: AsyncSession, order_id: str, tender_id: str, amount: Money, *, key: EffectKey, run: Run
) -> Refund:
    if amount.amount <= 0:
        raise ValueError("only an amount above zero can be put back")
    order = await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    if await is_done(session, key, EffectKind.RESTORE_BALANCE):
        return await _made_under(session, key, order_id, tender_id, amount)
    tender, account = await _account(session, order_id, tender_id, lock=True)
    room = Money(amount=tender.amount - tender.put_back, currency=account.currency)
    if amount > room:
        raise Refused(
            ErrorCode.REFUND_EXCEEDS_CAPTURED,
            f"Tender {tender_id} of order {order_id} can get back {room} at most, not {amount}. "
            "Compare the plan with what was put back already.",
        )
    entry = _post(session, account, amount.amount, order, tender, key=key)
    tender.put_back += amount.amount
    await session.flush()
    refund = _refund(entry, account, undone=False)
    await record_effect(session, key, EffectKind.RESTORE_BALANCE, order_id=order_id, reference=refund.reference)
    seen = RefundSeen(target=tender_id, refund=refund)
    await note_and_end(session, row, key, [seen], amount=amount, reference=refund.reference)
    return refund


async def take_back_balance(
    session: AsyncSession, order_id: str, tender_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
) -> Refund | None:
    order = await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    await is_done(session, key, EffectKind.TAKE_BACK_BALANCE)
    entry = await session.scalar(select(AccountEntryRow).where(AccountEntryRow.key == str(undoes)))
    if entry is None:
        return None
    tender, account = await _account(session, order_id, tender_id, lock=True)
    if (entry.order_id, entry.tender_id) != (order_id, tender_id):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT, f"The key {undoes} put money back on another tender than {tender_id}."
        )
    refund = _refund(entry, account, undone=True)
    if not await _undone(session, entry.key):
        if account.balance < entry.amount:
            raise Refused(
                ErrorCode.REFUND_NOT_CANCELLABLE,
                f"{Money(amount=entry.amount, currency=account.currency)} was put back for tender {tender_id} of order "
                f"{order_id} and has been spent since. Settle it with the customer.",
            )
        _post(session, account, -entry.amount, order, tender, key=key, undoes=undoes)
        tender.put_back -= entry.amount
        await record_effect(session, key, EffectKind.TAKE_BACK_BALANCE, order_id=order_id, reference=refund.reference)
        await append(session, row, [RefundSeen(target=tender_id, refund=refund)])
    return refund


async def gift_card_used(session: AsyncSession, account_id: str) -> bool:
    account = await session.get(AccountRow, account_id)
    if account is None:
        raise Refused(
            ErrorCode.PAYMENT_NOT_FOUND, f"The order book has no gift card {account_id}. Check the order's shipments."
        )
    return await _spent(session, account)


async def deactivate_gift_card(
    session: AsyncSession, order_id: str, shipment_id: str, *, key: EffectKey, run: Run
) -> bool:
    await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    account = await _gift_card_of(session, order_id, shipment_id)
    if await is_done(session, key, EffectKind.DEACTIVATE_GIFT_CARD):
        return not await _undone(session, str(key))
    if await _spent(session, account) or not account.balance:
        return False
    amount = Money(amount=account.balance, currency=account.currency)
    session.add(AccountEntryRow(key=str(key), account_id=account.account_id, amount=-account.balance, at=now()))
    account.balance = 0
    await record_effect(session, key, EffectKind.DEACTIVATE_GIFT_CARD, order_id=order_id, reference=account.account_id)
    await note_and_end(session, row, key, amount=amount, reference=account.account_id)
    return True


async def reactivate_gift_card(
    session: AsyncSession, order_id: str, shipment_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
) -> None:
    await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    account = await _gift_card_of(session, order_id, shipment_id)
    taken = await session.scalar(select(AccountEntryRow).where(AccountEntryRow.key == str(undoes)))
    if taken is None or await is_done(session, key, EffectKind.REACTIVATE_GIFT_CARD):
        return
    session.add(
        AccountEntryRow(key=str(key), account_id=account.account_id, amount=-taken.amount, undoes=taken.key, at=now())
    )
    account.balance -= taken.amount
    await record_effect(session, key, EffectKind.REACTIVATE_GIFT_CARD, order_id=order_id, reference=account.account_id)
    await note_and_end(session, row, key, reference=account.account_id)


async def _gift_card_of(session: AsyncSession, order_id: str, shipment_id: str) -> AccountRow:
    shipment = await session.get_one(ShipmentRow, (order_id, shipment_id))
    return await session.get_one(AccountRow, shipment.gift_card, with_for_update=True)


async def _spent(session: AsyncSession, account: AccountRow) -> bool:
    """Whether something was paid with it: a movement off the card that is no deactivation of ours."""
    spent = await session.scalar(
        select(AccountEntryRow.key)
        .where(
            AccountEntryRow.account_id == account.account_id,
            AccountEntryRow.amount < 0,
            AccountEntryRow.key.not_in(select(EffectRow.key).where(EffectRow.kind == EffectKind.DEACTIVATE_GIFT_CARD)),
        )
        .limit(1)
    )
    return spent is not None


async def _account(
    session: AsyncSession, order_id: str, tender_id: str, *, lock: bool = False
) -> tuple[TenderRow, AccountRow]:
    tender = await session.get(TenderRow, (order_id, tender_id))
    account = None
    if tender is not None and tender.kind in {TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT}:
        account = await session.get(AccountRow, tender.reference, with_for_update=lock)
    elif tender is not None and lock:
        account = await _store_credit(session, await session.get_one(OrderRow, order_id))
    if tender is None or account is None:
        raise Refused(
            ErrorCode.PAYMENT_NOT_FOUND,
            f"Order {order_id} has no gift card or store credit under the tender {tender_id}. Check the order's tenders.",
        )
    return tender, account


async def _store_credit(session: AsyncSession, order: OrderRow) -> AccountRow:
    """The customer's store credit in the order's currency; opened when there is none."""
    account_id = f"store-credit-{order.customer_id}-{order.currency}"
    account = await session.get(AccountRow, account_id, with_for_update=True)
    if account is None:
        account = AccountRow(account_id=account_id, kind=TenderKind.STORE_CREDIT, currency=order.currency, balance=0)
        session.add(account)
        await session.flush()
    return account


async def _made_under(session: AsyncSession, key: EffectKey, order_id: str, tender_id: str, amount: Money) -> Refund:
    """The refund of an earlier attempt, as it stands now: a roll-back may have undone it meanwhile."""
    entry = await session.scalar(select(AccountEntryRow).where(AccountEntryRow.key == str(key)))
    assert entry is not None
    account = await session.get_one(AccountRow, entry.account_id)
    refund = _refund(entry, account, undone=await _undone(session, entry.key))
    if (entry.order_id, entry.tender_id, refund.amount) != (order_id, tender_id, amount):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"The key {key} put {refund.amount} back for tender {entry.tender_id} of order {entry.order_id} already; "
            f"{amount} for tender {tender_id} of order {order_id} needs a key of its own.",
        )
    return refund


async def _undone(session: AsyncSession, key: str) -> bool:
    return await session.scalar(select(AccountEntryRow.key).where(AccountEntryRow.undoes == key)) is not None


def _post(
    session: AsyncSession,
    account: AccountRow,
    amount: int,
    order: OrderRow,
    tender: TenderRow,
    *,
    key: EffectKey,
    undoes: EffectKey | None = None,
) -> AccountEntryRow:
    entry = AccountEntryRow(
        key=str(key),
        account_id=account.account_id,
        amount=amount,
        order_id=order.order_id,
        tender_id=tender.tender_id,
        undoes=str(undoes) if undoes else None,
        at=now(),
    )
    session.add(entry)
    account.balance += amount
    return entry


def _refund_reference(entry: AccountEntryRow) -> str:
    return f"SV-{entry.entry_id:06d}"


def _refund(entry: AccountEntryRow, account: AccountRow, *, undone: bool) -> Refund:
    return Refund(
        reference=_refund_reference(entry),
        amount=Money(amount=entry.amount, currency=account.currency),
        status=RefundStatus.CANCELED if undone else RefundStatus.SUCCEEDED,
        key=entry.key,
        created_at=entry.at,
    )
