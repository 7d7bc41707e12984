"""The country that an order goes to, as shops write it: the law's clock is read from it, and never silently missing."""

from datetime import timedelta

import pytest

from domain.clocks import RefundClock
from domain.decision import Verdict
from domain.outcome import Outcome
from sandbox.shop import SampleOrder, request
from tests.system import POLICY, System
from tests.workflows.samples import captured

BRITISH = RefundClock(law="S.I. 2013/3134", days=14, countries=frozenset({"GB"}))


def sent_to(country: str) -> SampleOrder:
    return captured(parcels=()).model_copy(update={"country": country})


@pytest.mark.parametrize(
    ("written", "law"),
    [
        ("US", "16 CFR 435"),
        ("us", "16 CFR 435"),
        ("UK", "S.I. 2013/3134"),
        ("gb", "S.I. 2013/3134"),
    ],
    ids=["by_the_standard", "in_small_letters", "as_britain_calls_itself", "britain_in_small_letters"],
)
async def test_the_laws_clock_runs_however_the_country_is_written(bare_system: System, written: str, law: str) -> None:
    """F22: by ISO 3166-1, in small letters, and by the name that Britain goes by."""
    policy = POLICY.model_copy(update={"refund_clocks": (*POLICY.refund_clocks, BRITISH)})
    async with bare_system.worker(policy=policy):
        sample = sent_to(written)
        await bare_system.shop.place_order(sample)
        submission, handle = await bare_system.submit(request(sample))
        assert submission.plan is not None
        assert submission.plan.refund_due is not None
        assert submission.plan.refund_due.law == law
        assert submission.plan.refund_due.at > await bare_system.began_at(handle) + timedelta(days=6)
        await bare_system.finish(handle)


@pytest.mark.parametrize("written", ["XX", "USA", ""], ids=["not_in_the_standard", "three_letters", "empty"])
async def test_what_is_no_country_is_refused_when_the_order_is_read(system: System, written: str) -> None:
    """F22"""
    sample = sent_to(written)
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert (submission.decision.verdict, submission.decision.rule.value) == (Verdict.REJECTED, "invalid_order")
    assert "ISO 3166" in submission.decision.sentence
    assert (await system.finish(handle)).outcome is Outcome.REJECTED
    assert await system.refunds(sample.order_id) == []
