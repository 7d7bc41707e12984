"""What earlier cancellations leave of a payment to the next one, where others have refunded as well."""

import pytest

from domain.earlier import EarlierReversal, left_to_earlier
from domain.money import money
from domain.payment import Payment, Refund, RefundStatus
from tests.domain.build import earlier_reversal, payment


def paid(*refunds: Refund) -> Payment:
    live = sum(refund.amount.amount for refund in refunds if not refund.status.has_failed)
    return payment("100.00 USD", refunded=f"{live / 100:.2f} USD").model_copy(update={"refunds": refunds})


def ours(amount: str, *, failed: bool = False, reference: str = "re-1") -> Refund:
    status = RefundStatus.FAILED if failed else RefundStatus.SUCCEEDED
    return Refund(reference=reference, amount=money(amount), status=status, key="can-earlier/reverse_payment/T1/1")


def theirs(amount: str, reference: str = "re-others") -> Refund:
    return Refund(reference=reference, amount=money(amount), status=RefundStatus.SUCCEEDED)


FIRST = earlier_reversal("64.00 USD", "re-1")
ANOTHER_WAY = earlier_reversal("64.00 USD", of_provider="0.00 USD", another_way="64.00 USD")
KNEW = earlier_reversal("64.00 USD", "re-1", before=("re-others",))


@pytest.mark.parametrize(
    ("earlier", "refunds", "left"),
    [
        ((FIRST,), (ours("64.00 USD"),), "0.00 USD"),
        ((FIRST,), (ours("64.00 USD", failed=True),), "64.00 USD"),
        ((FIRST,), (ours("64.00 USD", failed=True), theirs("64.00 USD")), "0.00 USD"),
        ((FIRST,), (ours("64.00 USD", failed=True), theirs("20.00 USD")), "44.00 USD"),
        ((FIRST,), (ours("64.00 USD", failed=True), theirs("80.00 USD")), "0.00 USD"),
        ((FIRST,), (ours("64.00 USD"), theirs("20.00 USD")), "0.00 USD"),
        ((KNEW,), (theirs("20.00 USD"), ours("64.00 USD", failed=True)), "64.00 USD"),
        ((ANOTHER_WAY,), (theirs("30.00 USD"),), "64.00 USD"),
    ],
)
def test_what_others_refunded_makes_up_for_a_refund_that_failed_and_for_nothing_else(
    earlier: tuple[EarlierReversal, ...], refunds: tuple[Refund, ...], left: str
) -> None:
    """I1: what others had refunded before it was planned is no part of it, and what went another way is not owed."""
    assert left_to_earlier(earlier, paid(*refunds)) == money(left)


def test_a_refund_of_others_makes_up_for_one_that_failed_once() -> None:
    """I11: two cancellations of 40.00 each, whose refunds have failed; 50.00 by others."""
    both = (earlier_reversal("40.00 USD", "re-1"), earlier_reversal("40.00 USD", "re-2", cancellation_id="can-next"))
    failed = (ours("40.00 USD", failed=True), ours("40.00 USD", failed=True, reference="re-2"))
    assert left_to_earlier(both, paid(*failed, theirs("50.00 USD"))) == money("30.00 USD")
