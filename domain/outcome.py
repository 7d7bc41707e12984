"""Where a cancellation stands and how it ended: three axes (goods, money, paper) and the table of its steps."""

from datetime import datetime
from enum import StrEnum

from domain.base import Value
from domain.clocks import RefundDue
from domain.decision import Decision
from domain.examination import Counterpart
from domain.money import Money
from domain.plan import LeftOut
from domain.request import Actor, ReasonCode
from domain.step import Owner, StepName, StepRow
from domain.terms import RefundMethod


class State(StrEnum):
    """What a run waits for, or its outcome. Search attribute `CancellationState`; the step table says what it is doing."""

    RUNNING = "running"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    WAITING_FOR_CARRIER = "waiting_for_carrier"
    WAITING_FOR_SETTLEMENT = "waiting_for_settlement"
    NEEDS_ATTENTION = "needs_attention"
    ROLLING_BACK = "rolling_back"
    CANCELLED = "cancelled"
    PARTIALLY_CANCELLED = "partially_cancelled"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled_back"


class Outcome(StrEnum):
    CANCELLED = "cancelled"
    PARTIALLY_CANCELLED = "partially_cancelled"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled_back"


CARRIED_OUT = (Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED)
"""Something has left the order."""


class GoodsStatus(StrEnum):
    """One word for all parcels. `untouched`: nothing has been stopped yet. `never_handed_over`: none had left the warehouse.
    `stopped`: a gift card was deactivated, or a person has stopped what was with a carrier. `partly_stopped`,
    `not_stopped`: some, or all, go on to the customer. `moving_again`: let go on by a roll-back. `waiting`: some are not
    stopped yet."""

    UNTOUCHED = "untouched"
    NEVER_HANDED_OVER = "never_handed_over"
    STOPPED = "stopped"
    PARTLY_STOPPED = "partly_stopped"
    COMING_BACK = "coming_back"
    NOT_STOPPED = "not_stopped"
    LOST = "lost"
    MOVING_AGAIN = "moving_again"
    WAITING = "waiting"


class MoneyStatus(StrEnum):
    """One word for the money of all tenders. `untouched`: before the pivot. `released`: only reservations were released.
    `refund_pending`: refunds are under way. `partly_refunded`: something is still owed. `by_hand`: nothing is owed or under
    way any more, and a person gave some of it back. `restored`: taken back by a roll-back. `waiting`: all of it is owed."""

    UNTOUCHED = "untouched"
    RELEASED = "released"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    NOTHING_DUE = "nothing_due"
    RESTORED = "restored"
    BY_HAND = "by_hand"
    WAITING = "waiting"


class PaperStatus(StrEnum):
    """`none_needed`: this cancellation gives back no captured money, so there is nothing to credit."""

    UNTOUCHED = "untouched"
    CREDITED = "credited"
    NONE_NEEDED = "none_needed"
    REVOKED = "revoked"


class Wait(Value):
    """A visible wait: for whom, why and until when. `choices` are the other ways in which the customer may have the money
    of the tender `target`, by `choose_refund_method`. `away` is the system that has not answered for a while, where that
    is why."""

    state: State
    owner: Owner
    reason: str
    due_at: datetime
    step: StepName | None = None
    target: str | None = None
    choices: tuple[RefundMethod, ...] = ()
    away: Counterpart | None = None


class ActionRow(Value):
    """What a person did in a cancellation, for the record."""

    action: str
    actor: Actor
    note: str
    at: datetime


class Progress(Value):
    """Answer of the `progress` query. `customer_id` is the order's owner, once verified. The first request has opened it:
    `requested_by`, for `reason`, at `requested_at`. `planned_refund` and `planned_release` are what is to go back, all
    tenders together; `refunded` and `released` what has, or is on its way, less what the customer has
    paid back. `refund_due`: by when the law wants the money
    back, where one applies."""

    cancellation_id: str
    order_id: str
    state: State
    goods: GoodsStatus
    money: MoneyStatus
    paper: PaperStatus
    decision: Decision | None = None
    past_pivot: bool = False
    waits: tuple[Wait, ...] = ()
    steps: tuple[StepRow, ...] = ()
    actions: tuple[ActionRow, ...] = ()
    credit_note: str | None = None
    customer_id: str | None = None
    requested_by: Actor | None = None
    requested_at: datetime | None = None
    reason: ReasonCode | None = None
    planned_refund: Money | None = None
    planned_release: Money | None = None
    refunded: Money | None = None
    released: Money | None = None
    refund_due: RefundDue | None = None

    @property
    def money_is_owed(self) -> bool:
        """Whether money of the customer may still have to go back."""
        return self.money in {
            MoneyStatus.UNTOUCHED,
            MoneyStatus.WAITING,
            MoneyStatus.PARTLY_REFUNDED,
            MoneyStatus.REFUND_PENDING,
        }


class CancellationResult(Value):
    """Result of `CancellationWorkflow`; also the details of its failure after a roll-back that a failure caused.

    `existing`: the books knew this cancellation already and nothing was done again. `refunded` and `released` are what
    really went back, all tenders together, less what the customer has paid back. What is released only by not capturing it
    stays reserved for a while.
    """

    cancellation_id: str
    order_id: str
    customer_id: str | None = None
    requested_by: Actor | None = None
    requested_at: datetime | None = None
    reason: ReasonCode | None = None
    outcome: Outcome
    sentence: str
    decision: Decision | None
    goods: GoodsStatus
    money: MoneyStatus
    paper: PaperStatus
    refunded: Money | None = None
    released: Money | None = None
    credit_note: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    past_pivot: bool = False
    steps: tuple[StepRow, ...] = ()
    actions: tuple[ActionRow, ...] = ()
    existing: bool = False
