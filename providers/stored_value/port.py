"""The stored value port: the merchant's gift cards and store credit, where there are any.

Each movement is an effect like any other: noted in our register before, its outcome afterwards. Those with a `key` do
nothing the second time. All raise `Unavailable` when the system cannot be reached.
"""

from typing import Protocol

from domain.keys import EffectKey
from domain.money import Money
from domain.order import Tender
from domain.payment import Payment, Refund


class StoredValue(Protocol):
    async def read(self, order_id: str, tender: Tender) -> Payment:
        """A gift card or store credit tender in the terms of a payment: captured is what it gave, refunded what was put
        back, each put-back a refund with its key. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def find(self, key: EffectKey) -> Refund | None:
        """What was put back under this key, as it stands now; None: nothing."""
        ...

    async def restore(
        self, order_id: str, tender: Tender, amount: Money, *, customer_id: str | None, key: EffectKey
    ) -> Refund:
        """Put money back on the gift card or store credit of the tender; the money of a tender of another kind goes to the
        customer's store credit, which is opened where there is none. Refused: REFUND_EXCEEDS_CAPTURED, PAYMENT_NOT_FOUND."""
        ...

    async def take_back(self, *, undoes: EffectKey, key: EffectKey) -> Refund:
        """Undo `restore` that ran under the key `undoes`: the refund, canceled. Refused: REFUND_NOT_CANCELLABLE when the
        balance has been spent."""
        ...

    async def gift_card_used(self, account_id: str) -> bool:
        """Whether anything was paid with a gift card. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def deactivate(self, account_id: str, *, key: EffectKey) -> Money | None:
        """Take the balance off an unused gift card that was bought: the amount. None, and nothing is done, when it was
        used."""
        ...

    async def reactivate(self, account_id: str, *, undoes: EffectKey, key: EffectKey) -> None:
        """Undo `deactivate` that ran under the key `undoes`; nothing when it never did."""
        ...
