"""Gift cards and store credit of our own, in SQL."""

from datetime import UTC, datetime

from sqlalchemy import ScalarResult, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Tender, TenderKind
from domain.payment import Payment, Refund, RefundStatus
from providers.database.engine import reading, transaction, writing
from providers.stored_value.tables import AccountEntryRow, AccountRow


class BuiltInStoredValue:
    """Each method is one transaction; see providers/stored_value/port.py for what it promises. Whoever moves money of an
    account locks its row first."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def read(self, order_id: str, tender: Tender) -> Payment:
        async with transaction(self._reads) as session:
            account = await session.get(AccountRow, tender.reference) if tender.kind.is_stored_value else None
            if account is None:
                raise _no_account(order_id, tender)
            entries = (await _entries(session, order_id, tender)).all()
            undone = {entry.undoes for entry in entries}
            refunds = [_refund(e, account, undone=e.key in undone) for e in entries if e.undoes is None]
            return Payment(
                reference=tender.reference,
                captured=Money(amount=tender.amount.amount, currency=account.currency),
                capturable=Money.zero(account.currency),
                refunded=Money(amount=sum(entry.amount for entry in entries), currency=account.currency),
                refunds=tuple(refunds),
            )

    async def find(self, key: EffectKey) -> Refund | None:
        async with transaction(self._reads) as session:
            entry = await _entry(session, key)
            return await _made(session, entry) if entry is not None else None

    # Rule: Gift cards and store credit are put back
    async def restore(
        self, order_id: str, tender: Tender, amount: Money, *, customer_id: str | None, key: EffectKey
    ) -> Refund:
        if amount.amount <= 0:
            raise ValueError("only an amount above zero can be put back")
        async with transaction(self._writes) as session:
            account = await _account_for(session, order_id, tender, customer_id)
            if (made := await _entry(session, key)) is not None:
                return await _made_before(session, made, order_id, tender, amount)
            put_back = sum(entry.amount for entry in await _entries(session, order_id, tender))
            room = tender.amount - Money(amount=put_back, currency=account.currency)
            if amount > room:
                raise Refused(
                    ErrorCode.REFUND_EXCEEDS_CAPTURED,
                    f"Tender {tender.tender_id} of order {order_id} can get back {room} at most, not {amount}. "
                    "Compare the plan with what was put back already.",
                )
            entry = await _post(session, account, amount.amount, key=key, order_id=order_id, tender_id=tender.tender_id)
            return _refund(entry, account, undone=False)

    async def take_back(self, *, undoes: EffectKey, key: EffectKey) -> Refund:
        async with transaction(self._writes) as session:
            entry = await _entry(session, undoes)
            if entry is None:
                raise ValueError(f"nothing was put back under the key {undoes}")
            account = await session.get_one(AccountRow, entry.account_id, with_for_update=True)
            if not await _undone(session, entry.key):
                if account.balance < entry.amount:
                    raise Refused(
                        ErrorCode.REFUND_NOT_CANCELLABLE,
                        f"{Money(amount=entry.amount, currency=account.currency)} was put back for tender {entry.tender_id} "
                        f"of order {entry.order_id} and has been spent since. Settle it with the customer.",
                    )
                await _post(
                    session,
                    account,
                    -entry.amount,
                    key=key,
                    order_id=entry.order_id,
                    tender_id=entry.tender_id,
                    undoes=entry.key,
                )
            return _refund(entry, account, undone=True)

    async def gift_card_used(self, account_id: str) -> bool:
        async with transaction(self._reads) as session:
            account = await session.get(AccountRow, account_id)
            if account is None:
                raise Refused(
                    ErrorCode.PAYMENT_NOT_FOUND, f"There is no gift card {account_id}. Check the order's shipments."
                )
            return await _spent(session, account)

    # Rule: A gift card that was bought is deactivated
    async def deactivate(self, account_id: str, *, key: EffectKey) -> Money | None:
        async with transaction(self._writes) as session:
            account = await session.get_one(AccountRow, account_id, with_for_update=True)
            if (entry := await _entry(session, key)) is not None:
                undone = await _undone(session, entry.key)
                return None if undone else Money(amount=-entry.amount, currency=account.currency)
            if await _spent(session, account) or not account.balance:
                return None
            amount = Money(amount=account.balance, currency=account.currency)
            await _post(session, account, -account.balance, key=key, deactivates=True)
            return amount

    async def reactivate(self, account_id: str, *, undoes: EffectKey, key: EffectKey) -> None:
        async with transaction(self._writes) as session:
            account = await session.get_one(AccountRow, account_id, with_for_update=True)
            entry = await _entry(session, undoes)
            if entry is not None and not await _undone(session, entry.key):
                await _post(session, account, -entry.amount, key=key, undoes=entry.key)


async def _entry(session: AsyncSession, key: EffectKey) -> AccountEntryRow | None:
    return await session.scalar(select(AccountEntryRow).where(AccountEntryRow.key == str(key)))


async def _entries(session: AsyncSession, order_id: str, tender: Tender) -> ScalarResult[AccountEntryRow]:
    """What was put back for a tender, and taken back of it, oldest first."""
    return await session.scalars(
        select(AccountEntryRow)
        .where(AccountEntryRow.order_id == order_id, AccountEntryRow.tender_id == tender.tender_id)
        .order_by(AccountEntryRow.entry_id)
    )


async def _spent(session: AsyncSession, account: AccountRow) -> bool:
    """Whether something was paid with it: a movement off the card that takes nothing back and is no deactivation."""
    spent = await session.scalar(
        select(func.count()).where(
            AccountEntryRow.account_id == account.account_id,
            AccountEntryRow.amount < 0,
            AccountEntryRow.undoes.is_(None),
            AccountEntryRow.deactivates.is_(False),
        )
    )
    return bool(spent)


async def _account_for(session: AsyncSession, order_id: str, tender: Tender, customer_id: str | None) -> AccountRow:
    """The account that gets the money, locked. The customer's store credit is opened when there is none."""
    if tender.kind.is_stored_value:
        account = await session.get(AccountRow, tender.reference, with_for_update=True)
        if account is None:
            raise _no_account(order_id, tender)
        return account
    if customer_id is None:
        raise _no_account(order_id, tender)
    currency = tender.amount.currency
    account_id = f"store-credit-{customer_id}-{currency}"
    account = await session.get(AccountRow, account_id, with_for_update=True)
    if account is None:
        account = AccountRow(account_id=account_id, kind=TenderKind.STORE_CREDIT, currency=currency, balance=0)
        session.add(account)
        await session.flush()
    return account


