"""What is true of a parcel: by its carrier, by the order management system, and of a gift card by its account."""

from collections.abc import Sequence

from domain.order import Order
from domain.shipment import LabelStatus, Shipment, Tracking
from sandbox.carrier.model import Effect as CarrierEffect
from sandbox.carrier.model import EffectKind as CarrierKind
from sandbox.carrier.model import Operation
from tests.faults.model import DoneToParcel, ParcelNow
from tests.faults.shop import DEACTIVATED, read_gift_card
from tests.system import System


async def read_parcel(system: System, now: Order, parcel: Shipment, carrier: Sequence[CarrierEffect]) -> ParcelNow:
    """Its labels are those that the carrier has sold for its address, under whatever key."""
    in_oms = next((found for found in now.shipments if found.shipment_id == parcel.shipment_id), None)
    labels = _labels_of(parcel, carrier)
    effects = [effect for effect in carrier if effect.object in labels and not _is_first_label(effect, parcel)]
    tracks = [await system.labels.track(label) for label in labels]
    tracked = tracks[-1] if tracks else None
    kinds = [effect.kind for effect in effects if effect.object == labels[-1]] if labels else []
    card = await read_gift_card(system, parcel.gift_card) if parcel.gift_card else ()
    return ParcelNow(
        shipment=parcel,
        stopped=in_oms is not None and in_oms.stopped,
        group=tracked.group if tracked else None,
        voided=CarrierKind.VOID_SUBMITTED in kinds or (tracked is not None and tracked.label is LabelStatus.VOIDED),
        intercepted=kinds.count(CarrierKind.INTERCEPT_REQUESTED) > kinds.count(CarrierKind.INTERCEPT_CANCELLED),
        deactivated=bool(card) and card[-1].kind == DEACTIVATED,
        effects=(
            *card,
            *(DoneToParcel(kind=effect.kind.value, at=effect.really_at) for effect in effects),
            *_voids_without_effect(labels, tracks, effects),
        ),
        asked_to_stop=await _count_stops(system, parcel) if parcel.carrier not in {None, "UPS"} else 0,
    )


async def _count_stops(system: System, parcel: Shipment) -> int:
    """UPS does not know what is another carrier's: it is asked by the number."""
    carrier = system.shop.carrier
    by_label = await carrier.calls(parcel.label_reference) if parcel.label_reference else {}
    by_number = await carrier.calls(parcel.tracking_number) if parcel.tracking_number else {}
    return by_label.get(Operation.SHIPMENT_REFUND, 0) + by_number.get(Operation.INTERCEPT_RETURN, 0)


def read_parcel_effects(parcel: Shipment, carrier: Sequence[CarrierEffect]) -> ParcelNow:
    """What its carrier lists, and nothing else of it."""
    labels = _labels_of(parcel, carrier)
    effects = [effect for effect in carrier if effect.object in labels and not _is_first_label(effect, parcel)]
    return ParcelNow(
        shipment=parcel,
        stopped=False,
        group=None,
        effects=tuple(DoneToParcel(kind=effect.kind.value, at=effect.really_at) for effect in effects),
    )


def _labels_of(parcel: Shipment, carrier: Sequence[CarrierEffect]) -> list[str]:
    """That which it had, and those that were bought for its address since."""
    bought = [effect for effect in carrier if effect.kind is CarrierKind.LABEL_BOUGHT]
    address = next((effect.address for effect in bought if effect.object == parcel.label_reference), None)
    same = [effect.object for effect in bought if address is not None and effect.address == address]
    again = [label for label in same if label != parcel.label_reference]
    return [label for label in (parcel.label_reference, *again) if label]


def _is_first_label(effect: CarrierEffect, parcel: Shipment) -> bool:
    return effect.kind is CarrierKind.LABEL_BOUGHT and effect.object == parcel.label_reference


def _voids_without_effect(
    labels: Sequence[str], tracks: Sequence[Tracking], effects: Sequence[CarrierEffect]
) -> list[DoneToParcel]:
    """A label that is only charged on its use is voided by nobody's using it: the carrier has nothing to pay back, and
    lists no effect."""
    listed = {effect.object for effect in effects if effect.kind is CarrierKind.VOID_SUBMITTED}
    return [
        DoneToParcel(kind=CarrierKind.VOID_SUBMITTED.value)
        for label, track in zip(labels, tracks, strict=True)
        if track.label is LabelStatus.VOIDED and label not in listed
    ]
