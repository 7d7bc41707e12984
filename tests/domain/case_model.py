"""A small model of one cancellation: what a careful clerk would keep on a sheet of paper. It counts as things happen, and
knows nothing of facts; the state machine compares it with what the case derives from them."""

from dataclasses import dataclass, field
from enum import StrEnum

from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    EffectOutcome,
    NothingDue,
    RetryOrdered,
    RollBackOrdered,
    Run,
    SettledByHand,
    WithdrawalAsked,
    Written,
)
from domain.keys import EffectKey
from domain.payment import RefundStatus
from domain.plan import Plan
from domain.request import STAFF, Actor, ActorKind
from domain.shipment import StopStatus
from domain.step import IN_BOOKS_ONLY, StepName
from domain.terms import RefundMethod

REVERSE, STORE_CREDIT = StepName.REVERSE_PAYMENT, StepName.GIVE_STORE_CREDIT
STOP, CREDIT, CLOSE = StepName.STOP_SHIPMENT, StepName.CREDIT_REFUND, StepName.CLOSE_ORDER
MONEY = {REVERSE, STORE_CREDIT}
PIVOTS = {*MONEY, CREDIT, CLOSE}
UNDOABLE = {STOP, CREDIT, *MONEY}
GOES_ON = {StopStatus.DECLINED, StopStatus.MOVING}
Place = tuple[StepName, str]


class Answer(StrEnum):
    KEPT = "kept"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass
class Purse:
    """What one tender has given back, in minor units. `stays`: what was captured for goods that stay in the order. `ours`:
    the refund that has `failed` did so for a reason of the merchant's own. `dispute`: the number of its
    dispute, which `is_known` while it is open or lost."""

    due: int
    dispute: str = ""
    stays: int = 0
    released: int = 0
    covered: int = 0
    hands: list[tuple[str, int]] = field(default_factory=list)
    waived: int = 0
    paid_back: int = 0
    left: int = 0
    refunds: dict[str, tuple[int, RefundStatus]] = field(default_factory=dict)
    disputed: bool = False
    is_known: bool = False
    charged_back: int = 0
    failed: str | None = None
    ours: bool = False
    chosen: RefundMethod | None = None

    def sum_of(self, *statuses: RefundStatus) -> int:
        return sum(amount for amount, status in self.refunds.values() if status in statuses)

    @property
    def by_hand(self) -> int:
        return sum(amount for _, amount in self.hands)

    @property
    def pending(self) -> int:
        return self.sum_of(*(status for status in RefundStatus if status.under_way))

    @property
    def arrived(self) -> int:
        """What the customer has, from whomever."""
        return self.released + self.covered + self.by_hand + self.sum_of(RefundStatus.SUCCEEDED)

    @property
    def by_bank(self) -> int:
        """Without what a person has declared not due because of it. What stays in the order is given back first."""
        named = self.named_dispute
        besides = max(min(self.charged_back, self.due) - named, 0) if named else self.charged_back
        return max(min(besides - self.stays, self.due) - self.waived, 0)

    @property
    def named_dispute(self) -> int:
        """What a person has paid by naming the dispute."""
        return sum(amount for reference, amount in self.hands if reference == self.dispute)

    def see_dispute(self, amount: int, *, is_open: bool) -> None:
        """The bank gave back so much, or has not decided: who has named the dispute has paid no more, and nothing once it is
        won."""
        if self.is_known and not amount and not is_open:
            self.hands = [hand for hand in self.hands if hand[0] != self.dispute]
        self.is_known = is_open or bool(amount)
        self.charged_back = amount
        if amount and self.named_dispute > amount:
            self.hands = [hand for hand in self.hands if hand[0] != self.dispute] + [(self.dispute, amount)]

    @property
    def missing(self) -> int:
        """What has not arrived of what is due, or was paid back although it was no more than that."""
        return self.due - self.waived - self.arrived + max(self.paid_back - self.by_bank, 0)

    @property
    def outstanding(self) -> int:
        return max(self.missing - self.pending, 0)

    @property
    def overpaid(self) -> int:
        has = self.arrived + self.waived + self.by_bank - self.paid_back
        return max(has - self.due - self.left, 0)


@dataclass
class Number:
    """The highest number of a step's keys. `gone`: its refund was made, and failed, or its parcel goes on;
    `others_failed`: another refund has failed, since."""

    n: int = 1
    noted: bool = False
    known: bool = False
    refused: bool = False
    gone: bool = False
    others_failed: bool = False

    @property
    def next(self) -> int:
        return self.n + 1 if self.refused or self.gone or (self.known and self.others_failed) else self.n


def _plain(said: Written) -> Written:
    """Without what the process says of it."""
    return said.model_copy(update={"sentence": ""}) if isinstance(said, RollBackOrdered) else said


