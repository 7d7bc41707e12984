"""What is known of a cancellation follows from its facts, and from nothing else."""

import pytest

from domain.case import Case
from domain.facts import (
    ApprovalRefused,
    Chosen,
    Credited,
    DisputeSeen,
    EffectNoted,
    EffectOutcome,
    Ended,
    Entry,
    Fact,
    HolderSet,
    Joined,
    NothingDue,
    OrderClosed,
    Reopened,
    Requested,
    RetryOrdered,
    ReversalSeen,
    RollBackOrdered,
    SettledByHand,
    StepOrdered,
    StopSeen,
    WithdrawalAsked,
)
from domain.outcome import GoodsStatus, Outcome
from domain.payment import RefundStatus
from domain.request import ReasonCode
from domain.shipment import StopStatus
from domain.standing import goods_of, step_table
from domain.step import UNDOING, StepName
from domain.stops import stopped_by_hand
from domain.terms import RefundMethod
from tests.domain.build import NOW, request
from tests.domain.cases import (
    CLERK,
    CUSTOMER,
    ORDER,
    RISK,
    RUN,
    decided,
    ended,
    entries,
    key,
    noted,
    opened,
    plan_of,
    planned_tender,
    refund_seen,
    request_by,
    stop_seen,
    usd,
)

REVERSE, CREDIT = StepName.REVERSE_PAYMENT, StepName.GIVE_STORE_CREDIT
RESTORE = StepName.RESTORE_PAYMENT
STOP, RESUME = StepName.STOP_SHIPMENT, StepName.RESUME_SHIPMENT
PLAN = plan_of(planned_tender(refund=5_000), parcels=("S1", "S2"))
OVER = Ended(outcome=Outcome.CANCELLED, sentence="Order 1001 is cancelled as requested.")
SAID_BY_HAND = SettledByHand(step=REVERSE, target="T1", reference="BANK-1", by=CLERK, amount=usd(5_000))


# What is kept, and how


def test_an_entry_that_is_there_already_is_not_added_again() -> None:
    case = opened(PLAN, refund_seen(1_000, RefundStatus.PENDING))
    before = case.entries
    case.add(*before)
    assert case.entries == before
    assert case.last_seq == len(before)


def test_whoever_asks_on_suspicion_of_fraud_leaves_the_own_tender_alone() -> None:
    """Rule 15: it opens the cancellation or joins it, before the decision or after it, and nothing is decided twice."""
    risk = request_by(RISK, "r-9").model_copy(update={"reason": ReasonCode.SUSPECTED_FRAUD})
    asked, joined = Requested(request=request(), at=NOW), Joined(request=risk)
    plain: list[Fact] = [HolderSet(run=RUN), decided(PLAN)]
    assert Case(entries([asked, *plain])).terms.fallbacks == PLAN.terms.fallbacks
    for facts in ([Requested(request=risk, at=NOW), *plain], [asked, joined, *plain], [asked, *plain, joined]):
        case = Case(entries(facts))
        assert case.terms.fallbacks == ()
        assert case.plan is not None
        assert case.plan.terms == case.terms


def test_the_runs_own_idea_of_who_asked_gives_way_to_the_books() -> None:
    """A run that takes up a lost one was started by another request."""
    case = Case()
    case.add_unrecorded(Requested(request=request_by(RISK, "r-9"), at=NOW), NOW)
    case.add(*opened(PLAN).entries)
    assert [asked.request_id for asked in case.requests] == ["r-1"]


def test_a_further_round_of_a_step_says_nothing_new() -> None:
    """Rule 13: a step that is tried for a month leaves one fact; once something has come of it, it is ordered anew."""
    case = opened(PLAN)
    for _ in range(3):
        case.order_step(REVERSE, "T1", NOW)
    assert len(case.entries) == len(opened(PLAN).entries) + 1
    refused = opened(PLAN, noted(REVERSE, "T1"), ended(REVERSE, "T1", outcome=EffectOutcome.REFUSED))
    refused.order_step(REVERSE, "T1", NOW)
    assert isinstance(refused.entries[-1].fact, StepOrdered)


def test_what_the_books_know_replaces_what_the_run_knew() -> None:
    case = opened(PLAN)
    case.order_step(REVERSE, "T1", NOW)
    assert case.past_pivot
    case.replace(opened(PLAN).entries)
    assert not case.past_pivot


def test_a_run_of_which_the_books_know_nothing_still_knows_what_it_was_asked() -> None:
    """They were restored from a backup: the order is verified anew, and may be unknown."""
    case = opened(PLAN)
    case.replace(())
    case.add_unrecorded(decided(None), NOW)
    assert [row.step for row in step_table(case)] == [StepName.VERIFY_ORDER]
    assert case.last_seq == 0


def test_what_is_said_counts_before_it_is_kept_and_only_there() -> None:
    case = opened(PLAN)
    assert case.with_facts([WithdrawalAsked(by=CUSTOMER)]).roll_back_cause
    assert case.roll_back_cause is None


def test_a_case_is_read_back_from_its_facts_as_text() -> None:
    case = opened(PLAN, noted(REVERSE, "T1"), refund_seen(5_000, RefundStatus.PENDING, key=key(REVERSE, "T1")))
    again = Case(Entry.model_validate_json(entry.model_dump_json()) for entry in case.entries)
    assert again.entries == case.entries
    assert again.key_of(REVERSE, "T1") == case.key_of(REVERSE, "T1")


def test_everybody_who_asked_is_known() -> None:
    case = opened(PLAN, Joined(request=request_by(RISK)))
    assert [asked.actor for asked in case.requests] == [CUSTOMER, RISK]
    assert case.request == request()


# The pivot


@pytest.mark.parametrize(
    ("fact", "past"),
    [
        (noted(REVERSE, "T1"), True),
        (noted(REVERSE, "T1", part="void"), True),
        (noted(CREDIT, "T1"), True),
        (noted(StepName.CREDIT_REFUND, "1001"), True),
        (noted(StepName.CLOSE_ORDER, "1001"), True),
        (SAID_BY_HAND, True),
        (Credited(number=None, total=usd(0)), True),
        (OrderClosed(), True),
        (noted(STOP, "S1"), False),
        (SettledByHand(step=STOP, target="S1", reference="R", by=CLERK), False),
        (NothingDue(step=REVERSE, target="T1", reference="R", by=CLERK), False),
        (RetryOrdered(step=REVERSE, target="T1", by=CLERK), False),
        (refund_seen(5_000, RefundStatus.SUCCEEDED), False),
    ],
)
def test_the_pivot_is_the_first_effect_on_money_or_the_end_on_paper(fact: Fact, past: bool) -> None:
    assert opened(PLAN, fact).past_pivot is past


# Keys


def outcome(word: EffectOutcome, n: int = 1) -> Fact:
    return ended(REVERSE, "T1", n, outcome=word)


@pytest.mark.parametrize(
    ("facts", "n"),
    [
        ([], 1),
        ([noted(REVERSE, "T1")], 1),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.UNKNOWN)], 1),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.DONE)], 1),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.REFUSED)], 2),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.FAILED)], 2),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.FAILED), noted(REVERSE, "T1", 2)], 2),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.FAILED), noted(REVERSE, "T2", 7)], 2),
        ([noted(REVERSE, "T1", 4), outcome(EffectOutcome.FAILED, 4)], 5),
        ([noted(REVERSE, "T1", 2), outcome(EffectOutcome.FAILED)], 2),
        ([noted(REVERSE, "T1"), refund_seen(1, RefundStatus.FAILED, key=key(REVERSE, "T1"))], 2),
        ([noted(REVERSE, "T1"), refund_seen(1, RefundStatus.CANCELED, key=key(REVERSE, "T1"))], 2),
        ([noted(REVERSE, "T1"), refund_seen(1, RefundStatus.FAILED)], 1),
        (
            [
                noted(REVERSE, "T1"),
                refund_seen(1, RefundStatus.FAILED, key=key(REVERSE, "T1")),
                outcome(EffectOutcome.DONE),
            ],
            2,
        ),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.UNKNOWN), refund_seen(1, RefundStatus.FAILED)], 1),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.DONE), refund_seen(1, RefundStatus.FAILED)], 2),
        ([noted(REVERSE, "T1"), refund_seen(1, RefundStatus.FAILED), outcome(EffectOutcome.DONE)], 2),
        ([refund_seen(1, RefundStatus.FAILED), noted(REVERSE, "T1"), outcome(EffectOutcome.DONE)], 1),
        ([noted(REVERSE, "T1"), RetryOrdered(step=REVERSE, target="T1", by=CLERK)], 1),
        ([noted(REVERSE, "T1"), outcome(EffectOutcome.UNKNOWN), outcome(EffectOutcome.FAILED)], 2),
    ],
)
def test_the_number_rises_only_after_a_confirmed_failure(facts: list[Fact], n: int) -> None:
    """Of that effect; or, when what became of it is known, of somebody's refund that it was to stand beside."""
    assert opened(PLAN, *facts).key_of(REVERSE, "T1") == key(REVERSE, "T1", n)


def test_an_effect_is_unknown_from_its_note_until_the_books_have_its_outcome() -> None:
    facts: list[Fact] = [noted(REVERSE, "T1", part="void"), noted(REVERSE, "T1"), noted(STOP, "S1")]
    assert opened(PLAN, *facts).unknown_effects("T1") == (key(REVERSE, "T1", part="void"), key(REVERSE, "T1"))
    facts += [outcome(EffectOutcome.UNKNOWN), ended(REVERSE, "T1", part="void")]
    assert opened(PLAN, *facts).unknown_effects("T1") == (key(REVERSE, "T1"),)
    facts += [refund_seen(5_000, RefundStatus.PENDING, key=key(REVERSE, "T1"))]
    assert opened(PLAN, *facts).unknown_effects("T1") == ()


# What is undone


def test_what_was_noted_ordered_or_done_by_hand_is_undone_the_last_first() -> None:
    by_hand = SettledByHand(step=STOP, target="S2", reference="R", by=CLERK)
    case = opened(PLAN, noted(StepName.VERIFY_ORDER, "1001"), noted(STOP, "S1", part="void"), by_hand)
    case.order_step(REVERSE, "T1", NOW)
    case.order_step(StepName.CHECK_REFUND, "T1", NOW)
    assert case.steps_to_undo() == ((REVERSE, "T1"), (STOP, "S2"), (STOP, "S1"))


def test_what_the_bank_may_have_given_back_is_undone_although_nothing_was_refunded() -> None:
    """I2, I11: that the step was ordered is known to a run alone."""
    assert opened(PLAN, DisputeSeen(target="T1", disputed=True)).steps_to_undo() == ((REVERSE, "T1"),)


def test_a_roll_back_that_is_opened_again_undoes_once_more_what_a_dispute_has_changed() -> None:
    """I1: what was collected because of it may be owed."""
    over: list[Fact] = [
        ended(RESTORE, "T1"),
        ended(RESTORE, "T2"),
        Ended(outcome=Outcome.ROLLED_BACK, sentence="Rolled back."),
    ]
    decided = opened(PLAN, *over, Reopened(why="A dispute."), DisputeSeen(target="T1", disputed=False))
    assert [decided.is_done(RESTORE, tender) for tender in ("T1", "T2")] == [False, True]
    given_back = SettledByHand(step=RESTORE, target="T1", reference="SEPA-1", by=CLERK, amount=usd(-5_000))
    assert decided.with_facts([given_back]).is_done(RESTORE, "T1")


def test_a_step_is_undone_at_the_place_of_its_first_effect() -> None:
    case = opened(PLAN, noted(REVERSE, "T1"), noted(REVERSE, "T2"), noted(REVERSE, "T1", 2))
    assert case.steps_to_undo() == ((REVERSE, "T2"), (REVERSE, "T1"))


def test_a_step_is_done_by_the_last_word_on_its_effect_or_by_hand() -> None:
    assert not opened(PLAN, noted(REVERSE, "T1")).is_done(REVERSE, "T1")
    assert not opened(PLAN, ended(REVERSE, "T1", part="void")).is_done(REVERSE, "T1")
    done = [ended(REVERSE, "T1"), ended(REVERSE, "T1", outcome=EffectOutcome.FAILED)]
    assert opened(PLAN, done[0]).is_done(REVERSE, "T1")
    assert not opened(PLAN, *done).is_done(REVERSE, "T1")
    assert opened(PLAN, *done, SAID_BY_HAND).is_done(REVERSE, "T1")
    assert not opened(PLAN, SAID_BY_HAND).is_done(REVERSE, "T2")


@pytest.mark.parametrize(
    ("fact", "outcome"),
    [
        (WithdrawalAsked(by=CUSTOMER), Outcome.WITHDRAWN),
        (ApprovalRefused(by=CLERK), Outcome.ROLLED_BACK),
        (RollBackOrdered(sentence="No.", outcome=Outcome.REJECTED), Outcome.REJECTED),
    ],
)
def test_the_first_cause_of_a_roll_back_counts(fact: Fact, outcome: Outcome) -> None:
    cause = opened(PLAN, fact, RollBackOrdered(sentence="Later.", failed=True)).roll_back_cause
    assert cause is not None
    assert (cause.outcome, cause.failed) == (outcome, False)


# Goods


def test_what_is_declined_before_the_pivot_leaves_the_plan_and_after_it_does_not() -> None:
    """C7"""
    declined = stop_seen("S1", StopStatus.DECLINED)
    before = opened(PLAN, declined).plan
    after = opened(PLAN, noted(REVERSE, "T1"), declined)
    assert before is not None
    assert before.refund == usd(4_000)
    assert after.plan is not None
    assert after.plan.refund == usd(5_000)
    assert [stop.status for stop in after.stops] == [StopStatus.MOVING]


@pytest.mark.parametrize("past", [False, True])
def test_what_a_person_did_about_a_parcel_depends_on_the_pivot(past: bool) -> None:
    """What they fetch after it was on its way; what they do without before it goes on to the customer."""
    pivot = [noted(REVERSE, "T1")] if past else []
    fetched = SettledByHand(step=STOP, target="S1", reference="R", by=CLERK)
    without = NothingDue(step=STOP, target="S2", reference="R", by=CLERK)
    statuses = [stop.status for stop in opened(PLAN, *pivot, fetched, without).stops]
    expected = [StopStatus.COMING_BACK, StopStatus.LOST] if past else [StopStatus.STOPPED, StopStatus.DECLINED]
    assert statuses == expected


def test_what_a_person_has_stopped_is_asked_about_once_when_it_is_delivered() -> None:
    """I2: their first word stands until then, the second for good."""
    said = SettledByHand(step=STOP, target="S1", reference="BELT-7", by=CLERK)
    case = opened(PLAN, stop_seen("S1", StopStatus.REQUESTED), said)
    [stop] = case.stops
    assert (stop.status, stop.is_by_hand, case.watched_parcels) == (StopStatus.STOPPED, True, ("S1",))
    seen = StopSeen(stop=stop.model_copy(update={"status": StopStatus.MOVING}))
    again = said.model_copy(update={"reference": "IN-OUR-STORE"})
    case = opened(PLAN, said, seen, again)
    assert ([stop.status for stop in case.stops], case.watched_parcels) == ([StopStatus.COMING_BACK], ())
    without = NothingDue(step=STOP, target="S1", reference="SIGNED-FOR", by=CLERK)
    case = opened(PLAN, said, seen, without)
    assert ([stop.status for stop in case.stops], case.watched_parcels) == ([StopStatus.DECLINED], ())
    assert stopped_by_hand(case.entries, "S1") is None


@pytest.mark.parametrize("step", StepName)
def test_what_is_being_undone_is_not_made_again(step: StepName) -> None:
    """I9: once the roll-back is ordered nothing but undoing is noted; a parcel that was let go on is not stopped again."""
    withdrawn = opened(PLAN, WithdrawalAsked(by=CUSTOMER))
    assert withdrawn.may_make(key(step, "S1")) is (step in UNDOING)
    assert opened(PLAN, noted(STOP, "S1")).may_make(key(step, "S1"))
    let_go = opened(PLAN, NothingDue(step=STOP, target="S1", reference="R", by=CLERK), ended(RESUME, "S1"))
    assert let_go.may_make(key(step, "S1")) is (step is not STOP)
    assert let_go.may_make(key(step, "S2"))


@pytest.mark.parametrize("status", StopStatus)
def test_a_parcel_that_goes_on_all_the_same_is_stopped_under_the_next_key(status: StopStatus) -> None:
    """I5: stopping it once more is an effect of its own."""
    facts = noted(STOP, "S1", part="intercept"), stop_seen("S1", status), ended(STOP, "S1")
    goes_on = status in {StopStatus.DECLINED, StopStatus.MOVING}
    assert opened(PLAN, *facts).key_of(STOP, "S1").n == (2 if goes_on else 1)
    assert opened(PLAN, *facts, noted(STOP, "S1", 2)).key_of(STOP, "S1").n == 2
    assert opened(PLAN, stop_seen("S1", status)).key_of(STOP, "S1").n == 1
    assert opened(PLAN, *facts).key_of(STOP, "S2").n == 1


