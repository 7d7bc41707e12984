"""Draws a plan from a seed: orders, people, faults, and the deaths of workers."""

from domain.money import Money
from domain.order import TenderKind
from domain.outcome import State
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.terms import RefundIntercepted, RefundMethod
from sandbox.carrier.model import FaultKind as CarrierFaultKind
from sandbox.carrier.model import Operation
from sandbox.gateway.messages import FaultKind
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder
from tests.faults.drawing_changes import ChangeDraw
from tests.faults.drawing_money import MoneyDraw
from tests.faults.drawing_turns import TurnDraw
from tests.faults.model import Verb
from tests.faults.plan import (
    Act,
    ActKind,
    CarrierFault,
    Disturbance,
    DisturbanceKind,
    GatewayFault,
    Moment,
    Plan,
    PlannedOrder,
    PlannedPolicy,
    Proof,
)
from tests.faults.sharing import share_payments
from tests.system import SUPERVISOR

_LOOKS_FOR_AN_ORDER = 70
"""About so many looks are taken at a run until it is over: moments are drawn from them."""
_AT_THE_END = Moment(looks=100_000)
_ON_THE_WAY = tuple(fault for fault in FaultKind if fault.on_the_way)
_BROKEN = (FaultKind.HTTP_500_BEFORE, FaultKind.HTTP_500_AFTER_COMMIT)
_OF_REFUNDS = (
    *_ON_THE_WAY,
    *_BROKEN,
    FaultKind.REFUSE,
    FaultKind.PENDING_INSUFFICIENT_FUNDS,
    FaultKind.REQUIRES_ACTION,
)
_FAULTS_OF_OPERATION = {
    "refund.create": _OF_REFUNDS,
    "payment_intent.cancel": (*_ON_THE_WAY, *_BROKEN, FaultKind.EXPIRE),
    "payment_intent.retrieve": _ON_THE_WAY,
    "refund.list": _ON_THE_WAY,
    "refund.retrieve": _ON_THE_WAY,
    "refund.cancel": (*_ON_THE_WAY, *_BROKEN),
}
_DRAWN_APART = frozenset(
    {
        ActKind.DEBIT_TAKEN,
        ActKind.DEBIT_FAILS,
        ActKind.PACKED_ANEW,
        ActKind.ARCHIVED,
        ActKind.PAYMENT_ADDED,
        ActKind.PAYMENT_ADDED_LATER,
        ActKind.PAYMENT_EXCHANGED,
        ActKind.PRICES_CORRECTED,
    }
)
_ANSWERS = (Verb.RETRY, Verb.RETRY, Verb.DONE_BY_HAND, Verb.NOTHING_DUE, Verb.ROLL_BACK, Verb.CHOOSE)


def draw_plan(seed: int, orders: int) -> Plan:
    return _Draw(seed).plan(orders)


