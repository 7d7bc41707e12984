"""Draws orders whose money others move at a moment that matters."""

from domain.money import Money
from domain.order import OrderFlag, TenderKind
from domain.outcome import State
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleTender
from tests.faults.drawing_orders import OLD, OrderDraw
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

    def draw_reserved(self, order_id: str) -> SampleOrder:
        """One that waits for an approval, of which all is reserved, and may be captured in parts."""
        sample = self.draw_sample(order_id)
        if sample.tenders[0].kind is TenderKind.MARKETPLACE:
            return sample
        paid = Money.total((tender.amount for tender in sample.tenders), sample.currency)
        none = Money.zero(sample.currency)
        tender = SampleTender(amount=paid, captured=none, mandate=self._happens(0.6), multicapture=True)
        return sample.model_copy(update={"age": OLD, "tenders": (tender,)})

    def draw_rolled_back(self, sample: SampleOrder) -> tuple[Act, ...]:
        """A part is captured before the rest is released. The order cannot be closed then, and is rolled back."""
        waits = Moment(state=State.WAITING_FOR_APPROVAL)
        [tender, *_] = sample.tenders
        part = self._share(tender.amount, self._number(1, 9), 10)
        capture = Act(kind=ActKind.CAPTURED_BY_OTHERS, when=waits, amount=part)
        return (Act(kind=ActKind.LOCK, when=Moment()), *((capture,) if part and tender.captured is not None else ()))
