"""Draws what the shop's people change of orders, in shops that cannot freeze them."""

from domain.money import Money
from domain.order import TenderKind
from domain.outcome import State
from domain.request import CancellationRequest
from domain.step import StepName
from sandbox.shop import SampleOrder, SampleTender
from tests.faults.drawing_orders import OLD, OrderDraw, step_of
from tests.faults.plan import Act, ActKind, Moment, Repricing

_APPROVAL = Moment(state=State.WAITING_FOR_APPROVAL)
_BEFORE = (State.WAITING_FOR_APPROVAL, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION)


class ChangeDraw(OrderDraw):
    def draw_changed(self, order_id: str) -> SampleOrder:
        """One that waits for an approval, and is paid by one card."""
        sample = self.draw_sample(order_id)
        if sample.tenders[0].kind is TenderKind.MARKETPLACE:
            return sample
        paid = Money.total((line.total for line in sample.lines), sample.currency)
        paid += sample.shipping or Money.zero(sample.currency)
        return sample.model_copy(update={"age": OLD, "discount": None, "tenders": (SampleTender(amount=paid),)})

    def draw_changes(self, sample: SampleOrder, request: CancellationRequest) -> tuple[Act, ...]:
        """Of an order that waits for an approval: what it costs, and by what it is paid."""
        if sample.tenders[0].kind is TenderKind.MARKETPLACE:
            return ()
        exchanged = Act(kind=ActKind.PAYMENT_EXCHANGED, when=_APPROVAL)
        kinds = ((exchanged,), self._corrections(sample, request), (exchanged, *self._corrections(sample, request)))
        return (*self._one(kinds), *self.draw_additions(sample))

    def draw_additions(self, sample: SampleOrder) -> tuple[Act, ...]:
        """Another payment; and once a person has answered what became of a change, one more."""
        if sample.tenders[0].kind is TenderKind.MARKETPLACE or self._happens(0.3):
            return ()
        waits = Moment(state=self._one(_BEFORE))
        later = Moment(answered=StepName.CHECK_ORDER)
        first = Act(kind=ActKind.PAYMENT_ADDED, when=waits, amount=self._small(sample))
        return (first, Act(kind=ActKind.PAYMENT_ADDED_LATER, when=later, amount=self._small(sample)))

    def _small(self, sample: SampleOrder) -> Money:
        return Money(amount=self._number(1, 9) * 100, currency=sample.currency)

    def _corrections(self, sample: SampleOrder, request: CancellationRequest) -> tuple[Act, ...]:
        """Of a part of the order, so that its price is what goes back."""
        asked = [part.line_id for part in request.lines]
        others = [line for line in sample.lines if asked and line.line_id != asked[0]]
        if not others:
            return ()
        down = self._one(others)
        most = (down.total - down.tax).amount // 2
        step = step_of(sample.currency)
        least = max(line.quantity for line in sample.lines) * step
        if most < least:
            return ()
        difference = Money(amount=self._number(least, most) // step * step, currency=sample.currency)
        repricing = Repricing(up=asked[0], down=down.line_id, difference=difference)
        return (Act(kind=ActKind.PRICES_CORRECTED, when=_APPROVAL, repricing=repricing),)