def _no_account(order_id: str, tender: Tender) -> Refused:
    return Refused(
        ErrorCode.PAYMENT_NOT_FOUND,
        f"Order {order_id} has no gift card or store credit under the tender {tender.tender_id}. Check the order's tenders.",
    )


async def _made(session: AsyncSession, entry: AccountEntryRow) -> Refund:
    account = await session.get_one(AccountRow, entry.account_id)
    return _refund(entry, account, undone=await _undone(session, entry.key))


async def _made_before(
    session: AsyncSession, entry: AccountEntryRow, order_id: str, tender: Tender, amount: Money
) -> Refund:
    """The refund of an earlier attempt, as it stands now: a roll-back may have undone it meanwhile."""
    refund = await _made(session, entry)
    if (entry.order_id, entry.tender_id, refund.amount) != (order_id, tender.tender_id, amount):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"The key {entry.key} put {refund.amount} back for tender {entry.tender_id} of order {entry.order_id} already; "
            f"{amount} for tender {tender.tender_id} of order {order_id} needs a key of its own.",
        )
    return refund


async def _undone(session: AsyncSession, key: str) -> bool:
    return await session.scalar(select(AccountEntryRow.key).where(AccountEntryRow.undoes == key)) is not None


async def _post(
    session: AsyncSession,
    account: AccountRow,
    amount: int,
    *,
    key: EffectKey,
    order_id: str | None = None,
    tender_id: str | None = None,
    undoes: str | None = None,
    deactivates: bool = False,
) -> AccountEntryRow:
    entry = AccountEntryRow(
        key=str(key),
        account_id=account.account_id,
        amount=amount,
        order_id=order_id,
        tender_id=tender_id,
        undoes=undoes,
        deactivates=deactivates,
        at=datetime.now(UTC),
    )
    session.add(entry)
    account.balance += amount
    await session.flush()
    return entry


def _refund(entry: AccountEntryRow, account: AccountRow, *, undone: bool) -> Refund:
    return Refund(
        reference=f"SV-{entry.entry_id:06d}",
        amount=Money(amount=entry.amount, currency=account.currency),
        status=RefundStatus.CANCELED if undone else RefundStatus.SUCCEEDED,
        key=entry.key,
        created_at=entry.at,
    )
