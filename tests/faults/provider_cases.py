"""What can go wrong at the counterparts: every call that an undisturbed story makes, with every fault that it can meet."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from domain.base import Value
from domain.keys import EffectKey, id_of
from domain.order import TenderKind
from domain.step import StepName
from providers.carrier.easypost import reference_for
from sandbox.carrier.model import EffectKind as CarrierEffect
from sandbox.carrier.model import FaultKind as CarrierFault
from sandbox.carrier.model import Operation
from sandbox.gateway.messages import FaultKind as GatewayFault
from sandbox.gateway.refusals import REFUSALS
from sandbox.marketplace.model import FaultKind as MarketplaceFault
from sandbox.marketplace.model import Operation as SaleOperation
from sandbox.shop import request
from tests.faults.staff import Staff
from tests.faults.stories import Story
from tests.system import System


class Provider(StrEnum):
    GATEWAY = "gateway"
    CARRIER = "carrier"
    MARKETPLACE = "marketplace"


class Target(Value):
    """What calls are about: a tender, a parcel, or the label that is bought in place of a parcel's."""

    provider: Provider
    name: str
    bought_again: bool = False

    def __str__(self) -> str:
        return f"{self.name}-again" if self.bought_again else self.name


class Calls(Value):
    """How often an undisturbed story calls an operation about a target."""

    story: Story
    target: Target
    operation: str
    count: int


class ProviderFault(Value):
    """`kind` is a word of the provider's stand-in. `code` is how a call is refused. `times` such calls meet it, one after
    another. `ends_alike`: the cancellation ends as if nothing had happened."""

    kind: str
    code: str | None = None
    seconds: float = 3
    times: int = 1
    ends_alike: bool = True

    def __str__(self) -> str:
        word = f"{self.kind}={self.code}" if self.code else self.kind
        return f"{word}-{self.seconds:g}s*{self.times}" if self.kind == "slow" else f"{word}*{self.times}"


class ProviderCase(Value):
    """The `number`th call of an operation, and those after it, meet the fault."""

    story: Story
    target: Target
    operation: str
    number: int
    fault: ProviderFault

    def __str__(self) -> str:
        return f"{self.story}/{self.target}/{self.operation}#{self.number}/{self.fault}"


GIVEN_UP = 11
"""Seconds after which each adapter has given up a call: such a provider hangs."""
_A_ROUND = 10
"""So many attempts are more than one round of a step has."""

_READS = {
    "payment_intent.retrieve",
    "payment_intent.list",
    "refund.list",
    "refund.retrieve",
    "dispute.list",
    Operation.SHIPMENT_READ,
    Operation.TRACKER_READ,
    Operation.INTERCEPT_ELIGIBILITY,
    Operation.EVENT_LIST,
    Operation.EVENT_PAYLOADS,
    SaleOperation.ORDERS_READ,
}
_ONE_WORD = "expired_card"
_ONLY_AFTER_A_WRITE = {"drop_after_commit", "http_500_after_commit"}
"""To the caller of a read they are what happens before."""

_SPECIAL: Mapping[str, Sequence[ProviderFault]] = {
    "refund.create": (
        *(ProviderFault(kind="refuse", code=code, ends_alike=False) for code in REFUSALS),
        ProviderFault(kind="pending_insufficient_funds"),
        ProviderFault(kind="requires_action", ends_alike=False),
    ),
    "payment_intent.cancel": (ProviderFault(kind="expire"), ProviderFault(kind="pay", ends_alike=False)),
    "payment_intent.capture": (ProviderFault(kind="expire"),),
    "payment_intent.create": (ProviderFault(kind="refuse", ends_alike=False),),
}
_KINDS: Mapping[Provider, Sequence[str]] = {
    Provider.GATEWAY: (
        GatewayFault.SLOW,
        GatewayFault.HTTP_429,
        GatewayFault.DROP_BEFORE_COMMIT,
        GatewayFault.DROP_AFTER_COMMIT,
        GatewayFault.HTTP_500_BEFORE,
        GatewayFault.HTTP_500_AFTER_COMMIT,
    ),
    Provider.CARRIER: tuple(CarrierFault),
    Provider.MARKETPLACE: tuple(MarketplaceFault),
}


def is_read(operation: str) -> bool:
    return operation in _READS


def faults_of(provider: Provider, operation: str) -> Iterator[ProviderFault]:
    """Each once, and as often as a step tries it in a round and beyond."""
    for kind in _KINDS[provider]:
        if operation in _READS and kind in _ONLY_AFTER_A_WRITE:
            continue
        alike = kind != MarketplaceFault.REFUSE
        for times in (1, _A_ROUND):
            yield ProviderFault(kind=kind, times=times, ends_alike=alike)
        if kind == GatewayFault.SLOW:
            for times in (1, _A_ROUND):
                yield ProviderFault(kind=kind, times=times, seconds=GIVEN_UP)
    for fault in _SPECIAL.get(operation, ()) if provider is Provider.GATEWAY else ():
        yield fault
        if fault.code == _ONE_WORD:
            yield fault.model_copy(update={"times": _A_ROUND})


