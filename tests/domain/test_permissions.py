"""Who may say what about a cancellation: by what is known of it, and with one answer for each question."""

import pytest

from domain.case import Case
from domain.decision import Gate
from domain.errors import ErrorCode
from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    Credited,
    EffectOutcome,
    Ended,
    Fact,
    HolderSet,
    Joined,
    NothingDue,
    OrderClosed,
    Reopened,
    RetryOrdered,
    RollBackOrdered,
    Run,
    SettledByHand,
    StopSeen,
    WithdrawalAsked,
    Written,
)
from domain.holder import NotTheHolder, check_holder
from domain.money import Money, money
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.permissions import NotPossible, may_see, permit
from domain.repetition import is_repetition
from domain.request import Actor, ActorKind, CancellationRequest
from domain.shipment import Stop, StopAction, StopStatus
from domain.step import IN_BOOKS_ONLY, StepName
from domain.terms import RefundMethod, Terms
from tests.domain.cases import (
    CLERK,
    CUSTOMER,
    ORDER,
    OTHER_CLERK,
    RISK,
    RUN,
    SYSTEM,
    ended,
    noted,
    opened,
    plan_of,
    planned_tender,
    refund_seen,
    request_by,
    usd,
)

REVERSE, CHECK = StepName.REVERSE_PAYMENT, StepName.CHECK_REFUND
STOP, GIVE_CREDIT = StepName.STOP_SHIPMENT, StepName.GIVE_STORE_CREDIT
PLAN = plan_of(planned_tender(refund=5_000))
PIVOT = noted(REVERSE, "T1")
FAILED = refund_seen(5_000, RefundStatus.FAILED)
UNKNOWN = ended(REVERSE, "T1", outcome=EffectOutcome.UNKNOWN)
STRANGER = Actor(kind=ActorKind.CUSTOMER, id="C-2")
OVER = Ended(outcome=Outcome.CANCELLED, sentence="Order 1001 is cancelled as requested.")
CREDIT_CHOSEN = Chosen(target="T1", method=RefundMethod.STORE_CREDIT, by=CUSTOMER)
ORDERED = RollBackOrdered(sentence="Rolled back by staff.", by=CLERK, failed=True)


def waiting(*facts: Fact, by: CancellationRequest | None = None) -> Case:
    return opened(PLAN, *facts, gate=Gate.BEFORE_REVERSING, by=by)


def by_hand(step: StepName = REVERSE, by: Actor = CLERK, reference: str = "BANK-1") -> SettledByHand:
    return SettledByHand(step=step, target="T1", reference=reference, by=by)


def stopped_by_hand() -> SettledByHand:
    return SettledByHand(step=STOP, target="S1", reference="R-1", by=CLERK)


def stop_seen(status: StopStatus) -> StopSeen:
    return StopSeen(stop=Stop(shipment_id="S1", action=StopAction.INTERCEPT, status=status))


def not_due(step: StepName = REVERSE, by: Actor = CLERK) -> NothingDue:
    return NothingDue(step=step, target="T1", reference="N-1", by=by)


def refused(case: Case, said: Written, asked_after: int = 0) -> NotPossible:
    with pytest.raises(NotPossible) as no:
        permit(case, said, ORDER, asked_after=asked_after)
    return no.value


# Approval


def test_a_second_person_approves_what_waits() -> None:
    assert permit(waiting(), Approved(by=CLERK), ORDER) == Approved(by=CLERK)


@pytest.mark.parametrize("kind", ActorKind)
def test_nobody_approves_what_they_asked_for(kind: ActorKind) -> None:
    """A9, M16: also when they joined, through whatever role."""
    same_person = Actor(kind=kind, id=CLERK.id)
    refused(waiting(by=request_by(CLERK)), Approved(by=same_person))
    refused(waiting(Joined(request=request_by(CLERK))), Approved(by=same_person))


@pytest.mark.parametrize(("at_most", "may"), [(usd(4_999), False), (usd(5_000), True), (money("90.00 EUR"), False)])
def test_who_has_a_limit_approves_no_more_than_that(at_most: Money, may: bool) -> None:
    """It stands in the books beside who has approved; sent again under another limit it is the same approval."""
    case = opened(plan_of(planned_tender(refund=3_000, release=2_000)), gate=Gate.BEFORE_STOPPING)
    approval = Approved(by=CLERK, at_most=at_most)
    if may:
        assert permit(case, approval, ORDER) == approval
        assert permit(case.with_facts([approval]), Approved(by=CLERK), ORDER) is None
    else:
        no = refused(case, approval)
        assert no.code is ErrorCode.AMOUNT_EXCEEDS_AT_MOST
        assert no.sentence.startswith(f"50.00 USD of order {ORDER} would go back, and at most {at_most} may here.")


