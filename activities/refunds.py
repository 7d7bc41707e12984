"""Activities on paper: credit the refund, revoke the credit."""

from temporalio import activity

from activities.attempt import begin_attempt
from activities.credit import credit_of
from activities.customer_notices import refund_notice
from activities.signatures import Booked, StepInput
from providers.cancellations.port import Register
from providers.ledger.port import Ledger
from providers.outbox.port import NoticeKind


class RefundActivities:
    def __init__(self, register: Register, ledger: Ledger) -> None:
        self._register = register
        self._ledger = ledger

    # Rule: The customer is informed that the refund has started
    @activity.defn
    async def credit_refund(self, step_input: StepInput) -> Booked:
        """Issue the credit note for what goes back, and post what has settled. The customer reads that the refund has
        started, unless all of it has settled: then the end of the cancellation says so."""
        async with begin_attempt(self._register, step_input) as attempt:
            case = attempt.case
            credit = credit_of(case)
            if credit is None or not credit.total:
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
