"""Where a cancellation stands and how it ended: three axes (goods, money, paper) and the table of its steps."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from domain.base import Value
from domain.clocks import RefundDue
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Refund
from domain.plan import LeftOut, Plan, RefundMethod
from domain.policy import Decision
from domain.request import Actor, CancellationRequest
from domain.shipment import Stop, StopAction, StopStatus


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


class GoodsStatus(StrEnum):
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
    """`none_needed`: no money was taken, so there is nothing to credit."""

    UNTOUCHED = "untouched"
    CREDITED = "credited"
    NONE_NEEDED = "none_needed"
    REVOKED = "revoked"


class StepName(StrEnum):
    VERIFY_ORDER = "verify_order"
    STOP_SHIPMENT = "stop_shipment"
    REVERSE_PAYMENT = "reverse_payment"
    CREDIT_REFUND = "credit_refund"
    CLOSE_ORDER = "close_order"
    RELEASE_ORDER = "release_order"
    RESUME_SHIPMENT = "resume_shipment"
    RESTORE_PAYMENT = "restore_payment"
    REVOKE_REFUND = "revoke_refund"
    CHECK_SHIPMENT = "check_shipment"
    CHECK_REFUND = "check_refund"
    QUOTE_CANCELLATION = "quote_cancellation"
    GIVE_STORE_CREDIT = "give_store_credit"
    REMIND_STAFF = "remind_staff"


class StepStatus(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    DECLINED = "declined"
    NEEDS_ATTENTION = "needs_attention"
    RESOLVED = "resolved"
    FAILED = "failed"


class StepRow(Value):
    """One row of the step table. `target` is the order, shipment or tender that the step is about."""

    step: StepName
    target: str
    status: StepStatus
    detail: str = ""
    reference: str | None = None
    started_at: datetime
    ended_at: datetime | None = None


class Owner(StrEnum):
    """Whose turn it is while a run waits."""

    SECOND_PERSON = "second_person"
    SUPERVISOR = "supervisor"
    CARRIER = "carrier"
    GATEWAY = "gateway"
    OPERATIONS = "operations"
    REFUND_DEPARTMENT = "refund_department"


class Wait(Value):
    """A visible wait: for whom, why and until when. `choices` are the other ways in which the customer may have the money
    of the tender `target`, by `choose_refund_method`."""

    state: State
    owner: Owner
    reason: str
    due_at: datetime
    step: StepName | None = None
    target: str | None = None
    choices: tuple[RefundMethod, ...] = ()


class ByHand(Value):
    """A person settled it outside; `reference` is their proof."""

    reference: str
    amount: Money


class Reversal(Value):
    """What came back to one tender. `released` is what an authorisation no longer reserves. `by_hand` is what a person
    gave back outside, under the reference that person named."""

    tender_id: str
    released: Money
    refunds: tuple[Refund, ...] = ()
    by_hand: ByHand | None = None
    as_store_credit: bool = False
    """The tender could not take it back, and the customer chose store credit."""
    failed: tuple[Refund, ...] = ()
    """Refunds that the gateway had taken and that failed later; another way was found since."""
    disputed: bool = False
    """The bank has opened a dispute while the refund was under way."""
    detail: str = ""
    earlier_by_hand: tuple[ByHand, ...] = ()
    """What people had given back before, where a part of the rest failed later."""

    def following(self, before: "Reversal", *, in_place_of_pending: bool = False) -> "Reversal":
        """This in the place of what was known of the tender before. What failed then is kept as such; what had settled or is
        under way still counts, unless this was given in its place."""
        now = {refund.reference for refund in self.refunds}
        past = [refund for refund in before.refunds if refund.reference not in now]
        replaced = [refund for refund in past if in_place_of_pending and refund.status.under_way]
        still = [refund for refund in past if not refund.status.dead and refund not in replaced]
        again = self.by_hand is not None and self.by_hand != before.by_hand
        return self.model_copy(
            update={
                "failed": (*before.failed, *(refund for refund in past if refund.status.dead)),
                "refunds": (*still, *self.refunds),
                "as_store_credit": self.as_store_credit or before.as_store_credit,
                "by_hand": self.by_hand or before.by_hand,
                "earlier_by_hand": (*before.earlier_by_hand, *([before.by_hand] if again and before.by_hand else [])),
            }
        )

    @property
    def hands(self) -> tuple[ByHand, ...]:
        """All that people gave back outside."""
        return (*self.earlier_by_hand, self.by_hand) if self.by_hand else self.earlier_by_hand

    def is_store_credit(self, refund: Refund) -> bool:
        """Whether this one of its refunds went to the customer's store credit in place of the tender."""
        return self.as_store_credit and f"/{StepName.GIVE_STORE_CREDIT}/" in (refund.key or "")

    @property
    def store_credit_keys(self) -> tuple[str, ...]:
        return tuple(refund.key for refund in self.refunds if refund.key and self.is_store_credit(refund))

    def elsewhere(self, kind: TenderKind) -> Money:
        """What went back another way than by the tender's own provider. The order book is the provider of gift cards and of
        store credit."""
        counted = kind in {TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT}
        given = (refund.amount for refund in self.refunds if self.is_store_credit(refund) and not counted)
        return Money.total((*given, *(hand.amount for hand in self.hands)), self.released.currency)

    @property
    def owed(self) -> Money:
        """What the customer is owed by a refund that failed or, when none did, has not settled."""
        failed = [refund for refund in self.refunds if refund.status.dead]
        unsettled = failed or [refund for refund in self.refunds if refund.status.under_way]
        return Money.total((refund.amount for refund in unsettled), self.released.currency)

    @property
    def pending(self) -> bool:
        return any(refund.status.under_way for refund in self.refunds)

    @property
    def dead(self) -> bool:
        """A refund that the gateway had taken has failed: the customer is still owed this money."""
        return any(refund.status.dead for refund in self.refunds)

    @property
    def refunded(self) -> Money:
        """What goes back or has gone back to the customer by this reversal, without what has failed."""
        alive = (refund.amount for refund in self.refunds if not refund.status.dead)
        return Money.total((*alive, *(hand.amount for hand in self.hands)), self.released.currency)


