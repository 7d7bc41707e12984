"""Single answers of a case, a reversal and a plan that other tests only use."""

import pytest

from domain.case import Case
from domain.facts import (
    DisputeSeen,
    EffectOutcome,
    Entry,
    NothingDue,
    OrderClosed,
    Reopened,
    RollBackOrdered,
    SettledByHand,
)
from domain.keys import cancellation_id
from domain.money import Money, money
from domain.order import TenderKind
from domain.payment import Payment, Refund, RefundStatus
from domain.reversal import ByHand, Reversal
from domain.step import StepName
from tests.domain.build import request
from tests.domain.cases import CLERK, decided, ended, key, noted, opened, plan_of, planned_tender, refund_seen, usd

REVERSE = StepName.REVERSE_PAYMENT
PLAN = plan_of(planned_tender(refund=5_000))


@pytest.mark.parametrize(("request_id", "conflicts"), [("r-0", False), ("r-1", True), ("r-2", False)])
def test_only_the_same_id_with_other_content_is_a_conflict(request_id: str, conflicts: bool) -> None:
    case = opened(PLAN, by=request().model_copy(update={"request_id": "r-1"}))
    other = request().model_copy(update={"request_id": request_id, "note": "something else"})
    assert case.conflicts_with(other) is conflicts


def test_an_order_stays_frozen_unless_its_decision_says_otherwise() -> None:
    frozen, left = (opened(PLAN, decided(PLAN).model_copy(update={"frozen": frozen})) for frozen in (True, False))
    assert (frozen.stays_frozen, left.stays_frozen) == (True, False)


def test_a_case_is_reopened_once_it_was() -> None:
    closed = OrderClosed(), Reopened(why="A parcel moves.")
    assert (opened(PLAN).reopened, opened(PLAN, *closed).reopened) == (False, True)


def test_what_is_said_of_a_tender_counts_also_when_it_is_read_from_the_books() -> None:
    """A text that was read is equal to another one, and not the same object."""
    paid = SettledByHand(step=REVERSE, target="T1", reference="B-1", by=CLERK, amount=usd(5_000))
    left = NothingDue(step=StepName.CHECK_REFUND, target="T1", reference="N-1", by=CLERK)
    case = opened(
        PLAN, refund_seen(5_000, RefundStatus.PENDING), paid, refund_seen(5_000, RefundStatus.SUCCEEDED), left
    )
    read = Case(Entry.model_validate_json(entry.model_dump_json()) for entry in case.entries)
    assert read.reversal("T1").overpaid == case.reversal("T1").overpaid == usd(0)
    assert opened(PLAN, *(entry.fact for entry in case.entries[3:-1])).reversal("T1").overpaid == usd(5_000)


def test_the_keys_of_further_calls_are_no_keys_of_the_step() -> None:
    case = opened(PLAN, noted(REVERSE, "T1", part="void"), noted(REVERSE, "T1"), noted(REVERSE, "T1", 2))
    assert case.keys_noted(REVERSE, target="T1") == (key(REVERSE, "T1"), key(REVERSE, "T1", 2))
    assert len(case.all_keys_noted(REVERSE, target="T1")) == 3


def test_an_outcome_is_that_of_its_own_key_and_the_last_one() -> None:
    unknown, failed = EffectOutcome.UNKNOWN, EffectOutcome.FAILED
    first = [ended(REVERSE, "T1", outcome=unknown), ended(REVERSE, "T1", outcome=failed)]
    case = opened(PLAN, *first, ended(REVERSE, "T1", 2), ended(REVERSE, "T2", outcome=unknown))
    outcome = case.outcome_of(key(REVERSE, "T1"))
    assert outcome is not None
    assert outcome.outcome is failed
    assert case.outcome_of(key(REVERSE, "T1", 3)) is None