@pytest.mark.parametrize("by", [CUSTOMER, SYSTEM])
def test_only_staff_approves_or_refuses(by: Actor) -> None:
    refused(waiting(), Approved(by=by))
    refused(waiting(), ApprovalRefused(by=by))


def test_what_needs_no_approval_is_not_approved() -> None:
    assert "does not wait" in refused(opened(PLAN), Approved(by=CLERK)).sentence


def test_of_two_contradicting_answers_one_is_accepted() -> None:
    """M8, I10"""
    approved, no = Approved(by=CLERK), ApprovalRefused(by=OTHER_CLERK)
    assert "approved already" in refused(waiting().with_facts([approved]), no).sentence
    assert "rolled back" in refused(waiting().with_facts([no]), approved).sentence
    assert "rolled back" in refused(waiting(no), ApprovalRefused(by=CLERK)).sentence
    refused(waiting(approved), Approved(by=OTHER_CLERK))


def test_who_asked_may_refuse() -> None:
    """To refuse is no more than to take the request back."""
    case = waiting(by=request_by(CLERK))
    assert permit(case, ApprovalRefused(by=CLERK), ORDER)


# Withdrawal


def test_the_customer_takes_back_what_they_asked_for_until_the_money_moves() -> None:
    """D1, D2"""
    assert permit(opened(PLAN), WithdrawalAsked(by=CUSTOMER), ORDER)
    assert "being given back" in refused(opened(PLAN, PIVOT), WithdrawalAsked(by=CUSTOMER)).sentence
    assert (
        "being given back"
        in refused(opened(PLAN, OrderClosed(), OVER, Reopened(why="")), WithdrawalAsked(by=CLERK)).sentence
    )


@pytest.mark.parametrize("other", [CLERK, RISK, SYSTEM])
def test_the_customer_does_not_take_back_what_somebody_else_asked_for(other: Actor) -> None:
    """M7"""
    opened_by, joined = opened(PLAN, by=request_by(other)), opened(PLAN, Joined(request=request_by(other)))
    for case in (opened_by, joined):
        assert "customer service" in refused(case, WithdrawalAsked(by=CUSTOMER)).sentence
        assert permit(case, WithdrawalAsked(by=OTHER_CLERK), ORDER)


def test_the_shops_system_takes_back_its_own_request_and_the_customers() -> None:
    assert permit(opened(PLAN, by=request_by(SYSTEM)), WithdrawalAsked(by=SYSTEM), ORDER)
    refused(opened(PLAN, Joined(request=request_by(RISK))), WithdrawalAsked(by=SYSTEM))


def test_another_customer_does_not_learn_of_the_order() -> None:
    for said in (WithdrawalAsked(by=STRANGER), CREDIT_CHOSEN.model_copy(update={"by": STRANGER})):
        assert refused(opened(PLAN, FAILED), said).code is ErrorCode.ORDER_NOT_FOUND
    assert not may_see(opened(PLAN), STRANGER)
    assert may_see(opened(PLAN), CUSTOMER)
    assert may_see(opened(PLAN), CLERK)
    assert not may_see(Case(), CUSTOMER)


def test_what_is_rolled_back_already_is_not_withdrawn() -> None:
    refused(opened(PLAN, ORDERED), WithdrawalAsked(by=CUSTOMER))


# Roll-back


def test_the_process_rolls_back_before_the_pivot_and_staff_until_the_order_is_closed() -> None:
    own = RollBackOrdered(sentence="A cancel request was sent to the run.")
    assert permit(opened(PLAN), own, ORDER)
    refused(opened(PLAN, PIVOT), own)
    assert permit(opened(PLAN, PIVOT), ORDERED, ORDER)
    refused(opened(PLAN, PIVOT, OrderClosed()), ORDERED)
    refused(opened(PLAN, PIVOT), ORDERED.model_copy(update={"by": CUSTOMER}))


def test_what_was_opened_again_is_not_rolled_back() -> None:
    """M14"""
    case = opened(PLAN, OrderClosed(), OVER, Reopened(why="A refund has failed."))
    refused(case, ORDERED)
    refused(case, ORDERED.model_copy(update={"by": None}))


# By hand


