"""The gateway's words for a no, each distinguished: whose matter it is, and whether the same effect can still be made."""

from uuid import uuid4

import pytest

from domain.errors import ErrorCode, Refused, Unavailable
from domain.money import money
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway_admin import GatewayAdmin
from tests.fixtures.gateway import GatewaySandbox

TOTAL = money("52.35 USD")


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def key() -> str:
    return f"cancel-{uuid4().hex}/reverse_payment/card/1"


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("expired_card", ErrorCode.REFUND_REFUSED),
        ("charge_disputed", ErrorCode.PAYMENT_DISPUTED),
        ("refund_disputed_payment", ErrorCode.PAYMENT_DISPUTED),
        ("charge_not_refundable", ErrorCode.PAYMENT_DISPUTED),
        ("charge_already_refunded", ErrorCode.ALREADY_REFUNDED),
        ("balance_insufficient", ErrorCode.BALANCE_EMPTY),
        ("insufficient_funds", ErrorCode.BALANCE_EMPTY),
        ("livemode_mismatch", ErrorCode.PROVIDER_REJECTED_SETTINGS),
        ("parameter_missing", ErrorCode.PROVIDER_REJECTED_SETTINGS),
        ("parameter_unknown", ErrorCode.PROVIDER_REJECTED_SETTINGS),
        ("account_invalid", ErrorCode.PROVIDER_REJECTED_CREDENTIALS),
        ("api_key_expired", ErrorCode.PROVIDER_REJECTED_CREDENTIALS),
        ("amount_too_small", ErrorCode.AMOUNT_REFUSED),
        ("no_code", ErrorCode.REFUND_UNCLEAR),
    ],
)
async def test_each_no_is_distinguished(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, word: str, code: ErrorCode
) -> None:
    """E6, F10a, F10b, F10c."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault=f"refund.create:refuse={word}")

    with pytest.raises(Refused) as refused:
        await gateway.refund(reference, TOTAL, key=key)

    assert refused.value.code is code
    assert reference in refused.value.message
    assert await admin.effects(reference, EffectKind.REFUND_CREATED) == []


async def test_an_object_that_is_in_use_is_asked_for_again(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:refuse=lock_timeout")
    with pytest.raises(Unavailable):
        await gateway.refund(reference, TOTAL, key=key)


async def test_a_balance_that_was_topped_up_heals_the_same_key(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """F10b: the gateway repeats the first no under its idempotency key for a day."""
    reference = await admin.create_payment(
        TOTAL, capture=TOTAL, sandbox_fault="refund.create:refuse=balance_insufficient*2"
    )
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await gateway.refund(reference, TOTAL, key=key)
        assert refused.value.code is ErrorCode.BALANCE_EMPTY

    made = (await gateway.refund(reference, TOTAL, key=key)).refund

    assert made.key == key
    assert (await gateway.refund(reference, TOTAL, key=key)).refund == made
    assert len(await admin.effects(reference, EffectKind.REFUND_CREATED)) == 1


async def test_a_balance_that_stays_empty_is_never_an_unknown_outcome(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """F10b: however often it is asked for within the life of a key."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.REFUSE, payment=reference, times=99, code="balance_insufficient")
    for _ in range(20):
        with pytest.raises(Refused) as refused:
            await gateway.refund(reference, TOTAL, key=key)
        assert refused.value.code is ErrorCode.BALANCE_EMPTY
