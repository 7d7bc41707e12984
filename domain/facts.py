"""What happened in a cancellation: the facts that the books keep, in the order in which they were written.

Everything else that is known of a cancellation is derived from them (domain/case.py). A fact says what happened and
nothing that follows from it; the books add its number and its time. What people wrote was checked when they sent it.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from domain.base import Rare, Value
from domain.decision import Decision
from domain.keys import EffectKey
from domain.money import Money
from domain.outcome import Outcome
from domain.payment import ChargeBack, Refund
from domain.plan import Plan, PlannedShipment
from domain.request import Actor, CancellationRequest
from domain.shipment import Shipment, Stop
from domain.step import MONEY_STEPS, StepName
from domain.terms import RefundMethod


class Run(Value):
    """Who writes: one run of the workflow. A reset makes another run, and so does a continue-as-new."""

    namespace: str
    run_id: str


class Requested(Value):
    """The request that opened the cancellation. `at` is when it arrived: the law's clocks begin then."""

    kind: Literal["requested"] = "requested"
    request: CancellationRequest
    at: datetime


class Joined(Value):
    """Another request of the same scope."""

    kind: Literal["joined"] = "joined"
    request: CancellationRequest


class Decided(Value):
    """`plan` is there unless the decision rejects. `customer_id` is the order's owner; None when there is no such order.
    `frozen` False: goods may leave meanwhile, because the order management system cannot freeze an order, or somebody else
    may let it go on there; `parcels` are those that there were then."""

    kind: Literal["decided"] = "decided"
    decision: Decision
    plan: Plan | None = None
    customer_id: str | None = None
    frozen: bool = True
    parcels: tuple[Shipment, ...] = ()


class HolderSet(Value):
    """From here on this run writes, and no other."""

    kind: Literal["holder_set"] = "holder_set"
    run: Run


class Approved(Value):
    """`at_most`: the limit of the one who has approved, where they have one."""

    kind: Literal["approved"] = "approved"
    by: Actor
    note: str = ""
    at_most: Rare[Money] = None


class ApprovalRefused(Value):
    kind: Literal["approval_refused"] = "approval_refused"
    by: Actor
    note: str = ""


class Reminded(Value):
    """The reminder of an approval was due; `escalated`: for the second time, to whoever is above. Staff was written to
    where the policy names a mailbox."""

    kind: Literal["reminded"] = "reminded"
    escalated: bool


class WithdrawalAsked(Value):
    kind: Literal["withdrawal_asked"] = "withdrawal_asked"
    by: Actor
    note: str = ""


# Rule: After a roll-back the customer reads who wanted it [who it may be]
class RollBackReason(StrEnum):
    """Why everything is undone, and who wanted it; the mail to the customer is chosen by it. `ordered`: staff, about a step
    that waited. `cancel_request`: somebody used Temporal's UI or command line, which name nobody."""

    WITHDRAWN = "withdrawn"
    WITHDRAWN_BY_STAFF = "withdrawn_by_staff"
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_EXPIRED = "approval_expired"
    CANCEL_REQUEST = "cancel_request"
    STEP_REFUSED = "step_refused"
    GOODS_NOT_STOPPED = "goods_not_stopped"
    ORDERED = "ordered"


class RollBackOrdered(Value):
    """`by` is the person who ordered it; None: the process did (a refusal, an expired approval, a cancel request). `failed`:
    a step's failure is the cause, so the run ends as failed."""

    kind: Literal["roll_back_ordered"] = "roll_back_ordered"
    sentence: str
    reason: RollBackReason = RollBackReason.ORDERED
    outcome: Outcome = Outcome.ROLLED_BACK
    failed: bool = False
    by: Actor | None = None
    step: StepName | None = None
    target: str = ""
    reference: str = ""
    note: str = ""


