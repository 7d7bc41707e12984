"""What an event of Stripe means in our own words."""

import pytest

from providers.events.stripe import StripeEvent, StripeEventKind

PAYMENT = {"id": "pi_1", "object": "payment_intent"}
DISPUTE = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_1"}
REFUND = {"id": "re_1", "object": "refund", "payment_intent": "pi_1"}


@pytest.mark.parametrize(
    ("kind", "about", "may_undo", "taken"),
    [
        (StripeEventKind.PAYMENT_SUCCEEDED, {**PAYMENT, "status": "succeeded"}, True, True),
        (StripeEventKind.PAYMENT_FAILED, {**PAYMENT, "status": "requires_payment_method"}, False, False),
        (StripeEventKind.DISPUTE_CLOSED, {**DISPUTE, "status": "lost"}, True, False),
        (StripeEventKind.DISPUTE_CLOSED, {**DISPUTE, "status": "won"}, True, False),
        (StripeEventKind.DISPUTE_CLOSED, {**DISPUTE, "status": "under_review"}, False, False),
        (StripeEventKind.REFUND_FAILED, {**REFUND, "status": "failed"}, True, False),
        ("payment_method.attached", {**PAYMENT, "status": "succeeded"}, False, False),
    ],
)
def test_an_event_says_whether_it_may_undo_an_outcome_and_whether_a_payment_was_taken(
    kind: str, about: dict[str, str], may_undo: bool, taken: bool
) -> None:
    """E29: the books compare no name of the provider's."""
    event = StripeEvent.model_validate({"id": "evt_1", "type": kind, "data": {"object": about}}).to_provider_event()
    assert (event.may_undo_outcome, event.payment_taken) == (may_undo, taken)


@pytest.mark.parametrize("metadata", [{"metadata": None}, {}], ids=["null", "absent"])
def test_a_refund_without_our_key_is_one_of_others_whatever_its_metadata(metadata: dict[str, None]) -> None:
    """I11: after the end it may give back what was given another way. Stripe's specification allows both."""
    about = {**REFUND, "status": "succeeded", **metadata}
    sent = {"id": "evt_1", "type": StripeEventKind.REFUND_CREATED, "data": {"object": about}}
    assert StripeEvent.model_validate(sent).to_provider_event().may_undo_outcome