class _Draw(TurnDraw, ChangeDraw, MoneyDraw):
    def plan(self, orders: int) -> Plan:
        fallbacks = (RefundMethod.STORE_CREDIT, RefundMethod.BANK_TRANSFER)
        looks = orders * _LOOKS_FOR_AN_ORDER
        self._freezes = self._happens(0.6)
        drawn = [self._order(number) for number in range(1, orders + 1)]
        paid, shared_payments = share_payments(drawn, self._happens, self._one)
        return Plan(
            seed=self._seed,
            freezes=self._freezes,
            workers=self._number(2, 3),
            policy=PlannedPolicy(
                refund_intercepted=self._one(tuple(RefundIntercepted)), fallbacks=fallbacks[: self._number(0, 2)]
            ),
            orders=paid,
            shared_payments=shared_payments,
            disturbances=tuple(
                sorted((self._disturbance(looks) for _ in range(max(orders // 8, 2))), key=lambda found: found.looks)
            ),
        )

    # What happens to the processes

    def _disturbance(self, looks: int) -> Disturbance:
        kinds = (*(DisturbanceKind.KILL,) * 5, *DisturbanceKind)
        kind = self._one(kinds)
        seconds = {DisturbanceKind.PAUSE: 9.0, DisturbanceKind.LOCK_DATABASE: 3.0}.get(kind, 0.0)
        return Disturbance(kind=kind, looks=self._number(5, looks), worker=self._number(0, 2), seconds=seconds)

    # An order

    def _order(self, number: int) -> PlannedOrder:
        if self._happens(0.06):
            return self._in_slices(f"s{self._seed}-{number}")
        if self._happens(0.06):
            return self._packed_anew(f"s{self._seed}-{number}")
        if self._happens(0.12):
            return self.draw_in_turn(f"s{self._seed}-{number}")
        if self._happens(0.04):
            return self._suspects(f"s{self._seed}-{number}")
        if self._happens(0.05):
            return self._rolled_back(f"s{self._seed}-{number}")
        if not self._freezes and self._happens(0.2):
            return self._changed(f"s{self._seed}-{number}")
        sample = self.draw_sample(f"s{self._seed}-{number}")
        request = self.draw_request(sample, "req-1")
        cards = [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]
        labels = [parcel for parcel in sample.parcels if parcel.script is not None]
        return PlannedOrder(
            sample=sample,
            request=request,
            approval=self._one((Verb.APPROVE,) * 5 + (Verb.REJECT, Verb.WITHDRAW)),
            proof=self._proof(len(cards)),
            answers=tuple(self._one(_ANSWERS) for _ in range(self._number(0, 4))),
            fails=self._number(0, 2) if self._happens(0.2) else 0,
            silent_returns=self._happens(0.7),
            acts=self._all_acts(sample, request),
            gateway_faults=tuple(self._gateway_fault(len(cards)) for _ in range(self._how_many()) if cards),
            carrier_faults=tuple(self._carrier_fault(len(labels)) for _ in range(self._how_many()) if labels),
        )

    def _in_slices(self, order_id: str) -> PlannedOrder:
        """One person cancels an order line by line, which a second person has to see as a whole."""
        sample = self.draw_expensive(order_id)
        first = self.draw_request(sample, "req-1")
        agent = Actor(kind=ActorKind.CUSTOMER_SERVICE, id="agent-7")
        by_agent = {"actor": agent, "channel": Channel.BACK_OFFICE, "reason": ReasonCode.ORDERED_BY_MISTAKE}
        slices = [
            first.model_copy(
                update={
                    **by_agent,
                    "request_id": f"{line.line_id}-{order_id}",
                    "lines": (LineScope(line_id=line.line_id, quantity=1),),
                    "shipping": False,
                }
            )
            for line in sample.lines
        ]
        return PlannedOrder(
            sample=sample,
            request=slices[0],
            approval=self._one((Verb.APPROVE, Verb.REJECT)),
            acts=(
                Act(kind=ActKind.REQUEST, when=Moment(looks=20), request=slices[1]),
                Act(kind=ActKind.REQUEST, when=_AT_THE_END, request=slices[2]),
                *self._all_acts(sample, slices[0]),
            ),
        )

    def _suspects(self, order_id: str) -> PlannedOrder:
        """The shop takes a suspect's money while its carrier is waited for. Who asks may be the one who answers at first."""
        sample = self.draw_suspects(order_id)
        request = self.draw_request(sample, "req-1")
        if self._happens(0.5):
            by_them = {"actor": SUPERVISOR, "channel": Channel.BACK_OFFICE, "reason": ReasonCode.OTHER}
            request = request.model_copy(update=by_them)
        return PlannedOrder(
            sample=sample,
            request=request,
            answers=tuple(self._one(_ANSWERS) for _ in range(self._number(0, 3))),
            acts=(self.draw_capture(), *self._departures(sample)),
        )

    def _rolled_back(self, order_id: str) -> PlannedOrder:
        """After the pivot, with money that others have taken in part."""
        sample = self.draw_reserved(order_id)
        answers = (*(Verb.RETRY,) * self._number(0, 1), Verb.ROLL_BACK, *(self._one(_ANSWERS) for _ in range(2)))
        return PlannedOrder(
            sample=sample,
            request=self.draw_request(sample, "req-1").model_copy(update={"lines": (), "shipping": False}),
            answers=answers,
            acts=(*self.draw_rolled_back(sample), *self._departures(sample)),
        )

    def _changed(self, order_id: str) -> PlannedOrder:
        """Others change what it costs, and by what it is paid."""
        sample = self.draw_changed(order_id)
        request = self.draw_request(sample, "req-1")
        if self._happens(0.6):
            [first, *_] = sample.lines
            part = LineScope(line_id=first.line_id, quantity=self._number(1, first.quantity))
            request = request.model_copy(update={"lines": (part,), "shipping": False})
        again = Act(kind=ActKind.REQUEST, when=_AT_THE_END, request=self._another(sample, request))
        return PlannedOrder(
            sample=sample,
            request=request,
            answers=tuple(self._one(_ANSWERS) for _ in range(self._number(0, 3))),
            acts=(*self.draw_changes(sample, request), *((again,) if self._happens(0.6) else ())),
        )

    def _packed_anew(self, order_id: str) -> PlannedOrder:
        """Units are cancelled, the rest is packed anew, and is asked for as well, or goes on."""
        sample = self.draw_packed(order_id)
        first, more = self.draw_request(sample, "req-1"), self.draw_request(sample, "req-2")
        [line, *_] = sample.lines
        units = (LineScope(line_id=line.line_id, quantity=self._number(1, line.quantity)),)
        moments = (Moment(looks=self._number(5, 30)), _AT_THE_END)
        return PlannedOrder(
            sample=sample,
            request=first.model_copy(update={"lines": units, "shipping": False}),
            fails=self._number(0, 1),
            acts=(
                *(Act(kind=ActKind.PACKED_ANEW, when=when) for when in moments),
                *((Act(kind=ActKind.REQUEST, when=_AT_THE_END, request=more),) if self._happens(0.8) else ()),
                *self._all_acts(sample, first),
            ),
            carrier_faults=tuple(self._carrier_fault(1) for _ in range(self._how_many())),
        )

    def _proof(self, cards: int) -> Proof:
        if cards > 1 and self._happens(0.5):
            return Proof.OTHER_CARD
        return self._one((Proof.OWN, Proof.OWN, Proof.SAME, Proof.DISPUTE))

    def _how_many(self) -> int:
        """Mostly none or one: an order to which everything happens shows little of any of it."""
        return self._one((0, 0, 0, 1, 1, 1, 2, 3))

    # People

    def _acts(self, sample: SampleOrder, first: CancellationRequest) -> tuple[Act, ...]:
        kind = self._one((*(ActKind.REQUEST,) * 3, *ActKind))
        when = self._moment()
        cards = [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]
        payment = self._number(0, max(len(cards) - 1, 0))
        match kind:
            case ActKind.REQUEST:
                return (Act(kind=kind, when=when, request=self._another(sample, first)),)
            case ActKind.DISPUTE | ActKind.DISPUTE_WON | ActKind.DISPUTE_LOST | ActKind.DISPUTE_WON_ON_APPEAL:
                return self._dispute(cards[payment].amount, payment, when) if cards else ()
            case ActKind.LOCK | ActKind.UNLOCK:
                unlocked = Act(kind=ActKind.UNLOCK, when=Moment(looks=when.looks + self._number(1, 30)))
                return (Act(kind=ActKind.LOCK, when=when), unlocked)
            case ActKind.REFUNDED_BY_OTHERS:
                if not cards:
                    return ()
                amount = self._share(cards[payment].amount, self._number(1, 10), 10)
                return (Act(kind=kind, when=when, amount=amount, payment=payment),)
            case ActKind.CAPTURED_BY_OTHERS:
                when, beyond = self._one((when, _AT_THE_END)), self._happens(0.5)
                return (Act(kind=kind, when=when, payment=payment, beyond=beyond),) if cards else ()
            case ActKind.GATEWAY_SLOW:
                return (Act(kind=kind, when=when, payment=payment),) if cards else ()
            case ActKind.REFUND_FAILS_LATE:
                return (Act(kind=kind, when=self._one((when, _AT_THE_END))),) if cards else ()
            case _ if kind in _DRAWN_APART:
                return ()
            case _:
                return (Act(kind=kind, when=when),)

    def _dispute(self, paid: Money, payment: int, when: Moment) -> tuple[Act, ...]:
        """About all of it or a part, decided in the end, and after a while appealed against, perhaps."""
        amount = self._share(paid, self._number(1, 9), 10) if self._happens(0.4) else None
        end = self._one((ActKind.DISPUTE_WON, ActKind.DISPUTE_LOST))
        later = Moment(looks=when.looks + self._number(1, 30))
        acts = (
            Act(kind=ActKind.DISPUTE, when=when, payment=payment, amount=amount or None),
            Act(kind=end, when=later, payment=payment),
        )
        if end is ActKind.DISPUTE_WON or self._happens(0.5):
            return acts
        appeal = self._one((Moment(looks=later.looks + self._number(1, 30)), Moment(at_rest=True)))
        return (*acts, Act(kind=ActKind.DISPUTE_WON_ON_APPEAL, when=appeal, payment=payment))

    def _all_acts(self, sample: SampleOrder, first: CancellationRequest) -> tuple[Act, ...]:
        acts = (
            *self._departures(sample),
            *(act for _ in range(self._how_many()) for act in self._acts(sample, first)),
            *self._failures_of_before(sample),
            *self._captures(sample),
            *self._ends_of_debits(sample),
            *(() if self._freezes else self.draw_additions(sample)),
        )
        return tuple(sorted(acts, key=lambda act: act.when.at_rest))

    def _departures(self, sample: SampleOrder) -> tuple[Act, ...]:
        """The order passes to another account, or leaves the shop, and its money moves once more."""
        if self._happens(0.9):
            return ()
        settles = Moment(state=State.WAITING_FOR_SETTLEMENT)
        gone = self._one((ActKind.TRANSFERRED, ActKind.ARCHIVED))
        when = self._one((settles, _AT_THE_END, _AT_THE_END, self._moment()))
        has_card = any(tender.kind is TenderKind.CARD for tender in sample.tenders)
        fails = (Act(kind=ActKind.REFUND_FAILS_LATE, when=_AT_THE_END),) if has_card else ()
        return (Act(kind=gone, when=when), *fails)

    def _failures_of_before(self, sample: SampleOrder) -> tuple[Act, ...]:
        """What others had refunded before fails."""
        if not any(tender.refunded_elsewhere for tender in sample.tenders) or self._happens(0.5):
            return ()
        return (Act(kind=ActKind.REFUND_FAILS_LATE, when=self._one((self._moment(), _AT_THE_END))),)

    def _captures(self, sample: SampleOrder) -> tuple[Act, ...]:
        """What is reserved is taken in the end, often."""
        cards = [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]
        reserved = [number for number, card in enumerate(cards) if card.captured is not None]
        return tuple(
            Act(
                kind=ActKind.CAPTURED_BY_OTHERS,
                when=self._one((self._moment(), _AT_THE_END)),
                payment=number,
                beyond=True,
            )
            for number in reserved
            if self._happens(0.4)
        )

    def _ends_of_debits(self, sample: SampleOrder) -> tuple[Act, ...]:
        """The bank decides about each, whatever the run waits for."""
        cards = [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]
        ends = (ActKind.DEBIT_TAKEN, ActKind.DEBIT_FAILS)
        return tuple(
            Act(kind=self._one(ends), when=Moment(looks=self._number(0, _LOOKS_FOR_AN_ORDER)), payment=number)
            for number, card in enumerate(cards)
            if card.card is TestCard.DEBIT
        )

    def _another(self, sample: SampleOrder, first: CancellationRequest) -> CancellationRequest:
        """The same once more, one for the same scope, or one for another scope, which may overlap."""
        if self._happens(0.25):
            return first
        number = self._number(2, 4)
        reason = ReasonCode.STATUTORY_WITHDRAWAL if self._happens(0.3) else None
        another = self.draw_request(sample, f"req-{number}", reason)
        return another.model_copy(update={"lines": first.lines, "shipping": False}) if self._happens(0.3) else another

    def _moment(self) -> Moment:
        waiting = (
            State.WAITING_FOR_APPROVAL,
            State.WAITING_FOR_CARRIER,
            State.WAITING_FOR_SETTLEMENT,
            State.NEEDS_ATTENTION,
            State.ROLLING_BACK,
        )
        return Moment(
            looks=self._number(0, self._one((3, 15, _LOOKS_FOR_AN_ORDER))), state=self._one((*(None,) * 8, *waiting))
        )

    # What fails

    def _gateway_fault(self, payments: int) -> GatewayFault:
        operation = self._one(("refund.create",) * 4 + (*_FAULTS_OF_OPERATION,))
        return GatewayFault(
            payment=self._number(0, payments - 1),
            operation=operation,
            fault=self._one(_FAULTS_OF_OPERATION[operation]),
            times=self._number(1, 3),
        )

    def _carrier_fault(self, labels: int) -> CarrierFault:
        operations = (
            *(Operation.SHIPMENT_REFUND,) * 3,
            *(Operation.INTERCEPT_RETURN,) * 3,
            Operation.INTERCEPT_CANCEL,
            Operation.SHIPMENT_READ,
            Operation.TRACKER_READ,
            Operation.SHIPMENT_BUY,
        )
        return CarrierFault(
            label=self._number(0, labels - 1),
            operation=self._one(operations),
            fault=self._one(tuple(CarrierFaultKind)),
            times=self._number(1, 2),
        )
