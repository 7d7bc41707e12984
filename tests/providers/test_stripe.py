"""The Stripe adapter: the official SDK over HTTP against the gateway stand-in."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
import stripe

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.money import money
from domain.payment import Payment, RefundStatus
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin, TestCard
from tests.fixtures.gateway import SETTLE_SECONDS, GatewaySandbox

TOTAL = money("52.35 USD")
NOTHING = money("0 USD")


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def key() -> str:
    return f"cancel-{uuid4().hex}/reverse_payment/card/1"


@pytest.fixture
async def hasty(gateway_sandbox: GatewaySandbox) -> AsyncIterator[StripeGateway]:
    """An adapter that waits for an answer for a short time only."""
    adapter = StripeGateway(SANDBOX_KEY, gateway_sandbox.process.url, timeout=0.3)
    yield adapter
    await adapter.aclose()


async def made(admin: GatewayAdmin, payment: str, kind: EffectKind = EffectKind.REFUND_CREATED) -> list[int]:
    """The amounts of what was committed."""
    return [effect.amount for effect in await admin.effects(payment, kind)]


async def void(gateway: StripeGateway, reference: str, key: str) -> Payment:
    """As it is done: after a look."""
    return await gateway.void(await gateway.read_payment(reference), key=key)


async def test_an_authorisation_is_voided_and_nothing_is_refunded(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B1."""
    reference = await admin.create_payment(TOTAL)
    before = await gateway.read_payment(reference)
    assert (before.captured, before.capturable, before.released) == (NOTHING, TOTAL, False)

    after = await gateway.void(before, key=key)

    assert (after.captured, after.capturable, after.refunded, after.released) == (NOTHING, NOTHING, NOTHING, True)
    assert after.refunds == ()
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [TOTAL.amount]
    assert await gateway.void(after, key=key) == after
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [TOTAL.amount]


