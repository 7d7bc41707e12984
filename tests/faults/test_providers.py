"""A few of the faults of `providers.py`, one of each kind; `python -m tests.faults.providers` has them all."""

import pytest

from domain.outcome import Outcome
from sandbox.carrier.model import FaultKind as CarrierFault
from sandbox.carrier.model import Operation
from sandbox.gateway.messages import FaultKind
from tests.faults.meddling import Act, ActCase, HeardCalls
from tests.faults.provider_cases import Calls, Provider, ProviderCase, ProviderFault, Target, cases_of
from tests.faults.provider_families import AnyCase, ExpiredCase, Undisturbed
from tests.faults.providers import listening, run_case
from tests.faults.stories import Story
from tests.system import System

pytestmark = pytest.mark.long

_CARD, _PARCEL = Target(provider=Provider.GATEWAY, name="T1"), Target(provider=Provider.CARRIER, name="S1")
_NEW_LABEL = Target(provider=Provider.CARRIER, name="S1", bought_again=True)


def fault(story: Story, target: Target, operation: str, kind: str, **more: object) -> ProviderCase:
    met = ProviderFault.model_validate({"kind": kind, **more})
    return ProviderCase(story=story, target=target, operation=operation, number=1, fault=met)


_REFUND = "refund.create"
_LOST = fault(Story.LABEL, _CARD, _REFUND, FaultKind.DROP_AFTER_COMMIT)
CASES: tuple[AnyCase, ...] = (
    fault(Story.LABEL, _CARD, "payment_intent.retrieve", FaultKind.HTTP_429, times=2),
    fault(Story.LABEL, _CARD, _REFUND, FaultKind.HTTP_500_AFTER_COMMIT, times=2),
    fault(Story.LABEL, _CARD, _REFUND, FaultKind.REFUSE, code="charge_disputed", ends_alike=False),
    fault(Story.AUTHORISED, _CARD, "payment_intent.cancel", FaultKind.PAY, ends_alike=False),
    fault(Story.LABEL, _PARCEL, Operation.SHIPMENT_REFUND, CarrierFault.DROP_AFTER_COMMIT),
    fault(Story.APPROVAL_REFUSED, _NEW_LABEL, Operation.SHIPMENT_BUY, CarrierFault.HTTP_500_AFTER_COMMIT),
    fault(Story.INTERCEPTED, _PARCEL, Operation.INTERCEPT_RETURN, CarrierFault.HTTP_401),
    fault(Story.INTERCEPTED, _PARCEL, Operation.INTERCEPT_RETURN, CarrierFault.HTTP_401, times=4),
    fault(Story.LABEL, _PARCEL, Operation.SHIPMENT_REFUND, CarrierFault.HTTP_401),
    ActCase(story=Story.LABEL, act=Act.REFUND_ALL, number=2),
    ActCase(story=Story.LABEL, act=Act.DISPUTE_AND_LOSE, number=3),
    ActCase(story=Story.ONE_LINE_OF_TWO, act=Act.REFUND_A_PART, number=9),
    ActCase(story=Story.LABEL, act=Act.EARLIER_REFUND_FAILS, number=3),
    ActCase(story=Story.LABEL, act=Act.EARLIER_REFUND_FAILS, number=99),
    ExpiredCase(fault=_LOST),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_fault_at_a_counterpart_breaks_nothing(real_time_system: System, case: AnyCase) -> None:
    story = case.fault.story if isinstance(case, ExpiredCase) else case.story
    outcome = Outcome.ROLLED_BACK if story is Story.APPROVAL_REFUSED else Outcome.CANCELLED
    undisturbed = Undisturbed(story=story, calls=(), outcomes=(outcome.value,))
    async with listening(real_time_system, HeardCalls()) as counterparts:
        result = await run_case(counterparts, case, {story: undisturbed})
    assert result.hit
    assert result.violations == ()


def test_a_read_meets_no_fault_that_only_a_write_can_meet() -> None:
    reading = Calls(story=Story.LABEL, target=_CARD, operation="payment_intent.retrieve", count=2)
    kinds = {case.fault.kind for case in cases_of(reading)}
    assert FaultKind.DROP_AFTER_COMMIT not in kinds
    assert {case.number for case in cases_of(reading)} == {1, 2}
