"""What the Stripe adapter makes of a bank that asks about a payment, disputes it, or has given the money back already."""

from uuid import uuid4

import pytest
import stripe

from domain.errors import ErrorCode, Refused
from domain.money import money
from domain.payment import DisputeState, FailureCause, RefundStatus
from providers.gateway.stripe import StripeGateway
from providers.gateway.stripe_objects import to_payment
from sandbox.gateway_admin import GatewayAdmin, TestCard
from tests.fixtures.gateway import GatewaySandbox

TOTAL = money("52.35 USD")
PART = money("10.00 USD")


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def key() -> str:
    return f"cancel-{uuid4().hex}/reverse_payment/card/1"


@pytest.mark.parametrize(
    ("bank", "seen"),
    [
        ("needs_response", DisputeState.OPEN),
        ("under_review", DisputeState.OPEN),
        ("appeal_needs_response", DisputeState.OPEN),
        ("appeal_under_review", DisputeState.OPEN),
        ("lost", DisputeState.LOST),
        ("prevented", DisputeState.PREVENTED),
        ("won", DisputeState.WON),
    ],
)
async def test_a_disputed_payment_is_not_refunded_unless_the_dispute_was_won(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, bank: str, seen: DisputeState
) -> None:
    """B27, E8, F13: of one that was lost or prevented the customer has the money already."""
    reference = await admin.create_payment(TOTAL, TestCard.DISPUTED, capture=TOTAL)
    await admin.dispute(reference, bank)
    payment = await gateway.read_payment(reference)
    assert payment.dispute is seen
    given = seen in {DisputeState.LOST, DisputeState.PREVENTED}
    assert [back.amount for back in payment.charge_backs] == ([TOTAL] if given else [])
    numbers = (*payment.open_disputes, *(back.reference for back in payment.charge_backs))
    assert [gateway.is_dispute_number(number) for number in numbers] == ([] if seen is DisputeState.WON else [True])
    assert bool(payment.open_disputes) is (seen is DisputeState.OPEN)

    if seen is DisputeState.WON:
        assert (await gateway.refund(reference, TOTAL, key=key)).refund.status is RefundStatus.SUCCEEDED
    else:
        assert payment.disputed
        with pytest.raises(Refused) as refused:
            await gateway.refund(reference, TOTAL, key=key)
        assert refused.value.code is ErrorCode.PAYMENT_DISPUTED


@pytest.mark.parametrize("bank", ["warning_needs_response", "warning_under_review"])
async def test_an_inquiry_may_be_refunded_and_a_full_refund_closes_it(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, bank: str
) -> None:
    """E8, F12."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.dispute(reference, bank)
    payment = await gateway.read_payment(reference)
    assert (payment.dispute, payment.disputed) == (DisputeState.INQUIRY, False)

    part = await gateway.refund(reference, PART, key=key)
    assert part.payment.dispute is DisputeState.INQUIRY
    rest = await gateway.refund(reference, TOTAL - PART, key=f"{key}/rest")

    assert rest.refund.status is RefundStatus.SUCCEEDED
    assert rest.payment.dispute is DisputeState.WON


async def test_an_inquiry_that_became_a_dispute_is_one(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """E8."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.dispute(reference, "warning_needs_response")
    await admin.dispute(reference, "needs_response")

    assert (await gateway.read_payment(reference)).dispute is DisputeState.OPEN


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("charge_for_pending_refund_disputed", FailureCause.DISPUTE),
        ("insufficient_funds", FailureCause.MERCHANT),
        ("merchant_request", FailureCause.MERCHANT),
        ("lost_or_stolen_card", FailureCause.CARD),
        ("expired_or_canceled_card", FailureCause.CARD),
        ("declined", FailureCause.CARD),
        ("unknown", FailureCause.CARD),
    ],
)
async def test_a_refund_that_failed_says_whose_matter_it_is(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, reason: str, cause: FailureCause
) -> None:
    """E6, E7, F11: a dispute is known by the refund that failed because of it, also before it is seen itself."""
    reference = await admin.create_payment(TOTAL, TestCard.PENDING_REFUND, capture=TOTAL)
    made = (await gateway.refund(reference, TOTAL, key=key)).refund
    await admin.fail(made.reference, reason)

    payment = await gateway.read_payment(reference)

    failed = payment.made_under(key)
    assert failed is not None
    assert (failed.status, failed.cause) == (RefundStatus.FAILED, cause)
    assert payment.disputed is (cause is FailureCause.DISPUTE)
    await admin.dispute(reference, "won")
    assert not (await gateway.read_payment(reference)).disputed


async def test_a_refund_that_waits_for_our_balance_fails_when_the_bank_disputes(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """E7, F11."""
    reference = await admin.create_payment(
        TOTAL, capture=TOTAL, sandbox_fault="refund.create:pending_insufficient_funds"
    )
    made = (await gateway.refund(reference, TOTAL, key=key)).refund
    await admin.dispute(reference)

    failed = await gateway.read_refund(made.reference)

    assert (failed.status, failed.cause) == (RefundStatus.FAILED, FailureCause.DISPUTE)


@pytest.mark.parametrize(
    ("status", "capturable"), [("canceled", 0), ("succeeded", 0), ("processing", 0), ("requires_capture", 5235)]
)
def test_what_is_capturable_counts_only_while_the_payment_waits_for_its_capture(status: str, capturable: int) -> None:
    """F23: one that was cancelled reserves nothing, whatever else its answer says."""
    shown = {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 5235,
        "amount_capturable": 5235,
        "amount_received": 0,
        "currency": "usd",
        "customer": None,
        "payment_method": None,
        "setup_future_usage": None,
        "status": status,
    }
    payment = to_payment(stripe.PaymentIntent.construct_from(shown, None), [], [])
    assert payment.capturable.amount == capturable
