"""Where a cancellation stands: three axes that hide no partial failure, the step table, and the result."""

from datetime import timedelta

import pytest

from domain.case import Case
from domain.facts import (
    Approved,
    Credited,
    CreditRevoked,
    EffectOutcome,
    Ended,
    Entry,
    Fact,
    NothingDue,
    OrderClosed,
    Reminded,
    Requested,
    ReversalSeen,
    RollBackOrdered,
    SettledByHand,
    WithdrawalAsked,
)
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, PaperStatus
from domain.payment import RefundStatus
from domain.shipment import StopAction, StopStatus
from domain.standing import (
    SYSTEM,
    actions_of,
    closing_outcome,
    goods_of,
    money_of,
    paper_of,
    result_of,
    step_table,
)
from domain.step import StepName, StepStatus
from tests.domain.build import NOW, request
from tests.domain.cases import (
    CLERK,
    CUSTOMER,
    ORDER,
    decided,
    ended,
    entries,
    key,
    noted,
    opened,
    plan_of,
    planned_tender,
    refund_seen,
    stop_seen,
    usd,
)

REVERSE, STOP, VERIFY = StepName.REVERSE_PAYMENT, StepName.STOP_SHIPMENT, StepName.VERIFY_ORDER
PLAN = plan_of(planned_tender(refund=5_000), parcels=("S1", "S2"))
RELEASED = ReversalSeen(target="T1", released=usd(5_000), covered=usd(0))
NO_PARCELS = plan_of(planned_tender(refund=5_000))
PIVOT = noted(REVERSE, "T1")
SEEN, INTERCEPT = stop_seen, StopAction.INTERCEPT
UNDONE = [WithdrawalAsked(by=CUSTOMER), ended(StepName.RESUME_SHIPMENT, "S1")]
OURS = key(REVERSE, "T1")


@pytest.mark.parametrize(
    ("facts", "goods"),
    [
        ([], GoodsStatus.UNTOUCHED),
        ([SEEN("S1", StopStatus.STOPPED)], GoodsStatus.WAITING),
        ([SEEN("S1", StopStatus.DECLINED)], GoodsStatus.WAITING),
        ([SEEN("S1", StopStatus.STOPPED), SEEN("S2", StopStatus.STOPPED)], GoodsStatus.NEVER_HANDED_OVER),
        ([SEEN("S1", StopStatus.STOPPED), SEEN("S2", StopStatus.REQUESTED, INTERCEPT)], GoodsStatus.COMING_BACK),
        ([SEEN("S1", StopStatus.STOPPED), SEEN("S2", StopStatus.DECLINED, INTERCEPT)], GoodsStatus.PARTLY_STOPPED),
        ([SEEN("S1", StopStatus.DECLINED), SEEN("S2", StopStatus.DECLINED)], GoodsStatus.NOT_STOPPED),
        ([SEEN("S1", StopStatus.LOST, INTERCEPT), SEEN("S2", StopStatus.LOST, INTERCEPT)], GoodsStatus.LOST),
        ([SEEN("S1", StopStatus.STOPPED, INTERCEPT), SEEN("S2", StopStatus.STOPPED, INTERCEPT)], GoodsStatus.STOPPED),
        ([PIVOT, SEEN("S1", StopStatus.STOPPED), SEEN("S2", StopStatus.MOVING)], GoodsStatus.PARTLY_STOPPED),
        ([PIVOT, SEEN("S1", StopStatus.MOVING), SEEN("S2", StopStatus.MOVING)], GoodsStatus.NOT_STOPPED),
        ([noted(STOP, "S1"), SEEN("S1", StopStatus.STOPPED), *UNDONE], GoodsStatus.MOVING_AGAIN),
        ([WithdrawalAsked(by=CUSTOMER)], GoodsStatus.UNTOUCHED),
    ],
)
def test_one_word_for_the_goods_hides_no_parcel(facts: list[Fact], goods: GoodsStatus) -> None:
    """I2"""
    assert goods_of(opened(PLAN, *facts)) is goods


def test_goods_that_never_left_the_shelf_are_so_once_the_money_moves() -> None:
    assert goods_of(opened(NO_PARCELS)) is GoodsStatus.UNTOUCHED
    assert goods_of(opened(NO_PARCELS, PIVOT)) is GoodsStatus.NEVER_HANDED_OVER
    assert goods_of(opened(None)) is GoodsStatus.UNTOUCHED


