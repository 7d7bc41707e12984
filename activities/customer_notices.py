"""What the customer is told: each notice as it is put in the outbox. Sending is activities/notices.py."""

from collections.abc import Iterable

from activities.credit import credit_of
from domain.case import Case
from domain.facts import Requested
from domain.keys import id_of
from domain.money import Money
from domain.request import ActorKind, ReasonCode
from domain.units import LinePart, units_by_line
from providers.outbox.port import NewNotice, NoticeKind, NoticeLine, Outbox


async def acknowledge(outbox: Outbox, requested: Requested) -> None:
    """The law wants the receipt of a statutory withdrawal acknowledged, whatever becomes of the order."""
    request = requested.request
    if request.reason is ReasonCode.STATUTORY_WITHDRAWAL:
        await outbox.add_notices(id_of(request), request.order_id, [received_notice(requested)])


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
    """What the customer hears of the money. After a failure it is said once more."""
    credit = credit_of(case)
    if credit is None:
        return []
    failures = sum(refund.status.has_failed for reversal in case.reversals for refund in reversal.refunds)
    return [NewNotice(kind=kind, amount=credit.total, about=str(failures) if failures else "")]


def failure_notice(case: Case, *, may_choose: bool = True) -> NewNotice:
    """A refund has failed. `may_choose`: the customer is offered the other ways to have the money."""
    return NewNotice(kind=NoticeKind.REFUND_FAILED, methods=case.terms.fallbacks if may_choose else ())


def reservation_notices(case: Case) -> list[NewNotice]:
    """What the customer hears of what was only reserved: that it is released, and apart from that, what is not captured and
    stays reserved for a while, and what they need not pay although its payment stays open."""
    by_capture = [reversal for reversal in case.reversals if reversal.planned.released_by_capture]
    at_gateway = [reversal for reversal in case.reversals if reversal not in by_capture]
    released = {
        "": [reversal.reservation_released for reversal in at_gateway],
        "not_captured": [reversal.reservation_released for reversal in by_capture],
        "not_to_be_paid": [reversal.never_paid for reversal in by_capture],
    }
    return [
        NewNotice(kind=NoticeKind.RESERVATION_RELEASED, amount=Money.total(amounts, amounts[0].currency), about=about)
        for about, amounts in released.items()
        if any(amounts)
    ]


def notice_lines(parts: Iterable[LinePart]) -> tuple[NoticeLine, ...]:
    """One for each order line, whatever the number of its parcels: the customer bought one line."""
    return tuple(NoticeLine(line_id=line_id, quantity=quantity) for line_id, quantity in units_by_line(parts).items())
