"""What every implementation of the port `stored_value` has to do (providers/stored_value/port.py). Whoever connects one
subclasses `StoredValueContract`, and says in `vault` how money gets onto an account and is spent."""

import asyncio
from typing import Protocol

import pytest

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey, cancellation_id
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.payment import RefundStatus
from domain.step import StepName
from providers.stored_value.port import StoredValue


class VaultUnderTest(Protocol):
    """A system with its adapter, and what customers do there."""

    @property
    def stored_value(self) -> StoredValue:
        """The adapter."""
        ...

    async def pay(self, order_id: str, tender: Tender, left: Money) -> None:
        """An order was paid with this account, on which so much is left."""
        ...

    async def sell(self, account_id: str, face: Money) -> None:
        """A customer has bought this gift card."""
        ...

    async def spend(self, account_id: str, amount: Money) -> None:
        """Something else is paid with it."""
        ...

    async def balance(self, account_id: str) -> Money: ...


ORDER = "O-1"
TEN = money("10.00 USD")
GIFT_CARD = Tender(tender_id="T1", kind=TenderKind.GIFT_CARD, amount=TEN, reference="gift-1")
CARD = Tender(tender_id="T2", kind=TenderKind.CARD, amount=money("42.35 USD"), reference="pi_1")


def key(step: StepName = StepName.REVERSE_PAYMENT, target: str = "T1", n: int = 1) -> EffectKey:
    return EffectKey(cancellation_id(ORDER, "R-1"), step, target, n)


UNDO = key(StepName.RESTORE_PAYMENT)


