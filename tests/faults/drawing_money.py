"""Draws orders whose money others move at a moment that matters."""

from domain.money import Money
from domain.order import OrderFlag
from domain.outcome import State
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleTender
from tests.faults.drawing_orders import OrderDraw
from tests.faults.plan import Act, ActKind, Moment


class MoneyDraw(OrderDraw):
    def draw_suspects(self, order_id: str) -> SampleOrder:
        """Of a suspect, whose money was reserved, all of it or a part; it is on its way, and its carrier says nothing."""
        sample = self.draw_packed(order_id)
        [parcel] = sample.parcels
        paid = Money.total((line.total for line in sample.lines), sample.currency)
        captured = self._share(paid, self._one((0, 0, 0, 3)), 10)
        return sample.model_copy(
            update={
                "flags": frozenset({OrderFlag.FRAUD_REVIEW}),
                "tenders": (SampleTender(amount=paid, captured=captured),),
                "parcels": (parcel.model_copy(update={"script": Script.INTERCEPT_SILENT}),),
            }
        )

    def draw_capture(self) -> Act:
        """While its carrier is waited for."""
        return Act(kind=ActKind.CAPTURED_BY_OTHERS, when=Moment(state=State.WAITING_FOR_CARRIER), beyond=True)
