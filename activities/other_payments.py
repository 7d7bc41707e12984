"""What others refund on the order's other payments, looked for before money of a tender goes out, and after a person has
named a proof."""

from activities.attempt import Attempt
from activities.tenders import Payments
from domain.elsewhere import other_cards, refunds_elsewhere, unanswered_refunds
from domain.facts import RefundSeen
from domain.keys import EffectKey
from domain.next_reversal import beyond_due
from domain.step import StepName


# Rule: What others refund on another payment of the order is a person's question [before the money moves]
async def must_ask_first(attempt: Attempt, payments: Payments) -> bool:
    """Whether a person has to say first what such refunds were for. Asked once it has been looked up what became of our own
    calls."""
    case, target = attempt.case, attempt.step_input.target
    await read_other_payments(attempt, payments)
    return bool(case.outstanding(target) and unanswered_refunds(case.entries, target))


async def read_other_payments(attempt: Attempt, payments: Payments) -> None:
    """Read the other payments, and write what is found. While nothing is owed only a proof could be there."""
    case, target = attempt.case, attempt.step_input.target
    plan, reversal = case.plan, case.reversal(target)
    if plan is None or not (reversal.outstanding or reversal.by_hand):
        return
    for other in other_cards(plan, target):
        there, tender = case.reversal(other.tender.tender_id), other.tender
        payment = await payments.read(plan.order_id, tender)
        other_reversals = await payments.read_other_reversals(plan.order_id, case.cancellation_id, tender)
        key = EffectKey(case.cancellation_id, StepName.REVERSE_PAYMENT, tender.tender_id)
        beyond = beyond_due(there, payment, key, other_reversals)
        found = refunds_elsewhere(case.entries, target, other, payment, beyond)
        failed = (seen for seen in found if seen.refund.status.has_failed)
        await attempt.write(*found, *(RefundSeen(target=seen.tender, refund=seen.refund) for seen in failed))
