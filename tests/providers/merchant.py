"""Orders and cancellations for the tests of our own books and of the built-in order management system."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.closing import Closing
from domain.decision import Decision, Rule, Verdict
from domain.facts import (
    Decided,
    Ended,
    Fact,
    OrderClosed,
    RefundSeen,
    Requested,
    ReversalSeen,
    Run,
    SettledByHand,
    StopSeen,
    WithdrawalAsked,
)
from domain.keys import EffectKey, cancellation_id
from domain.money import Money, money
from domain.order import Order, OrderLine, Tender, TenderKind
from domain.outcome import Outcome
from domain.payment import Payment, Refund, RefundStatus
from domain.plan import Plan
from domain.planning import make_plan
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.shipment import GoodsGroup, LabelStatus, Shipment, ShipmentLine, Stop, StopStatus, Tracking
from domain.step import StepName
from domain.terms import Terms
from providers.books.books import SqlBooks
from providers.cancellations.port import Ending
from providers.ledger.port import Credit, CreditedTender
from providers.orders.built_in.orders import BuiltInOrders
from providers.outbox.port import NewNotice
from providers.stored_value.built_in import BuiltInStoredValue

RUN = Run(namespace="default", run_id="run-1")
"""The run that holds the cancellations of the tests."""
OTHER_RUN = Run(namespace="default", run_id="run-2")
STAFF = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="R-1")

DECISION = Decision(
    verdict=Verdict.APPROVED, rule=Rule.WITHIN_POLICY, policy_version="test", sentence="Within the policy."
)
CARD = Tender(tender_id="T-card", kind=TenderKind.CARD, amount=money("300.00 USD"), reference="pi_1")


def line(total: str = "300.00 USD", *, line_id: str = "L1", quantity: int = 3, tax: str | None = None) -> OrderLine:
    worth = money(total)
    return OrderLine(
        line_id=line_id,
        sku=f"SKU-{line_id}",
        title="A thing",
        quantity=quantity,
        total=worth,
        tax=money(tax) if tax else Money.zero(worth.currency),
    )


def parcel(shipment_id: str, quantity: int, *, label: str | None = None) -> Shipment:
    return Shipment(
        shipment_id=shipment_id,
        lines=(ShipmentLine(line_id="L1", quantity=quantity),),
        carrier="UPS" if label else None,
        label_reference=label,
        tracking_number=f"1Z{label}" if label else None,
    )


def order(
    order_id: str = "O-1",
    *,
    lines: Sequence[OrderLine] = (line(),),
    tenders: Sequence[Tender] = (CARD,),
    shipments: Sequence[Shipment] = (),
    shipping: str | None = None,
) -> Order:
    currency = lines[0].total.currency
    return Order(
        order_id=order_id,
        customer_id="C-1",
        placed_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        currency=currency,
        lines=tuple(lines),
        tenders=tuple(tenders),
        shipments=tuple(shipments),
        shipping=money(shipping) if shipping else Money.zero(currency),
        shipping_credited=Money.zero(currency),
    )


@dataclass(frozen=True)
class Cancellation:
    """A cancellation as a run knows it: what was asked for and decided, and the keys of its effects."""

    requested: Requested
    decided: Decided

    @property
    def request(self) -> CancellationRequest:
        return self.requested.request

    @property
    def order_id(self) -> str:
        return self.request.order_id

    @property
    def cancellation_id(self) -> str:
        return cancellation_id(self.order_id, self.request.request_id)

    @property
    def plan(self) -> Plan:
        assert self.decided.plan is not None
        return self.decided.plan

    def key(self, step: StepName, target: str = "", n: int = 1) -> EffectKey:
        return EffectKey(self.cancellation_id, step, target or self.order_id, n)


def cancellation(
    of: Order,
    *,
    request_id: str = "R-1",
    lines: Sequence[LineScope] = (),
    goods: GoodsGroup = GoodsGroup.NOT_HANDED_OVER,
    reason: ReasonCode = ReasonCode.NO_LONGER_NEEDED,
    by: Actor | None = None,
) -> Cancellation:
    """A cancellation of the order, planned by the domain, every parcel being where `goods` says."""
    request = CancellationRequest(
        request_id=request_id,
        order_id=of.order_id,
        customer_id=of.customer_id,
        actor=by or Actor(kind=ActorKind.CUSTOMER, id=of.customer_id),
        channel=Channel.WEB_SHOP,
        reason=reason,
        lines=tuple(lines),
    )
    zero = Money.zero(of.currency)
    plan = make_plan(
        cancellation_id=cancellation_id(of.order_id, request_id),
        order=of,
        request=request,
        payments={
            t.tender_id: Payment(reference=t.reference, captured=t.amount, capturable=zero, refunded=zero)
            for t in of.tenders
        },
        trackings={s.shipment_id: Tracking(group=goods, label=LabelStatus.ACTIVE) for s in of.shipments},
        terms=Terms(),
    )
    return Cancellation(
        Requested(request=request, at=datetime(2026, 3, 2, tzinfo=UTC)),
        Decided(decision=DECISION, plan=plan, customer_id=of.customer_id),
    )


# What the run does

LATER = datetime(2036, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Merchant:
    """The merchant's order management system and stored value, and our own books, in one database."""

    books: SqlBooks
    orders: BuiltInOrders
    stored_value: BuiltInStoredValue

    @classmethod
    def at(cls, database: AsyncEngine) -> "Merchant":
        return cls(SqlBooks(database), BuiltInOrders(database), BuiltInStoredValue(database))

    async def hold(self, one: Cancellation, notices: Sequence[NewNotice] = (), *, run: Run = RUN) -> None:
        """As the run does that verifies the order, where no other has begun since."""
        key = one.key(StepName.VERIFY_ORDER)
        seen = await self.orders.read(one.order_id)
        noted = await self.books.note_hold(one.requested, key, run, until=datetime.now(UTC))
        if not Case(noted).may_make(key):
            return
        await self.orders.freeze(seen, key=key)
        await self.books.decide(seen, one.decided, notices, key=key, run=run)

    async def write(self, one: Cancellation, *facts: Fact, run: Run = RUN) -> None:
        await self.books.write(one.cancellation_id, run, lambda case: facts)

    async def note(self, key: EffectKey, *, run: Run = RUN) -> None:
        await self.books.note_effect(key, run, amount=None, until=datetime.now(UTC))

    async def case(self, one: Cancellation) -> Case:
        return Case(await self.books.read(one.cancellation_id))

    async def reopen(
        self,
        one: Cancellation,
        facts: Sequence[Fact],
        failed: Sequence[CreditedTender],
        notices: Sequence[NewNotice],
        *,
        run: Run = RUN,
    ) -> bool:
        """By all that is known at this moment."""
        last = (await self.books.read(one.cancellation_id))[-1].seq
        return await self.books.reopen(one.cancellation_id, facts, failed, notices, seen=last, run=run)

    async def withdraw(self, one: Cancellation) -> None:
        await self.write(one, WithdrawalAsked(by=one.request.actor))

    async def release(self, one: Cancellation, notices: Sequence[NewNotice] = ()) -> None:
        """The customer withdraws."""
        await self.withdraw(one)
        key = one.key(StepName.RELEASE_ORDER)
        await self.note(key)
        await self.orders.thaw(one.order_id, key=key)
        await self.books.release(notices, key=key, run=RUN)

    async def close(self, one: Cancellation, *facts: Fact, notices: Sequence[NewNotice] = (), run: Run = RUN) -> None:
        """Close the order by these facts, where it is not closed for them."""
        await self.write(one, *facts, run=run)
        case, key = await self.case(one), one.key(StepName.CLOSE_ORDER)
        if case.order_closed:
            return
        each_time = key.part_of(f"again{case.times_closed}" if case.times_closed else "")
        await self.note(each_time, run=run)
        await self.orders.close(one.order_id, Closing.of(case), Closing.before(case), key=each_time)
        await self.books.close(OrderClosed(), notices, None, key=key, run=run)

    async def end(self, one: Cancellation, credit: Credit | None = None) -> None:
        await self.books.end(ending(one, credit), run=RUN)