class Refusal(Value):
    """What goes with a refused refund: what came back of the tender all the same, and what is owed still."""

    reversal: Reversal
    owed: Money


class StaffAction(Value):
    """A person's step in the run, for the record."""

    action: str
    actor: Actor
    note: str
    at: datetime


class Progress(Value):
    """Answer of the `progress` query. `customer_id` is the order's owner, once verified. `refund_due`: by when the law wants
    the money back, where one applies."""

    cancellation_id: str
    order_id: str
    state: State
    goods: GoodsStatus
    money: MoneyStatus
    paper: PaperStatus
    decision: Decision | None = None
    pivot_passed: bool = False
    waits: tuple[Wait, ...] = ()
    steps: tuple[StepRow, ...] = ()
    actions: tuple[StaffAction, ...] = ()
    credit_note: str | None = None
    customer_id: str | None = None
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

    `existing`: the order book knew this cancellation already and nothing was done again. `refunded` and `released` are
    what really went back, all tenders together.
    """

    cancellation_id: str
    order_id: str
    customer_id: str | None = None
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
    steps: tuple[StepRow, ...] = ()
    actions: tuple[StaffAction, ...] = ()
    existing: bool = False


class CarriedOut(Value):
    """What a cancellation has done: the plan as it was in the end, the stops, the reversals, and its credit note."""

    plan: Plan
    stops: tuple[Stop, ...]
    reversals: tuple[Reversal, ...]
    credit_note: str | None = None


class CancellationRecord(Value):
    """The OMS's own row of a cancellation: the last guard against doing it twice. `result` None: it is open.
    `carried_out` is known once it has been closed, and stays known when it is opened again."""

    cancellation_id: str
    order_id: str
    request: CancellationRequest
    decision: Decision
    plan: Plan
    result: CancellationResult | None = None
    carried_out: CarriedOut | None = None


_NEVER_LEFT = {StopAction.WITHDRAW_PICK, StopAction.VOID_LABEL}


def goods_status(stops: Sequence[Stop], left_out: Sequence[LeftOut]) -> GoodsStatus:
    """One word for where the goods of the cancellation are. No shipment at all: they never left the shelf."""
    held = [stop for stop in stops if stop.status is not StopStatus.DECLINED]
    if stops and not held:
        return GoodsStatus.NOT_STOPPED
    if left_out:
        return GoodsStatus.PARTLY_STOPPED
    if all(stop.action in _NEVER_LEFT for stop in held):
        return GoodsStatus.NEVER_HANDED_OVER
    if all(stop.status is StopStatus.LOST for stop in held):
        return GoodsStatus.LOST
    if any(stop.status in {StopStatus.COMING_BACK, StopStatus.REQUESTED} for stop in held):
        return GoodsStatus.COMING_BACK
    return GoodsStatus.STOPPED


def money_status(reversals: Sequence[Reversal], tenders: int) -> MoneyStatus:
    """One word for the money of `tenders` tenders, of which `reversals` have been dealt with so far."""
    if any(reversal.dead for reversal in reversals) or len(reversals) < tenders:
        moved = any(reversal.refunded or reversal.released for reversal in reversals)
        return MoneyStatus.PARTLY_REFUNDED if moved else MoneyStatus.WAITING
    if any(reversal.pending for reversal in reversals):
        return MoneyStatus.REFUND_PENDING
    if any(reversal.by_hand for reversal in reversals):
        return MoneyStatus.BY_HAND
    if any(reversal.refunded for reversal in reversals):
        return MoneyStatus.REFUNDED
    if any(reversal.released for reversal in reversals):
        return MoneyStatus.RELEASED
    return MoneyStatus.NOTHING_DUE
