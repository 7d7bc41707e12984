"""A merchant without gift cards and store credit."""

from typing import NoReturn

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Tender
from domain.payment import Payment, Refund


class NoStoredValue:
    """See providers/stored_value/port.py. Nothing was ever put back, and whatever else is asked is refused in a sentence:
    PAYMENT_NOT_FOUND. A policy whose `fallbacks` have no store credit asks for none."""

    async def read(self, order_id: str, tender: Tender) -> Payment:
        _refuse(f"Tender {tender.tender_id} of order {order_id} was paid by {tender.kind.value.replace('_', ' ')}")

    async def find(self, key: EffectKey) -> Refund | None:
        return None

    async def restore(
        self, order_id: str, tender: Tender, amount: Money, *, customer_id: str | None, key: EffectKey
    ) -> Refund:
        _refuse(f"{amount} of order {order_id} was to become store credit")

    async def take_back(self, *, undoes: EffectKey, key: EffectKey) -> Refund:
        _refuse(f"What was put back under {undoes} was to be taken back")

    async def gift_card_used(self, account_id: str) -> bool:
        _refuse(f"Gift card {account_id} was sold with the order")

    async def deactivate(self, account_id: str, *, key: EffectKey) -> Money | None:
        _refuse(f"Gift card {account_id} was to be deactivated")

    async def reactivate(self, account_id: str, *, undoes: EffectKey, key: EffectKey) -> None:
        return  # nothing was deactivated


def _refuse(what: str) -> NoReturn:
    raise Refused(
        ErrorCode.PAYMENT_NOT_FOUND,
        f"{what}, and no stored value is connected. Settle it where gift cards and store credit are kept, and resolve the "
        "step.",
    )
