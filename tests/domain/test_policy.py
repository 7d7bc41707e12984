from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from domain.decision import Decision, Gate, Rule, Verdict
from domain.money import money
from domain.order import Order, OrderFlag, SaleCondition
from domain.payment import DisputeState, Payment
from domain.policy import CustomerHistory, OnCondition, Policy
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.terms import terms_for
from runtime.policy_file import load_policy
from tests.domain.build import NOW, line, order, payment, request, sold

POLICY = load_policy(Path(__file__).resolve().parents[2] / "policy.toml").model_copy(
    update={"version": "test", "approval_limits": (money("500.00 USD"),)}
)

NEW_CUSTOMER = CustomerHistory()


def decide(
    of: Order,
    paid: Payment,
    *,
    reason: ReasonCode = ReasonCode.NO_LONGER_NEEDED,
    actor: ActorKind = ActorKind.CUSTOMER,
    history: CustomerHistory = NEW_CUSTOMER,
    policy: Policy = POLICY,
) -> Decision:
    asked = request(reason=reason)
    if actor is not ActorKind.CUSTOMER:
        asked = asked.model_copy(update={"actor": Actor(kind=actor, id="S-1")})
    decision, _ = policy.decide(
        cancellation_id="can-1",
        order=of,
        request=asked,
        payments={"T1": paid},
        trackings={},
        history=history,
        now=NOW,
        learnt_at=NOW,
    )
    return decision


