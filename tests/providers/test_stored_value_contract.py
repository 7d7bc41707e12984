"""The port `stored_value` by its implementation, on SQLite and on PostgreSQL."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.money import Money
from domain.order import Tender, TenderKind
from providers.database.engine import writing
from providers.stored_value.built_in import BuiltInStoredValue
from providers.stored_value.tables import AccountEntryRow, AccountRow
from sandbox import built_in
from tests.providers.stored_value_contract import StoredValueContract, VaultUnderTest


class BuiltInVault:
    def __init__(self, engine: AsyncEngine) -> None:
        self.stored_value = BuiltInStoredValue(engine)
        self._engine = engine
        self._spent = 0

    async def pay(self, order_id: str, tender: Tender, left: Money) -> None:
        await self._open(tender.reference, tender.kind, left)

    async def sell(self, account_id: str, face: Money) -> None:
        await self._open(account_id, TenderKind.GIFT_CARD, face)

    async def spend(self, account_id: str, amount: Money) -> None:
        self._spent += 1
        await built_in.spend_balance(self._engine, account_id, amount, key=f"spent-{self._spent}")

    async def balance(self, account_id: str) -> Money:
        return await built_in.balance(self._engine, account_id)

    async def _open(self, account_id: str, kind: TenderKind, balance: Money) -> None:
        async with async_sessionmaker(writing(self._engine)).begin() as session:
            session.add(AccountRow(account_id=account_id, kind=kind, currency=balance.currency, balance=balance.amount))
            await session.flush()
            if balance:
                opening = f"opening/{account_id}"
                session.add(
                    AccountEntryRow(key=opening, account_id=account_id, amount=balance.amount, at=datetime.now(UTC))
                )


class TestBuiltIn(StoredValueContract):
    @pytest.fixture
    def vault(self, database: AsyncEngine) -> VaultUnderTest:
        return BuiltInVault(database)
