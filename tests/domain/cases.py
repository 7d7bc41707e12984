"""Cases for the domain's tests: a cancellation by the facts of it that matter."""

from collections.abc import Iterable

from domain.case import Case
from domain.decision import Decision, Gate, Rule, Verdict
from domain.facts import (
    Decided,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Entry,
    Fact,
    HolderSet,
    RefundSeen,
    Requested,
    Run,
    StopSeen,
)
from domain.keys import EffectKey, id_of
from domain.money import Money
from domain.order import Tender, TenderKind
from domain.payment import Refund, RefundStatus
from domain.plan import Plan, PlannedLine, PlannedShipment, PlannedTender
from domain.request import Actor, ActorKind, CancellationRequest, ReasonCode
from domain.shipment import GoodsGroup, Stop, StopAction, StopStatus
from domain.step import StepName
from domain.terms import Terms
from tests.domain.build import NOW, parcel, request

ORDER = "1001"
RUN = Run(namespace="shop", run_id="run-1")
CUSTOMER = Actor(kind=ActorKind.CUSTOMER, id="C-1")
CLERK = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="S-1")
OTHER_CLERK = Actor(kind=ActorKind.CUSTOMER_SERVICE, id="S-2")
RISK = Actor(kind=ActorKind.RISK, id="S-3")
SYSTEM = Actor(kind=ActorKind.SYSTEM, id="shop")
CANCELLATION = id_of(request())


def usd(minor: int) -> Money:
    return Money(amount=minor, currency="USD")


def request_by(actor: Actor, request_id: str = "r-2") -> CancellationRequest:
    reason = ReasonCode.NO_LONGER_NEEDED if actor.kind is ActorKind.CUSTOMER else ReasonCode.CANNOT_SHIP
    changes = {"request_id": request_id, "actor": actor, "reason": reason}
    return request().model_copy(update=changes)


def planned_tender(
    tender_id: str = "T1", *, refund: int = 0, release: int = 0, kind: TenderKind = TenderKind.CARD
) -> PlannedTender:
    """What is planned is all that there was, when the plan was made."""
    return PlannedTender(
        tender=Tender(tender_id=tender_id, kind=kind, amount=usd(refund + release), reference=f"ref-{tender_id}"),
        refund=usd(refund),
        release=usd(release),
        refundable=usd(refund),
        capturable=usd(release),
        earlier=(),
        captured=usd(refund),
        refunded=usd(0),
    )


def plan_of(*tenders: PlannedTender, parcels: tuple[str, ...] = (), terms: Terms | None = None) -> Plan:
    """One line in no parcel, worth what the parcels leave; each parcel has a line worth ten dollars."""
    worth = sum((tender.refund + tender.release).amount for tender in tenders)
    lines = [planned_line("L0", worth - 1000 * len(parcels), None)]
    lines += [planned_line(f"L-{parcel_id}", 1000, parcel_id) for parcel_id in parcels]
    return Plan(
        cancellation_id=CANCELLATION,
        order_id=ORDER,
        currency="USD",
        everything=True,
        lines=tuple(lines),
        shipping=usd(0),
        shipments=tuple(
            PlannedShipment(
                shipment=parcel(parcel_id, **{f"L-{parcel_id}": 1}),
                group=GoodsGroup.NOT_HANDED_OVER,
                action=StopAction.VOID_LABEL,
            )
            for parcel_id in parcels
        ),
        tenders=tenders,
        terms=terms or Terms(),
    )


def planned_line(line_id: str, worth: int, shipment_id: str | None) -> PlannedLine:
    return PlannedLine(
        line_id=line_id,
        sku=f"SKU-{line_id}",
        quantity=1,
        amount=usd(worth),
        tax=usd(0),
        shipping=usd(0),
        shipment_id=shipment_id,
    )


def decided(plan: Plan | None, gate: Gate = Gate.NONE) -> Decided:
    verdict = Verdict.NEEDS_APPROVAL if gate is not Gate.NONE else Verdict.APPROVED
    decision = Decision(
        verdict=verdict, rule=Rule.WITHIN_POLICY, policy_version="test", sentence="Approved by policy.", gate=gate
    )
    return Decided(decision=decision, plan=plan, customer_id="C-1")


def entries(facts: Iterable[Fact], *, after: int = 0) -> list[Entry]:
    return [Entry(seq=seq, at=NOW, fact=fact) for seq, fact in enumerate(facts, start=after + 1)]


def opened(
    plan: Plan | None, *facts: Fact, gate: Gate = Gate.NONE, by: CancellationRequest | None = None, run: Run = RUN
) -> Case:
    """A cancellation that was asked for, is held by a run and decided, and what happened since."""
    asked = Requested(request=by or request(), at=NOW)
    return Case(entries([asked, HolderSet(run=run), decided(plan, gate), *facts]))


def key(step: StepName, target: str, n: int = 1, part: str = "") -> EffectKey:
    return EffectKey(CANCELLATION, step, target, n, part)


def noted(step: StepName, target: str, n: int = 1, part: str = "") -> EffectNoted:
    return EffectNoted(key=key(step, target, n, part))


def ended(step: StepName, target: str, n: int = 1, part: str = "", outcome: EffectOutcome | None = None) -> EffectEnded:
    return EffectEnded(key=key(step, target, n, part), outcome=outcome or EffectOutcome.DONE)


def refund_seen(
    amount: int, status: RefundStatus, *, reference: str = "re-1", target: str = "T1", key: EffectKey | None = None
) -> RefundSeen:
    made_under = str(key) if key else None
    refund = Refund(reference=reference, amount=usd(amount), status=status, key=made_under)
    return RefundSeen(target=target, refund=refund)


def stop_seen(shipment_id: str, status: StopStatus, action: StopAction = StopAction.VOID_LABEL) -> StopSeen:
    return StopSeen(stop=Stop(shipment_id=shipment_id, action=action, status=status))
