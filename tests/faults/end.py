"""How a cancellation ended, in words in which two orders of one story can be compared: without ids and times."""

from domain.base import Value
from domain.keys import EffectKey
from tests.faults.model import AtGateway, ParcelNow, World
from tests.system import System


class End(Value):
    outcomes: tuple[str, ...]
    run: str
    order: tuple[str, ...]
    money: tuple[str, ...]
    parcels: tuple[str, ...]
    ledger: tuple[str, ...]
    notices: tuple[str, ...]

    def differences(self, other: "End") -> list[str]:
        mine, others = self.model_dump(), other.model_dump()
        return [f"{name}: {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]


async def read_end(system: System, world: World) -> End:
    notices = await system.notices(world.order.order_id)
    return End(
        outcomes=tuple(str(found.outcome) for found in world.cancellations),
        run=f"{world.run.status} {world.run.state} {world.run.outcome} {world.run.refunded}" if world.run else "none",
        order=(*(f"{units} gone" for _, units in world.cancelled), f"held by {world.held_by}"),
        money=tuple(sorted(_describe_effect(effect, world.order.order_id) for effect in world.money)),
        parcels=tuple(_describe_parcel(parcel) for parcel in world.parcels),
        ledger=tuple(sorted(f"{entry.debit} {entry.credit} {entry.amount} {entry.currency}" for entry in world.ledger)),
        notices=tuple(sorted(f"{notice.kind.value} {notice.amount}" for notice in notices)),
    )


def _describe_effect(effect: AtGateway, order_id: str) -> str:
    """A marketplace's line is named after its order."""
    key = EffectKey.read(effect.key)
    by = "others" if effect.by_others else _describe_key(key).replace(order_id, "order") if key else "the process"
    return f"{effect.kind} {effect.amount} of {effect.tender_id} by {by}"


def _describe_parcel(parcel: ParcelNow) -> str:
    """Where it goes. A stop that was taken back is the same as none: which of them it was is a matter of the moment."""
    now = parcel.model_dump(exclude={"shipment", "bought_again", "effects"})
    return f"{parcel.shipment.shipment_id} {now}"


def _describe_key(key: EffectKey) -> str:
    return f"{key.step.value}/{key.target}/{key.n}.{key.part}"