class StoredValueContract:
    async def put_back(self, vault: VaultUnderTest, amount: Money = TEN, n: int = 1) -> str:
        refund = await vault.stored_value.restore(ORDER, GIFT_CARD, amount, customer_id="C-1", key=key(n=n))
        return refund.reference

    async def test_a_tender_is_read_as_a_payment(self, vault: VaultUnderTest) -> None:
        await vault.pay(ORDER, GIFT_CARD, money("0.00 USD"))
        reference = await self.put_back(vault, money("4.00 USD"))
        payment = await vault.stored_value.read(ORDER, GIFT_CARD)
        assert (payment.captured, payment.refunded, payment.refundable) == (TEN, money("4.00 USD"), money("6.00 USD"))
        [refund] = payment.refunds
        assert (refund.reference, refund.key, refund.status) == (reference, str(key()), RefundStatus.SUCCEEDED)

    async def test_an_unknown_account_is_refused(self, vault: VaultUnderTest) -> None:
        with pytest.raises(Refused, match="T1") as refused:
            await vault.stored_value.read(ORDER, GIFT_CARD)
        assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND

    async def test_money_is_put_back_once_for_a_key(self, vault: VaultUnderTest) -> None:
        """B12: also by attempts that run beside one another."""
        await vault.pay(ORDER, GIFT_CARD, money("2.50 USD"))
        references = await asyncio.gather(*(self.put_back(vault) for _ in range(4)))
        assert len(set(references)) == 1
        assert await vault.balance("gift-1") == money("12.50 USD")
        found = await vault.stored_value.find(key())
        assert found is not None
        assert (found.reference, found.amount) == (references[0], TEN)

    async def test_nothing_is_found_under_a_key_that_did_nothing(self, vault: VaultUnderTest) -> None:
        await vault.pay(ORDER, GIFT_CARD, money("0.00 USD"))
        assert await vault.stored_value.find(key()) is None

    async def test_no_more_goes_back_than_the_tender_gave(self, vault: VaultUnderTest) -> None:
        """I1: under however many keys."""
        await vault.pay(ORDER, GIFT_CARD, money("0.00 USD"))
        await self.put_back(vault, money("7.00 USD"))
        with pytest.raises(Refused, match=r"3\.00 USD at most") as refused:
            await self.put_back(vault, money("3.01 USD"), n=2)
        assert refused.value.code is ErrorCode.REFUND_EXCEEDS_CAPTURED
        assert await vault.balance("gift-1") == money("7.00 USD")

    async def test_a_cards_money_goes_to_the_customers_store_credit(self, vault: VaultUnderTest) -> None:
        """B23: which is opened where there is none."""
        await vault.pay(ORDER, GIFT_CARD, money("0.00 USD"))
        given = [
            await vault.stored_value.restore(
                ORDER, CARD, CARD.amount, customer_id="C-1", key=key(StepName.GIVE_STORE_CREDIT, "T2")
            )
            for _ in range(2)
        ]
        assert given[0] == given[1]
        assert (given[0].amount, given[0].status) == (CARD.amount, RefundStatus.SUCCEEDED)
        assert await vault.balance("gift-1") == money("0.00 USD")

    async def test_what_was_put_back_is_taken_back_once(self, vault: VaultUnderTest) -> None:
        await vault.pay(ORDER, GIFT_CARD, money("2.50 USD"))
        await self.put_back(vault)
        taken = [await vault.stored_value.take_back(undoes=key(), key=UNDO) for _ in range(2)]
        assert [refund.status for refund in taken] == [RefundStatus.CANCELED, RefundStatus.CANCELED]
        assert await vault.balance("gift-1") == money("2.50 USD")
        found = await vault.stored_value.find(key())
        assert found is not None
        assert found.status is RefundStatus.CANCELED
        assert (await vault.stored_value.read(ORDER, GIFT_CARD)).refundable == TEN

    async def test_what_was_spent_since_is_not_taken_back(self, vault: VaultUnderTest) -> None:
        await vault.pay(ORDER, GIFT_CARD, money("0.00 USD"))
        await self.put_back(vault)
        await vault.spend("gift-1", money("0.01 USD"))
        with pytest.raises(Refused, match=r"10\.00 USD") as refused:
            await vault.stored_value.take_back(undoes=key(), key=UNDO)
        assert refused.value.code is ErrorCode.REFUND_NOT_CANCELLABLE
        assert await vault.balance("gift-1") == money("9.99 USD")

    async def test_an_unused_gift_card_that_was_sold_is_deactivated_and_activated_again(
        self, vault: VaultUnderTest
    ) -> None:
        """B15: each once for a key."""
        await vault.sell("bought-1", TEN)
        stop, resume = key(StepName.STOP_SHIPMENT, "S1"), key(StepName.RESUME_SHIPMENT, "S1")
        assert await vault.stored_value.gift_card_used("bought-1") is False
        assert [await vault.stored_value.deactivate("bought-1", key=stop) for _ in range(2)] == [TEN, TEN]
        assert await vault.balance("bought-1") == money("0.00 USD")
        assert await vault.stored_value.gift_card_used("bought-1") is False
        for _ in range(2):
            await vault.stored_value.reactivate("bought-1", undoes=stop, key=resume)
        assert await vault.balance("bought-1") == TEN
        assert await vault.stored_value.gift_card_used("bought-1") is False

    async def test_a_gift_card_that_was_used_stays_as_it_is(self, vault: VaultUnderTest) -> None:
        await vault.sell("bought-1", TEN)
        await vault.spend("bought-1", money("1.00 USD"))
        assert await vault.stored_value.gift_card_used("bought-1") is True
        assert await vault.stored_value.deactivate("bought-1", key=key(StepName.STOP_SHIPMENT, "S1")) is None
        assert await vault.balance("bought-1") == money("9.00 USD")

    async def test_what_was_never_deactivated_is_not_activated(self, vault: VaultUnderTest) -> None:
        await vault.sell("bought-1", TEN)
        undoes, resume = key(StepName.STOP_SHIPMENT, "S1"), key(StepName.RESUME_SHIPMENT, "S1")
        await vault.stored_value.reactivate("bought-1", undoes=undoes, key=resume)
        assert await vault.balance("bought-1") == TEN

    async def test_an_unknown_gift_card_is_refused(self, vault: VaultUnderTest) -> None:
        with pytest.raises(Refused, match="gift-404") as refused:
            await vault.stored_value.gift_card_used("gift-404")
        assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND
