"""Any order of facts and decisions: what the case derives is what a clerk would have counted (tests/domain/case_model.py),
and what must always be true is true at each step."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from domain.case import Case
from domain.decision import Gate
from domain.facts import (
    ApprovalRefused,
    Approved,
    Credited,
    CreditRevoked,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Ended,
    Entry,
    Fact,
    HolderSet,
    OrderClosed,
    Reopened,
    RollBackOrdered,
    Run,
    StopSeen,
    WithdrawalAsked,
    Written,
)
from domain.holder import NotTheHolder, check_holder
from domain.keys import EffectKey
from domain.money import Money
from domain.outcome import GoodsStatus, Outcome
from domain.payment import RefundStatus
from domain.permissions import NotPossible, permit
from domain.request import Actor
from domain.shipment import Stop, StopAction, StopStatus
from domain.standing import goods_of, result_of
from domain.step import StepName
from domain.terms import RefundMethod
from tests.domain.case_machine import ACTORS, PARCELS, TENDERS, CaseRules, actors, parcels, stop_statuses
from tests.domain.case_model import CLOSE, CREDIT, GOES_ON, REVERSE, STOP, STORE_CREDIT, Answer, Place
from tests.domain.cases import CLERK, CUSTOMER, ORDER, usd
from tests.domain.promised import promised
from tests.faults.model import Invariant

pytestmark = [pytest.mark.properties, pytest.mark.timeout(1_800)]

UNDO = {
    STOP: StepName.RESUME_SHIPMENT,
    REVERSE: StepName.RESTORE_PAYMENT,
    STORE_CREDIT: StepName.RESTORE_PAYMENT,
    CREDIT: StepName.REVOKE_REFUND,
}
FRESH = ("asked", "wanted", "opened")
STARTED = ("on its way", "unknown", "others failed", "pending", "paid by hand", "settled", "credited", "closed", "over")
CHAPTERS = (*FRESH, "store credit", "paid instead", "refused twice", *STARTED)
"""Where a cancellation begins. Three are fresh, so that a fifth of all examples are."""
DECISIONS: tuple[Written, ...] = (
    *(kind(by=by) for kind in (Approved, ApprovalRefused, WithdrawalAsked) for by in ACTORS),
    RollBackOrdered(sentence="Rolled back."),
    RollBackOrdered(sentence="Rolled back by staff.", by=CLERK),
)
HIDES_A_PARCEL = {
    GoodsStatus.STOPPED,
    GoodsStatus.NEVER_HANDED_OVER,
    GoodsStatus.COMING_BACK,
    GoodsStatus.LOST,
}


class CaseMachine(CaseRules):
    chapter = FRESH[0]

    @initialize(
        asked_by=st.just(CUSTOMER) | actors,
        gate=st.sampled_from((Gate.NONE, Gate.BEFORE_REVERSING)),
        undoes=st.booleans(),
        joined_by=st.none() | actors,
    )
    def begin(self, asked_by: Actor, gate: Gate, undoes: bool, joined_by: Actor | None) -> None:
        """Some begin in the middle."""
        chapter = self.chapter
        self.open(asked_by, gate, undoes)
        if joined_by is not None:
            self.join(joined_by)
        if chapter == "store credit":
            self.choose("T1", RefundMethod.STORE_CREDIT, CUSTOMER)
            self.give_store_credit("T1")
        if chapter == "paid instead":
            self.pay_by_hand("T1", CLERK, "R-1")
        for _ in range(2) if chapter == "refused twice" else ():
            self.begin_refund("T1")
            self.end_refund(EffectOutcome.REFUSED, RefundStatus.PENDING)
        if chapter not in STARTED:
            return
        for tender in TENDERS:
            self.order_step((REVERSE, tender))
            self.begin_refund(tender)
        if chapter == "on its way":
            return
        outcome = EffectOutcome.UNKNOWN if chapter in {"unknown", "others failed"} else EffectOutcome.DONE
        for _ in TENDERS:
            waits = chapter in {"pending", "paid by hand"}
            self.end_refund(outcome, RefundStatus.PENDING if waits else RefundStatus.SUCCEEDED)
        if chapter == "others failed":
            self.others_give("T1", 1_000, RefundStatus.FAILED)
        if chapter == "paid by hand":
            self.pay_by_hand("T1", CLERK, "R-1")
        if chapter in {"credited", "closed", "over"}:
            self.credit()
        if chapter in {"closed", "over"}:
            self.close()
        if chapter == "over":
            self.end()

    # Goods

    @rule(parcel=parcels, status=stop_statuses, action=st.sampled_from(StopAction))
    def see_parcel(self, parcel: str, status: StopStatus, action: StopAction) -> None:
        if self.model.ended or not self.may_change(parcel):
            return
        if (STOP, parcel) not in self.model.begun:
            key = self.key(STOP, parcel)
            self.write(EffectNoted(key=key))
            self.model.note(STOP, parcel, str(key))
        self.write(StopSeen(stop=Stop(shipment_id=parcel, action=action, status=status)))
        self.model.see_stop(parcel, status, by_hand=action is StopAction.NONE)

    # Paper and the end

    def do_in_books(self, step: StepName, *facts: Fact) -> None:
        key = self.key(step, ORDER)
        self.write(EffectNoted(key=key), *facts, EffectEnded(key=key, outcome=EffectOutcome.DONE))
        self.model.note(step, ORDER, str(key))
        self.model.end(step, ORDER, str(key), EffectOutcome.DONE)

    @precondition(lambda self: self.goes_forward() and not self.model.credited)
    @rule()
    def credit(self) -> None:
        purses = self.model.purses.values()
        if any(purse.outstanding for purse in purses):
            return
        total = usd(sum(purse.due - purse.released - purse.covered for purse in purses))
        self.model.credit_number = "CN-1" if total.amount > 0 else None
        self.model.credited = True
        self.do_in_books(CREDIT, Credited(number=self.model.credit_number, total=total))

    @precondition(lambda self: self.goes_forward() and self.model.credited)
    @rule()
    def close(self) -> None:
        if not self.case.order_closed:
            self.do_in_books(CLOSE, OrderClosed())
            self.model.closed = True
            assert self.case.order_closed

    @precondition(lambda self: self.goes_forward() and self.model.closed)
    @rule()
    def end(self) -> None:
        if self.model.settled:
            self.write(Ended(outcome=Outcome.CANCELLED, sentence="Cancelled."))
            self.model.ended, self.model.reopened = True, False

    @precondition(lambda self: self.model.ended and self.model.closed)
    @rule(parcel=parcels)
    def reopen(self, parcel: str) -> None:
        if not self.may_change(parcel):
            return
        moved = Stop(shipment_id=parcel, action=StopAction.VOID_LABEL, status=StopStatus.MOVING)
        self.model.ended, self.model.reopened, self.model.cause = False, True, False
        self.write(Reopened(why="A parcel moves."), StopSeen(stop=moved))
        self.model.see_stop(parcel, StopStatus.MOVING)

    # Roll-back

    @precondition(lambda self: self.model.cause and not self.model.ended)
    @rule(done=st.booleans())
    @promised(Invariant.COMPENSATION)
    def undo(self, done: bool) -> None:
        """I9: the last first, and never again what is undone."""
        self.calls.clear()
        left = [place for place in self.case.steps_to_undo() if not self.is_undone(place)]
        assert left == [place for place in reversed(self.model.begun) if place not in self.model.undone]
        if not left:
            self.write(Ended(outcome=Outcome.ROLLED_BACK, sentence="Rolled back."))
            self.model.ended, self.model.reopened = True, False
            return
        step, target = left[0]
        key = self.key(UNDO[step], target)
        if done and target in TENDERS:
            for tender, refund in self.can_move():
                if tender == target and refund.status.under_way:
                    made_under = EffectKey.read(refund.key)
                    self.see(target, refund.amount.amount, RefundStatus.CANCELED, refund.reference, made_under)
        revoked = [CreditRevoked(number="DN-1")] if step is CREDIT and done else []
        outcome = EffectOutcome.DONE if done else EffectOutcome.UNKNOWN
        self.write(EffectNoted(key=key), *revoked, EffectEnded(key=key, outcome=outcome))
        self.model.note(UNDO[step], target, str(key))
        self.model.end(UNDO[step], target, str(key), outcome)
        if done:
            self.model.undone += [p for p in self.model.begun if (UNDO[p[0]], p[1]) == (UNDO[step], target)]

    def is_undone(self, place: Place) -> bool:
        return self.case.is_done(UNDO[place[0]], place[1])

    @precondition(lambda self: self.model.ended and self.model.cause and not self.model.closed and self.can_move())
    @rule(data=st.data())
    def reopen_roll_back(self, data: st.DataObject) -> None:
        """Its refund has failed: that alone is to be undone once more, and it stays a roll-back."""
        target, known = data.draw(st.sampled_from(self.can_move()))
        self.model.ended, self.model.reopened = False, True
        self.write(Reopened(why="A refund has failed."))
        self.see(target, known.amount.amount, RefundStatus.FAILED, known.reference, EffectKey.read(known.key))
        restore = StepName.RESTORE_PAYMENT
        self.model.undone = [p for p in self.model.undone if (UNDO[p[0]], p[1]) != (restore, target)]

    # The holder

    @precondition(lambda self: not self.model.ended)
    @rule(namespace=st.sampled_from(("shop", "shop-2")))
    def take_over(self, namespace: str) -> None:
        """Another run goes on from the books: what the lost one had only ordered is not known any more."""
        run = Run(namespace=namespace, run_id=f"run-{len(self.runs) + 1}")
        self.runs.append(run)
        self.write(HolderSet(run=run))
        self.model.holder = run
        self.run.replace(self.books)
        self.ordered = False
        self.calls.clear()

    @rule()
    @promised(Invariant.TERMINAL)
    def books_are_read_again(self) -> None:
        """What is carried as text, and what is heard twice, is the same case."""
        carried = Case(Entry.model_validate_json(entry.model_dump_json()) for entry in self.books)
        assert carried.entries == self.case.entries
        carried.add(*self.books)
        assert carried.entries == self.case.entries
        # Whatever has happened, it can be shown.
        result = result_of(self.case, ORDER, Outcome.CANCELLED, "Cancelled.")
        assert result.refunded is not None
        assert result.refunded >= Money.zero("USD")

    # What must always be true

    @invariant()
    @promised(Invariant.MONEY)
    def money_is_what_was_counted(self) -> None:
        """I1, I4, I11"""
        case = self.case
        for tender_id, purse in self.model.purses.items():
            reversal = case.reversal(tender_id)
            counted = (purse.due, purse.outstanding, purse.pending, purse.disputed)
            derived = (reversal.planned_total, reversal.outstanding, reversal.pending)
            assert (*(amount.amount for amount in derived), reversal.disputed) == counted, f"the money of {tender_id}"
            assert reversal.outstanding >= Money.zero("USD")
            with promised(Invariant.PAID_ONCE):
                assert reversal.overpaid == usd(purse.overpaid), f"what came twice of {tender_id}"
                assert reversal.given_by_hand == usd(purse.by_hand), "what was paid by hand"
            assert reversal.waived == usd(purse.waived), "what is not due"
            failed = case.failed_refund(tender_id)
            assert (failed.reference if failed else None) == purse.failed, "the refund that failed"
            assert case.chosen_method(tender_id) is purse.chosen, "what the customer chose"
            unknown = [str(key) for key in case.unknown_effects(tender_id)]
            with promised(Invariant.ONCE):
                assert sorted(unknown) == sorted(self.model.unknown.get(tender_id, [])), "what is unknown"
        with promised(Invariant.TERMINAL):
            assert case.is_settled is self.model.settled, "whether all has settled"

    @invariant()
    @promised(Invariant.MONEY)
    def there_is_no_going_back(self) -> None:
        """The pivot stays passed, in the books and in the run, which knows it from the moment it orders the step."""
        assert self.case.past_pivot is self.model.past
        assert self.run.past_pivot is (self.model.past or self.ordered)
        assert (self.case.roll_back_cause is not None) is self.model.cause

    @invariant()
    @promised(Invariant.COMPENSATION)
    def the_last_is_undone_first(self) -> None:
        """I9"""
        assert self.case.steps_to_undo() == tuple(reversed(self.model.begun))

    @invariant()
    @promised(Invariant.ONCE)
    def a_key_is_used_for_one_effect(self) -> None:
        """I5: it rises after a confirmed failure alone."""
        for place in ((REVERSE, "T1"), (REVERSE, "T2"), (STORE_CREDIT, "T1"), (STOP, "S1")):
            self.key(*place)

    @invariant()
    @promised(Invariant.COMPENSATION)
    def what_is_being_undone_is_not_made_again(self) -> None:
        """I9: an attempt that was held up notes nothing, and the undoing always may."""
        for place in ((REVERSE, "T1"), (STORE_CREDIT, "T1"), (STOP, "S1"), (CREDIT, ORDER), (CLOSE, ORDER)):
            key = EffectKey(self.case.cancellation_id, *place)
            assert self.case.may_make(key) is self.model.may_make(*place)
        for place in self.model.begun:
            assert self.case.may_make(EffectKey(self.case.cancellation_id, UNDO[place[0]], place[1]))

    @invariant()
    @promised(Invariant.ONCE)
    def only_the_holder_writes(self) -> None:
        case = self.case
        for run in self.runs:
            if run == self.model.holder and not self.model.ended:
                check_holder(case, run)
                continue
            with pytest.raises(NotTheHolder) as no:
                check_holder(case, run)
            assert no.value.holder == (None if self.model.ended else self.model.holder)

    @invariant()
    @promised(Invariant.GOODS)
    def no_parcel_is_hidden(self) -> None:
        """I2"""
        case = self.case
        assert {stop.shipment_id: stop.status for stop in case.stops} == self.model.stops
        goods = goods_of(case)
        if any(status in GOES_ON for status in self.model.stops.values()):
            assert goods not in HIDES_A_PARCEL
        if len(self.model.stops) < len(PARCELS) and not self.model.cause:
            assert goods in {GoodsStatus.UNTOUCHED, GoodsStatus.WAITING}

    @invariant()
    @promised(Invariant.ANSWERED)
    def who_may_decide_is_known(self) -> None:
        """I10: a requester never approves, and what is decided or past is not decided otherwise."""
        case = self.case
        assert case.approved is (self.model.approved_by is not None)
        for said in DECISIONS:
            try:
                answer = Answer.REPEATED if permit(case, said, ORDER) is None else Answer.KEPT
            except NotPossible:
                answer = Answer.REFUSED
            assert answer is self.model.answer(said), f"{said} is {answer}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_known_of_a_case_holds_in_any_order_of_facts(chapter: str) -> None:
    """The examples are divided among the chapters: left to chance, some are hardly ever begun with."""
    machine = type("BeginsHere", (CaseMachine,), {"chapter": chapter})
    share = -(-settings().max_examples // len(CHAPTERS))
    run_state_machine_as_test(machine, settings=settings(deadline=None, stateful_step_count=40, max_examples=share))
