"""The smallest kind of order management system: it shows its orders and takes units out of them. Whoever connects one writes
`read` and `close`, and one more method for each thing that it can do besides."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from domain.closing import Closing
from domain.errors import ErrorCode, Refused
from domain.findings import Finding, Subject
from domain.keys import EffectKey
from domain.order import Order
from providers.orders.port import GivenBack


class PlainOrders(ABC):
    """See providers/orders/port.py for what each method promises. Here: nothing can be frozen, no pick can be
    withdrawn, and new labels, new payments and refunds are not recorded."""

    is_local = False
    restocks_at_once = False
    others_can_thaw = True
    told_by_read: frozenset[Subject] = frozenset()
    """Which of LABELS, SALE_CONDITIONS and FLAGS are in the orders that it reads."""

    async def list_findings(self) -> tuple[Finding, ...]:
        """By the methods that the adapter has written, and by the attributes above. Its `close` is taken to be as
        docs/providers.md asks."""
        own, plain = type(self), PlainOrders
        known = {
            Subject.FREEZING: own.freeze is not plain.freeze,
            Subject.PICKS: own.withdraw_pick is not plain.withdraw_pick,
            Subject.GIVEN_BACK: own.note_given_back is not plain.note_given_back,
            Subject.REPLACED_PAYMENTS: own.replace_payment is not plain.replace_payment,
            Subject.GOODS_COMING_BACK: not self.restocks_at_once,
            Subject.STOCK: True,
            Subject.CONCURRENT_CLOSES: True,
        }
        return tuple(Finding.of(subject, known=known.get(subject, subject in self.told_by_read)) for subject in Subject)

    @abstractmethod
    async def read(self, order_id: str) -> Order: ...

    @abstractmethod
    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None: ...

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        return False

    async def thaw(self, order_id: str, *, key: EffectKey) -> None:
        return  # nothing was frozen

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        raise Refused(
            ErrorCode.SHIPMENT_NOT_STOPPABLE,
            f"Shipment {shipment_id} of order {order_id} has no label, and this order management system cannot withdraw it. "
            "Have the warehouse put it aside and ask again.",
        )

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        return  # nothing was withdrawn

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: EffectKey
    ) -> None:
        raise Refused(
            ErrorCode.STOP_NOT_UNDOABLE,
            f"The new label {label_reference} ({tracking_number}) of shipment {shipment_id} cannot be recorded in this "
            f"order management system. Send order {order_id} on with it and resolve the step.",
        )

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey) -> None:
        raise Refused(
            ErrorCode.PAYMENT_NOT_FOUND,
            f"Order {order_id} is paid by {reference} from now on (tender {tender_id}), which cannot be recorded in this "
            "order management system. Note it there and resolve the step.",
        )

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        return  # nothing is recorded
