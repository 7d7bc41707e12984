from datetime import timedelta

import pytest
from pydantic import ValidationError

from domain.money import money
from domain.order import Order, OrderFlag, OrderState
from domain.payment import DisputeState, Payment
from domain.policy import Decision, Gate, Policy, Rule, Verdict
from domain.request import Actor, ActorKind, CancellationRequest, Channel, ReasonCode, cancellation_id
from tests.domain.build import NOW, line, order, payment, request

POLICY = Policy(version="test", window=timedelta(days=30), approval_limits=(money("500.00 USD"),))


def decide(of: Order, paid: Payment) -> Decision:
    decision, _ = POLICY.decide(
        cancellation_id="can-1", order=of, request=request(), payments={"T1": paid}, trackings={}, now=NOW
    )
    return decision


def test_within_the_policy_is_approved_and_the_amounts_are_said() -> None:
    decision = decide(order(line("L1", 1, "50.00 USD")), payment("50.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.APPROVED, Rule.WITHIN_POLICY)
    assert "refund 50.00 USD" in decision.sentence
    assert decision.policy_version == "test"


def test_an_order_of_somebody_else_is_as_unknown_as_one_that_does_not_exist() -> None:
    """A1"""
    of = order(line("L1", 1, "50.00 USD")).model_copy(update={"customer_id": "C-2"})
    assert POLICY.admits(of, request()) == POLICY.not_found("1001")


def test_a_reason_that_the_actor_may_not_give_is_rejected_with_the_list() -> None:
    """A8"""
    decision = POLICY.admits(order(line("L1", 1, "50.00 USD")), request(reason=ReasonCode.OUT_OF_STOCK))
    assert decision is not None
    assert decision.rule is Rule.REASON_NOT_ALLOWED
    assert ReasonCode.NO_LONGER_NEEDED in decision.allowed_reasons
    assert ReasonCode.OUT_OF_STOCK not in decision.allowed_reasons


def test_outside_the_window_is_not_refused_but_needs_approval() -> None:
    """A7"""
    decision = decide(order(line("L1", 1, "50.00 USD"), placed_at=NOW - timedelta(days=31)), payment("50.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.OUTSIDE_WINDOW)


@pytest.mark.parametrize(("total", "verdict"), [("500.00 USD", "approved"), ("500.01 USD", "needs_approval")])
def test_the_limit_is_the_last_value_that_one_person_decides_on(total: str, verdict: str) -> None:
    """A9"""
    assert decide(order(line("L1", 1, total)), payment(total)).verdict == verdict


def test_a_currency_without_a_limit_needs_approval() -> None:
    assert decide(order(line("L1", 1, "1.00 EUR")), payment("1.00 EUR")).rule is Rule.ABOVE_LIMIT


def test_fraud_review_stops_the_goods_and_lets_only_the_captured_money_wait() -> None:
    """A11"""
    suspect = order(line("L1", 1, "50.00 USD"), flags=frozenset({OrderFlag.FRAUD_REVIEW}))
    assert decide(suspect, payment("50.00 USD")).gate is Gate.BEFORE_REVERSING
    assert decide(suspect, payment("0.00 USD", capturable="50.00 USD")).verdict is Verdict.APPROVED


@pytest.mark.parametrize("flags", [{OrderFlag.FINAL_SALE}, set()])
def test_a_statutory_withdrawal_of_an_eu_consumer_is_not_held_up_by_policy(flags: set[OrderFlag]) -> None:
    """A15: neither by the window, nor by the limit, nor by the conditions of the sale."""
    of = order(
        line("L1", 1, "900.00 USD"),
        placed_at=NOW - timedelta(days=40),
        flags=frozenset({OrderFlag.EU_CONSUMER, *flags}),
    )
    decision, _ = POLICY.decide(
        cancellation_id="can-1",
        order=of,
        request=request(reason=ReasonCode.STATUTORY_WITHDRAWAL),
        payments={"T1": payment("900.00 USD")},
        trackings={},
        now=NOW,
    )
    assert decision.verdict is Verdict.APPROVED


def test_the_same_words_from_somebody_who_has_no_such_right_change_nothing() -> None:
    """A15"""
    of = order(line("L1", 1, "900.00 USD"))
    decision, _ = POLICY.decide(
        cancellation_id="can-1",
        order=of,
        request=request(reason=ReasonCode.STATUTORY_WITHDRAWAL),
        payments={"T1": payment("900.00 USD")},
        trackings={},
        now=NOW,
    )
    assert decision.rule is Rule.ABOVE_LIMIT


def test_a_final_sale_needs_approval_and_says_so() -> None:
    """A12"""
    decision = decide(order(line("L1", 1, "50.00 USD"), flags=frozenset({OrderFlag.FINAL_SALE})), payment("50.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.FINAL_SALE)
    assert "final sale" in decision.sentence


def test_a_dispute_is_named_in_the_decision() -> None:
    decision = decide(order(line("L1", 1, "50.00 USD")), payment("50.00 USD", dispute=DisputeState.OPEN))
    assert "disputed" in decision.sentence


def test_a_cancelled_order_is_not_cancelled_again() -> None:
    decision = POLICY.admits(order(line("L1", 1, "5.00 USD"), state=OrderState.CANCELLED), request())
    assert decision is not None
    assert decision.rule is Rule.ALREADY_CANCELLED


def test_the_same_request_opens_the_same_cancellation_and_another_one_does_not() -> None:
    assert cancellation_id("1001", "r-1") == cancellation_id("1001", "r-1")
    assert cancellation_id("1001", "r-1") != cancellation_id("1001", "r-2")
    assert cancellation_id("1001", "r-1") != cancellation_id("1002", "r-1")


def test_a_customer_cannot_ask_in_another_customers_name() -> None:
    with pytest.raises(ValidationError, match="own orders only"):
        CancellationRequest(
            request_id="r-1",
            order_id="1001",
            customer_id="C-2",
            actor=Actor(kind=ActorKind.CUSTOMER, id="C-1"),
            channel=Channel.WEB_SHOP,
            reason=ReasonCode.NO_LONGER_NEEDED,
        )