def cases_of(calls: Calls) -> Iterator[ProviderCase]:
    """Every word of a refusal in one story; in the others the same answer in one word."""
    for number in range(1, calls.count + 1):
        for fault in faults_of(calls.target.provider, calls.operation):
            if fault.code not in {None, _ONE_WORD} and calls.story is not Story.LABEL:
                continue
            yield ProviderCase(
                story=calls.story, target=calls.target, operation=calls.operation, number=number, fault=fault
            )


# What an order has at the counterparts


def targets_of(staff: Staff) -> list[Target]:
    order = staff.watched.order
    targets = [
        Target(
            provider=Provider.MARKETPLACE if tender.kind is TenderKind.MARKETPLACE else Provider.GATEWAY,
            name=tender.tender_id,
        )
        for tender in order.tenders
        if tender.kind in {TenderKind.CARD, TenderKind.MARKETPLACE}
    ]
    for parcel in order.shipments:
        if parcel.label_reference:
            targets += [
                Target(provider=Provider.CARRIER, name=parcel.shipment_id, bought_again=again)
                for again in (False, True)
            ]
    return targets


def reference_of(staff: Staff, target: Target) -> str:
    """The counterpart's name of it; of a label that is not bought yet, the reference that it will have."""
    order = staff.watched.order
    if target.bought_again:
        cancellation_id = id_of(request(staff.sample, *staff.course.scope))
        return reference_for(str(EffectKey(cancellation_id, StepName.RESUME_SHIPMENT, target.name, 1)))
    if target.provider is Provider.CARRIER:
        return next(parcel.label_reference or "" for parcel in order.shipments if parcel.shipment_id == target.name)
    return next(tender.reference for tender in order.tenders if tender.tender_id == target.name)


async def read_calls(system: System, staff: Staff, target: Target) -> dict[str, int]:
    """How often each operation was called about it so far."""
    shop, reference = system.shop, reference_of(staff, target)
    match target.provider:
        case Provider.GATEWAY:
            return await shop.gateway.calls(reference)
        case Provider.MARKETPLACE:
            assert shop.marketplace is not None
            return await shop.marketplace.calls(reference)
    calls = await shop.carrier.calls(reference)
    if target.bought_again:
        bought = [
            effect.object
            for effect in await shop.carrier.effects()
            if effect.kind is CarrierEffect.LABEL_BOUGHT and effect.key == reference
        ]
        for label in bought:
            for operation, count in (await shop.carrier.calls(label)).items():
                calls[operation] = calls.get(operation, 0) + count
    return calls


async def add_fault(system: System, staff: Staff, case: ProviderCase) -> None:
    shop, reference, fault = system.shop, reference_of(staff, case.target), case.fault
    after = case.number - 1
    match case.target.provider:
        case Provider.GATEWAY:
            await shop.gateway.add_fault(
                case.operation,
                GatewayFault(fault.kind),
                payment=reference,
                times=fault.times,
                after=after,
                seconds=fault.seconds,
                code=fault.code,
            )
        case Provider.CARRIER:
            await shop.carrier.add_fault(
                Operation(case.operation),
                CarrierFault(fault.kind),
                parcel=reference,
                times=fault.times,
                after=after,
                seconds=round(fault.seconds),
            )
        case Provider.MARKETPLACE:
            assert shop.marketplace is not None
            await shop.marketplace.add_fault(
                SaleOperation(case.operation),
                MarketplaceFault(fault.kind),
                order_id=reference,
                times=fault.times,
                after=after,
            )


async def take_back_faults(system: System, staff: Staff, case: ProviderCase) -> int:
    """So many calls have met the fault, and none will meet it any more: what happened is read by the same calls."""
    met = case.fault.times - await _read_faults_left(system, staff, case)
    if case.target.provider is Provider.CARRIER:
        await system.shop.carrier.clear_faults(reference_of(staff, case.target))
    return met


async def _read_faults_left(system: System, staff: Staff, case: ProviderCase) -> int:
    shop, reference = system.shop, reference_of(staff, case.target)
    match case.target.provider:
        case Provider.GATEWAY:
            return await shop.gateway.faults_left(reference)
        case Provider.CARRIER:
            return await shop.carrier.faults_left(reference)
        case Provider.MARKETPLACE:
            assert shop.marketplace is not None
            called = (await shop.marketplace.calls(reference)).get(case.operation, 0)
            return case.fault.times - max(min(called - case.number + 1, case.fault.times), 0)
