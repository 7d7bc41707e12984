"""What a cancellation puts on paper: the amount of its credit note, and the parts of it that went back to each tender."""

from domain.case import Case
from domain.money import Money
from domain.plan import Plan
from domain.reversal import Reversal
from providers.ledger.port import Credit, CreditedTender


# Rule: A credit note is for captured money that goes back, each amount once
def credit_of(case: Case) -> Credit | None:
    """What is to be put on paper; None when no captured money is given back. What was only reserved needs no credit note,
    and what was given twice is credited once. `total` is nothing where all that goes back is in place of what others had
    refunded before, or was captured although it was not to be."""
    plan = case.plan
    assert plan is not None
    total = Money.total((_credited(reversal) for reversal in case.reversals), plan.currency)
    if not total and not any(reversal.lapsed or reversal.taken_after_all for reversal in case.reversals):
        return None
    return Credit(
        cancellation_id=case.cancellation_id,
        order_id=plan.order_id,
        total=total,
        tax=_tax_of(plan, total),
        tenders=tuple(
            part
            for reversal in case.reversals
            for part in (
                *CreditedTender.taken_after_all(reversal, _credited(reversal)),
                *CreditedTender.of(reversal, reversal.refunds),
                *CreditedTender.of_bank(reversal),
            )
        ),
    )


def _tax_of(plan: Plan, total: Money) -> Money:
    """The part of the plan's tax that is in `total`. What is missing by less than a step of the gateway's, an earlier
    cancellation gave back ahead, without any tax: of that none is missing."""
    value = plan.value
    if total and value.amount - total.amount < max((tender.step or 1 for tender in plan.tenders), default=1):
        return plan.tax
    return plan.tax.share(total.amount, value.amount) if value else plan.tax


def _credited(reversal: Reversal) -> Money:
    """Without what others had refunded before: whoever did has their own document for it. And without what was captured
    since of what was not to be: the customer has paid it beside what the order cost."""
    return min(reversal.refunded, reversal.to_refund - reversal.lapsed - reversal.taken_after_all)
