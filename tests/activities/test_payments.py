"""reverse_payment and restore_payment against the gateway over HTTP, one attempt at a time."""

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.payments import PaymentActivities
from activities.signatures import RestorePayment, ReversePayment
from activities.tenders import Payments
from domain.errors import ErrorCode, OutcomeUnknown, Refused
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.payment import RefundStatus
from domain.plan import PlannedTender
from providers.gateway.stripe import StripeGateway
from providers.order_book.book import SqlOrderBook
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from tests.fixtures.gateway import GatewaySandbox


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def payments(gateway: StripeGateway, order_book: SqlOrderBook, database: AsyncEngine) -> PaymentActivities:
    return PaymentActivities(order_book, gateway, Payments(order_book, gateway, None))


def planned(reference: str, *, refund: str = "0.00 USD", release: str = "0.00 USD") -> PlannedTender:
    back, free = money(refund), money(release)
    return PlannedTender(
        tender=Tender(tender_id="T1", kind=TenderKind.CARD, amount=back + free, reference=reference),
        refund=back,
        release=free,
        refundable=back,
        capturable=free,
    )


def step(tender: PlannedTender, n: int = 1) -> ReversePayment:
    cancellation = f"can-{uuid4().hex[:8]}"
    return ReversePayment(
        cancellation_id=cancellation,
        order_id="1001",
        target="T1",
        key=f"{cancellation}/reverse_payment/T1/{n}",
        planned=tender,
    )


async def refunds(admin: GatewayAdmin, payment: str) -> list[int]:
    return [effect.amount for effect in await admin.effects(payment, EffectKind.REFUND_CREATED)]


async def test_a_second_attempt_finds_the_refund_of_the_first(payments: PaymentActivities, admin: GatewayAdmin) -> None:
    """B18: the first attempt's answer is lost."""
    payment = await admin.create_payment(
        money("20.00 USD"), capture=money("20.00 USD"), sandbox_fault="refund.create:drop_after_commit"
    )
    asked = step(planned(payment, refund="20.00 USD"))
    with pytest.raises(OutcomeUnknown):
        await ActivityEnvironment().run(payments.reverse_payment, asked)
    reversal = await ActivityEnvironment().run(payments.reverse_payment, asked)
    assert reversal.refunded == money("20.00 USD")
    assert await refunds(admin, payment) == [2000]


async def test_an_authorisation_that_was_captured_meanwhile_is_refunded(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    """Reversal is whichever of void and refund is right at the moment."""
    payment = await admin.create_payment(money("20.00 USD"))
    asked = step(planned(payment, release="20.00 USD"))
    await admin.capture(payment, money("20.00 USD"), final=True)
    reversal = await ActivityEnvironment().run(payments.reverse_payment, asked)
    assert (reversal.released, reversal.refunded) == (money("0.00 USD"), money("20.00 USD"))


async def test_what_somebody_refunded_meanwhile_is_not_refunded_again(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    asked = step(planned(payment, refund="20.00 USD"))
    await admin.refund_elsewhere(payment, money("15.00 USD"))
    reversal = await ActivityEnvironment().run(payments.reverse_payment, asked)
    assert reversal.refunded == money("5.00 USD")
    assert sum(await refunds(admin, payment)) == 2000


async def test_a_tender_that_somebody_refunded_in_full_needs_nothing(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    asked = step(planned(payment, refund="20.00 USD"))
    await admin.refund_elsewhere(payment, money("20.00 USD"))
    reversal = await ActivityEnvironment().run(payments.reverse_payment, asked)
    assert reversal.refunded == Money.zero("USD")
    assert "by others" in reversal.detail


async def test_a_part_of_an_authorisation_stays_with_the_gateway(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    """A gateway releases an authorisation as a whole; the rest of the order is captured later, for less."""
    payment = await admin.create_payment(money("20.00 USD"))
    tender = planned(payment, release="5.00 USD").model_copy(update={"capturable": money("20.00 USD")})
    reversal = await ActivityEnvironment().run(payments.reverse_payment, step(tender))
    assert reversal.released == money("5.00 USD")
    assert await admin.effects(payment, EffectKind.PAYMENT_VOIDED) == []


def restoring(of: ReversePayment) -> RestorePayment:
    return RestorePayment(
        cancellation_id=of.cancellation_id,
        order_id=of.order_id,
        target="T1",
        key=f"{of.cancellation_id}/restore_payment/T1/1",
        planned=of.planned,
        undoes=(of.key,),
    )


async def test_restoring_cancels_a_refund_that_has_not_moved_money(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(
        money("20.00 USD"), capture=money("20.00 USD"), sandbox_fault="refund.create:requires_action"
    )
    asked = step(planned(payment, refund="20.00 USD"))
    reversal = await ActivityEnvironment().run(payments.reverse_payment, asked)
    assert reversal.refunds[0].status is RefundStatus.REQUIRES_ACTION
    await ActivityEnvironment().run(payments.restore_payment, restoring(asked))
    await ActivityEnvironment().run(payments.restore_payment, restoring(asked))
    assert len(await admin.effects(payment, EffectKind.REFUND_CANCELED)) == 1


async def test_restoring_does_nothing_where_nothing_was_reversed(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    before = await admin.effects(payment)
    await ActivityEnvironment().run(payments.restore_payment, restoring(step(planned(payment, refund="20.00 USD"))))
    assert await admin.effects(payment) == before


async def test_restoring_reserves_again_where_the_customer_gave_a_mandate(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), mandate=True)
    asked = step(planned(payment, release="20.00 USD"))
    await ActivityEnvironment().run(payments.reverse_payment, asked)
    await ActivityEnvironment().run(payments.restore_payment, restoring(asked))
    await ActivityEnvironment().run(payments.restore_payment, restoring(asked))
    key = f"{restoring(asked).key}.authorise"
    again = [effect for effect in await admin.effects(kind=EffectKind.PAYMENT_AUTHORISED) if effect.key == key]
    assert [effect.amount for effect in again] == [2000]


async def test_restoring_says_so_when_the_customer_gave_no_mandate(
    payments: PaymentActivities, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"))
    asked = step(planned(payment, release="20.00 USD"))
    await ActivityEnvironment().run(payments.reverse_payment, asked)
    with pytest.raises(Refused) as refused:
        await ActivityEnvironment().run(payments.restore_payment, restoring(asked))
    assert refused.value.code is ErrorCode.NO_MANDATE
