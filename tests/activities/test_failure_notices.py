"""A refund that fails: whether the customer is written to once more."""

import pytest

from activities.customer_notices import failure_notice
from domain.facts import Credited, EffectOutcome, Ended, Fact
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.step import StepName
from tests.domain.cases import ended, opened, plan_of, planned_tender, refund_seen, usd

FAILED, FAILED_AGAIN = (refund_seen(500, RefundStatus.FAILED, reference=f"re-{n}") for n in (1, 2))
PENDING = refund_seen(500, RefundStatus.PENDING, reference="re-2")
STARTED = Credited(number="CN-1", total=usd(500))
REFUNDED = Ended(outcome=Outcome.CANCELLED, sentence="Order O-1 is cancelled as requested.")
REFUSED = ended(StepName.REVERSE_PAYMENT, "T1", outcome=EffectOutcome.REFUSED)


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        ([STARTED, FAILED], ""),
        ([STARTED, FAILED, PENDING, FAILED_AGAIN], ""),
        ([FAILED, PENDING, STARTED], ""),
        ([FAILED, PENDING, STARTED, FAILED_AGAIN], "1"),
        ([FAILED, PENDING, STARTED, REFUNDED, FAILED_AGAIN], "2"),
        ([REFUSED, PENDING, STARTED, FAILED_AGAIN], "1"),
    ],
    ids=["first", "again", "heard since", "fails after started", "fails after refunded", "was refused first"],
)
def test_the_customer_is_written_to_again_where_they_have_heard_otherwise_since(facts: list[Fact], about: str) -> None:
    """B23, rule 8: a notice is kept once for what it is about."""
    case = opened(plan_of(planned_tender(refund=500)), *facts)
    assert failure_notice(case, may_choose=False).about == about


def test_a_refund_that_is_refused_is_said_again_where_they_have_heard_otherwise_since() -> None:
    case = opened(plan_of(planned_tender(refund=500)), FAILED, PENDING, STARTED, REFUSED)
    assert failure_notice(case, may_choose=False, refused=True).about == "1"
