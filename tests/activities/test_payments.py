"""reverse_payment and restore_payment against the gateway over HTTP, one attempt at a time."""

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.payments import PaymentActivities
from domain.errors import ErrorCode, OutcomeUnknown, Refused
from domain.facts import Chosen
from domain.money import money
from domain.payment import Payment, RefundStatus
from domain.plan import PlannedTender
from domain.reversal import Reversal
from domain.step import StepName
from domain.terms import RefundMethod
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from tests.activities.samples import Begun, attempt, begin, payments_at, planned
from tests.domain.cases import CUSTOMER
from tests.fixtures.gateway import GatewaySandbox

Begin = Callable[[PlannedTender], Awaitable[Begun]]


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def payments(gateway: StripeGateway, database: AsyncEngine) -> PaymentActivities:
    return payments_at(database, gateway)


@pytest.fixture
def begin_with(database: AsyncEngine) -> Begin:
    async def begun(tender: PlannedTender) -> Begun:
        return await begin(database, tender)

    return begun


async def reverse(payments: PaymentActivities, begun: Begun) -> Reversal:
    """Reverse the card. The run hears of all that the books know of it then."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    answer = await attempt(payments.reverse_payment, step)
    case = await begun.case()
    assert answer.entries == case.entries[step.last_seq :]
    return case.reversal("T1")


async def restore(payments: PaymentActivities, begun: Begun) -> None:
    await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT))
    assert (await begun.case()).is_done(StepName.RESTORE_PAYMENT, "T1")


async def refunds(admin: GatewayAdmin, payment: str) -> list[int]:
    return [effect.amount for effect in await admin.effects(payment, EffectKind.REFUND_CREATED)]


async def test_a_second_attempt_finds_the_refund_of_the_first(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    """B18: the first attempt's answer is lost."""
    payment = await admin.create_payment(
        money("20.00 USD"), capture=money("20.00 USD"), sandbox_fault="refund.create:drop_after_commit"
    )
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(OutcomeUnknown):
        await attempt(payments.reverse_payment, step)
    await attempt(payments.reverse_payment, step)
    assert (await begun.case()).reversal("T1").refunded == money("20.00 USD")
    assert await refunds(admin, payment) == [2000]