async def test_a_captured_payment_is_refunded_in_full(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B2."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)

    refund = (await gateway.refund(reference, TOTAL, key=key)).refund

    assert (refund.amount, refund.status, refund.key) == (TOTAL, RefundStatus.SUCCEEDED, key)
    payment = await gateway.read_payment(reference)
    assert payment.refundable == NOTHING
    assert payment.made_under(key) == refund
    assert not payment.released


async def test_a_partly_captured_payment_is_refunded_in_part_and_released_in_part(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B3."""
    captured = money("50 USD")
    reference = await admin.create_payment(money("106 USD"), capture=captured)
    before = await gateway.read_payment(reference)
    assert (before.captured, before.capturable) == (captured, money("56 USD"))

    await gateway.void(before, key=f"{key}/void")
    await gateway.refund(reference, captured, key=key)

    after = await gateway.read_payment(reference)
    assert (after.captured, after.capturable, after.refunded, after.released) == (captured, NOTHING, captured, True)
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [5600]
    assert await made(admin, reference) == [5000]


async def test_the_end_of_an_authorisation_is_not_taken_for_a_refund(
    gateway: StripeGateway, admin: GatewayAdmin
) -> None:
    reference = await admin.create_payment(money("106 USD"))
    await admin.capture(reference, money("50 USD"), final=True)

    payment = await gateway.read_payment(reference)

    assert (payment.captured, payment.refundable, payment.refunded) == (money("50 USD"), money("50 USD"), NOTHING)
    assert payment.released


async def test_an_authorisation_that_expires_meanwhile_counts_as_released(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B6."""
    reference = await admin.create_payment(TOTAL, sandbox_fault="payment_intent.cancel:expire")

    payment = await void(gateway, reference, key)

    assert payment.released
    assert payment.capturable == NOTHING
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == []


async def test_what_was_refunded_elsewhere_counts(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B8."""
    reference = await admin.create_payment(money("12.72 USD"), capture=money("12.72 USD"))
    await admin.refund_elsewhere(reference, money("5 USD"))

    payment = await gateway.read_payment(reference)
    assert payment.refundable == money("7.72 USD")
    with pytest.raises(Refused) as refused:
        await gateway.refund(reference, money("12.72 USD"), key=key)
    assert refused.value.code is ErrorCode.REFUND_EXCEEDS_CAPTURED

    await gateway.refund(reference, payment.refundable, key=f"{key}/rest")
    with pytest.raises(Refused) as nothing_left:
        await gateway.refund(reference, money("1 USD"), key=f"{key}/more")
    assert nothing_left.value.code is ErrorCode.ALREADY_REFUNDED
    assert sum(await made(admin, reference)) == 1272


async def test_every_page_of_refunds_is_read(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await gateway.refund(reference, money("0.01 USD"), key=key)
    for _ in range(101):
        await admin.refund_elsewhere(reference, money("0.01 USD"))

    payment = await gateway.read_payment(reference)

    assert payment.refunded == money("1.02 USD")
    assert payment.made_under(key) is not None


@pytest.mark.parametrize("fault", [FaultKind.DROP_AFTER_COMMIT, FaultKind.HTTP_500_AFTER_COMMIT])
async def test_a_refund_whose_answer_was_lost_is_found_again(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, fault: FaultKind
) -> None:
    """B18."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", fault, payment=reference)

    with pytest.raises(OutcomeUnknown):
        await gateway.refund(reference, TOTAL, key=key)

    found = (await gateway.read_payment(reference)).made_under(key)
    assert found is not None
    assert found.amount == TOTAL
    assert (await gateway.refund(reference, TOTAL, key=key)).refund == found
    assert await made(admin, reference) == [TOTAL.amount]


async def test_a_refund_that_takes_too_long_is_unknown_and_happens_once(
    gateway: StripeGateway, hasty: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B18."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.SLOW, payment=reference, seconds=1)

    with pytest.raises(OutcomeUnknown):
        await hasty.refund(reference, TOTAL, key=key)
    with pytest.raises(Unavailable):
        await gateway.refund(reference, TOTAL, key=key)

    async with asyncio.timeout(20):
        while not (await gateway.read_payment(reference)).made_under(key):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert (await gateway.refund(reference, TOTAL, key=key)).refund.key == key
    assert await made(admin, reference) == [TOTAL.amount]


async def test_a_stored_500_without_an_effect_does_not_trap_the_key(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B19: the same key; Stripe repeats a 500 under it for a day."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.HTTP_500_BEFORE, payment=reference, times=2)

    with pytest.raises(OutcomeUnknown):
        await gateway.refund(reference, TOTAL, key=key)
    with pytest.raises(OutcomeUnknown):
        await gateway.refund(reference, TOTAL, key=key)
    assert await made(admin, reference) == []

    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    assert refund.key == key
    assert (await gateway.refund(reference, TOTAL, key=key)).refund == refund
    assert await made(admin, reference) == [TOTAL.amount]


@pytest.mark.parametrize(
    "fault", [FaultKind.HTTP_500_BEFORE, FaultKind.HTTP_500_AFTER_COMMIT, FaultKind.DROP_AFTER_COMMIT]
)
async def test_a_void_with_a_lost_answer_is_done_once(
    gateway: StripeGateway, admin: GatewayAdmin, key: str, fault: FaultKind
) -> None:
    reference = await admin.create_payment(TOTAL)
    await admin.add_fault("payment_intent.cancel", fault, payment=reference)

    with pytest.raises(OutcomeUnknown):
        await void(gateway, reference, key)

    assert (await void(gateway, reference, key)).released
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [TOTAL.amount]


async def test_being_asked_to_slow_down_names_the_time(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B19."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.HTTP_429, payment=reference, retry_after=37)

    with pytest.raises(Unavailable) as slow_down:
        await gateway.refund(reference, TOTAL, key=key)

    assert slow_down.value.retry_after == 37
    await gateway.refund(reference, TOTAL, key=key)
    assert await made(admin, reference) == [TOTAL.amount]


async def test_a_refused_connection_means_that_nothing_happened(key: str) -> None:
    """B19."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = StripeGateway(SANDBOX_KEY, f"http://127.0.0.1:{unused.getsockname()[1]}")
    try:
        with pytest.raises(Unavailable):
            await nobody.refund("pi_any", TOTAL, key=key)
    finally:
        await nobody.aclose()


@pytest.mark.parametrize(
    "fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.DROP_AFTER_COMMIT, FaultKind.HTTP_500_BEFORE, FaultKind.SLOW]
)
async def test_an_unanswered_question_changes_nothing(
    hasty: StripeGateway, admin: GatewayAdmin, fault: FaultKind
) -> None:
    reference = await admin.create_payment(TOTAL)
    # The transport asks a second time when a connection it had used before is closed on it.
    await admin.add_fault("payment_intent.retrieve", fault, payment=reference, times=2, seconds=1)

    with pytest.raises(Unavailable):
        await hasty.read_payment(reference)


async def test_one_key_cannot_mean_two_refunds(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    await gateway.refund(reference, money("10 USD"), key=key)

    with pytest.raises(Refused) as refused:
        await gateway.refund(reference, money("20 USD"), key=key)

    assert refused.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert await made(admin, reference) == [1000]


async def test_many_attempts_at_once_make_one_refund(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)

    answers = await asyncio.gather(*(gateway.refund(reference, money("10 USD"), key=key) for _ in range(10)))

    assert len({answer.refund.reference for answer in answers}) == 1
    assert await made(admin, reference) == [1000]


async def test_a_pending_refund_settles_days_later(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B22."""
    reference = await admin.create_payment(TOTAL, TestCard.PENDING_REFUND, capture=TOTAL)
    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    assert (refund.status, refund.reason) == (RefundStatus.PENDING, "processing")
    assert (await gateway.read_payment(reference)).refundable == NOTHING

    await admin.advance(SETTLE_SECONDS)

    assert (await gateway.read_refund(refund.reference)).status is RefundStatus.SUCCEEDED


async def test_the_same_key_tells_what_became_of_the_refund(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL, TestCard.PENDING_REFUND, capture=TOTAL)
    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    await admin.settle(refund.reference)

    assert (await gateway.refund(reference, TOTAL, key=key)).refund.status is RefundStatus.SUCCEEDED


async def test_a_refund_waits_for_the_merchant_s_balance(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B21."""
    reference = await admin.create_payment(
        TOTAL, capture=TOTAL, sandbox_fault="refund.create:pending_insufficient_funds"
    )
    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    assert (refund.status, refund.reason) == (RefundStatus.PENDING, "insufficient_funds")

    await admin.settle(refund.reference)

    assert (await gateway.read_refund(refund.reference)).status is RefundStatus.SUCCEEDED


async def test_a_refund_that_succeeded_can_fail_later_and_counts_no_more(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    """B23."""
    reference = await admin.create_payment(TOTAL, TestCard.REFUND_FAILS, capture=TOTAL)
    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    assert refund.status is RefundStatus.SUCCEEDED

    await admin.advance(SETTLE_SECONDS)

    failed = await gateway.read_refund(refund.reference)
    assert (failed.status, failed.reason) == (RefundStatus.FAILED, "expired_or_canceled_card")
    assert (await gateway.read_payment(reference)).refundable == TOTAL


async def test_a_refund_refused_for_good_says_so(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """B29."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:refuse")

    with pytest.raises(Refused) as refused:
        await gateway.refund(reference, TOTAL, key=key)

    assert refused.value.code is ErrorCode.REFUND_REFUSED
    assert reference in refused.value.message
    assert "expired_card" in refused.value.message


async def test_only_a_refund_that_waits_for_the_customer_can_be_cancelled(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    waiting = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:requires_action")
    refund = (await gateway.refund(waiting, TOTAL, key=key)).refund
    assert refund.status is RefundStatus.REQUIRES_ACTION

    assert (await gateway.cancel_refund(refund.reference, key=f"{key}/undo")).status is RefundStatus.CANCELED
    assert (await gateway.read_payment(waiting)).refundable == TOTAL

    done = await admin.create_payment(TOTAL, capture=TOTAL)
    moved = (await gateway.refund(done, TOTAL, key=f"{key}/2")).refund
    with pytest.raises(Refused) as refused:
        await gateway.cancel_refund(moved.reference, key=f"{key}/2/undo")
    assert refused.value.code is ErrorCode.REFUND_NOT_CANCELLABLE


async def test_a_voided_payment_is_authorised_again_under_its_mandate_once(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL, mandate=True)
    assert (await void(gateway, reference, key)).mandate
    await admin.add_fault("payment_intent.create", FaultKind.DROP_AFTER_COMMIT)

    with pytest.raises(OutcomeUnknown):
        await gateway.authorise_again(reference, TOTAL, key=f"{key}/again")
    again = await gateway.authorise_again(reference, TOTAL, key=f"{key}/again")

    assert again.reference != reference
    assert again.capturable == TOTAL
    assert await gateway.authorise_again(reference, TOTAL, key=f"{key}/again") == again
    assert await made(admin, again.reference, EffectKind.PAYMENT_AUTHORISED) == [TOTAL.amount]
    keys = [effect.key for effect in await admin.effects(kind=EffectKind.PAYMENT_AUTHORISED)]
    assert keys.count(f"{key}/again") == 1


async def test_without_a_mandate_nothing_is_authorised_again(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL)

    with pytest.raises(Refused) as refused:
        await gateway.authorise_again(reference, TOTAL, key=key)

    assert refused.value.code is ErrorCode.NO_MANDATE


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda gateway: gateway.read_payment("pi_unknown"), ErrorCode.PAYMENT_NOT_FOUND),
        (lambda gateway: gateway.read_refund("re_unknown"), ErrorCode.PAYMENT_NOT_FOUND),
        (lambda gateway: gateway.refund("pi_unknown", TOTAL, key=uuid4().hex), ErrorCode.PAYMENT_NOT_FOUND),
        (lambda gateway: gateway.cancel_refund("re_unknown", key=uuid4().hex), ErrorCode.PAYMENT_NOT_FOUND),
    ],
    ids=["payment", "refund", "new refund", "cancelled refund"],
)
async def test_what_the_gateway_does_not_know_is_not_found(
    gateway: StripeGateway, ask: Callable[[StripeGateway], Awaitable[object]], code: ErrorCode
) -> None:
    with pytest.raises(Refused) as refused:
        await ask(gateway)
    assert refused.value.code is code


async def test_a_wrong_api_key_is_named_and_not_shown(gateway_sandbox: GatewaySandbox, key: str) -> None:
    secret = "sk_live_canary"
    intruder = StripeGateway(secret, gateway_sandbox.process.url)
    try:
        with pytest.raises(Refused) as refused:
            await intruder.refund("pi_any", TOTAL, key=key)
    finally:
        await intruder.aclose()
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert secret not in str(refused.value)


async def test_a_declined_card_makes_no_payment(admin: GatewayAdmin) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await admin.create_payment(TOTAL, TestCard.DECLINED)
    assert declined.value.code == "card_declined"
