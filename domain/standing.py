"""Where a cancellation stands, in the words of its three axes, its step table and its result: views of its facts."""

from collections.abc import Sequence

from domain.case import Case
from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    Credited,
    Decided,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Ended,
    Entry,
    NothingDue,
    OrderClosed,
    RefundSeen,
    Reminded,
    Reopened,
    RetryOrdered,
    ReversalSeen,
    RollBackOrdered,
    SettledByHand,
    StepOrdered,
    StopSeen,
    WithdrawalAsked,
)
from domain.money import Money
from domain.outcome import ActionRow, CancellationResult, GoodsStatus, MoneyStatus, Outcome, PaperStatus
from domain.plan import LeftOut
from domain.request import Actor, ActorKind
from domain.reversal import Reversal
from domain.shipment import Stop, StopAction, StopStatus
from domain.step import StepName, StepRow, StepStatus

SYSTEM = Actor(kind=ActorKind.SYSTEM, id="cancellation-workflow")

_NEVER_LEFT = {StopAction.WITHDRAW_PICK, StopAction.VOID_LABEL}
_ON_THE_WAY_BACK = {StopStatus.COMING_BACK, StopStatus.REQUESTED}


# The three axes


# Rule: Goods, money and paper each show one word
def goods_of(case: Case) -> GoodsStatus:
    """One word for where the goods of the cancellation are."""
    was_stopped = any(step is StepName.STOP_SHIPMENT for step, _ in case.steps_to_undo())
    goes_on = any(case.is_done(StepName.RESUME_SHIPMENT, stop.shipment_id) for stop in case.stops)
    if was_stopped and goes_on and case.roll_back_cause:
        return GoodsStatus.MOVING_AGAIN
    plan = case.plan
    if plan is None or plan.shipping_alone:
        return GoodsStatus.UNTOUCHED
    stops = case.stops
    if not stops and (plan.shipments or case.roll_back_cause or not case.past_pivot):
        return GoodsStatus.UNTOUCHED
    seen = {stop.shipment_id for stop in stops}
    if any(planned.shipment.shipment_id not in seen for planned in plan.shipments):
        return GoodsStatus.WAITING
    return _goods(stops, plan.left_out)


def _goods(stops: Sequence[Stop], left_out: Sequence[LeftOut]) -> GoodsStatus:
    """Without any shipment they never left the shelf."""
    held = [stop for stop in stops if stop.status not in {StopStatus.DECLINED, StopStatus.MOVING}]
    if stops and not held:
        return GoodsStatus.NOT_STOPPED
    if left_out or len(held) < len(stops):
        return GoodsStatus.PARTLY_STOPPED
    if all(stop.action in _NEVER_LEFT for stop in held):
        return GoodsStatus.NEVER_HANDED_OVER
    if all(stop.status is StopStatus.LOST for stop in held):
        return GoodsStatus.LOST
    if any(stop.status in _ON_THE_WAY_BACK for stop in held):
        return GoodsStatus.COMING_BACK
    return GoodsStatus.STOPPED


# Rule: Goods, money and paper each show one word [money]
def money_of(case: Case) -> MoneyStatus:
    """One word for the money of all tenders."""
    restored = [
        planned.tender.tender_id
        for planned in case.tenders
        if case.is_done(StepName.RESTORE_PAYMENT, planned.tender.tender_id)
    ]
    if restored and case.roll_back_cause:
        moved = any(reversal.refunded or reversal.released for reversal in case.reversals)
        return MoneyStatus.RESTORED if moved else MoneyStatus.UNTOUCHED
    if not case.past_pivot:
        return MoneyStatus.UNTOUCHED
    return _money(case.reversals)


def _money(reversals: Sequence[Reversal]) -> MoneyStatus:
    moved = any(reversal.refunded or reversal.released for reversal in reversals)
    if any(reversal.outstanding for reversal in reversals):
        return MoneyStatus.PARTLY_REFUNDED if moved else MoneyStatus.WAITING
    if any(reversal.pending for reversal in reversals):
        return MoneyStatus.REFUND_PENDING
    if any(reversal.by_hand for reversal in reversals):
        return MoneyStatus.BY_HAND
    if any(reversal.refunded for reversal in reversals):
        return MoneyStatus.REFUNDED
    if any(reversal.reservation_released for reversal in reversals):
        return MoneyStatus.RELEASED
    return MoneyStatus.NOTHING_DUE


# Rule: Goods, money and paper each show one word [paper]
def paper_of(case: Case) -> PaperStatus:
    if case.credit_revoked:
        return PaperStatus.REVOKED
    if case.credited is None:
        return PaperStatus.UNTOUCHED
    return PaperStatus.CREDITED if case.credit_note else PaperStatus.NONE_NEEDED