async def test_an_authorisation_that_was_captured_meanwhile_is_refunded(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    """Reversal is whichever of void and refund is right at the moment."""
    payment = await admin.create_payment(money("20.00 USD"))
    begun = await begin_with(planned(payment, release="20.00 USD"))
    await admin.capture(payment, money("20.00 USD"), final=True)
    reversal = await reverse(payments, begun)
    assert (reversal.released, reversal.refunded) == (money("0.00 USD"), money("20.00 USD"))


async def test_what_somebody_refunded_meanwhile_is_not_refunded_again(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    theirs = await admin.refund_elsewhere(payment, money("15.00 USD"))
    reversal = await reverse(payments, begun)
    assert [refund.reference for refund in reversal.refunds if not refund.key] == [theirs]
    assert reversal.refunded == money("20.00 USD")
    assert sum(await refunds(admin, payment)) == 2000


async def test_a_tender_that_somebody_refunded_in_full_needs_nothing(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    theirs = await admin.refund_elsewhere(payment, money("20.00 USD"))
    reversal = await reverse(payments, begun)
    assert [refund.reference for refund in reversal.refunds] == [theirs]
    assert sum(await refunds(admin, payment)) == 2000


async def test_a_part_of_an_authorisation_stays_with_the_gateway(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    """A gateway releases an authorisation as a whole; the rest of the order is captured later, for less."""
    payment = await admin.create_payment(money("20.00 USD"))
    begun = await begin_with(planned(payment, release="5.00 USD", capturable="20.00 USD"))
    reversal = await reverse(payments, begun)
    assert reversal.released == money("5.00 USD")
    assert await admin.effects(payment, EffectKind.PAYMENT_VOIDED) == []


async def test_the_answer_of_a_void_is_the_payment_after_it(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"))
    begun = await begin_with(planned(payment, release="20.00 USD"))
    reversal = await reverse(payments, begun)
    assert reversal.released == money("20.00 USD")
    assert await admin.calls(payment) == {"payment_intent.retrieve": 1, "payment_intent.cancel": 1}


async def test_the_answer_of_a_refund_is_the_payment_after_it(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    before = Counter(await admin.calls(payment))
    reversal = await reverse(payments, begun)
    assert reversal.refunded == money("20.00 USD")
    assert Counter(await admin.calls(payment)) - before == {"payment_intent.retrieve": 1, "refund.create": 1}


async def test_a_part_is_released_and_a_part_refunded_after_one_look(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("30.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD", release="10.00 USD"))
    before = Counter(await admin.calls(payment))
    reversal = await reverse(payments, begun)
    assert (reversal.released, reversal.refunded) == (money("10.00 USD"), money("20.00 USD"))
    made = {"payment_intent.retrieve": 1, "payment_intent.capture": 1, "refund.create": 1}
    assert Counter(await admin.calls(payment)) - before == made


async def test_what_somebody_refunds_between_look_and_void_is_not_refunded_again(
    payments: PaymentActivities,
    gateway: StripeGateway,
    begin_with: Begin,
    admin: GatewayAdmin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The void's answer shows it."""
    payment = await admin.create_payment(money("30.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD", release="10.00 USD"))
    read = gateway.read_payment

    async def refunded_after(reference: str) -> Payment:
        look = await read(reference)
        await admin.refund_elsewhere(payment, money("5.00 USD"))
        return look

    monkeypatch.setattr(gateway, "read_payment", refunded_after)
    reversal = await reverse(payments, begun)
    assert [refund.amount for refund in reversal.refunds if not refund.key] == [money("5.00 USD")]
    assert reversal.refunded == money("20.00 USD")
    assert await refunds(admin, payment) == [500, 1500]


async def test_store_credit_in_place_of_a_refund_is_given_after_one_look(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    chosen = Chosen(target="T1", method=RefundMethod.STORE_CREDIT, by=CUSTOMER)
    await begun.merchant.write(begun.cancellation, chosen)
    before = Counter(await admin.calls(payment))
    await attempt(payments.give_store_credit, await begun.step(StepName.GIVE_STORE_CREDIT))
    assert (await begun.case()).reversal("T1").outstanding == money("0.00 USD")
    assert Counter(await admin.calls(payment)) - before == {"payment_intent.retrieve": 1}


async def test_restoring_cancels_a_refund_that_has_not_moved_money(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(
        money("20.00 USD"), capture=money("20.00 USD"), sandbox_fault="refund.create:requires_action"
    )
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    reversal = await reverse(payments, begun)
    assert reversal.refunds[0].status is RefundStatus.REQUIRES_ACTION
    await restore(payments, begun)
    await restore(payments, begun)
    assert len(await admin.effects(payment, EffectKind.REFUND_CANCELED)) == 1


async def test_restoring_does_nothing_where_nothing_was_reversed(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), capture=money("20.00 USD"))
    before = await admin.effects(payment)
    begun = await begin_with(planned(payment, refund="20.00 USD"))
    await restore(payments, begun)
    assert await admin.effects(payment) == before


async def test_restoring_reserves_again_where_the_customer_gave_a_mandate(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"), mandate=True)
    begun = await begin_with(planned(payment, release="20.00 USD"))
    await reverse(payments, begun)
    key = str((await begun.step(StepName.RESTORE_PAYMENT)).key.part_of("authorise"))
    before = Counter(await admin.calls())
    await restore(payments, begun)
    made = {"payment_intent.retrieve": 2, "payment_intent.list": 1, "payment_intent.create": 1}
    assert Counter(await admin.calls()) - before == made
    await restore(payments, begun)
    again = [effect for effect in await admin.effects(kind=EffectKind.PAYMENT_AUTHORISED) if effect.key == key]
    assert [effect.amount for effect in again] == [2000]


async def test_restoring_says_so_when_the_customer_gave_no_mandate(
    payments: PaymentActivities, begin_with: Begin, admin: GatewayAdmin
) -> None:
    payment = await admin.create_payment(money("20.00 USD"))
    begun = await begin_with(planned(payment, release="20.00 USD"))
    await reverse(payments, begun)
    with pytest.raises(Refused) as refused:
        await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT))
    assert refused.value.code is ErrorCode.NO_MANDATE