@pytest.mark.parametrize(
    ("facts", "money"),
    [
        ([], MoneyStatus.UNTOUCHED),
        ([PIVOT], MoneyStatus.WAITING),
        ([PIVOT, refund_seen(3_000, RefundStatus.SUCCEEDED, key=OURS)], MoneyStatus.PARTLY_REFUNDED),
        ([PIVOT, refund_seen(5_000, RefundStatus.PENDING, key=OURS)], MoneyStatus.REFUND_PENDING),
        ([PIVOT, refund_seen(5_000, RefundStatus.FAILED, key=OURS)], MoneyStatus.WAITING),
        ([PIVOT, refund_seen(5_000, RefundStatus.SUCCEEDED, key=OURS)], MoneyStatus.REFUNDED),
        ([PIVOT, RELEASED], MoneyStatus.NOTHING_DUE),  # a debit that failed: it was never taken
        ([PIVOT, ReversalSeen(target="T1", released=usd(0), covered=usd(5_000))], MoneyStatus.NOTHING_DUE),
        ([PIVOT, NothingDue(step=REVERSE, target="T1", reference="N", by=CLERK)], MoneyStatus.NOTHING_DUE),
        (
            [SettledByHand(step=REVERSE, target="T1", reference="B", by=CLERK, amount=usd(5_000))],
            MoneyStatus.BY_HAND,
        ),
    ],
)
def test_one_word_for_the_money_hides_nothing_that_is_owed(facts: list[Fact], money: MoneyStatus) -> None:
    """B17"""
    assert money_of(opened(NO_PARCELS, *facts)) is money


def test_money_that_was_only_reserved_is_released() -> None:
    reserved = plan_of(planned_tender(release=5_000))
    assert money_of(opened(reserved, PIVOT, RELEASED)) is MoneyStatus.RELEASED


def test_money_that_was_given_back_and_taken_back_is_restored() -> None:
    roll_back = RollBackOrdered(sentence="No.", by=CLERK)
    restored = ended(StepName.RESTORE_PAYMENT, "T1")
    collected = refund_seen(5_000, RefundStatus.SUCCEEDED, key=OURS)
    assert money_of(opened(NO_PARCELS, PIVOT, collected, roll_back, restored)) is MoneyStatus.RESTORED
    assert money_of(opened(NO_PARCELS, PIVOT, roll_back, restored)) is MoneyStatus.UNTOUCHED


@pytest.mark.parametrize(
    ("facts", "paper"),
    [
        ([], PaperStatus.UNTOUCHED),
        ([Credited(number="CN-1", total=usd(5_000))], PaperStatus.CREDITED),
        ([Credited(number=None, total=usd(0))], PaperStatus.NONE_NEEDED),
        ([Credited(number="CN-1", total=usd(5_000)), CreditRevoked(number="DN-1")], PaperStatus.REVOKED),
    ],
)
def test_one_word_for_the_paper(facts: list[Fact], paper: PaperStatus) -> None:
    assert paper_of(opened(NO_PARCELS, *facts)) is paper


# The step table


def test_the_steps_stand_in_the_order_of_what_happened() -> None:
    """M12: a later look changes neither their order nor their end."""
    case = opened(
        PLAN,
        noted(STOP, "S1"),
        SEEN("S1", StopStatus.STOPPED),
        PIVOT,
        refund_seen(5_000, RefundStatus.PENDING, key=OURS),
        ended(REVERSE, "T1"),
        Credited(number="CN-1", total=usd(5_000)),
        OrderClosed(),
    )
    case.order_step(StepName.CHECK_REFUND, "T1", NOW)
    rows = [(row.step, row.status) for row in step_table(case) if row.step is not StepName.CHECK_REFUND]
    assert rows == [
        (StepName.VERIFY_ORDER, StepStatus.DONE),
        (STOP, StepStatus.DONE),
        (REVERSE, StepStatus.DONE),
        (StepName.CREDIT_REFUND, StepStatus.DONE),
        (StepName.CLOSE_ORDER, StepStatus.DONE),
    ]
    assert next(row for row in step_table(case) if row.step is REVERSE).reference == "re-1"


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([noted(STOP, "S1")], StepStatus.RUNNING),
        ([noted(STOP, "S1"), ended(STOP, "S1", outcome=EffectOutcome.UNKNOWN)], StepStatus.RUNNING),
        ([noted(STOP, "S1"), ended(STOP, "S1", outcome=EffectOutcome.REFUSED)], StepStatus.FAILED),
        ([SEEN("S1", StopStatus.REQUESTED)], StepStatus.RUNNING),
        ([SEEN("S1", StopStatus.DECLINED)], StepStatus.DECLINED),
        ([SEEN("S1", StopStatus.MOVING)], StepStatus.DECLINED),
        ([SettledByHand(step=STOP, target="S1", reference="R", by=CLERK)], StepStatus.RESOLVED),
        ([NothingDue(step=STOP, target="S1", reference="R", by=CLERK)], StepStatus.RESOLVED),
        (
            [noted(STOP, "S1"), RollBackOrdered(sentence="No.", failed=True, step=STOP, target="S1")],
            StepStatus.FAILED,
        ),
        ([ended(STOP, "S1"), noted(STOP, "S1", 2)], StepStatus.RUNNING),
    ],
)
def test_a_step_says_how_far_it_has_come(facts: list[Fact], status: StepStatus) -> None:
    row = next(row for row in step_table(opened(PLAN, *facts)) if row.step is STOP)
    assert row.status is status
    assert (row.ended_at is None) is (status is StepStatus.RUNNING)


