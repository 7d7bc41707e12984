"""Amounts between our minor units and Stripe's, which are other ones for some currencies."""

from uuid import uuid4

import pytest

from domain.errors import ErrorCode, Refused
from domain.money import Money, money
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from tests.fixtures.gateway import GatewaySandbox


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def key() -> str:
    return f"cancel-{uuid4().hex}/reverse_payment/card/1"


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (money("9899 JPY"), 9899),
        (money("12.340 KWD"), 12340),
        (money("52.35 USD"), 5235),
        (money("500 ISK"), 50000),
        (money("500 UGX"), 50000),
        (money("500.00 MGA"), 500),
    ],
    ids=lambda value: value.currency if isinstance(value, Money) else "",
)
async def test_amounts_keep_their_currencys_decimals(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, amount: Money, units: int
) -> None:
    """B30. Stripe counts ISK and UGX in hundredths although they have none, and MGA in whole ones although it has."""
    reference = await admin.create_payment(amount, capture=amount)

    refund = (await gateway.refund(reference, amount, key=key)).refund

    assert refund.amount == amount
    assert (await gateway.read_payment(reference)).captured == amount
    effects = await admin.effects(reference, EffectKind.REFUND_CREATED)
    assert [effect.amount for effect in effects] == [units]


@pytest.mark.parametrize("amount", [money("3.333 KWD"), money("333.33 MGA")], ids=["KWD", "MGA"])
async def test_an_amount_that_the_gateway_does_not_take_is_said_so(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, amount: Money
) -> None:
    """F10c."""
    total = Money(amount=1_000_000, currency=amount.currency)
    reference = await admin.create_payment(total, capture=total)

    with pytest.raises(Refused) as refused:
        await gateway.refund(reference, amount, key=key)

    assert refused.value.code is ErrorCode.AMOUNT_REFUSED
    assert str(amount) in refused.value.message