def test_what_is_paid_by_hand_is_what_is_owed_or_on_its_way() -> None:
    """E23"""
    pending = refund_seen(5_000, RefundStatus.PENDING)
    for facts in ([], [pending]):
        kept = permit(opened(PLAN, *facts), by_hand(), ORDER)
        assert isinstance(kept, SettledByHand)
        assert kept.amount == usd(5_000)
    settled = refund_seen(5_000, RefundStatus.SUCCEEDED)
    assert "take back what you paid" in refused(opened(PLAN, settled), by_hand()).sentence


def test_a_refund_that_pays_something_else_is_no_proof_of_a_payment() -> None:
    """Rule 6: one of before the plan, of another tender, or of another cancellation, which the books alone know."""
    before = planned_tender(refund=5_000).model_copy(update={"earlier": ("re-0",)})
    plan = plan_of(before, planned_tender("T2", refund=1_000))
    case = opened(plan, refund_seen(1_000, RefundStatus.SUCCEEDED, target="T2"))
    assert "re-0 was made before" in refused(case, by_hand(reference="re-0")).sentence
    assert "re-1 is the refund of T2" in refused(case, by_hand(reference="re-1")).sentence
    assert permit(case, by_hand(reference="re-2"), ORDER)
    with pytest.raises(NotPossible, match="re-2 is the refund of another cancellation of order 1001"):
        permit(case, by_hand(reference="re-2"), ORDER, {"re-2": ORDER})
    with pytest.raises(
        NotPossible, match="re-2 is the refund of another cancellation of order 2002, so it pays nothing"
    ):
        permit(case, by_hand(reference="re-2"), ORDER, {"re-2": "2002"})


def test_what_came_twice_is_collected_and_a_step_without_money_has_no_amount() -> None:
    facts = [permit(opened(PLAN), by_hand(), ORDER), refund_seen(5_000, RefundStatus.SUCCEEDED)]
    kept = permit(opened(PLAN, *(fact for fact in facts if fact)), by_hand(CHECK, reference="CASH-1"), ORDER)
    assert isinstance(kept, SettledByHand)
    assert kept.amount == usd(5_000)
    stop = SettledByHand(step=StepName.STOP_SHIPMENT, target="S1", reference="R", by=CLERK)
    assert permit(opened(PLAN), stop, ORDER) == stop


@pytest.mark.parametrize("step", sorted(IN_BOOKS_ONLY))
def test_what_happens_in_the_books_is_not_done_by_hand(step: StepName) -> None:
    assert "cannot be done by hand" in refused(opened(PLAN), by_hand(step)).sentence
    assert "cannot be done by hand" in refused(opened(PLAN), not_due(step)).sentence


def test_what_the_credit_note_promises_is_due() -> None:
    credited = Credited(number="CN-1", total=usd(5_000))
    assert permit(opened(PLAN, FAILED), not_due(), ORDER)
    assert "CN-1" in refused(opened(PLAN, FAILED, credited), not_due()).sentence
    assert permit(opened(PLAN, FAILED, Credited(number=None, total=usd(0))), not_due(), ORDER)


@pytest.mark.parametrize("said", [by_hand(by=CUSTOMER), not_due(by=CUSTOMER), by_hand(by=SYSTEM)])
def test_only_staff_settles_by_hand(said: Written) -> None:
    refused(opened(PLAN), said)


def test_only_staff_orders_another_try() -> None:
    assert permit(opened(PLAN), RetryOrdered(step=REVERSE, target="T1", by=CLERK), ORDER)
    refused(opened(PLAN), RetryOrdered(step=REVERSE, target="T1", by=CUSTOMER))


# The customer's choice


def test_the_customer_or_staff_chooses_among_what_is_offered_while_money_is_owed() -> None:
    """B23"""
    assert permit(opened(PLAN, FAILED), CREDIT_CHOSEN, ORDER)
    assert permit(opened(PLAN, FAILED), CREDIT_CHOSEN.model_copy(update={"by": CLERK}), ORDER)
    refused(opened(PLAN, FAILED), CREDIT_CHOSEN.model_copy(update={"by": SYSTEM}))
    refused(opened(PLAN, refund_seen(5_000, RefundStatus.PENDING)), CREDIT_CHOSEN)
    only_transfer = PLAN.model_copy(update={"terms": Terms(fallbacks=(RefundMethod.BANK_TRANSFER,))})
    assert "bank transfer" in refused(opened(only_transfer, FAILED), CREDIT_CHOSEN).sentence
    nothing = PLAN.model_copy(update={"terms": Terms(fallbacks=())})
    assert "staff will settle it" in refused(opened(nothing, FAILED), CREDIT_CHOSEN).sentence


