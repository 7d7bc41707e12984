"""Goods: where a shipment is, and what the carrier answered."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.base import Rare, Value
from domain.units import units_by_line


class GoodsGroup(StrEnum):
    """Where the goods are, as far as a cancellation cares."""

    NOT_HANDED_OVER = "not_handed_over"
    IN_NETWORK = "in_network"
    LAST_MILE = "last_mile"
    DELIVERED = "delivered"
    COMING_BACK = "coming_back"
    RETURNED = "returned"
    LOST = "lost"
    UNKNOWN = "unknown"


class LabelStatus(StrEnum):
    """`void_submitted` is enough to go on: the carrier confirms a void up to 30 days later."""

    NONE = "none"
    ACTIVE = "active"
    VOID_SUBMITTED = "void_submitted"
    VOIDED = "voided"
    VOID_REJECTED = "void_rejected"


class ShipmentLine(Value):
    line_id: str
    quantity: Annotated[int, Field(ge=1)]


class Shipment(Value):
    """A parcel of an order, as the OMS knows it. Without a label (`label_reference` None) nobody can be asked where it is:
    then it is where the OMS says (`group`), or still in the warehouse. With a `gift_card` (its account) it is a delivery by
    mail: gift cards that the customer bought."""

    shipment_id: str
    lines: tuple[ShipmentLine, ...]
    carrier: str | None = None
    label_reference: str | None = None
    tracking_number: str | None = None
    gift_card: str | None = None
    stopped: bool = False
    group: Rare[GoodsGroup] = None

    @property
    def has_left(self) -> bool:
        """The OMS says that it has left the warehouse."""
        return self.group not in {None, GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}

    # Rule: A parcel that has left without a known label is not stopped
    @property
    def is_out_of_reach(self) -> bool:
        """It has left the warehouse, and there is no label by which its carrier could be asked to stop it."""
        return self.label_reference is None and self.has_left

    # Rule: A parcel that is packed anew under its number is another one
    def is_packed_anew(self, then: "Shipment") -> bool:
        """Whether its warehouse has bought another label for its number than it had `then`, when it was stopped."""
        return not self.stopped and self.label_reference not in {None, then.label_reference}

    # Rule: Only UPS is asked to stop a parcel that is on its way
    @property
    def can_be_intercepted(self) -> bool:
        """Whether its carrier is asked for intercepts: UPS, by whatever service ("UPSDAP"), or an unknown one."""
        return self.carrier is None or self.carrier.upper().startswith("UPS")

    @property
    def named_by_carrier(self) -> tuple[str, ...]:
        """What the carrier's events call it, as far as the OMS knows that: its label, its tracking number, or both."""
        return tuple(name for name in (self.label_reference, self.tracking_number) if name)

    # Rule: A parcel may hold goods that stay in the order
    def holds_more_than(self, units: Mapping[str, int]) -> bool:
        """Whether it is shared: it holds more than these units, by line, so goods that stay in the order are in it too."""
        return any(packed > units.get(line_id, 0) for line_id, packed in units_by_line(self.lines).items())


class Tracking(Value):
    """The carrier's live truth about one parcel."""

    group: GoodsGroup
    label: LabelStatus
    detail: str = ""
    at: datetime | None = None


class StopAction(StrEnum):
    """How a shipment is stopped, by where it is. `none`: in a plan, it comes back or is lost; of a stop, a person has said
    what became of it."""

    WITHDRAW_PICK = "withdraw_pick"
    VOID_LABEL = "void_label"
    INTERCEPT = "intercept"
    DEACTIVATE_GIFT_CARD = "deactivate_gift_card"
    NONE = "none"


class StopStatus(StrEnum):
    """`stopped`: it will not reach the customer. `requested`: the carrier took the request, tracking says the rest.
    `declined`: it goes on to the customer. `lost`: there is nothing to stop. `moving`: it had been stopped, and is on
    its way to the customer all the same."""

    STOPPED = "stopped"
    REQUESTED = "requested"
    COMING_BACK = "coming_back"
    DECLINED = "declined"
    LOST = "lost"
    MOVING = "moving"


class Stop(Value):
    """What stopping one shipment came to. `reference` is the carrier's, where it gave one."""

    shipment_id: str
    action: StopAction
    status: StopStatus
    detail: str = ""
    reference: str | None = None

    @property
    def is_by_hand(self) -> bool:
        """A person has said how it stands."""
        return self.action is StopAction.NONE