class EffectOutcome(StrEnum):
    """`unknown`: the call was made and its answer was lost. `failed` and `refused` are confirmed: nothing happened."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class EffectNoted(Value):
    """An effect on money, goods or the order is about to be made under this key."""

    kind: Literal["effect_noted"] = "effect_noted"
    key: EffectKey
    amount: Money | None = None


class EffectEnded(Value):
    kind: Literal["effect_ended"] = "effect_ended"
    key: EffectKey
    outcome: EffectOutcome
    reference: str | None = None
    detail: str = ""


class StopSeen(Value):
    """Where one shipment stands, where that is news."""

    kind: Literal["stop_seen"] = "stop_seen"
    stop: Stop


class ReversalSeen(Value):
    """What `reverse_payment` found when nothing was left to do for a tender: `released` in all, and what others had given
    back of a balance or a sale before (`covered`)."""

    kind: Literal["reversal_seen"] = "reversal_seen"
    target: str
    released: Money
    covered: Money
    detail: str = ""


class RefundSeen(Value):
    """A refund of the tender `target` as its provider has it, where that is news."""

    kind: Literal["refund_seen"] = "refund_seen"
    target: str
    refund: Refund


class RefundElsewhereSeen(Value):
    """A refund that others have made since the plan at the payment of `tender`, and that is more than what is due there. It
    was found before money of the tender `target` moved, or a person has named it for that one. What it was for, only a
    person knows. `beyond` is the part of it that is not due there; None: all of it. Where `tender` is `target`, the payment
    pays other orders too, and it may have been for one of these."""

    kind: Literal["refund_elsewhere_seen"] = "refund_elsewhere_seen"
    target: str
    tender: str
    refund: Refund
    beyond: Rare[Money] = None

    @property
    def amount(self) -> Money:
        """What of it may be for `target`."""
        return self.refund.amount if self.beyond is None else self.beyond


class DisputeSeen(Value):
    """Whether the bank disputes the payment of the tender `target`, and what it has given back, where that is news.
    `open_disputes`: the numbers of those that it has not decided. `settled_later`: what of it has settled later
    cancellations of the order; `charge_backs` are without that."""

    kind: Literal["dispute_seen"] = "dispute_seen"
    target: str
    disputed: bool
    charge_backs: tuple[ChargeBack, ...] = ()
    open_disputes: tuple[str, ...] = ()
    settled_later: Rare[Money] = None


class RetryOrdered(Value):
    kind: Literal["retry_ordered"] = "retry_ordered"
    step: StepName
    target: str
    by: Actor
    note: str = ""


class SettledByHand(Value):
    """A person did what the step waits for; `reference` is their proof. `amount` is the money that they moved: to the
    customer, or (for `check_refund` and `restore_payment`) back from the customer. Below zero, what had been collected went
    to the customer again."""

    kind: Literal["settled_by_hand"] = "settled_by_hand"
    step: StepName
    target: str
    reference: str
    by: Actor
    amount: Money | None = None
    note: str = ""


class NothingDue(Value):
    """A person says that there is nothing to do any more for what the step waits for."""

    kind: Literal["nothing_due"] = "nothing_due"
    step: StepName
    target: str
    reference: str
    by: Actor
    note: str = ""


class Chosen(Value):
    """How the customer wants the money that the tender `target` cannot take."""

    kind: Literal["chosen"] = "chosen"
    target: str
    method: RefundMethod
    by: Actor
    note: str = ""


class Credited(Value):
    """The credit note; None: no captured money is given back, so there is nothing to credit."""

    kind: Literal["credited"] = "credited"
    number: str | None
    total: Money


class CreditRevoked(Value):
    kind: Literal["credit_revoked"] = "credit_revoked"
    number: str


class ParcelFound(Value):
    """A parcel that was not there when it was decided has units of this cancellation in it: they were in none, or were
    `packed_before` in parcels that were unpacked since. Only an order that does not stay frozen has such. Without lines it
    is a parcel of the plan that has got its label since."""

    kind: Literal["parcel_found"] = "parcel_found"
    parcel: PlannedShipment
    packed_before: tuple[str, ...] = ()


class OrderChangeSeen(Value):
    """What others have changed of the order since it was decided, where that is news: by line, the units that they took
    out (below zero: put back) and added, and what is paid or costs something else by now, each in a few words. What it
    means, only a person knows: their answer is about what was seen before it."""

    kind: Literal["order_change_seen"] = "order_change_seen"
    taken: Mapping[str, int] = {}
    added: Mapping[str, int] = {}
    money: tuple[str, ...] = ()

    @property
    def is_change(self) -> bool:
        return bool(self.taken or self.added or self.money)


class OrderClosed(Value):
    """The lines have left the order. Nothing is rolled back any more. `expected_back`: parcels whose lines are still in it,
    because its order management system would restock them at once, and they are on their way."""

    kind: Literal["order_closed"] = "order_closed"
    expected_back: tuple[str, ...] = ()


class ParcelReceived(Value):
    """The goods of a parcel are back in the warehouse."""

    kind: Literal["parcel_received"] = "parcel_received"
    shipment_id: str


class Reopened(Value):
    """The cancellation had ended, and its outcome does not hold. `others` are the refunds of others that there are by now:
    they do not make up for what has failed. Whether those that are `unclear` were meant to, only a person can say."""

    kind: Literal["reopened"] = "reopened"
    why: str
    others: tuple[str, ...] = ()
    unclear: tuple[RefundSeen, ...] = ()


class Ended(Value):
    """The cancellation is over, and the register closed."""

    kind: Literal["ended"] = "ended"
    outcome: Outcome
    sentence: str


class StepOrdered(Value):
    """The run has ordered a step. Known to the run alone: what the step does is noted by its activity."""

    kind: Literal["step_ordered"] = "step_ordered"
    step: StepName
    target: str


Fact = (
    Requested
    | Joined
    | Decided
    | HolderSet
    | Approved
    | ApprovalRefused
    | Reminded
    | WithdrawalAsked
    | RollBackOrdered
    | EffectNoted
    | EffectEnded
    | StopSeen
    | ReversalSeen
    | RefundSeen
    | RefundElsewhereSeen
    | DisputeSeen
    | RetryOrdered
    | SettledByHand
    | NothingDue
    | Chosen
    | Credited
    | CreditRevoked
    | ParcelFound
    | OrderChangeSeen
    | OrderClosed
    | ParcelReceived
    | Reopened
    | Ended
    | StepOrdered
)

Written = (
    Approved | ApprovalRefused | WithdrawalAsked | RollBackOrdered | RetryOrdered | SettledByHand | NothingDue | Chosen
)
"""What people decide, and what the process decides about itself."""


def says_how_money_goes_back(fact: Fact, tender_id: str) -> bool:
    """Whether a person says with it what is done about what is owed on the tender."""
    match fact:
        case (
            RetryOrdered(step=step, target=target)
            | SettledByHand(step=step, target=target)
            | NothingDue(step=step, target=target)
        ):
            return target == tender_id and step in MONEY_STEPS
        case Chosen(target=target):
            return target == tender_id
        case _:
            return False


# Rule: All that is known of a cancellation follows from its facts [what the books keep of one]
class Entry(Value):
    """A fact as the books keep it. `seq` counts the cancellation's facts from 1; 0: the run's own, in no book."""

    seq: int
    at: datetime
    fact: Annotated[Fact, Field(discriminator="kind")]
