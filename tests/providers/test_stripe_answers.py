"""What an answer of the Stripe adapter shows: the payment after the call, with what others did since the look."""

from typing import Any
from uuid import uuid4

import pytest
import stripe

from domain.errors import OutcomeUnknown, Unavailable
from domain.money import money
from providers.gateway.stripe import StripeGateway
from providers.gateway.stripe_objects import refunds_shown, to_payment
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway_admin import GatewayAdmin, TestCard
from tests.fixtures.gateway import GatewaySandbox
from tests.providers.test_stripe import NOTHING, TOTAL, made, void


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def key() -> str:
    return f"cancel-{uuid4().hex}/reverse_payment/card/1"


def calls_since(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {
        operation: count - before.get(operation, 0)
        for operation, count in now.items()
        if count != before.get(operation)
    }


async def test_a_refund_that_cannot_be_read_after_it_was_made_is_unknown(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    refund = (await gateway.refund(reference, TOTAL, key=key)).refund
    await admin.add_fault("payment_intent.retrieve", FaultKind.HTTP_429, payment=reference, retry_after=3)

    with pytest.raises(OutcomeUnknown) as unknown:
        await gateway.refund(reference, TOTAL, key=key)

    assert unknown.value.retry_after == 3
    assert (await gateway.refund(reference, TOTAL, key=key)).refund == refund


async def test_the_answer_of_a_refund_shows_what_others_refunded_since_the_look(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    assert (await gateway.read_payment(reference)).refunded == NOTHING
    theirs = await admin.refund_elsewhere(reference, money("5 USD"))
    before = await admin.calls(reference)

    answer = await gateway.refund(reference, money("10 USD"), key=key)

    assert calls_since(before, await admin.calls(reference)) == {"refund.create": 1}
    assert {refund.reference for refund in answer.payment.refunds} == {theirs, answer.refund.reference}
    assert answer.payment.refunded == money("15 USD")
    assert answer.payment == await gateway.read_payment(reference)


async def test_a_replayed_refund_is_read_again(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    first = await gateway.refund(reference, money("10 USD"), key=key)
    theirs = await admin.refund_elsewhere(reference, money("5 USD"))

    again = await gateway.refund(reference, money("10 USD"), key=key)

    assert again.refund == first.refund
    assert [refund.reference for refund in again.payment.refunds] == [theirs, first.refund.reference]


async def test_a_replayed_void_is_read_again(gateway: StripeGateway, admin: GatewayAdmin, key: str) -> None:
    """The look of a second attempt may be as old as that of the first."""
    reference = await admin.create_payment(money("106 USD"), capture=money("50 USD"))
    look = await gateway.read_payment(reference)
    await gateway.void(look, key=key)
    theirs = await admin.refund_elsewhere(reference, money("5 USD"))

    again = await gateway.void(look, key=key)

    assert [refund.reference for refund in again.refunds] == [theirs]
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [5600]


async def test_the_answer_of_a_void_shows_what_others_did_since_the_look(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(money("106 USD"), capture=money("50 USD"))
    look = await gateway.read_payment(reference)
    await admin.capture(reference, money("6 USD"), final=False)
    theirs = await admin.refund_elsewhere(reference, money("5 USD"))
    before = await admin.calls(reference)

    after = await gateway.void(look, key=key)

    assert calls_since(before, await admin.calls(reference)) == {"payment_intent.capture": 1}
    assert (after.captured, after.refunded) == (money("56 USD"), money("5 USD"))
    assert [refund.reference for refund in after.refunds] == [theirs]
    assert after == await gateway.read_payment(reference)


async def test_a_void_that_meets_a_capture_returns_the_payment_as_it_is(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(TOTAL)
    look = await gateway.read_payment(reference)
    await admin.capture(reference, TOTAL, final=True)

    after = await gateway.void(look, key=key)

    assert (after.captured, after.capturable, after.released) == (TOTAL, NOTHING, False)


async def test_a_void_that_meets_a_capture_in_part_releases_the_rest_after_another_look(
    gateway: StripeGateway, admin: GatewayAdmin, key: str
) -> None:
    reference = await admin.create_payment(money("106 USD"), multicapture=True)
    look = await gateway.read_payment(reference)
    await admin.capture(reference, money("50 USD"), final=False)
    with pytest.raises(Unavailable):
        await gateway.void(look, key=key)

    after = await void(gateway, reference, key)

    assert (after.captured, after.released) == (money("50 USD"), True)
    assert await made(admin, reference, EffectKind.PAYMENT_VOIDED) == [5600]


@pytest.mark.parametrize("error", [stripe.RateLimitError("later"), stripe.PermissionError("not with this key")])
async def test_an_answer_that_cannot_be_completed_is_an_unknown_outcome(
    gateway: StripeGateway,
    admin: GatewayAdmin,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    error: stripe.StripeError,
) -> None:
    """More refunds than an answer shows: the others are read, and the refund has been made already."""
    reference = await admin.create_payment(TOTAL, capture=TOTAL)
    for _ in range(10):
        await admin.refund_elsewhere(reference, money("0.01 USD"))

    async def unread(_: str) -> list[stripe.Refund]:
        raise error

    with monkeypatch.context() as unreadable:
        unreadable.setattr(gateway, "_refunds", unread)
        with pytest.raises(OutcomeUnknown):
            await gateway.refund(reference, money("1 USD"), key=key)

    assert len((await gateway.refund(reference, money("1 USD"), key=key)).payment.refunds) == 11
    assert await made(admin, reference) == [1] * 10 + [100]


async def test_a_look_is_one_call_unless_there_is_more_than_it_shows(
    gateway: StripeGateway, admin: GatewayAdmin
) -> None:
    reference = await admin.create_payment(TOTAL, TestCard.DISPUTED, capture=TOTAL)
    await admin.dispute(reference, "won")
    for refunds, calls in ((10, {}), (11, {"refund.list": 1})):
        while len((await gateway.read_payment(reference)).refunds) < refunds:
            await admin.refund_elsewhere(reference, money("0.01 USD"))
        before = await admin.calls(reference)

        assert len((await gateway.read_payment(reference)).refunds) == refunds

        since = calls_since(before, await admin.calls(reference))
        assert since == {"payment_intent.retrieve": 1, "dispute.list": 1, **calls}


@pytest.mark.parametrize(
    ("charge", "shown"),
    [
        (None, 0),
        ({"amount_refunded": 300, "refunds": {"has_more": False}}, 2),
        ({"amount_refunded": 800, "refunds": {"has_more": False}}, None),
        ({"amount_refunded": 300, "refunds": {"has_more": True}}, None),
        ({"amount_refunded": 300}, None),
    ],
    ids=["never charged", "all of them", "the charge counts more", "there are more", "not expanded"],
)
def test_refunds_that_an_answer_shows_are_taken_as_all_only_where_the_charge_counts_no_more(
    charge: dict[str, Any] | None, shown: int | None
) -> None:
    refunds = [
        {"id": "re_2", "object": "refund", "amount": 300, "status": "succeeded"},
        {"id": "re_1", "object": "refund", "amount": 500, "status": "failed"},
    ]
    if charge is not None:
        charge = {"id": "ch_1", "object": "charge", **charge}
        if "refunds" in charge:
            charge["refunds"] = {"object": "list", "data": refunds, **charge["refunds"]}
    intent = stripe.PaymentIntent.construct_from(
        {"id": "pi_1", "object": "payment_intent", "latest_charge": charge}, None
    )

    found = refunds_shown(intent)

    assert found is None if shown is None else found is not None and len(found) == shown


def shown_payment(captured: int) -> stripe.PaymentIntent:
    """Of 100.00, of which the rest is reserved no more."""
    shown = {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 10000,
        "amount_capturable": 0,
        "amount_received": captured,
        "currency": "usd",
        "customer": None,
        "payment_method": None,
        "setup_future_usage": None,
        "status": "succeeded",
    }
    return stripe.PaymentIntent.construct_from(shown, None)


@pytest.mark.parametrize("shown", [{"metadata": {}, "balance_transaction": None}, {"metadata": None}, {}])
@pytest.mark.parametrize(("captured", "refunded"), [(10000, "40 USD"), (7000, "40 USD"), (6000, "0 USD")])
def test_a_refund_that_shows_no_transaction_ends_an_authorisation_only_by_what_was_never_captured(
    shown: dict[str, Any], captured: int, refunded: str
) -> None:
    """I11: Stripe's specification lets each of these fields be null or absent."""
    refund = {"id": "re_1", "object": "refund", "amount": 4000, "currency": "usd", "created": 1, "status": "succeeded"}
    payment = to_payment(shown_payment(captured), [stripe.Refund.construct_from({**refund, **shown}, None)], [])
    assert payment.refunded == money(refunded)
