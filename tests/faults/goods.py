"""The goods, what was done to them, and the compensations: I2, I5 and I9."""

from collections import Counter
from collections.abc import Iterator

from domain.keys import EffectKey
from domain.shipment import GoodsGroup
from domain.step import StepName
from tests.faults.model import Invariant, ParcelNow, Verb, World


def goods_and_money_agree(world: World) -> Iterator[tuple[Invariant, str]]:
    """No parcel whose money went back goes on to the customer without a person having said something about it."""
    if world.is_open or not world.carried_out:
        return
    refunded = Counter(dict(world.cancelled))
    for parcel in world.parcels:
        parts = parcel.shipment.lines
        kept = {line.line_id: line.quantity - refunded[line.line_id] for line in world.order.lines}
        all_go = all(part.quantity > kept.get(part.line_id, 0) for part in parts)
        if all_go and reaches_customer(parcel) and not _was_said_of(world, parcel):
            yield Invariant.GOODS, f"parcel {parcel.shipment.shipment_id} goes on, and its money went back"


def only_ups_is_asked_to_stop(world: World) -> Iterator[tuple[Invariant, str]]:
    """What another carrier has on its way nobody can stop: its lines stay in the order, and nothing else waits for it. By
    what the carriers were called for; and by the notes, because one may be to be stopped and never be asked about."""
    noted = [EffectKey.read(key) for recorded in world.cancellations for key in recorded.noted]
    stopped = {key.target for key in noted if key is not None and key.step is StepName.STOP_SHIPMENT}
    for parcel in world.parcels:
        name, carrier = parcel.shipment.shipment_id, parcel.shipment.carrier
        asked = parcel.asked_to_stop > 0 or name in stopped
        if asked and name in world.handed_over and carrier not in {None, "UPS"}:
            yield Invariant.GOODS, f"parcel {name} is on its way with {carrier}, and was to be stopped there"


def reaches_customer(parcel: ParcelNow) -> bool:
    """Whether nothing keeps it from the customer. A gift card can be used until it is deactivated, and what has a label is
    where its carrier says, whatever the order management system shows."""
    if parcel.shipment.gift_card:
        return not parcel.deactivated
    if parcel.group is None:
        return not parcel.stopped
    if parcel.group is GoodsGroup.NOT_HANDED_OVER:
        return not parcel.voided
    moves = parcel.group in {GoodsGroup.LAST_MILE, GoodsGroup.IN_NETWORK} and not parcel.intercepted
    return moves or parcel.group is GoodsGroup.DELIVERED


def _was_said_of(world: World, parcel: ParcelNow) -> bool:
    return world.has_said(Verb.DONE_BY_HAND, Verb.NOTHING_DUE, target=parcel.shipment.shipment_id)


def undone_goods_move_again(world: World) -> Iterator[tuple[Invariant, str]]:
    if world.is_open or world.carried_out:
        return
    for parcel in world.parcels:
        standing = parcel.stopped or parcel.deactivated or (parcel.voided and not parcel.bought_again)
        kept = standing and parcel.group in {None, GoodsGroup.NOT_HANDED_OVER}
        returning = parcel.intercepted and parcel.group not in {GoodsGroup.DELIVERED, GoodsGroup.LOST}
        if (kept or returning) and not _was_said_of(world, parcel):
            yield Invariant.GOODS, f"parcel {parcel.shipment.shipment_id} stays stopped although nothing was cancelled"


_STOPPED_BY = {
    "label.void_submitted": "label.bought",
    "label.voided": "label.bought",
    "intercept.requested": "intercept.cancelled",
    "gift_card.deactivated": "gift_card.activated",
}
"""What carriers and gift cards do to a parcel, and what undoes it."""


def once_per_parcel(world: World) -> Iterator[tuple[Invariant, str]]:
    """By carriers and gift cards. What was undone may be done again."""
    for parcel in world.parcels:
        times = _count_effects(parcel)
        for done, undo in _STOPPED_BY.items():
            if times[done] > 1 + times[undo]:
                yield (
                    Invariant.ONCE,
                    f"{times[done]} × {done} of parcel {parcel.shipment.shipment_id}, and {times[undo]} × {undo}",
                )


def undone_at_most_once(world: World) -> Iterator[tuple[Invariant, str]]:
    for parcel in world.parcels:
        times = _count_effects(parcel)
        for done, undo in _STOPPED_BY.items():
            if times[undo] > times[done] and done != "label.voided":  # which takes weeks
                yield (
                    Invariant.COMPENSATION,
                    f"{times[undo]} × {undo} of parcel {parcel.shipment.shipment_id}, and {times[done]} × {done}",
                )


def _count_effects(parcel: ParcelNow) -> Counter[str]:
    return Counter(effect.kind for effect in parcel.effects)


_CLOSED_ANEW_FOR = frozenset({"reopened", "parcel_found", "parcel_received", "settled_by_hand", "nothing_due"})


def once_at_the_shop(world: World) -> Iterator[tuple[Invariant, str]]:
    """Each effect of a cancellation on one thing, less what was undone of it. A closed order is closed anew for what has
    changed since: that something has, the register says. What leaves the order by it is compared with the money."""
    for recorded in world.cancellations:
        mine = [effect for effect in world.at_shop if effect.cancellation_id == recorded.cancellation_id]
        times = Counter((effect.kind, effect.target) for effect in mine)
        anew = sum(fact in _CLOSED_ANEW_FOR for fact in recorded.facts)
        if "order_closed" in recorded.facts:
            anew += recorded.facts[recorded.facts.index("order_closed") :].count("stop_seen")
        for (kind, target), count in times.items():
            most = {
                "withdraw_pick": 1 + times["resume_pick", target],
                "resume_pick": times["withdraw_pick", target],
                "close_order": 1 + anew,
                "thaw": 1 + anew,
            }
            if count > most.get(kind, count):
                yield Invariant.ONCE, f"{count} × {kind} of {target} by {recorded.cancellation_id}"
        for (kind, reference), count in Counter((effect.kind, effect.reference) for effect in mine).items():
            if reference is not None and count > 1:
                yield Invariant.ONCE, f"{count} × {kind} with {reference} by {recorded.cancellation_id}"