def test_a_parcel_that_counts_as_stopped_is_watched() -> None:
    case = opened(PLAN, stop_seen("S1", StopStatus.STOPPED), stop_seen("S2", StopStatus.DECLINED))
    assert case.watched_parcels == ("S1",)
    assert case.never_stopped(STOP, "S2")
    assert not case.never_stopped(STOP, "S1")


def test_a_stop_that_a_person_gives_up_is_taken_back_once() -> None:
    """I2: the goods stay with the customer, so an intercept must not bring them back; the rest of the order goes on."""
    without = NothingDue(step=STOP, target="S2", reference="R", by=CLERK)
    facts = stop_seen("S1", StopStatus.STOPPED), stop_seen("S2", StopStatus.REQUESTED), without
    case = opened(PLAN, *facts)
    assert case.given_up_stops == ("S2",)
    assert not case.never_stopped(STOP, "S2")
    taken_back = opened(PLAN, *facts, noted(RESUME, "S2"), ended(RESUME, "S2"))
    assert taken_back.given_up_stops == ()
    assert goods_of(taken_back) is GoodsStatus.PARTLY_STOPPED
    assert opened(PLAN, noted(REVERSE, "T1"), without).given_up_stops == ()


def test_who_stopped_a_parcel_by_hand_is_known_by_the_reference() -> None:
    """I2: only a person can take back what a person did."""
    stopped = SettledByHand(step=STOP, target="S1", reference="TELEPHONED-1", by=CLERK)
    case = opened(PLAN, stopped, SAID_BY_HAND)
    assert stopped_by_hand(case.entries, "S1") == "TELEPHONED-1"
    assert stopped_by_hand(case.entries, "S2") is None


# Money


def test_outstanding_is_what_was_planned_less_all_that_has_not_failed() -> None:
    pending = refund_seen(2_000, RefundStatus.PENDING, key=key(REVERSE, "T1"))
    failed = refund_seen(2_000, RefundStatus.FAILED, key=key(REVERSE, "T1"))
    credit = refund_seen(1_500, RefundStatus.SUCCEEDED, reference="credit-1", key=key(CREDIT, "T1"))
    assert opened(PLAN, pending).outstanding("T1") == usd(3_000)
    assert opened(PLAN, pending, failed, credit).outstanding("T1") == usd(3_500)


def test_what_is_not_due_stays_so_when_a_refund_fails_afterwards() -> None:
    """A person gave up what was owed then, and not what was on its way."""
    facts: list[Fact] = [
        refund_seen(2_000, RefundStatus.PENDING),
        NothingDue(step=REVERSE, target="T1", reference="R", by=CLERK),
        refund_seen(2_000, RefundStatus.FAILED),
    ]
    case = opened(PLAN, *facts)
    assert (case.reversal("T1").waived, case.outstanding("T1")) == (usd(3_000), usd(2_000))


def test_what_arrives_although_it_was_paid_by_hand_is_collected_or_left() -> None:
    """E23"""
    facts: list[Fact] = [
        refund_seen(5_000, RefundStatus.PENDING),
        SAID_BY_HAND,
        refund_seen(5_000, RefundStatus.SUCCEEDED),
    ]
    case = opened(PLAN, *facts)
    assert case.reversal("T1").overpaid == usd(5_000)
    assert not case.is_settled
    left = NothingDue(step=StepName.CHECK_REFUND, target="T1", reference="R", by=CLERK)
    assert opened(PLAN, *facts, left).is_settled
    back = SettledByHand(step=StepName.CHECK_REFUND, target="T1", reference="R", by=CLERK, amount=usd(5_000))
    assert opened(PLAN, *facts, back).is_settled


def test_what_was_paid_back_is_owed_again_when_the_refund_fails() -> None:
    """I1: what a person has left with the customer is not."""
    facts: list[Fact] = [
        refund_seen(5_000, RefundStatus.PENDING),
        SAID_BY_HAND,
        refund_seen(5_000, RefundStatus.SUCCEEDED),
    ]
    left = NothingDue(step=StepName.CHECK_REFUND, target="T1", reference="R", by=CLERK)
    back = SettledByHand(step=StepName.CHECK_REFUND, target="T1", reference="R", by=CLERK, amount=usd(5_000))
    failed = refund_seen(5_000, RefundStatus.FAILED)
    assert opened(PLAN, *facts, left, failed).outstanding("T1") == usd(0)
    assert opened(PLAN, *facts, back).outstanding("T1") == usd(0)
    assert opened(PLAN, *facts, back, failed).outstanding("T1") == usd(5_000)