def test_what_was_paid_by_hand_is_not_chosen_as_well() -> None:
    """M5"""
    said = permit(opened(PLAN, FAILED), by_hand(), ORDER)
    assert said is not None
    refused(opened(PLAN, FAILED).with_facts([said]), CREDIT_CHOSEN)


# Said again


@pytest.mark.parametrize("said", [Approved(by=CLERK), WithdrawalAsked(by=CUSTOMER), by_hand(), not_due(), ORDERED])
def test_the_same_said_again_by_the_same_person_is_kept_already(said: Written) -> None:
    """Also after the end: the answer is the same as the first time."""
    case = waiting()
    kept = permit(case, said, ORDER)
    assert kept is not None
    assert permit(waiting(kept), said, ORDER) is None
    assert permit(waiting(kept, OVER), said, ORDER) is None


@pytest.mark.parametrize("said", [not_due(), not_due(CHECK), by_hand()])
def test_the_same_said_again_is_another_answer_where_it_is_asked_anew(said: NothingDue | SettledByHand) -> None:
    """Rule 12: whatever it is asked for. A repetition that the books have kept since is one."""
    twice = [refund_seen(5_000, RefundStatus.SUCCEEDED, reference=reference) for reference in ("re-1", "re-2")]
    facts = twice if said.step is CHECK else []
    case = opened(PLAN, *facts, said)
    assert permit(case, said, ORDER) is None
    assert permit(case, said, ORDER, asked_after=case.last_seq) is not None
    assert permit(opened(PLAN, *facts, said, said), said, ORDER, asked_after=case.last_seq) is None


def test_what_was_paid_by_hand_is_said_again_where_nothing_more_is_owed() -> None:
    """Rule 12: the run that takes up asks once more, because the refund is still under way. Anybody else is refused."""
    pending = refund_seen(5_000, RefundStatus.PENDING)
    paid = permit(opened(PLAN, pending), by_hand(), ORDER)
    assert paid is not None
    case = opened(PLAN, pending, paid)
    assert permit(case, by_hand(), ORDER, asked_after=case.last_seq) is None
    assert "recorded already" in refused(case, by_hand(by=OTHER_CLERK), asked_after=case.last_seq).sentence


def test_another_try_is_a_new_one_each_time() -> None:
    again = RetryOrdered(step=REVERSE, target="T1", by=CLERK)
    assert not is_repetition(opened(PLAN, again), again)


def test_a_choice_that_led_nowhere_can_be_made_again() -> None:
    """I10: the customer chose a transfer, staff tried the card once more, and that failed too."""
    chosen = CREDIT_CHOSEN.model_copy(update={"method": RefundMethod.BANK_TRANSFER})
    assert permit(opened(PLAN, FAILED, chosen), chosen, ORDER) is None
    again = RetryOrdered(step=REVERSE, target="T1", by=CLERK)
    second = refund_seen(5_000, RefundStatus.FAILED, reference="re-2")
    case = opened(PLAN, FAILED, chosen, again, second)
    assert permit(case, chosen, ORDER, asked_after=case.last_seq) == chosen


@pytest.mark.parametrize(
    ("facts", "said", "later"),
    [
        ([FAILED], CREDIT_CHOSEN, [noted(GIVE_CREDIT, "T1"), ended(GIVE_CREDIT, "T1")]),
        ([PIVOT, UNKNOWN], by_hand(), [UNKNOWN, refund_seen(5_000, RefundStatus.PENDING)]),
        ([], stopped_by_hand(), [stop_seen(StopStatus.COMING_BACK)]),
    ],
    ids=["the store credit was given", "a refund arrives late", "the parcel comes back"],
)
def test_what_was_said_is_kept_also_after_what_came_of_it(facts: list[Fact], said: Written, later: list[Fact]) -> None:
    """Rule 12: only where it is asked anew is the same answer another one."""
    kept = permit(opened(PLAN, *facts), said, ORDER)
    assert kept is not None
    assert permit(opened(PLAN, *facts, kept, *later), said, ORDER) is None


def test_what_is_on_its_way_is_paid_by_hand_once() -> None:
    """I11: by whomever, under whatever proof; and what was paid stays paid when somebody looks again."""
    pending = refund_seen(5_000, RefundStatus.PENDING)
    paid = permit(opened(PLAN, pending), by_hand(), ORDER)
    assert paid is not None
    looked = RetryOrdered(step=REVERSE, target="T1", by=OTHER_CLERK)
    for facts in ([pending, paid], [pending, paid, looked]):
        refused(opened(PLAN, *facts), by_hand(by=OTHER_CLERK, reference="BANK-2"))
        for again in (by_hand(), by_hand().model_copy(update={"note": "as said"})):
            assert permit(opened(PLAN, *facts), again, ORDER) is None


