"""The orders port: the merchant's order management system (OMS).

What the process does to an order is an effect like any other: it is noted in our register before the OMS is called, and
its outcome afterwards. (Two calls are not noted, because repeating them changes nothing: the thaw after a late attempt
has frozen the order, and `note_given_back`.) Every writing method may therefore be called again after a lost answer,
with the same key, and then does nothing that is done already. Each kind of call has a key of its own, which may be used
as an idempotency key where the OMS has such; where it has none, the method looks first. All methods raise `Unavailable`
(nothing happened) when the OMS cannot be reached, and those that write `OutcomeUnknown` (it may have happened) when its
answer was lost.
"""

from collections.abc import Sequence
from typing import Protocol

from domain.base import Value
from domain.closing import Closing
from domain.findings import Finding
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Order


class GivenBack(Value):
    """What has gone back to a tender, for the OMS's own records. `reference` is the provider's, or a person's own."""

    tender_id: str
    reference: str
    amount: Money


class Orders(Protocol):
    is_local: bool
    """It answers within milliseconds, without a network. Only such a system is called within the workflow's own task."""
    restocks_at_once: bool
    """What leaves an order counts as on hand at once, even while it is on its way back. Lines that are on their way back are
    therefore left in the order until they are received."""
    others_can_thaw: bool
    """Somebody else can end the freeze of an order. So a frozen order is read again, like one that cannot be frozen."""

    async def list_findings(self) -> tuple[Finding, ...]:
        """What this order management system can and cannot tell or do, as it is set up now: one finding for each subject.
        Raises what `read` does when it has to ask for that."""
        ...

    async def read(self, order_id: str) -> Order:
        """The order as it is now, with the contact of its customer. What our own cancellations did to it and the OMS does
        not know (`earlier_reversals`, `shipping_credited`, `held_by`) is left out. Refused: ORDER_NOT_FOUND."""
        ...

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        """From now on nobody picks, packs, labels, captures or changes the order. `seen` is the order by which it was
        decided. False: this OMS cannot freeze an order, or this cancellation has thawed or closed the order before, so that
        the call comes too late. Raises Unavailable when the order is not as it was `seen`, so that it is read and decided
        about again, and when somebody else has frozen it."""
        ...

    async def thaw(self, order_id: str, *, key: EffectKey) -> None:
        """Let the order go on. This cancellation cannot freeze it again. Does nothing when the order is gone."""
        ...

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        """Take a shipment out of the warehouse's work. Refused: SHIPMENT_NOT_STOPPABLE once it is labelled or gone."""
        ...

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        """Give a withdrawn shipment back to the warehouse. Does nothing when it was not withdrawn, or is gone."""
        ...

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: EffectKey
    ) -> None:
        """Record the label that replaces a voided one; the shipment goes on. Refused: STOP_NOT_UNDOABLE when the order has
        no such shipment."""
        ...

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey) -> None:
        """The order is paid by another payment from now on: its old authorisation was released, and reserved again. It pays
        for every tender that was on the old one. Refused: PAYMENT_NOT_FOUND when the order has no such tender."""
        ...

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        """Cancel the fulfilments, then the lines: bring each to its target in `closing`. Release the promise or announce the
        restock, and let what remains of the order go on. `before` is how the order was closed last; None: it is closed for
        the first time. It is closed again when a parcel has turned out otherwise. Refused: ORDER_LOCKED; ORDER_CHANGED when
        others have taken units out of a line meanwhile."""
        ...

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        """Record what has gone back to the customer, each once by its reference. It moves no money. The list is all of what
        this cancellation gives back: what it noted before and is not in the list has failed since, and is removed."""
        ...
