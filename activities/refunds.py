"""Activities on paper: credit the refund, revoke the credit."""

from temporalio import activity

from activities.signatures import CreditedRefund, CreditRefund, RevokedRefund, RevokeRefund
from domain.money import Money
from domain.order import TenderKind
from domain.outcome import Reversal
from domain.payment import RefundStatus
from domain.plan import PlannedTender
from providers.order_book.port import Credit, CreditedTender, NewNotice, NoticeKind, OrderBook


class RefundActivities:
    def __init__(self, book: OrderBook) -> None:
        self._book = book

    @activity.defn
    async def credit_refund(self, step: CreditRefund) -> CreditedRefund:
        """Issue the credit note over what goes back, post what has settled, and tell the customer: `refunded` only when
        all of it has settled. What was only reserved needs no credit note: nothing was taken."""
        tenders = {planned.tender.tender_id: planned for planned in step.plan.tenders}
        credited = [part for reversal in step.reversals for part in _credited(tenders[reversal.tender_id], reversal)]
        currency = step.plan.currency
        total = Money.total((part.amount for part in credited if not part.failed), currency)
        if not total:
            return CreditedRefund(credit_note=None, total=total)
        value = step.plan.value
        settled = all(part.settled for part in credited if not part.failed)
        failures = sum(part.failed for part in credited)
        notice = NewNotice(
            kind=NoticeKind.REFUNDED if settled else NoticeKind.REFUND_STARTED,
            amount=total,
            about=str(failures) if failures else "",  # after a failure it is said once more
        )
        note = await self._book.credit(
            Credit(
                cancellation_id=step.cancellation_id,
                order_id=step.order_id,
                total=total,
                tax=step.plan.tax.share(min(total, value).amount, value.amount) if value else Money.zero(currency),
                tenders=tuple(credited),
            ),
            [notice],
            key=step.key,
        )
        return CreditedRefund(credit_note=note.number, total=total)

    @activity.defn
    async def revoke_refund(self, step: RevokeRefund) -> RevokedRefund:
        """Compensation of credit_refund: contra transfers and a debit note, never a delete."""
        return RevokedRefund(debit_note=await self._book.revoke_credit(step.cancellation_id, key=step.key))


def _credited(planned: PlannedTender, reversal: Reversal) -> list[CreditedTender]:
    """One entry per refund, each with the provider's reference. A refund that failed is marked as such: it is no part of the
    credit, and its settlement is taken back."""
    dead = (*reversal.failed, *(refund for refund in reversal.refunds if refund.status.dead))
    failed = [
        CreditedTender(
            tender_id=reversal.tender_id,
            kind=planned.tender.kind,
            amount=refund.amount,
            reference=refund.reference,
            settled=False,
            failed=True,
        )
        for refund in dead
    ]
    by_hand = [
        CreditedTender(
            tender_id=reversal.tender_id,
            kind=planned.tender.kind,
            amount=hand.amount,
            reference=hand.reference,
            settled=True,
            by_hand=True,
        )
        for hand in reversal.hands
        if hand.amount
    ]
    return [
        *failed,
        *by_hand,
        *_by_provider(planned, reversal),
    ]


def _by_provider(planned: PlannedTender, reversal: Reversal) -> list[CreditedTender]:
    return [
        CreditedTender(
            tender_id=reversal.tender_id,
            kind=TenderKind.STORE_CREDIT if reversal.is_store_credit(refund) else planned.tender.kind,
            amount=refund.amount,
            reference=refund.reference,
            settled=refund.status is RefundStatus.SUCCEEDED,
        )
        for refund in reversal.refunds
        if not refund.status.dead
    ]
