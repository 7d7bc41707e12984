"""Activities on paper: credit the refund, revoke the credit."""

from temporalio import activity

from activities.attempt import begin_attempt
from activities.signatures import Booked, StepInput
from domain.case import Case
from domain.money import Money
from domain.reversal import Reversal
from providers.cancellations.port import Register
from providers.ledger.port import Credit, CreditedTender, Ledger
from providers.outbox.port import NewNotice, NoticeKind


def credit_of(case: Case) -> Credit | None:
    """What is to be put on paper; None when no captured money is given back. What was only reserved needs no credit note,
    and what was given twice is credited once."""
    plan = case.plan
    assert plan is not None
    total = Money.total((_credited(reversal) for reversal in case.reversals), plan.currency)
    if not total:
        return None
    value = plan.value
    return Credit(
        cancellation_id=case.cancellation_id,
        order_id=plan.order_id,
        total=total,
        tax=plan.tax.share(min(total, value).amount, value.amount) if value else Money.zero(plan.currency),
        tenders=tuple(
            part
            for reversal in case.reversals
            for part in (*CreditedTender.of(reversal, reversal.refunds), *CreditedTender.of_bank(reversal))
        ),
    )


def _credited(reversal: Reversal) -> Money:
    return min(reversal.refunded, reversal.planned_total - reversal.released - reversal.covered)


def refund_notice(case: Case, kind: NoticeKind) -> list[NewNotice]:
    """What the customer hears of the money. After a failure it is said once more."""
    credit = credit_of(case)
    if credit is None:
        return []
    failures = sum(refund.status.has_failed for reversal in case.reversals for refund in reversal.refunds)
    return [NewNotice(kind=kind, amount=credit.total, about=str(failures) if failures else "")]


def reservation_notices(case: Case) -> list[NewNotice]:
    """What the customer hears of what was only reserved: that it is released, and apart from that, what is not captured and
    stays reserved for a while."""
    notices = []
    for by_capture in (False, True):
        released = [
            r.reservation_released
            for r in case.reversals
            if r.planned.released_by_capture is by_capture and r.reservation_released
        ]
        if released:
            amount = Money.total(released, released[0].currency)
            about = "not_captured" if by_capture else ""
            notices.append(NewNotice(kind=NoticeKind.RESERVATION_RELEASED, amount=amount, about=about))
    return notices


class RefundActivities:
    def __init__(self, register: Register, ledger: Ledger) -> None:
        self._register = register
        self._ledger = ledger

    @activity.defn
    async def credit_refund(self, step_input: StepInput) -> Booked:
        """Issue the credit note over what goes back, and post what has settled. The customer is told that the refund has
        started, unless all of it has settled: then the end of the cancellation says so."""
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            credit = credit_of(case)
            if credit is None:
                plan = case.plan
                assert plan is not None
                entries = await self._ledger.skip_credit(plan.currency, key=step_input.key, run=attempt.run)
            else:
                under_way = any(reversal.pending for reversal in case.reversals)
                notices = refund_notice(case, NoticeKind.REFUND_STARTED) if under_way else []
                entries = await self._ledger.credit(credit, notices, key=step_input.key, run=attempt.run)
            return await attempt.answer(entries)

    @activity.defn
    async def revoke_refund(self, step_input: StepInput) -> Booked:
        """Compensation of credit_refund: contra transfers and a debit note, never a delete."""
        async with begin_attempt(self._register, step_input) as attempt:
            return await attempt.answer(await self._ledger.revoke_credit(key=step_input.key, run=attempt.run))
