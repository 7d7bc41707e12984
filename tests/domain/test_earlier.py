"""What earlier cancellations leave of a payment to the next one, where others have refunded as well."""

import pytest

from domain.earlier import Claim, EarlierReversal, left_to_earlier, share_out
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


def claim(missing: str, *before: str, at_most: str | None = None, counted: dict[str, str] | None = None) -> Claim:
    known = {reference: money(amount) for reference, amount in (counted or {}).items()}
    return Claim(money(missing), money(at_most or missing), known, frozenset(before))


@pytest.mark.parametrize(
    ("claims", "amounts", "shares"),
    [
        # just as much as one of them lacks, whoever comes first
        (("64.00 USD", "36.00 USD"), ("36.00 USD",), ({}, {"re-0": "36.00 USD"})),
        (("64.00 USD", "36.00 USD"), ("36.00 USD", "64.00 USD"), ({"re-1": "64.00 USD"}, {"re-0": "36.00 USD"})),
        # as much as all of them lack together
        (("64.00 USD", "36.00 USD"), ("100.00 USD",), ({"re-0": "64.00 USD"}, {"re-0": "36.00 USD"})),
        # what fits, then what is divided, the first one first
        (("64.00 USD", "36.00 USD"), ("20.00 USD",), ({"re-0": "20.00 USD"}, {})),
        (("64.00 USD", "36.00 USD"), ("80.00 USD",), ({"re-0": "64.00 USD"}, {"re-0": "16.00 USD"})),
        (("64.00 USD",), ("80.00 USD",), ({"re-0": "64.00 USD"},)),
    ],
)
def test_what_others_refunded_is_shared_out(
    claims: tuple[str, ...], amounts: tuple[str, ...], shares: tuple[dict[str, str], ...]
) -> None:
    """I11: each refund once, a part of it each where it is for several."""
    refunds = [theirs(amount, f"re-{n}") for n, amount in enumerate(amounts)]
    found = share_out(paid(*refunds), [claim(missing) for missing in claims])
    assert found == tuple({ref: money(part) for ref, part in share.items()} for share in shares)


def test_nothing_is_shared_out_twice_nor_what_was_refunded_before() -> None:
    """I11"""
    payment_ = paid(theirs("100.00 USD"))
    counts = claim("0.00 USD", counted={"re-others": "64.00 USD"})
    assert share_out(payment_, [counts, claim("40.00 USD")]) == ({}, {"re-others": money("36.00 USD")})
    assert share_out(payment_, [counts, claim("40.00 USD", "re-others")]) == ({}, {})


def test_a_refund_that_is_not_just_as_much_counts_within_the_bound() -> None:
    assert share_out(paid(theirs("20.00 USD")), [claim("64.00 USD", at_most="0.00 USD")]) == ({},)
    assert share_out(paid(theirs("64.00 USD")), [claim("64.00 USD", at_most="0.00 USD")])[0]


def test_a_refund_of_others_makes_up_for_one_that_failed_once() -> None:
    """I11: two cancellations of 40.00 each, whose refunds have failed; 50.00 by others."""
    both = (earlier_reversal("40.00 USD", "re-1"), earlier_reversal("40.00 USD", "re-2", cancellation_id="can-next"))
    failed = (ours("40.00 USD", failed=True), ours("40.00 USD", failed=True, reference="re-2"))
    assert left_to_earlier(both, paid(*failed, theirs("50.00 USD"))) == money("30.00 USD")
