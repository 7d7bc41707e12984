"""A merchant who has neither gift cards nor store credit."""

import pytest

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import money
from domain.order import Tender, TenderKind
from domain.step import StepName
from providers.stored_value.none import NoStoredValue
from providers.stored_value.port import StoredValue

KEY = EffectKey("can-O-1-0000000000", StepName.REVERSE_PAYMENT, "T1")
GIFT_CARD = Tender(tender_id="T1", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="gc-1")


async def test_a_gift_card_in_an_order_is_refused_in_a_sentence() -> None:
    nothing: StoredValue = NoStoredValue()
    with pytest.raises(Refused, match="Tender T1 of order O-1 was paid by gift card, and no stored value") as refused:
        await nothing.read("O-1", GIFT_CARD)
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND
    with pytest.raises(Refused, match=r"10\.00 USD of order O-1"):
        await nothing.restore("O-1", GIFT_CARD, GIFT_CARD.amount, customer_id="C-1", key=KEY)


async def test_nothing_was_ever_put_back() -> None:
    assert await NoStoredValue().find(KEY) is None
