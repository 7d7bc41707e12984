"""The rules of the state machine for a case: what is said, and what becomes of the money. The other rules, and what must
always be true, are in test_case_machine.py."""

from copy import deepcopy

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from domain.case import Case
from domain.decision import Gate
from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    DisputeSeen,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Entry,
    Fact,
    HolderSet,
    Joined,
    NothingDue,
    RefundSeen,
    Requested,
    RetryOrdered,
    ReversalSeen,
    RollBackOrdered,
    Run,
    SettledByHand,
    WithdrawalAsked,
    Written,
)
from domain.keys import EffectKey
from domain.payment import ChargeBack, FailureCause, Refund, RefundStatus
from domain.permissions import NotPossible, permit
from domain.request import Actor
from domain.shipment import StopStatus
from domain.step import StepName
from domain.terms import RefundMethod
from tests.domain.build import NOW
from tests.domain.case_model import (
    CREDIT,
    PIVOTS,
    REVERSE,
    STOP,
    STORE_CREDIT,
    Answer,
    Model,
    Place,
)
from tests.domain.cases import (
    CLERK,
    CUSTOMER,
    ORDER,
    OTHER_CLERK,
    RISK,
    SYSTEM,
    decided,
    plan_of,
    planned_tender,
    request_by,
    usd,
)
from tests.domain.promised import promised
from tests.faults.model import Invariant

TENDERS, PARCELS = ("T1", "T2"), ("S1", "S2")
PLAN = plan_of(planned_tender("T1", refund=5_000), planned_tender("T2", refund=2_000, release=500), parcels=PARCELS)
UNDO = {
    STOP: StepName.RESUME_SHIPMENT,
    REVERSE: StepName.RESTORE_PAYMENT,
    STORE_CREDIT: StepName.RESTORE_PAYMENT,
    CREDIT: StepName.REVOKE_REFUND,
}
ANSWERS = (RefundStatus.SUCCEEDED, RefundStatus.PENDING, RefundStatus.FAILED)
MOVES = (RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.CANCELED, RefundStatus.REQUIRES_ACTION)

ACTORS = (CUSTOMER, CLERK, OTHER_CLERK, RISK, SYSTEM)
actors = st.sampled_from(ACTORS)
staff = st.sampled_from((CLERK, OTHER_CLERK, RISK))
tenders, parcels = st.sampled_from(TENDERS), st.sampled_from(PARCELS)
references = st.sampled_from(("R-1", "R-2", "R-3"))
proofs = references | st.sampled_from(("re-1", "re-2", "dp-T1", "dp-T2"))
"""Of what was paid by hand: it may be a refund that somebody made at the gateway."""
stop_statuses = st.sampled_from(StopStatus)
money_places = st.tuples(st.sampled_from((REVERSE, StepName.CHECK_REFUND)), tenders)
kinds = st.sampled_from((SettledByHand, NothingDue))
places = money_places | st.tuples(st.just(STOP), parcels) | st.just((CREDIT, ORDER))


Kind = type[SettledByHand] | type[NothingDue]


def _said_of(actor: st.SearchStrategy[Actor]) -> st.SearchStrategy[Written]:
    def at(place: Place, by: Actor, reference: str, kind: Kind) -> Written:
        return kind(step=place[0], target=place[1], reference=reference, by=by)

    return (
        st.builds(Approved, by=actor)
        | st.builds(ApprovalRefused, by=actor)
        | st.builds(WithdrawalAsked, by=actor)
        | st.builds(RollBackOrdered, sentence=st.just("Rolled back."), by=st.none() | actor)
        | st.builds(RetryOrdered, step=st.just(REVERSE), target=tenders, by=actor)
        | st.builds(at, places, actor, references, kinds)
        | st.builds(Chosen, target=tenders, method=st.sampled_from(RefundMethod), by=actor)
    )