# The step table


class _Table:
    """One row for each step and target, in the order of what happened."""

    def __init__(self, case: Case) -> None:
        self._rows: dict[tuple[StepName, str], StepRow] = {}
        request = case.request
        self._order_id = request.order_id if request else ""
        if request and case.requested_at:
            self._begin_row(StepName.VERIFY_ORDER, request.order_id, case.requested_at)
        for entry in case.entries:
            self._add(entry)

    @property
    def rows(self) -> tuple[StepRow, ...]:
        return tuple(self._rows.values())

    def _begin_row(self, step: StepName, target: str, at: object, *, again: bool = False) -> None:
        if (step, target) not in self._rows:
            self._rows[step, target] = StepRow.model_validate(
                {"step": step, "target": target, "status": StepStatus.RUNNING, "started_at": at}
            )
        elif again:
            self._change_row(step, target, status=StepStatus.RUNNING, ended_at=None)

    def _change_row(self, step: StepName, target: str, **update: object) -> None:
        if row := self._rows.get((step, target)):
            self._rows[step, target] = row.model_copy(update=update)

    def _end_row(  # noqa: PLR0917 (a row)
        self, step: StepName, target: str, entry: Entry, status: StepStatus, detail: str, ref: str | None
    ) -> None:
        self._begin_row(step, target, entry.at)
        before = self._rows[step, target]
        self._change_row(
            step,
            target,
            status=status,
            detail=detail or before.detail,
            reference=ref or before.reference,
            started_at=min(before.started_at, entry.at),  # a repeated task orders what is done already
            ended_at=entry.at,
        )

    def _is_resolved(self, step: StepName, target: str) -> bool:
        """What a person has settled keeps their proof, whatever the provider says afterwards."""
        row = self._rows.get((step, target))
        return row is not None and row.status is StepStatus.RESOLVED

    def _is_running(self, step: StepName, target: str) -> bool:
        row = self._rows.get((step, target))
        return row is not None and row.status is StepStatus.RUNNING

    def _add(self, entry: Entry) -> None:
        match entry.fact:
            case StepOrdered(step=step, target=target):
                self._begin_row(step, target, entry.at, again=True)
            case EffectNoted(key=key):
                self._begin_row(key.step, key.target, entry.at, again=True)
            case EffectEnded(key=key, outcome=outcome, reference=reference, detail=detail):
                if outcome is EffectOutcome.DONE:
                    self._end_row(key.step, key.target, entry, StepStatus.DONE, detail, reference)
                elif outcome is not EffectOutcome.UNKNOWN:
                    self._end_row(key.step, key.target, entry, StepStatus.FAILED, detail, reference)
            case Decided():
                self._end_row(StepName.VERIFY_ORDER, self._order_id, entry, StepStatus.DONE, "", None)
            case StopSeen(stop=stop):
                declined = stop.status in {StopStatus.DECLINED, StopStatus.MOVING}
                status = StepStatus.DECLINED if declined else StepStatus.DONE
                waits = stop.status is StopStatus.REQUESTED
                self._end_row(StepName.STOP_SHIPMENT, stop.shipment_id, entry, status, stop.detail, stop.reference)
                if waits:
                    self._change_row(StepName.STOP_SHIPMENT, stop.shipment_id, status=StepStatus.RUNNING, ended_at=None)
            case ReversalSeen(target=target, detail=detail):
                self._end_row(StepName.REVERSE_PAYMENT, target, entry, StepStatus.DONE, detail, None)
            case RefundSeen(target=target, refund=refund) if not self._is_resolved(StepName.REVERSE_PAYMENT, target):
                detail = f"refund {refund.status.replace('_', ' ')}"
                self._change_row(StepName.REVERSE_PAYMENT, target, detail=detail, reference=refund.reference)
            case Credited(number=number):
                self._end_row(StepName.CREDIT_REFUND, self._order_id, entry, StepStatus.DONE, "", number)
            case OrderClosed():
                self._end_row(StepName.CLOSE_ORDER, self._order_id, entry, StepStatus.DONE, "", None)
            case (
                SettledByHand(step=step, target=target, reference=ref, note=note)
                | NothingDue(step=step, target=target, reference=ref, note=note)
            ):
                self._end_row(step, target, entry, StepStatus.RESOLVED, note, ref)
            case RollBackOrdered(step=step, target=target, sentence=sentence, failed=True) if step is not None:
                self._end_row(step, target, entry, StepStatus.FAILED, sentence, None)
            case Ended() if self._is_running(StepName.VERIFY_ORDER, self._order_id):  # nobody decides any more
                self._end_row(StepName.VERIFY_ORDER, self._order_id, entry, StepStatus.FAILED, "", None)
            case _:
                pass