def test_within_the_policy_is_approved_and_the_amounts_are_said() -> None:
    decision = decide(order(line("L1", 1, "50.00 USD")), payment("50.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.APPROVED, Rule.WITHIN_POLICY)
    assert "refund 50.00 USD" in decision.sentence
    assert decision.policy_version == "test"


def test_a_reason_that_the_actor_may_not_give_is_rejected_with_the_list() -> None:
    """A8"""
    decision = POLICY.reject_by_order(order(line("L1", 1, "50.00 USD")), request(reason=ReasonCode.OUT_OF_STOCK))
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


@pytest.mark.parametrize("paid", [payment("900.00 USD"), payment("0.00 USD", capturable="900.00 USD")])
def test_the_limit_is_on_the_money_that_goes_out(paid: Payment) -> None:
    """Rule 9: nothing of the order remains, so all that is on its payment goes back, 900.00 for goods of 36.00."""
    decision = decide(order(line("L1", 1, "36.00 USD")), paid)
    assert (decision.verdict, decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.ABOVE_LIMIT)
    assert "900.00 USD is above the limit" in decision.sentence


def test_goods_above_the_limit_whose_money_has_gone_back_before_need_no_approval() -> None:
    """Rule 9: 10.00 go out."""
    decision = decide(order(line("L1", 1, "900.00 USD")), payment("900.00 USD", refunded="890.00 USD"))
    assert decision.verdict is Verdict.APPROVED


def test_a_currency_without_a_limit_needs_approval() -> None:
    assert decide(order(line("L1", 1, "1.00 EUR")), payment("1.00 EUR")).rule is Rule.ABOVE_LIMIT


def test_fraud_review_stops_the_goods_and_lets_only_the_captured_money_wait() -> None:
    """A11"""
    suspect = order(line("L1", 1, "50.00 USD"), flags=frozenset({OrderFlag.FRAUD_REVIEW}))
    assert decide(suspect, payment("50.00 USD")).gate is Gate.BEFORE_REVERSING
    assert decide(suspect, payment("0.00 USD", capturable="50.00 USD")).verdict is Verdict.APPROVED


@pytest.mark.parametrize("reason", ReasonCode)
def test_only_the_original_tender_takes_the_money_of_a_suspect(reason: ReasonCode) -> None:
    """A11: by the order's flag, or by the reason of a request that opens or joins the cancellation."""
    fraud = reason in {ReasonCode.SUSPECTED_FRAUD, ReasonCode.CONFIRMED_FRAUD}
    assert terms_for(POLICY.terms, reason).fallbacks == (() if fraud else POLICY.terms.fallbacks)
    assert terms_for(POLICY.terms, reason, suspect=True).fallbacks == ()


def test_a_suspects_reservation_is_released_at_once_whatever_else_the_policy_says() -> None:
    """A11: above the limit, outside the window, and made to specification."""
    suspect = order(
        sold(line("L1", 1, "900.00 USD"), SaleCondition.CUSTOMISED),
        flags=frozenset({OrderFlag.FRAUD_REVIEW}),
        placed_at=NOW - timedelta(days=40),
    )
    decision = decide(suspect, payment("0.00 USD", capturable="900.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.APPROVED, Rule.FRAUD_REVIEW)


@pytest.mark.parametrize("condition", [SaleCondition.FINAL_SALE, SaleCondition.REGULAR])
def test_a_statutory_withdrawal_of_an_eu_consumer_is_not_held_up_by_policy(condition: SaleCondition) -> None:
    """A15: neither by the window, nor by the limit, nor by a final sale, nor by how often they withdrew before."""
    of = order(
        sold(line("L1", 1, "900.00 USD"), condition),
        placed_at=NOW - timedelta(days=40),
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )
    decision = decide(
        of,
        payment("900.00 USD"),
        reason=ReasonCode.STATUTORY_WITHDRAWAL,
        history=CustomerHistory(cancellations=99),
    )
    assert decision.verdict is Verdict.APPROVED


def test_goods_made_to_the_customers_specification_cannot_be_withdrawn_from() -> None:
    """A12, A15: Directive 2011/83/EU, art. 16 (c)."""
    of = order(sold(line("L1", 1, "90.00 USD"), SaleCondition.CUSTOMISED), flags=frozenset({OrderFlag.EU_CONSUMER}))
    decision = decide(of, payment("90.00 USD"), reason=ReasonCode.STATUTORY_WITHDRAWAL)
    assert (decision.verdict, decision.rule) == (Verdict.REJECTED, Rule.CUSTOMISED)


def test_a_withdrawal_from_the_whole_order_leaves_only_what_was_made_to_specification() -> None:
    """A12, A15: the right holds for the other goods."""
    of = order(
        line("L1", 1, "50.00 USD"),
        sold(line("L2", 1, "40.00 USD"), SaleCondition.CUSTOMISED),
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )
    decision = decide(of, payment("90.00 USD"), reason=ReasonCode.STATUTORY_WITHDRAWAL)
    assert decision.verdict is Verdict.APPROVED
    assert "refund 50.00 USD" in decision.sentence
    assert "Line L2" in decision.sentence


def test_a_withdrawal_that_leaves_customised_goods_takes_lines_by_whatever_id_the_order_has() -> None:
    """A12, A15: the ids of a request are ours to restrict, those of an order are the merchant's."""
    of = order(
        line("Größe M", 1, "50.00 USD"),
        sold(line("L2", 1, "40.00 USD"), SaleCondition.CUSTOMISED),
        flags=frozenset({OrderFlag.EU_CONSUMER}),
    )
    decision = decide(of, payment("90.00 USD"), reason=ReasonCode.STATUTORY_WITHDRAWAL)
    assert decision.verdict is Verdict.APPROVED
    assert "refund 50.00 USD" in decision.sentence


def test_the_same_words_from_somebody_who_has_no_such_right_change_nothing() -> None:
    """A15"""
    of = order(line("L1", 1, "900.00 USD"))
    assert decide(of, payment("900.00 USD"), reason=ReasonCode.STATUTORY_WITHDRAWAL).rule is Rule.ABOVE_LIMIT


def test_a_final_sale_needs_approval_and_says_so() -> None:
    """A12"""
    decision = decide(order(sold(line("L1", 1, "50.00 USD"), SaleCondition.FINAL_SALE)), payment("50.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.FINAL_SALE)
    assert "Line L1" in decision.sentence
    assert "final sale" in decision.sentence


def test_a_customised_line_is_refused_and_named() -> None:
    """A12: the other lines may be asked for."""
    of = order(line("L1", 1, "50.00 USD"), sold(line("L2", 1, "50.00 USD"), SaleCondition.CUSTOMISED))
    decision = decide(of, payment("100.00 USD"))
    assert (decision.verdict, decision.rule) == (Verdict.REJECTED, Rule.CUSTOMISED)
    assert "Line L2" in decision.sentence


@pytest.mark.parametrize(
    ("does", "verdict"), [(action, action.value) for action in OnCondition if action is not OnCondition.ALLOWED]
)
def test_the_policy_says_what_a_condition_of_sale_means(does: OnCondition, verdict: str) -> None:
    """A12"""
    policy = POLICY.model_copy(update={"conditions": {SaleCondition.CUSTOMISED: does}})
    decision = decide(
        order(sold(line("L1", 1, "50.00 USD"), SaleCondition.CUSTOMISED)), payment("50.00 USD"), policy=policy
    )
    assert decision.verdict == {"refused": "rejected"}.get(verdict, verdict)


def test_a_condition_of_sale_binds_the_customer_and_not_the_merchant() -> None:
    """A12"""
    of = order(sold(line("L1", 1, "50.00 USD"), SaleCondition.CUSTOMISED))
    decision = decide(of, payment("50.00 USD"), reason=ReasonCode.OUT_OF_STOCK, actor=ActorKind.MERCHANT)
    assert decision.verdict is Verdict.APPROVED


@pytest.mark.parametrize(("before", "rule"), [(4, Rule.WITHIN_POLICY), (5, Rule.FREQUENT_CANCELLATIONS)])
def test_a_customer_who_cancels_often_is_looked_at_by_a_second_person(before: int, rule: Rule) -> None:
    history = CustomerHistory(cancellations=before)
    assert decide(order(line("L1", 1, "50.00 USD")), payment("50.00 USD"), history=history).rule is rule


def test_that_the_merchant_cannot_deliver_is_not_held_against_the_customer() -> None:
    decision = decide(
        order(line("L1", 1, "50.00 USD")),
        payment("50.00 USD"),
        reason=ReasonCode.OUT_OF_STOCK,
        actor=ActorKind.MERCHANT,
        history=CustomerHistory(cancellations=99),
    )
    assert decision.verdict is Verdict.APPROVED


def test_only_staff_gives_back_the_shipping_charge_of_an_order_that_remains() -> None:
    of = order(line("L1", 2, "50.00 USD"), shipping="5.00 USD")
    asked = request(LineScope(line_id="L1", quantity=1)).model_copy(update={"shipping": True})
    decision = POLICY.reject_by_order(of, asked)
    assert decision is not None
    assert decision.rule is Rule.INVALID_SCOPE
    staff = asked.model_copy(update={"actor": Actor(kind=ActorKind.CUSTOMER_SERVICE, id="A-1")})
    assert POLICY.reject_by_order(of, staff) is None


def test_a_dispute_is_named_in_the_decision() -> None:
    decision = decide(order(line("L1", 1, "50.00 USD")), payment("50.00 USD", dispute=DisputeState.OPEN))
    assert "disputed" in decision.sentence


def test_a_cancelled_order_is_not_cancelled_again() -> None:
    decision = POLICY.reject_by_order(order(line("L1", 1, "5.00 USD", cancelled=1)), request())
    assert decision is not None
    assert decision.rule is Rule.ALREADY_CANCELLED


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


# The sender's own limit


@pytest.mark.parametrize(
    ("at_most", "rule"),
    [
        ("49.99 USD", Rule.AMOUNT_EXCEEDS_AT_MOST),
        ("50.00 USD", Rule.WITHIN_POLICY),
        ("1000.00 EUR", Rule.AMOUNT_EXCEEDS_AT_MOST),
    ],
)
def test_a_sender_with_a_limit_gives_back_no_more_than_that(at_most: str, rule: Rule) -> None:
    """What is only reserved counts; a limit in another currency allows nothing."""
    asked = request().model_copy(update={"at_most": money(at_most)})
    decision, plan = POLICY.decide(
        cancellation_id="can-1",
        order=order(line("L1", 1, "50.00 USD")),
        request=asked,
        payments={"T1": payment("20.00 USD", capturable="30.00 USD")},
        trackings={},
        history=NEW_CUSTOMER,
        now=NOW,
        learnt_at=NOW,
    )
    assert (decision.rule, plan is None) == (rule, rule is Rule.AMOUNT_EXCEEDS_AT_MOST)
    if plan is None:
        assert (decision.verdict, decision.maximum) == (Verdict.REJECTED, money(at_most))
        assert decision.sentence.startswith(f"50.00 USD of order 1001 would go back, and at most {at_most} may here.")


def test_a_limit_is_no_part_of_what_is_asked_and_nothing_where_there_is_none() -> None:
    """So a request may be sent again under another one, and those recorded before have none."""
    asked = request()
    assert "at_most" not in asked.model_dump_json()
    assert asked.model_copy(update={"at_most": money("1.00 USD")}).content == asked.content
