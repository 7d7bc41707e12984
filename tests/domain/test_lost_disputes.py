"""A dispute whose number a person names: what it counts for once the bank has decided it."""

from domain.earlier import left_of_disputes
from domain.facts import DisputeSeen, RetryOrdered, SettledByHand
from domain.money_questions import won_dispute
from domain.payment import ChargeBack, Payment, RefundStatus
from domain.step import StepName
from providers.ledger.port import CreditedTender
from tests.domain.cases import CLERK, opened, plan_of, planned_tender, refund_seen, usd


def charged_back(amount: int) -> DisputeSeen:
    return DisputeSeen(target="T1", disputed=True, charge_backs=(ChargeBack(reference="dp-1", amount=usd(amount)),))


def named(amount: int) -> SettledByHand:
    return SettledByHand(step=StepName.REVERSE_PAYMENT, target="T1", reference="dp-1", by=CLERK, amount=usd(amount))


def test_a_disputes_number_stands_for_what_the_bank_gave_back_by_it() -> None:
    """B27, I1: it was named before the bank decided. The ledger takes back what was posted then."""
    case = opened(plan_of(planned_tender(refund=5_000)), named(5_000), charged_back(2_000), charged_back(2_000))
    reversal = case.reversal("T1")
    assert (reversal.outstanding, reversal.overpaid, reversal.given_by_bank) == (usd(3_000), usd(0), usd(0))
    parts = [(part.amount, part.failed) for part in CreditedTender.of(reversal, ())]
    assert parts == [(usd(5_000), True), (usd(2_000), False)]


def test_a_dispute_that_is_won_gives_nothing() -> None:
    """B27, I1: it was open when it was named. The ledger takes back what was posted then; a person is asked."""
    still_open = DisputeSeen(target="T1", disputed=True, open_disputes=("dp-1",))
    won = DisputeSeen(target="T1", disputed=False)
    case = opened(plan_of(planned_tender(refund=5_000)), still_open, named(5_000), still_open)
    assert case.outstanding("T1") == usd(0)
    assert case.reversal("T1").rests_on == {"dp-1"}
    assert won_dispute(case, "T1") is None
    after = case.with_facts([won])
    reversal = after.reversal("T1")
    assert (reversal.outstanding, reversal.won) == (usd(5_000), ("dp-1",))
    assert not reversal.rests_on
    assert [(part.amount, part.failed) for part in CreditedTender.of(reversal, ())] == [(usd(5_000), True)]
    assert won_dispute(after, "T1") == "dp-1"
    retried = after.with_facts([RetryOrdered(step=StepName.REVERSE_PAYMENT, target="T1", by=CLERK)])
    assert won_dispute(retried, "T1") is None


def test_what_is_settled_with_a_disputes_number_may_be_less_than_the_bank_gave_back() -> None:
    """I11: others had refunded 10.00 of 50.00, and the bank gave back all of it."""
    theirs = refund_seen(1_000, RefundStatus.SUCCEEDED)
    case = opened(plan_of(planned_tender(refund=5_000)), theirs, charged_back(5_000), named(4_000))
    assert case.reversal("T1").overpaid == usd(1_000)


def test_what_one_cancellation_has_had_of_a_dispute_is_not_another_ones() -> None:
    earlier = opened(plan_of(planned_tender(refund=5_000)), charged_back(2_000), named(1_500))
    had = earlier.reversal("T1").as_earlier("can-1", undone=False)
    backs = (ChargeBack(reference="dp-1", amount=usd(2_000)), ChargeBack(reference="dp-2", amount=usd(100)))
    payment = Payment(reference="pi-1", captured=usd(9_000), capturable=usd(0), refunded=usd(0), charge_backs=backs)
    assert [back.amount for back in left_of_disputes(payment, [had])] == [usd(500), usd(100)]
