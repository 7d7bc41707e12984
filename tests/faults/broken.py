"""Worlds that are broken, made from a sound one; and what has to see them."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.money import Money
from domain.outcome import Outcome
from domain.request import LineScope
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults.invariants import violations
from tests.faults.model import (
    REFUNDED,
    RELEASED,
    RESERVED,
    SETTLED,
    AtGateway,
    Check,
    Invariant,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id

Change = Callable[[World], World]

L2 = LineScope(line_id="L2", quantity=1)


@dataclass(frozen=True)
class Broken:
    """One check, and a change of a sound world that this check sees, whatever the others see of it."""

    check: Check
    invariant: Invariant
    change: Change

    def assert_seen_in(self, sound: World) -> None:
        assert violations(sound, [self.check]) == []
        found = violations(self.change(sound), [self.check])
        assert {violation.invariant for violation in found} == {self.invariant}
        assert all(sound.order.order_id in str(violation) for violation in found)


def two_lines() -> SampleOrder:
    lines = (line("L1", 2, "40.00 USD"), line("L2", 1, "24.00 USD"))
    return SampleOrder(
        order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=(parcel(Script.LABEL_ONLY, L1=2, L2=1),)
    )


async def cancelled(system: System, *scope: LineScope) -> World:
    order = await system.shop.place_order(sample := two_lines())
    await system.cancel(request(sample, *scope))
    return await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))


def another_refund(world: World, **changes: object) -> World:
    [refund] = [effect for effect in world.money if effect.kind == REFUNDED]
    return world.model_copy(update={"money": (*world.money, refund.model_copy(update=changes))})


def given_back(world: World, amount: int) -> World:
    """By one refund of so much, and by the books."""
    money = tuple(
        effect.model_copy(update={"amount": amount}) if effect.kind in {REFUNDED, SETTLED} else effect
        for effect in world.money
    )
    refunded = Money(amount=amount, currency=world.currency)
    found = tuple(recorded.model_copy(update={"refunded": refunded}) for recorded in world.cancellations)
    return world.model_copy(update={"money": money, "cancellations": found})


def by_others(world: World, kind: str = REFUNDED, amount: int = 6400) -> World:
    """Once everything else is done."""
    at = max(effect.at for effect in world.money)
    theirs = {"kind": kind, "tender_id": "T1", "object_id": f"of-{kind}", "amount": amount, "key": None, "at": at}
    effect = AtGateway.model_validate({**theirs, "by_others": True})
    return world.model_copy(update={"money": (*world.money, effect)})


def with_run(world: World, **changes: object) -> World:
    assert world.run is not None
    return world.model_copy(update={"run": world.run.model_copy(update=changes)})


def with_parcel(world: World, **changes: object) -> World:
    [one] = world.parcels
    return world.model_copy(update={"parcels": (one.model_copy(update=changes),)})


def undone(world: World, **changes: object) -> World:
    """Nothing was cancelled, by the register and by the order."""
    undone = {"outcome": Outcome.ROLLED_BACK, "refunded": None, "released": None}
    found = tuple(recorded.model_copy(update=undone) for recorded in world.cancellations)
    return world.model_copy(update={"cancellations": found, "cancelled": (), **changes})


def released(world: World, *more: str) -> World:
    """By us; and so many payments are made in its place."""
    [tender] = world.order.tenders
    key = "can-1/reverse_payment/T1/1.void"
    void = AtGateway(kind=RELEASED, tender_id="T1", object_id=tender.reference, amount=6400, key=key)
    made = [AtGateway(kind=RESERVED, tender_id="T1", object_id=name, amount=6400, key=None) for name in more]
    return undone(world, money=(void, *made), paid_with=(("T1", more[-1] if more else tender.reference),))


def with_said(world: World, **changes: object) -> World:
    return world.model_copy(update={"said": (*world.said, Said.model_validate(changes))})


def with_lines(world: World, **gone: int) -> World:
    """So many units have left the order, and no others."""
    return world.model_copy(update={"cancelled": tuple(gone.items())})