class CaseRules(RuleBasedStateMachine):
    """`books` are the entries; `run` is the case of the run that holds the cancellation, with what it has ordered."""

    def __init__(self) -> None:
        super().__init__()
        self.books: list[Entry] = []
        self.calls: dict[str, tuple[EffectKey, int]] = {}
        self.lost: dict[str, tuple[EffectKey, int]] = {}
        self.seen: dict[str, tuple[str, Refund]] = {}
        self.undoes = True
        self.runs = [Run(namespace="shop", run_id="run-1")]
        self.refunds = 0
        self.ordered = False
        self.case, self.run = Case(), Case()
        self.model: Model

    def open(self, asked_by: Actor, gate: Gate, undoes: bool) -> None:
        """`undoes` False: whether it may be rolled back is asked and not done, so that it goes far."""
        self.undoes = undoes
        self.model = Model(PLAN, gate is not Gate.NONE, self.runs[0], [asked_by])
        opened = Requested(request=request_by(asked_by, "r-1"), at=NOW)
        self.write(opened, HolderSet(run=self.runs[0]), decided(PLAN, gate))

    # The books

    def write(self, *facts: Fact) -> None:
        for fact in facts:
            self.books.append(Entry(seq=len(self.books) + 1, at=NOW, fact=fact))
        self.case.add(*self.books)
        self.run.add(*self.books)

    def is_noted(self, key: EffectKey) -> bool:
        return key in self.case.all_keys_noted(key.step, target=key.target)

    @promised(Invariant.ONCE)
    def key(self, step: StepName, target: str) -> EffectKey:
        """The next key, which is never one that is in use."""
        key = self.case.key_of(step, target)
        number = self.model.number(step, target)
        assert key.n == number.next, f"the next key of {step} {target} is {number.next}"
        assert self.run.key_of(step, target) == key
        outcome = self.case.outcome_of(key)
        assert outcome is None or outcome.outcome not in {EffectOutcome.FAILED, EffectOutcome.REFUSED}
        return key

    def see(
        self,
        target: str,
        amount: int,
        status: RefundStatus,
        reference: str,
        key: EffectKey | None,
        *,
        cause: FailureCause | None = None,
    ) -> None:
        made_under = str(key) if key else None
        refund = Refund(
            reference=reference, amount=usd(amount), status=status, key=made_under, reason="seen", cause=cause
        )
        self.seen[reference] = (target, refund)
        self.write(RefundSeen(target=target, refund=refund))
        ours = cause is FailureCause.MERCHANT
        self.model.see_refund(target, reference, amount, status, key, ours=ours)

    def new_reference(self) -> str:
        self.refunds += 1
        return f"re-{self.refunds}"

    def is_owed(self) -> bool:
        return any(purse.outstanding for purse in self.model.purses.values())

    def may_change(self, parcel: str) -> bool:
        """A parcel that is declined before the pivot changes the plan: the process is done with it before money moves, and
        asks nobody about it any more."""
        declined = self.model.stops.get(parcel) is StopStatus.DECLINED
        return not declined if self.model.past else self.model.untouched

    def goes_forward(self) -> bool:
        return not (self.model.cause or self.model.ended)

    # What is said

    @promised(Invariant.ANSWERED)
    def say(self, said: Written, *, anew: bool = False) -> None:
        """`anew`: the run asks it at this moment."""
        asked_after = self.case.last_seq if anew else 0
        of_parcel = isinstance(said, SettledByHand | NothingDue) and said.step is STOP
        if of_parcel and not (self.model.past or self.model.untouched):
            return
        expected = self.model.answer(said, anew=anew)
        if expected is Answer.KEPT and self.model.answer(said, ordered=self.ordered, anew=anew) is Answer.REFUSED:
            with pytest.raises(NotPossible):
                permit(self.run, said, ORDER, asked_after=asked_after)
            return
        try:
            kept = permit(self.case, said, ORDER, asked_after=asked_after)
        except NotPossible:
            assert expected is Answer.REFUSED, f"{said} is {expected}"
            return
        assert expected is (Answer.REPEATED if kept is None else Answer.KEPT), f"{said} is {expected}"
        undoing = isinstance(said, ApprovalRefused | WithdrawalAsked | RollBackOrdered)
        if kept is None or (undoing and not self.undoes):
            return
        if isinstance(kept, SettledByHand):
            amount = self.model.amount_by_hand(said) if isinstance(said, SettledByHand) else None
            with promised(Invariant.PAID_ONCE):
                assert kept.amount == (None if amount is None else usd(amount)), "what was paid by hand"
        self.model.keep(said)
        self.write(kept)

    # Each message is a rule of its own, so that hypothesis leaves some out, and a cancellation can go far without them.

    @rule(by=staff)
    def approve(self, by: Actor) -> None:
        self.say(Approved(by=by))

    @rule(by=staff)
    def refuse(self, by: Actor) -> None:
        self.say(ApprovalRefused(by=by))

    @rule(by=st.just(CUSTOMER) | actors)
    def withdraw(self, by: Actor) -> None:
        self.say(WithdrawalAsked(by=by))

    @rule(by=st.none() | staff)
    def order_roll_back(self, by: Actor | None) -> None:
        self.say(RollBackOrdered(sentence="Rolled back.", by=by))

    @rule(tender=tenders, by=actors)
    def retry(self, tender: str, by: Actor) -> None:
        self.say(RetryOrdered(step=REVERSE, target=tender, by=by))

    @precondition(lambda self: self.goes_forward())
    @rule(tender=tenders, by=staff, reference=proofs)
    def pay_by_hand(self, tender: str, by: Actor, reference: str) -> None:
        self.say(SettledByHand(step=REVERSE, target=tender, reference=reference, by=by))

    @precondition(lambda self: self.goes_forward())
    @rule(tender=tenders, by=staff, reference=references)
    def give_money_up(self, tender: str, by: Actor, reference: str) -> None:
        self.say(NothingDue(step=REVERSE, target=tender, reference=reference, by=by))

    @precondition(lambda self: any(purse.overpaid for purse in self.model.purses.values()))
    @rule(tender=tenders, by=staff, reference=references, kind=kinds)
    def settle_what_came_twice(self, tender: str, by: Actor, reference: str, kind: Kind) -> None:
        self.say(kind(step=StepName.CHECK_REFUND, target=tender, reference=reference, by=by))

    @precondition(lambda self: self.goes_forward())
    @rule(parcel=parcels, by=staff, reference=references, kind=kinds)
    def settle_parcel(self, parcel: str, by: Actor, reference: str, kind: Kind) -> None:
        self.say(kind(step=STOP, target=parcel, reference=reference, by=by))

    @rule(tender=tenders, method=st.sampled_from(RefundMethod), by=actors)
    def choose(self, tender: str, method: RefundMethod, by: Actor) -> None:
        self.say(Chosen(target=tender, method=method, by=by))

    @rule(said=_said_of(actors))
    def say_anything(self, said: Written) -> None:
        self.say(said)

    @rule(said=_said_of(actors))
    def say_what_is_asked_anew(self, said: Written) -> None:
        self.say(said, anew=True)

    @rule(first=_said_of(staff | st.just(CUSTOMER)), second=_said_of(staff | st.just(CUSTOMER)))
    @promised(Invariant.ANSWERED)
    def say_in_the_same_breath(self, first: Written, second: Written) -> None:
        """I10: what is accepted and not kept yet counts already. Nothing is written."""
        stops = isinstance(first, SettledByHand | NothingDue) and first.step is STOP
        if stops or self.model.answer(first) is not Answer.KEPT:
            return
        accepted = permit(self.case, first, ORDER)
        assert accepted is not None
        model = deepcopy(self.model)
        model.keep(first)
        known = self.case.with_facts([accepted])
        try:
            answer = Answer.REPEATED if permit(known, second, ORDER) is None else Answer.KEPT
        except NotPossible:
            answer = Answer.REFUSED
        assert answer is model.answer(second), f"after {first}, {second} is {answer}"
        if answer is Answer.KEPT:
            words = {type(first), type(second)}
            assert words != {Approved, ApprovalRefused}
            assert words != {ApprovalRefused, WithdrawalAsked}

    @precondition(lambda self: not self.model.ended)
    @rule(by=actors)
    def join(self, by: Actor) -> None:
        self.model.asked.append(by)
        self.write(Joined(request=request_by(by, f"r-{len(self.model.asked)}")))

    # What the run does

    @precondition(lambda self: self.goes_forward())
    @rule(place=st.tuples(st.just(REVERSE), tenders) | st.tuples(st.just(STOP), parcels))
    def order_step(self, place: Place) -> None:
        self.run.order_step(*place, NOW)
        self.ordered = self.ordered or place[0] in PIVOTS
        with promised(Invariant.COMPENSATION):
            assert place in self.run.steps_to_undo(), f"{place} would not be undone"
        with promised(Invariant.MONEY):
            assert self.run.past_pivot is (self.model.past or self.ordered), f"the pivot is passed by {place[0]}"

    @precondition(lambda self: self.goes_forward() and self.is_owed())
    @rule(tender=tenders)
    def begin_refund(self, tender: str) -> None:
        key, owed = self.key(REVERSE, tender), self.model.purses[tender].outstanding
        if not owed or str(key) in self.calls or str(key) in self.lost or self.model.unknown.get(tender):
            return
        if self.case.outcome_of(key) is not None:
            return
        if not self.is_noted(key):
            self.write(EffectNoted(key=key, amount=usd(owed)))
            self.model.note(REVERSE, tender, str(key))
        self.calls[str(key)] = (key, owed)

    @precondition(lambda self: self.calls)
    @rule(outcome=st.sampled_from(EffectOutcome), status=st.sampled_from(ANSWERS))
    def end_refund(self, outcome: EffectOutcome, status: RefundStatus) -> None:
        """Also one whose answer is at once that it failed."""
        name = next(iter(self.calls))
        key, amount = self.calls.pop(name)
        reference = self.new_reference() if outcome is EffectOutcome.DONE else None
        if reference:
            self.see(key.target, amount, status, reference, key)
        self.write(EffectEnded(key=key, outcome=outcome, reference=reference))
        self.model.end(REVERSE, key.target, name, outcome)
        if outcome is EffectOutcome.UNKNOWN:
            self.lost[name] = (key, amount)

    @precondition(lambda self: self.lost)
    @rule(made=st.sampled_from((None, RefundStatus.PENDING, RefundStatus.FAILED)))
    def look_up(self, made: RefundStatus | None) -> None:
        """An outcome that was unknown: the refund is there, perhaps failed, or was never made."""
        name = next(iter(self.lost))
        key, amount = self.lost.pop(name)
        if made:
            self.see(key.target, amount, made, self.new_reference(), key)
        outcome = EffectOutcome.DONE if made else EffectOutcome.FAILED
        self.write(EffectEnded(key=key, outcome=outcome))
        self.model.end(REVERSE, key.target, name, outcome)

    @precondition(lambda self: self.goes_forward() and self.is_owed())
    @rule(tender=tenders, done=st.booleans())
    def void(self, tender: str, done: bool) -> None:
        """A further call of the step, before its refund."""
        key, purse = self.key(REVERSE, tender).part_of("void"), self.model.purses[tender]
        if self.is_noted(key) or self.model.unknown.get(tender) or not purse.outstanding:
            return
        self.write(EffectNoted(key=key))
        self.model.note(REVERSE, tender, str(key))
        outcome = EffectOutcome.DONE if done else EffectOutcome.REFUSED
        self.write(EffectEnded(key=key, outcome=outcome))
        self.model.end(REVERSE, tender, str(key), outcome)
        if done and not purse.released:
            purse.released = min(500, purse.outstanding)
            self.write(ReversalSeen(target=tender, released=usd(purse.released), covered=usd(0)))

    @precondition(lambda self: self.model.past and self.is_owed())
    @rule(tender=tenders, amount=st.integers(1, 3_000), seen=st.none() | st.sampled_from(MOVES[:2]))
    def others_give(self, tender: str, amount: int, seen: RefundStatus | None) -> None:
        """By a refund that is seen, or another way."""
        purse = self.model.purses[tender]
        amount = min(amount, purse.outstanding)
        if not amount:
            return
        if seen:
            self.see(tender, amount, seen, self.new_reference(), None)
            return
        purse.covered += amount
        self.write(ReversalSeen(target=tender, released=usd(purse.released), covered=usd(amount)))

    @precondition(lambda self: self.can_move())
    @rule(data=st.data(), status=st.sampled_from(MOVES), cause=st.none() | st.sampled_from(FailureCause))
    def refund_moves(self, data: st.DataObject, status: RefundStatus, cause: FailureCause | None) -> None:
        """Also one that had succeeded can fail."""
        target, known = data.draw(st.sampled_from(self.can_move()))
        if known.status is RefundStatus.SUCCEEDED and status is not RefundStatus.FAILED:
            return
        failed = cause if status is RefundStatus.FAILED else None
        self.see(target, known.amount.amount, status, known.reference, EffectKey.read(known.key), cause=failed)

    def can_move(self) -> list[tuple[str, Refund]]:
        return [(target, refund) for target, refund in self.seen.values() if not refund.status.has_failed]

    @precondition(lambda self: self.goes_forward() and any(purse.chosen for purse in self.model.purses.values()))
    @rule(tender=tenders)
    def give_store_credit(self, tender: str) -> None:
        """An effect in the books: its note, what it made and its outcome are one transaction."""
        purse = self.model.purses[tender]
        if purse.chosen is not RefundMethod.STORE_CREDIT or not purse.outstanding:
            return
        key, owed = self.key(STORE_CREDIT, tender), purse.outstanding
        if self.is_noted(key):
            return
        self.write(EffectNoted(key=key, amount=usd(owed)))
        self.model.note(STORE_CREDIT, tender, str(key))
        self.see(tender, owed, RefundStatus.SUCCEEDED, self.new_reference(), key)
        self.write(EffectEnded(key=key, outcome=EffectOutcome.DONE))
        self.model.end(STORE_CREDIT, tender, str(key), EffectOutcome.DONE)

    @rule(tender=tenders, disputed=st.booleans(), is_open=st.booleans(), lost=st.none() | st.integers(1, 8_000))
    def dispute(self, tender: str, disputed: bool, is_open: bool, lost: int | None) -> None:
        """One that was lost, or is open, is one that the payment has been disputed by. Neither: it was won."""
        purse = self.model.purses[tender]
        is_open = is_open and not lost
        purse.disputed = disputed or is_open or bool(lost)
        purse.see_dispute(lost or 0, is_open=is_open)
        charge_backs = (ChargeBack(reference=purse.dispute, amount=usd(lost)),) if lost else ()
        open_disputes = (purse.dispute,) if is_open else ()
        self.write(
            DisputeSeen(target=tender, disputed=purse.disputed, charge_backs=charge_backs, open_disputes=open_disputes)
        )
        self.model.add_undoable(REVERSE, tender)