def stops(one: Cancellation, status: StopStatus = StopStatus.STOPPED, *only: str) -> list[StopSeen]:
    """Every planned shipment, or `only` these, with this status."""
    return [
        StopSeen(stop=Stop(shipment_id=planned.shipment.shipment_id, action=planned.action, status=status))
        for planned in one.plan.shipments
        if not only or planned.shipment.shipment_id in only
    ]


def ending(one: Cancellation, credit: Credit | None = None, *, seen: int = 0) -> Ending:
    ended = Ended(outcome=Outcome.CANCELLED, sentence="It is over.")
    return Ending(key=one.key(StepName.CLOSE_CANCELLATION), ended=ended, credit=credit, notices=(), seen=seen)


def refunded(amount: str, reference: str, status: RefundStatus = RefundStatus.SUCCEEDED) -> RefundSeen:
    refund = Refund(reference=reference, amount=money(amount), status=status, key=f"by us for {reference}")
    return RefundSeen(target="T-card", refund=refund)


def released(amount: str) -> ReversalSeen:
    back = money(amount)
    return ReversalSeen(target="T-card", released=back, covered=Money.zero(back.currency))


def by_hand(amount: str, reference: str, step: StepName = StepName.REVERSE_PAYMENT) -> SettledByHand:
    return SettledByHand(step=step, target="T-card", reference=reference, by=STAFF, amount=money(amount))


# What goes on paper


def credit(of: Cancellation, *tenders: CreditedTender, tax: Money | None = None, total: Money | None = None) -> Credit:
    currency = tenders[0].amount.currency
    given = Money.total((tender.amount for tender in tenders if not tender.failed), currency)
    return Credit(
        cancellation_id=of.cancellation_id,
        order_id=of.order_id,
        total=total or given,
        tax=tax or Money.zero(currency),
        tenders=tenders,
    )


def by_card(amount: str, reference: str, *, settled: bool = True) -> CreditedTender:
    return CreditedTender(
        tender_id="T-card", kind=TenderKind.CARD, amount=money(amount), reference=reference, settled=settled
    )
