"""What the customer is informed of: each notice as it is put in the outbox. Sending is activities/notices.py."""

from collections.abc import Iterable

from domain.case import Case
from domain.decision import Decision
from domain.facts import Credited, EffectEnded, EffectOutcome, Ended, RefundSeen, Requested, RollBackReason
from domain.keys import id_of
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Refund
from domain.request import ActorKind, ReasonCode
from domain.reversal import ByHand, Reversal
from domain.shipment import StopAction, StopStatus
from domain.step import MONEY_STEPS
from domain.terms import RefundMethod
from domain.units import LinePart, units_by_line
from providers.outbox.port import NewNotice, NoticeKind, NoticeLine, Outbox, RefundWay


async def acknowledge(outbox: Outbox, requested: Requested, met: Case) -> None:
    """The law wants the receipt of a statutory withdrawal acknowledged, whatever becomes of the order. Where the goods were
    cancelled already by the cancellation that it has `met`, nothing more is said of them there, so it is said here."""
    request = requested.request
    if request.reason is ReasonCode.STATUTORY_WITHDRAWAL:
        await outbox.add_notices(id_of(request), request.order_id, [received_notice(requested)])
        if met.ever_closed:
            cancelled = NewNotice(kind=NoticeKind.CANCELLED, lines=notice_lines(request.lines))
            await outbox.add_notices(id_of(request), request.order_id, [cancelled])


def refusal_notices(requested: Requested, decision: Decision) -> list[NewNotice]:
    """The answer to a statutory withdrawal that is rejected: its acknowledgement promises one, and nobody may be waiting for
    the decision any more."""
    request = requested.request
    if request.reason is not ReasonCode.STATUTORY_WITHDRAWAL:
        return []
    return [
        NewNotice(
            kind=NoticeKind.NOT_CANCELLED,
            lines=notice_lines(request.lines),
            received_at=requested.at,
            about=decision.rule.value,
        )
    ]


def received_notice(requested: Requested) -> NewNotice:
    """The mail repeats a note of the customer's own: what staff wrote is not for them to read."""
    request = requested.request
    statutory = request.reason is ReasonCode.STATUTORY_WITHDRAWAL
    return NewNotice(
        kind=NoticeKind.WITHDRAWAL_ACKNOWLEDGED if statutory else NoticeKind.RECEIVED,
        lines=notice_lines(request.lines),
        received_at=requested.at,
        note=request.note if request.actor.kind is ActorKind.CUSTOMER else "",
    )


def refund_notice(case: Case, kind: NoticeKind) -> list[NewNotice]:
    """What the customer hears of the money. After a failure, a dispute that was won, or what was captured all the same, it
    is said once more."""
    given = [min(reversal.refunded, reversal.to_refund) for reversal in case.reversals]
    if not any(given):
        return []
    ways = refund_ways(case) if kind is NoticeKind.REFUNDED else ()
    failures = sum(refund.status.has_failed for reversal in case.reversals for refund in reversal.refunds)
    failures += sum(bool(reversal.taken_after_all) + len(reversal.won) for reversal in case.reversals)
    return [
        NewNotice(
            kind=kind, amount=Money.total(given, given[0].currency), ways=ways, about=str(failures) if failures else ""
        )
    ]


# Rule: The customer reads by which way the money goes back
def refund_ways(case: Case) -> tuple[RefundWay, ...]:
    """Each way in which something went back, as it happened, not as it was planned."""
    seen = {
        way
        for reversal in case.reversals
        for way in (
            *(_way_of_refund(reversal, refund) for refund in reversal.live_refunds),
            *(_way_by_hand(case, reversal, hand) for hand in reversal.by_hand if hand.amount.amount > 0),
        )
    }
    return tuple(way for way in RefundWay if way in seen)


def _way_of_refund(reversal: Reversal, refund: Refund) -> RefundWay:
    kind = reversal.planned.tender.kind
    if kind.is_stored_value:
        return RefundWay.STORED_VALUE
    if reversal.is_store_credit(refund):
        return RefundWay.STORE_CREDIT
    return RefundWay.MARKETPLACE if kind is TenderKind.MARKETPLACE else RefundWay.CARD


def _way_by_hand(case: Case, reversal: Reversal, hand: ByHand) -> RefundWay:
    if hand.reference in reversal.dispute_numbers:
        return RefundWay.DISPUTE
    chosen = case.chosen_method(reversal.tender_id)
    return RefundWay.BANK_TRANSFER if chosen is RefundMethod.BANK_TRANSFER else RefundWay.AGREED


def failure_notice(case: Case, *, may_choose: bool = True, refused: bool = False) -> NewNotice:
    """A refund did not reach the customer, or is `refused`. They are written to once, however many fail, and once more where
    a refund fails after they have heard since that it has started or is made. `may_choose`: they are offered the other
    ways to have the money."""
    said, failed, about = 0, False, 0
    for entry in case.entries:
        match entry.fact:
            case RefundSeen(refund=refund) if refund.failed_at_customer:
                failed, about = True, said
            case EffectEnded(key=key, outcome=EffectOutcome.REFUSED) if key.step in MONEY_STEPS:
                failed = True
            case Credited() | Ended() if failed:
                said += 1
            case _:
                pass
    number = said if refused else about
    methods = case.terms.fallbacks if may_choose else ()
    return NewNotice(kind=NoticeKind.REFUND_FAILED, methods=methods, about=str(number) if number else "")


# Rule: A part of a reservation is released by not capturing it [said to the customer]
def reservation_notices(case: Case) -> list[NewNotice]:
    """What the customer hears of what was only reserved: that it is released, and apart from that, what is not captured and
    stays reserved for a while, and what they need not pay although its payment stays open."""
    by_capture = [reversal for reversal in case.reversals if reversal.planned.released_by_capture]
    at_gateway = [reversal for reversal in case.reversals if reversal not in by_capture]
    released = {
        "": [reversal.reservation_released for reversal in at_gateway],
        "not_captured": [reversal.reservation_released for reversal in by_capture],
        "not_to_be_paid": [reversal.left_open for reversal in case.reversals],
    }
    return [
        NewNotice(kind=NoticeKind.RESERVATION_RELEASED, amount=Money.total(amounts, amounts[0].currency), about=about)
        for about, amounts in released.items()
        if any(amounts)
    ]


# Rule: After a roll-back the customer reads who wanted it
def released_notices(case: Case, reason: RollBackReason) -> list[NewNotice]:
    """The cancellation was rolled back, and the order goes on. The mail says who wanted that. It names the goods where they
    could not be stopped, and those of which the customer has read that they would not arrive."""
    plan = case.plan
    if plan is None:
        return [NewNotice(kind=NoticeKind.NOT_CANCELLED, about=reason.value)]
    if plan.shipping_alone:
        return []
    called_back = {
        stop.shipment_id
        for stop in case.stops
        if stop.action is StopAction.INTERCEPT and stop.status in {StopStatus.COMING_BACK, StopStatus.STOPPED}
    }
    not_stopped = reason is RollBackReason.GOODS_NOT_STOPPED
    return [
        NewNotice(
            kind=NoticeKind.NOT_CANCELLED,
            about=reason.value,
            lines=notice_lines(line for line in plan.lines if line.shipment_id in called_back),
            left_out=notice_lines(plan.left_out) if not_stopped else (),
        )
    ]


def notice_lines(parts: Iterable[LinePart]) -> tuple[NoticeLine, ...]:
    """One for each order line, whatever the number of its parcels: the customer bought one line."""
    return tuple(NoticeLine(line_id=line_id, quantity=quantity) for line_id, quantity in units_by_line(parts).items())