def test_money_is_not_settled_while_an_effect_is_unknown() -> None:
    given = ReversalSeen(target="T1", released=usd(0), covered=usd(5_000))
    assert opened(PLAN, given).is_settled
    assert not opened(PLAN, given, noted(REVERSE, "T1")).is_settled


def test_refunds_of_others_do_not_make_up_for_what_failed_after_the_end() -> None:
    case = opened(PLAN, OVER, Reopened(why="A refund has failed.", others=("re-7",)))
    planned = case.planned("T1")
    assert planned is not None
    assert planned.earlier == ("re-7",)


def test_a_failure_is_open_until_somebody_has_said_what_to_do() -> None:
    failed = refund_seen(5_000, RefundStatus.FAILED)
    assert opened(PLAN, failed).failed_refund("T1") == failed.refund
    for said in (
        RetryOrdered(step=REVERSE, target="T1", by=CLERK),
        Chosen(target="T1", method=RefundMethod.BANK_TRANSFER, by=CUSTOMER),
        SAID_BY_HAND,
    ):
        assert opened(PLAN, failed, said).failed_refund("T1") is None
    assert opened(PLAN, failed, RetryOrdered(step=REVERSE, target="T2", by=CLERK)).failed_refund("T1") is not None


def test_a_choice_holds_until_another_try_is_ordered_or_fails() -> None:
    chosen = Chosen(target="T1", method=RefundMethod.STORE_CREDIT, by=CUSTOMER)
    assert opened(PLAN, chosen).chosen_method("T1") is RefundMethod.STORE_CREDIT
    assert opened(PLAN, chosen, RetryOrdered(step=REVERSE, target="T1", by=CLERK)).chosen_method("T1") is None
    assert opened(PLAN, chosen, refund_seen(5_000, RefundStatus.FAILED)).chosen_method("T1") is None


# The end


def test_a_cancellation_that_was_opened_again_has_not_ended() -> None:
    case = opened(PLAN, OrderClosed(), OVER)
    assert case.ended == OVER
    case.add(*entries([Reopened(why="A parcel moves.")], after=case.last_seq))
    assert case.ended is None
    assert case.ever_closed


def test_an_order_is_closed_once_more_when_a_parcel_was_seen_or_settled_since() -> None:
    settled = SettledByHand(step=STOP, target="S1", reference="R", by=CLERK)
    assert opened(PLAN, OrderClosed()).order_closed
    assert not opened(PLAN, OrderClosed(), stop_seen("S1", StopStatus.MOVING)).order_closed
    assert not opened(PLAN, OrderClosed(), settled).order_closed
    assert opened(PLAN, OrderClosed(), settled, OrderClosed()).order_closed
    assert opened(PLAN, OrderClosed(), EffectNoted(key=key(REVERSE, "T1"))).order_closed


# Opened again after a roll-back


def test_a_roll_back_that_is_opened_again_is_still_one_and_only_its_money_is_not_undone() -> None:
    """I1: collected by a person, and the refund has failed since."""
    undone = [ended(RESUME, "S1"), ended(StepName.RELEASE_ORDER, ORDER)]
    collected = SettledByHand(step=StepName.RESTORE_PAYMENT, target="T1", reference="C-1", by=CLERK, amount=usd(5_000))
    rolled_back: tuple[Fact, ...] = (
        RollBackOrdered(sentence="By a person.", failed=True),
        collected,
        *undone,
        Ended(outcome=Outcome.ROLLED_BACK, sentence="By a person."),
        Reopened(why="A refund has failed."),
        refund_seen(5_000, RefundStatus.FAILED, key=key(REVERSE, "T1")),
    )
    case = opened(PLAN, refund_seen(5_000, RefundStatus.SUCCEEDED, key=key(REVERSE, "T1")), *rolled_back)
    assert case.ended is None
    assert case.roll_back_cause
    assert case.is_done(RESUME, "S1")
    assert not case.is_done(StepName.RESTORE_PAYMENT, "T1")
    assert not case.is_done(StepName.RELEASE_ORDER, ORDER)
    assert case.reversal("T1").to_collect == usd(-5_000)
    given_back = collected.model_copy(update={"reference": "G-1", "amount": usd(-5_000)})
    case.add(*entries([given_back], after=case.last_seq))
    assert case.is_done(StepName.RESTORE_PAYMENT, "T1")
    assert case.reversal("T1").to_collect == usd(0)