def test_what_ordered_a_roll_back_before_the_case_was_opened_again_does_not_count() -> None:
    back = RollBackOrdered(sentence="Rolled back.")
    closed = (OrderClosed(), Reopened(why="A parcel moves."))
    assert opened(PLAN, back).roll_back_cause is not None
    assert opened(PLAN, back, *closed).roll_back_cause is None
    assert opened(PLAN, *closed, back).roll_back_cause is not None


@pytest.mark.parametrize(
    ("step", "up", "amount"), [(10, False, 120), (10, True, 130), (1, True, 123), (123, True, 123)]
)
def test_an_amount_is_taken_to_the_next_step(step: int, up: bool, amount: int) -> None:
    assert Money(amount=123, currency="KWD").in_steps(step, up=up) == Money(amount=amount, currency="KWD")


def test_an_amount_below_zero_is_money_too() -> None:
    assert (-money("1.25 USD"), bool(money("0.00 USD"))) == (usd(-125), False)


def test_a_long_order_id_is_replaced_by_a_digest() -> None:
    """64 characters stand in a key as they are."""
    assert "9" * 64 in cancellation_id("9" * 64, "r-1")
    assert "9" * 65 not in cancellation_id("9" * 65, "r-1")


@pytest.mark.parametrize(
    ("kind", "status", "may_fail"),
    [
        (TenderKind.CARD, RefundStatus.PENDING, True),
        (TenderKind.CARD, RefundStatus.SUCCEEDED, False),
        (TenderKind.GIFT_CARD, RefundStatus.PENDING, False),
    ],
)
def test_only_a_card_refund_that_is_under_way_may_fail(kind: TenderKind, status: RefundStatus, may_fail: bool) -> None:
    case = opened(plan_of(planned_tender(refund=500, kind=kind)), refund_seen(500, status))
    assert case.reversal("T1").may_fail is may_fail


@pytest.mark.parametrize(
    ("numbers", "words"), [((), ""), (("dp_1",), " (dispute dp_1)"), (("dp_1", "dp_2"), " (disputes dp_1, dp_2)")]
)
def test_open_disputes_are_named(numbers: tuple[str, ...], words: str) -> None:
    case = opened(PLAN, DisputeSeen(target="T1", disputed=True, open_disputes=numbers))
    assert case.reversal("T1").disputes_in_words == words


def test_only_store_credit_is_store_credit() -> None:
    for step in (REVERSE, StepName.CREDIT_REFUND, StepName.STOP_SHIPMENT, StepName.VERIFY_ORDER):
        case = opened(PLAN, refund_seen(500, RefundStatus.SUCCEEDED, key=key(step, "T1")))
        reversal = case.reversal("T1")
        assert not reversal.is_store_credit(reversal.refunds[0])


@pytest.mark.parametrize(("failed_before", "by_hand"), [(False, 0), (True, 500)])
def test_a_refund_that_was_named_by_hand_counts_as_it_is_unless_it_had_failed_before(
    failed_before: bool, by_hand: int
) -> None:
    """A person who names a refund that is known to have failed has paid besides it."""
    status = RefundStatus.FAILED if failed_before else RefundStatus.SUCCEEDED
    refund = Refund(reference="re-1", amount=usd(500), status=status)
    known = {"by_hand": (ByHand(reference="re-1", amount=usd(500), fact=1),), "refunds": (refund,) * failed_before}
    reversal = Reversal.begin(planned_tender(refund=500)).model_copy(update=known)
    payment = Payment(
        reference="pi-1",
        captured=usd(500),
        capturable=usd(0),
        refunded=usd(0 if failed_before else 500),
        refunds=(refund,),
    )
    assert reversal.with_refunds(payment, [refund]).given_by_hand == usd(by_hand)


def test_what_a_gateway_does_not_take_of_a_whole_order_is_its_rounding() -> None:
    tender = planned_tender(refund=120).model_copy(update={"step": 10})
    kept = tender.model_copy(update={"refundable": usd(123), "captured": usd(123)})
    plan = plan_of(kept).model_copy(update={"everything": True})
    assert plan.rounding == usd(-3)