def test_a_step_ends_when_it_ended() -> None:
    later = NOW + timedelta(hours=1)
    case = Case((*opened(PLAN, noted(STOP, "S1")).entries, Entry(seq=9, at=later, fact=ended(STOP, "S1"))))
    row = next(row for row in step_table(case) if row.step is STOP)
    assert (row.started_at, row.ended_at) == (NOW, later)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([], StepStatus.RUNNING),
        ([decided(PLAN)], StepStatus.DONE),
        ([Ended(outcome=Outcome.WITHDRAWN, sentence="It was withdrawn.")], StepStatus.FAILED),
        ([noted(VERIFY, ORDER), Ended(outcome=Outcome.WITHDRAWN, sentence="It was withdrawn.")], StepStatus.FAILED),
        ([decided(PLAN), Ended(outcome=Outcome.WITHDRAWN, sentence="It was withdrawn.")], StepStatus.DONE),
    ],
)
def test_an_order_is_not_verified_any_more_once_its_cancellation_has_ended(
    facts: list[Fact], status: StepStatus
) -> None:
    later = NOW + timedelta(hours=1)
    first = Entry(seq=1, at=NOW, fact=Requested(request=request(), at=NOW))
    case = Case((first, *(Entry(seq=seq, at=later, fact=fact) for seq, fact in enumerate(facts, start=2))))
    [row] = step_table(case)
    assert (row.step, row.target, row.status) == (VERIFY, ORDER, status)
    assert row.ended_at == (None if status is StepStatus.RUNNING else later)


def test_what_people_did_is_on_record_with_what_the_process_reminded_them_of() -> None:
    case = opened(PLAN, Reminded(escalated=False), Reminded(escalated=True), Approved(by=CLERK, note="known customer"))
    rows = actions_of(case)
    assert [(row.actor, row.note) for row in rows] == [(SYSTEM, ""), (SYSTEM, ""), (CLERK, "known customer")]
    assert actions_of(opened(PLAN, RollBackOrdered(sentence="The process did."))) == ()


# The result


def test_a_result_says_what_really_went_back() -> None:
    facts: list[Fact] = [
        SEEN("S1", StopStatus.STOPPED),
        SEEN("S2", StopStatus.DECLINED),
        PIVOT,
        refund_seen(4_000, RefundStatus.SUCCEEDED, key=OURS),
        Credited(number="CN-1", total=usd(4_000)),
        OrderClosed(),
    ]
    case = opened(PLAN, *facts)
    outcome, sentence = closing_outcome(case)
    result = result_of(case, ORDER, outcome, sentence)
    assert outcome is Outcome.PARTIALLY_CANCELLED
    assert (result.refunded, result.released, result.credit_note) == (usd(4_000), usd(0), "CN-1")
    assert [out.shipment_id for out in result.left_out] == ["S2"]


def test_all_that_was_asked_for_is_cancelled() -> None:
    assert closing_outcome(opened(NO_PARCELS))[0] is Outcome.CANCELLED


def test_what_was_rejected_has_no_amounts() -> None:
    case = Case(entries(entry.fact for entry in opened(None).entries))
    result = result_of(case, ORDER, Outcome.REJECTED, "No.")
    assert (result.refunded, result.money) == (None, MoneyStatus.UNTOUCHED)