def step_table(case: Case) -> tuple[StepRow, ...]:
    """The steps in the order in which they began. A look has a row only once a person has resolved it."""
    return _Table(case).rows


def actions_of(case: Case) -> tuple[ActionRow, ...]:
    """What people did, and of what the process reminded them."""
    return tuple(row for entry in case.entries if (row := action_of(entry)))


def action_of(entry: Entry) -> ActionRow | None:
    """The fact as an action; None: it is none."""

    def row(action: str, by: Actor, note: str = "") -> ActionRow:
        return ActionRow(action=action, actor=by, note=note, at=entry.at)

    match entry.fact:
        case Approved(by=by, note=note):
            return row("approved", by, note)
        case ApprovalRefused(by=by, note=note):
            return row("rejected", by, note)
        case Reminded(escalated=escalated):
            return row("escalated: nobody has answered" if escalated else "reminder: the approval is due", SYSTEM)
        case WithdrawalAsked(by=by, note=note):
            return row("withdrawn", by, note)
        case RollBackOrdered(by=by, step=step, target=target, reference=reference, note=note) if by is not None:
            return row(f"resolve {step} {target}: roll_back ({reference})", by, note)
        case RetryOrdered(step=step, target=target, by=by, note=note):
            return row(f"retry {step} {target}", by, note)
        case SettledByHand(step=step, target=target, reference=reference, by=by, note=note):
            return row(f"resolve {step} {target}: done_by_hand ({reference})", by, note)
        case NothingDue(step=step, target=target, reference=reference, by=by, note=note):
            return row(f"resolve {step} {target}: nothing_due ({reference})", by, note)
        case Reopened(why=why):
            return row(f"reopened: {why}", SYSTEM)
        case Chosen(target=target, method=method, by=by, note=note):
            return row(f"chose {method} for {target}", by, note)
        case _:
            return None


# The result


def closing_outcome(case: Case) -> tuple[Outcome, str]:
    """How a cancellation that was carried out ends, and the sentence that says it."""
    plan = case.plan
    assert plan is not None
    if plan.shipping_alone:
        return (
            Outcome.CANCELLED,
            f"The shipping charge of order {plan.order_id} is given back; its goods are not cancelled.",
        )
    if plan.left_out:
        return Outcome.PARTIALLY_CANCELLED, "A part was cancelled; offer the customer a return for the rest."
    return Outcome.CANCELLED, f"Order {plan.order_id} is cancelled as requested."


def given_back_of(case: Case) -> tuple[Money | None, Money | None]:
    """What was refunded and what was released of all tenders, or is on its way, less what the customer has paid back; None:
    nothing is planned."""
    plan = case.plan
    if plan is None:
        return None, None
    refunded = Money.total((reversal.kept for reversal in case.reversals), plan.currency)
    return refunded, Money.total((reversal.reservation_released for reversal in case.reversals), plan.currency)


# Rule: The list of runs shows the amount that goes out, and after the end what went out
def amount_of(case: Case) -> Money | None:
    """What goes back to the customer, refunded and released together: by the plan as long as it is carried out, which is
    what the approval limit is measured on; what has gone back by now once it is undone or has ended. None: nothing is
    planned."""
    if case.plan is None or not (case.ended or case.roll_back_cause):
        return case.plan.given_back if case.plan else None
    refunded, released = given_back_of(case)
    assert refunded is not None
    assert released is not None
    return refunded + released


def result_of(
    case: Case, order_id: str, outcome: Outcome, sentence: str, *, existing: bool = False
) -> CancellationResult:
    """The result as it would be with this outcome."""
    plan = case.plan
    refunded, released = given_back_of(case)
    return CancellationResult(
        cancellation_id=case.cancellation_id,
        order_id=order_id,
        customer_id=case.customer_id,
        requested_by=case.request.actor if case.request else None,
        requested_at=case.requested_at,
        reason=case.request.reason if case.request else None,
        outcome=outcome,
        sentence=sentence,
        decision=case.decision,
        goods=goods_of(case),
        money=money_of(case),
        paper=paper_of(case),
        refunded=refunded,
        released=released,
        credit_note=case.credit_note,
        left_out=plan.left_out if plan else (),
        past_pivot=case.past_pivot,
        steps=step_table(case),
        actions=actions_of(case),
        existing=existing,
    )