@dataclass
class Model:
    plan: Plan
    needs_approval: bool
    holder: Run
    asked: list[Actor]
    purses: dict[str, Purse] = field(default_factory=dict)
    stops: dict[str, StopStatus] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)
    numbers: dict[Place, Number] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    begun: list[Place] = field(default_factory=list)
    undone: list[Place] = field(default_factory=list)
    said: list[Written] = field(default_factory=list)
    approved_by: Actor | None = None
    cause: bool = False
    past: bool = False
    credited: bool = False
    credit_number: str | None = None
    closed: bool = False
    ended: bool = False
    reopened: bool = False

    def __post_init__(self) -> None:
        self.purses = {
            planned.tender.tender_id: Purse(0, dispute=f"dp-{planned.tender.tender_id}")
            for planned in self.plan.tenders
        }
        self.count_due()

    # What happens

    def count_due(self) -> None:
        declined = {shipment for shipment, status in self.stops.items() if status is StopStatus.DECLINED}
        for planned in self.plan.without(frozenset(declined)).tenders:
            purse = self.purses[planned.tender.tender_id]
            purse.due = (planned.refund + planned.release).amount
            purse.stays = max(planned.refundable.amount - planned.refund.amount, 0)

    @property
    def untouched(self) -> bool:
        """No money has been given back or given up: a parcel that is declined now still changes the plan."""
        return not any(purse.arrived or purse.refunds or purse.waived for purse in self.purses.values())

    def left_the_plan(self, shipment: str) -> bool:
        return self.past and self.stops.get(shipment) is StopStatus.DECLINED

    def see_stop(self, shipment: str, status: StopStatus, *, by_hand: bool = False) -> None:
        """`by_hand`: it was a person who had stopped it."""
        number = self.number(STOP, shipment)
        number.gone = number.gone or (number.noted and status in GOES_ON)
        self.stop(shipment, StopStatus.MOVING if self.past and status is StopStatus.DECLINED else status, by_hand)

    def stop(self, shipment: str, status: StopStatus, by_hand: bool) -> None:
        self.stops[shipment] = status
        self.by_hand = self.by_hand | {shipment} if by_hand else self.by_hand - {shipment}
        self.count_due()

    def may_make(self, step: StepName, target: str) -> bool:
        """Nothing is done any more of what is being undone."""
        return not self.cause and (step, target) not in self.undone

    def begin(self, step: StepName, target: str) -> None:
        """The step is ordered, or has had an effect."""
        self.past = self.past or step in PIVOTS
        if step in UNDOABLE:
            self.add_undoable(step, target)

    def add_undoable(self, step: StepName, target: str) -> None:
        """It is to be undone, whoever did it."""
        if (step, target) not in self.begun:
            self.begun.append((step, target))

    def number(self, step: StepName, target: str) -> Number:
        return self.numbers.setdefault((step, target), Number())

    def note(self, step: StepName, target: str, key: str) -> None:
        number = self.number(step, target)
        if not number.noted or number.next > number.n:
            self.numbers[step, target] = number = Number(number.next, noted=True)
        number.known = False
        if step is REVERSE:
            self.unknown.setdefault(target, []).append(key)
        self.begin(step, target)

    def end(self, step: StepName, target: str, key: str, outcome: EffectOutcome) -> None:
        number = self.number(step, target)
        number.known = outcome is not EffectOutcome.UNKNOWN
        number.refused = outcome in {EffectOutcome.FAILED, EffectOutcome.REFUSED}
        if outcome is not EffectOutcome.UNKNOWN:
            self.forget(target, key)

    def forget(self, target: str, key: str) -> None:
        if key in self.unknown.get(target, []):
            self.unknown[target].remove(key)

    def see_refund(
        self,
        target: str,
        reference: str,
        amount: int,
        status: RefundStatus,
        key: EffectKey | None,
        *,
        ours: bool = False,
    ) -> None:
        purse = self.purses[target]
        for step in MONEY:
            number = self.number(step, target)
            if key is not None and (key.step, key.n, key.part) == (step, number.n, ""):
                number.known, number.gone = True, status.has_failed
                number.refused = number.refused and status.has_failed
            elif status.has_failed:
                number.others_failed = True
        if key is not None:
            self.forget(target, str(key))
        purse.refunds[reference] = (amount, status)
        for other in self.purses.values():
            other.hands = [hand for hand in other.hands if hand[0] != reference]  # a person has named this refund
        if status.has_failed:
            purse.failed, purse.chosen, purse.ours = reference, None, ours

    @property
    def settled(self) -> bool:
        owed = any(p.outstanding or p.pending or p.overpaid for p in self.purses.values() if p.due)
        return not owed and not any(keys for target, keys in self.unknown.items() if self.purses[target].due)

    # What is said

    def amount_by_hand(self, said: SettledByHand) -> int | None:
        if said.step not in {*MONEY, StepName.CHECK_REFUND}:
            return None
        purse = self.purses[said.target]
        if said.step is StepName.CHECK_REFUND:
            return purse.overpaid
        owed = purse.outstanding or max(purse.missing, 0)
        if purse.charged_back and said.reference == purse.dispute:
            return min(owed, max(purse.charged_back - purse.named_dispute, 0))
        return owed

    def answer(self, said: Written, *, ordered: bool = False, anew: bool = False) -> Answer:
        """`ordered`: the run has ordered a step on money, which no book knows yet. `anew`: it is asked now, and nobody has
        answered since."""
        if self._was_said(said) and not anew:
            return Answer.REPEATED
        return Answer.REFUSED if self.ended or not self._may(said, self.past or ordered) else Answer.KEPT

    def _was_said(self, said: Written) -> bool:
        if isinstance(said, RetryOrdered):
            return False
        return any(_plain(said) == _plain(earlier) for earlier in self.said)

    def _may(self, said: Written, past: bool) -> bool:
        by = said.by
        staff = by is not None and by.kind in STAFF
        match said:
            case Approved() | ApprovalRefused():
                waits = self.needs_approval and not self.approved_by and not self.cause and not past
                somebody_else = all(actor.id != said.by.id for actor in self.asked)
                return staff and waits and (somebody_else or isinstance(said, ApprovalRefused))
            case WithdrawalAsked():
                own = all(actor.kind in {ActorKind.CUSTOMER, said.by.kind} for actor in self.asked)
                return (staff or own) and self._is_known(said.by) and not (past or self.reopened or self.cause)
            case RollBackOrdered():
                may = staff if by is not None else not (past or self.reopened)
                return may and not self.closed and not self.cause
            case RetryOrdered():
                return staff and not self.cause
            case SettledByHand() | NothingDue() if said.step is STOP and self.left_the_plan(said.target):
                return False
            case SettledByHand() if said.step in MONEY and self._is_of_another(said.target, said.reference):
                return False
            case SettledByHand():
                return staff and not self.cause and said.step not in IN_BOOKS_ONLY and self.amount_by_hand(said) != 0
            case NothingDue():
                promised = self.credit_number is not None and said.step in MONEY
                return staff and not self.cause and said.step not in IN_BOOKS_ONLY and not promised
            case Chosen():
                known = self._is_known(said.by) and said.by.kind is not ActorKind.SYSTEM
                purse = self.purses[said.target]
                kept_back = purse.disputed or (purse.failed is not None and purse.ours)
                return known and not self.cause and not kept_back and purse.outstanding > 0

    def _is_of_another(self, target: str, reference: str) -> bool:
        """Whether it is the refund of another tender."""
        return any(reference in purse.refunds for tender, purse in self.purses.items() if tender != target)

    def _is_known(self, actor: Actor) -> bool:
        return actor.kind is not ActorKind.CUSTOMER or actor.id == "C-1"

    def keep(self, said: Written) -> None:
        """It was said, and is kept."""
        amount = self.amount_by_hand(said) if isinstance(said, SettledByHand) else None
        match said:
            case Approved():
                self.approved_by = said.by
            case ApprovalRefused() | WithdrawalAsked() | RollBackOrdered():
                self.cause = True
            case SettledByHand(step=step, target=target, reference=reference):
                self._settle(step, target, reference, amount or 0)
            case NothingDue(step=step, target=target):
                self._give_up(step, target)
            case Chosen(target=target, method=method):
                purse = self.purses[target]
                purse.chosen, purse.failed = method, None
            case RetryOrdered(step=step, target=target):
                if (purse_ := self.purses.get(target)) and step in MONEY:
                    purse_.failed = None
                    purse_.chosen = None if step is REVERSE else purse_.chosen
        self.said.append(said)

    def _settle(self, step: StepName, target: str, reference: str, amount: int) -> None:
        if step is STOP:
            delivered = target in self.by_hand and self.stops[target] is StopStatus.MOVING
            self.stop(target, StopStatus.COMING_BACK if self.past or delivered else StopStatus.STOPPED, True)
        elif step in MONEY:
            refund = self.purses[target].refunds.get(reference)
            if refund is None or refund[1].has_failed:
                self.purses[target].hands.append((reference, amount))
            self.purses[target].failed = None
        else:
            self.purses[target].paid_back += amount
        self.begin(step, target)

    def _give_up(self, step: StepName, target: str) -> None:
        if step is STOP:
            self.stop(target, StopStatus.LOST if self.past else StopStatus.DECLINED, True)
        elif step in MONEY:
            self.purses[target].waived += self.purses[target].outstanding
        else:
            self.purses[target].left += self.purses[target].overpaid