def test_an_approval_sent_again_after_the_cancellation_was_opened_again_is_kept_already() -> None:
    """Rule 12"""
    facts: list[Fact] = [Approved(by=CLERK), PIVOT, OrderClosed(), OVER, Reopened(why="A parcel moves.")]
    assert permit(waiting(*facts), Approved(by=CLERK), ORDER) is None


def test_a_roll_back_ordered_again_is_kept_already() -> None:
    """Rule 12: whatever the process has said of its cause by then."""
    case = opened(PLAN, ORDERED)
    assert permit(case, ORDERED.model_copy(update={"sentence": "It is locked."}), ORDER) is None


def test_a_stranger_learns_nothing_by_what_only_staff_may_say() -> None:
    """A1: one answer for an order that is not theirs and one that is not there."""
    for said in (Approved(by=STRANGER), RetryOrdered(step=REVERSE, target="T1", by=STRANGER), by_hand(by=STRANGER)):
        assert refused(waiting(), said).code is ErrorCode.ORDER_NOT_FOUND


def test_a_withdrawal_where_no_money_moves_is_not_refused_with_money() -> None:
    nothing = plan_of()
    assert (
        "money"
        not in refused(opened(nothing, Credited(number=None, total=usd(0))), WithdrawalAsked(by=CUSTOMER)).sentence
    )


def test_what_came_twice_once_more_is_collected_once_more() -> None:
    """I11: the same person, the same proof, and money that was not there the first time."""
    twice = [refund_seen(5_000, RefundStatus.SUCCEEDED, reference=reference) for reference in ("re-1", "re-2")]
    collected = permit(opened(PLAN, *twice), by_hand(CHECK), ORDER)
    assert collected is not None
    assert permit(opened(PLAN, *twice, collected), by_hand(CHECK), ORDER) is None
    third = refund_seen(1_000, RefundStatus.SUCCEEDED, reference="re-3")
    case = opened(PLAN, *twice, collected, third)
    kept = permit(case, by_hand(CHECK), ORDER, asked_after=case.last_seq)
    assert isinstance(kept, SettledByHand)
    assert kept.amount == usd(1_000)


def test_a_parcel_whose_lines_left_the_plan_is_not_settled_any_more() -> None:
    """I11: what goes to the customer is not refunded, whatever is said of the parcel after the pivot."""
    declined = opened(PLAN, stop_seen(StopStatus.DECLINED), PIVOT)
    assert "return" in refused(declined, stopped_by_hand()).sentence
    assert "return" in refused(declined, NothingDue(step=STOP, target="S1", reference="N-1", by=CLERK)).sentence
    assert permit(opened(PLAN, PIVOT, stop_seen(StopStatus.DECLINED)), stopped_by_hand(), ORDER)


def test_a_payment_that_is_recorded_is_not_to_be_taken_back() -> None:
    facts = [FAILED, permit(opened(PLAN, FAILED), by_hand(), ORDER), Reopened(why="A parcel moves.")]
    case = opened(PLAN, *(fact for fact in facts if fact))
    said = refused(case, by_hand(by=OTHER_CLERK), asked_after=case.last_seq)
    assert "BANK-1 is recorded already" in said.sentence
    assert "take back" not in said.sentence
    assert "collect" in refused(opened(PLAN), by_hand(CHECK)).sentence


def test_after_the_end_nothing_is_decided() -> None:
    assert "has ended" in refused(waiting(OVER), Approved(by=CLERK)).sentence


# The holder


def test_only_the_run_that_holds_the_cancellation_adds_to_it() -> None:
    """M25, I5"""
    other = Run(namespace="shop", run_id="run-2")
    elsewhere = Run(namespace="shop-2", run_id=RUN.run_id)
    check_holder(opened(PLAN), RUN)
    for stranger in (other, elsewhere):
        with pytest.raises(NotTheHolder) as no:
            check_holder(opened(PLAN), stranger)
        assert no.value.holder == RUN
    with pytest.raises(NotTheHolder):
        check_holder(opened(PLAN, HolderSet(run=other)), RUN)


def test_nobody_holds_what_is_unknown_or_over() -> None:
    for case in (Case(), opened(PLAN, OVER)):
        with pytest.raises(NotTheHolder) as no:
            check_holder(case, RUN)
        assert no.value.holder is None
