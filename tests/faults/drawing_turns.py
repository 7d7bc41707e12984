"""Draws who asks for what; and orders that are cancelled part by part, each when the one before has come to rest."""

from domain.money import Money
from domain.outcome import State
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleLine, SampleOrder, SampleTender
from tests.faults.confidential import NOTE
from tests.faults.drawing_orders import OrderDraw
from tests.faults.plan import Act, ActKind, GatewayFault, Moment, PlannedOrder, Proof

_REASONS = {
    ActorKind.CUSTOMER: (ReasonCode.NO_LONGER_NEEDED, ReasonCode.STATUTORY_WITHDRAWAL, ReasonCode.DUPLICATE_ORDER),
    ActorKind.CUSTOMER_SERVICE: (ReasonCode.ORDERED_BY_MISTAKE, ReasonCode.OUT_OF_STOCK, ReasonCode.OTHER),
    ActorKind.MERCHANT: (ReasonCode.OUT_OF_STOCK, ReasonCode.CANNOT_SHIP),
    ActorKind.RISK: (ReasonCode.SUSPECTED_FRAUD, ReasonCode.CONFIRMED_FRAUD),
    ActorKind.SYSTEM: (ReasonCode.OTHER,),
}
_AT_REST = Moment(at_rest=True)


class TurnDraw(OrderDraw):
    def draw_request(
        self, sample: SampleOrder, request_id: str, reason: ReasonCode | None = None
    ) -> CancellationRequest:
        kind = self._one((ActorKind.CUSTOMER,) * 6 + (*_REASONS,))
        name = sample.customer_id if kind is ActorKind.CUSTOMER else f"{kind.value.replace('_', '-')}-7"
        scope: tuple[LineScope, ...] = ()
        if self._happens(0.4):
            some = [line for line in sample.lines if self._happens(0.6)]
            scope = tuple(LineScope(line_id=line.line_id, quantity=self._number(1, line.quantity)) for line in some)
        return CancellationRequest(
            request_id=f"{request_id}-{sample.order_id}",
            order_id=sample.order_id,
            customer_id=sample.customer_id,
            actor=Actor(kind=kind, id=name),
            channel=Channel.WEB_SHOP if kind is ActorKind.CUSTOMER else Channel.BACK_OFFICE,
            reason=reason if reason and kind is ActorKind.CUSTOMER else self._one(_REASONS[kind]),
            note=NOTE,
            lines=scope,
            shipping=bool(scope) and self._happens(0.05),
        )

    def draw_in_turn(self, order_id: str) -> PlannedOrder:
        """Three units that cost the same, each asked for alone."""
        draw = self._one((self._with_failures, self._with_lost_run, self._with_dispute, self._with_another_card))
        return draw(order_id)

    def _with_failures(self, order_id: str) -> PlannedOrder:
        """Refunds of the parts before fail while the next one is verified."""
        first, *more = self._parts(sample := self._units(order_id, self._number(500, 15_000)))
        acts = [
            act
            for request in more
            for act in (
                Act(kind=ActKind.GATEWAY_SLOW, when=_AT_REST),
                Act(kind=ActKind.REQUEST, when=_AT_REST, request=request, at_once=True),
                *(Act(kind=ActKind.REFUND_FAILS_LATE, when=_AT_REST, at_once=True) for _ in range(self._number(1, 2))),
            )
        ]
        return PlannedOrder(sample=sample, request=first, acts=tuple(acts))

    def _with_lost_run(self, order_id: str) -> PlannedOrder:
        """The first request is sent again while the run of the second is lost, which a second person has to approve. Then
        the refund of the first fails."""
        sample = self._units(order_id, self._number(26_000, 49_000))
        first, second, _ = self._parts(sample)
        waits = Moment(state=State.WAITING_FOR_APPROVAL)
        acts = (
            Act(kind=ActKind.REQUEST, when=_AT_REST, request=second),
            Act(kind=ActKind.TERMINATE, when=waits, at_once=True),
            Act(kind=ActKind.REQUEST, when=Moment(), request=first),
            Act(kind=ActKind.REFUND_FAILS_LATE, when=_AT_REST),
        )
        return PlannedOrder(sample=sample, request=first, acts=acts)

    def _with_dispute(self, order_id: str) -> PlannedOrder:
        """Of the payment or a part of it: when the first is over, and the others are settled with its number; or when all
        are, and are collected for. On appeal the bank takes back what it has given, perhaps."""
        sample = self._units(order_id, self._number(500, 15_000))
        first, second, third = self._parts(sample)
        amount = self._share(sample.lines[0].total, self._number(1, 9), 10) if self._happens(0.5) else None
        asked = [Act(kind=ActKind.REQUEST, when=_AT_REST, request=request) for request in (second, third)]
        disputed = Act(kind=ActKind.DISPUTE, when=_AT_REST, amount=amount)
        won = self._happens(0.25)
        decided = Act(kind=ActKind.DISPUTE_WON if won else ActKind.DISPUTE_LOST, when=_AT_REST)
        appeal = Act(kind=ActKind.DISPUTE_WON_ON_APPEAL, when=_AT_REST)
        return PlannedOrder(
            sample=sample,
            request=first,
            proof=self._one((Proof.DISPUTE, Proof.DISPUTE, Proof.DISPUTE, Proof.SAME)),
            acts=(
                *((disputed, *asked) if self._happens(0.6) else (*asked, disputed)),
                decided,
                *((appeal,) if not won and self._happens(0.6) else ()),
            ),
        )

    def _with_another_card(self, order_id: str) -> PlannedOrder:
        """The first card takes no refund; a person gives the money back on the second one, which may fail in the end."""
        sample = self._units(order_id, self._number(500, 15_000), cards=2)
        first, *more = self._parts(sample)
        refused = GatewayFault(payment=0, operation="refund.create", fault=FaultKind.REFUSE, times=self._number(1, 3))
        acts = [Act(kind=ActKind.REQUEST, when=_AT_REST, request=request) for request in more if self._happens(0.7)]
        if self._happens(0.5):
            acts.append(Act(kind=ActKind.REFUND_FAILS_LATE, when=_AT_REST))
        return PlannedOrder(
            sample=sample, request=first, proof=Proof.OTHER_CARD, acts=tuple(acts), gateway_faults=(refused,)
        )

    def _units(self, order_id: str, price: int, cards: int = 1) -> SampleOrder:
        currency = self._one(("USD", "USD", "EUR"))
        total = Money(amount=3 * price, currency=currency)
        line = SampleLine(line_id="L1", quantity=3, total=total, tax=Money.zero(currency))
        shares = [self._share(total, self._number(3, 7), 10)] if cards > 1 else []
        amounts = (*shares, total - Money.total(shares, currency))
        return SampleOrder(
            order_id=order_id, lines=(line,), tenders=tuple(SampleTender(amount=amount) for amount in amounts)
        )

    def _parts(self, sample: SampleOrder) -> list[CancellationRequest]:
        first = self.draw_request(sample, "req-1")
        unit = {"lines": (LineScope(line_id="L1", quantity=1),), "shipping": False}
        return [
            first.model_copy(update={**unit, "request_id": f"req-{number}-{sample.order_id}"}) for number in (1, 2, 3)
        ]
