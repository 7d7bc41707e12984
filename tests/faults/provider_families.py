"""The families of cases of tests/faults/providers.py: every call with every fault, acts of others, and forgotten keys."""

from collections.abc import Sequence
from enum import StrEnum

from domain.base import Value
from sandbox.gateway.messages import FaultKind
from tests.faults.meddling import Act, ActCase
from tests.faults.provider_cases import Calls, Provider, ProviderCase, ProviderFault, cases_of, is_read
from tests.faults.stories import Story

_LOSSES = (
    FaultKind.DROP_BEFORE_COMMIT,
    FaultKind.DROP_AFTER_COMMIT,
    FaultKind.HTTP_500_BEFORE,
    FaultKind.HTTP_500_AFTER_COMMIT,
)


class Family(StrEnum):
    FAULTS = "faults"
    ACTS = "acts"
    EXPIRED = "expired"


class Undisturbed(Value):
    """What a story comes to when nothing happens."""

    story: Story
    calls: tuple[Calls, ...]
    outcomes: tuple[str, ...]


class ExpiredCase(Value):
    """An answer to a write is lost, and the gateway has forgotten its key when the process asks again."""

    fault: ProviderCase

    def __str__(self) -> str:
        return f"{self.fault}/key-forgotten"


AnyCase = ProviderCase | ActCase | ExpiredCase


def all_cases(undisturbed: Sequence[Undisturbed], families: Sequence[Family]) -> list[AnyCase]:
    cases: list[AnyCase] = []
    for found in undisturbed:
        for calls in found.calls:
            if Family.FAULTS in families:
                cases += cases_of(calls)
            if Family.EXPIRED in families:
                cases += _expired_cases(calls)
        heard = sum(calls.count for calls in found.calls if calls.target.provider is Provider.GATEWAY)
        if Family.ACTS in families and heard:
            cases += [
                ActCase(story=found.story, act=act, number=number) for act in Act for number in range(1, heard + 2)
            ]
    return cases


def _expired_cases(calls: Calls) -> list[ExpiredCase]:
    if calls.target.provider is not Provider.GATEWAY or is_read(calls.operation):
        return []
    return [
        ExpiredCase(
            fault=ProviderCase(
                story=calls.story,
                target=calls.target,
                operation=calls.operation,
                number=number,
                fault=ProviderFault(kind=loss),
            )
        )
        for number in range(1, calls.count + 1)
        for loss in _LOSSES
    ]


def family_of(case: AnyCase) -> Family:
    match case:
        case ProviderCase():
            return Family.FAULTS
        case ActCase():
            return Family.ACTS
        case ExpiredCase():
            return Family.EXPIRED


def fault_of(case: AnyCase) -> str:
    match case:
        case ProviderCase():
            return case.fault.kind
        case ActCase():
            return case.act.value
        case ExpiredCase():
            return f"key forgotten after {case.fault.fault.kind}"
