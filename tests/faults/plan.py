"""A plan of the swarm: orders, what people ask and answer, what fails, and what happens to the processes. All of it is data,
so a plan is run again as it was, and can be cut down."""

from collections.abc import Container
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.base import Value
from domain.money import Money
from domain.outcome import State
from domain.request import CancellationRequest
from domain.step import StepName
from domain.terms import RefundIntercepted, RefundMethod
from sandbox.carrier.model import FaultKind as CarrierFaultKind
from sandbox.carrier.model import Operation
from sandbox.gateway.messages import FaultKind
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder
from tests.faults.model import Verb

Count = Annotated[int, Field(ge=0)]


class Moment(Value):
    """After so many looks at the run, once it waits in `state` where one is named, and once a person has answered about the
    step `answered`. At the end of the run every moment that is left has come, but those that come `at_rest`, and all that
    come after these: once nothing more comes of what was asked and heard."""

    looks: Count = 0
    state: State | None = None
    answered: StepName | None = None
    at_rest: bool = False

    def has_come(self, looks: int, state: State | None, answered: Container[StepName | None]) -> bool:
        return looks >= self.looks and self.state in {None, state} and (not self.answered or self.answered in answered)


class ActKind(StrEnum):
    """What happens to an order while its cancellation is under way, or after it: by people, by the bank, and by others."""

    REQUEST = "request"
    WITHDRAW = "withdraw"
    CANCEL = "cancel"
    TERMINATE = "terminate"
    """And the first request is sent again."""
    RESET = "reset"
    SIGNAL = "signal"
    """Events that nobody has checked: forged, repeated, without arguments."""
    REFUNDED_BY_OTHERS = "refunded_by_others"
    """Somebody gives `amount` back in the gateway's dashboard."""
    CAPTURED_BY_OTHERS = "captured_by_others"
    """The shop takes what is reserved, or `amount` of it; with `beyond`, also what a cancellation has given up of it."""
    DEBIT_TAKEN = "debit_taken"
    DEBIT_FAILS = "debit_fails"
    """Nothing was ever taken."""
    REFUND_FAILS_LATE = "refund_fails_late"
    """A refund that had settled fails, and the gateway says so."""
    DISPUTE = "dispute"
    """About `amount`, or all of the payment."""
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    """The bank gives the customer what it is about."""
    DISPUTE_WON_ON_APPEAL = "dispute_won_on_appeal"
    """The bank takes back what it has given."""
    GATEWAY_SLOW = "gateway_slow"
    """The next look at the payment takes longer than it may."""
    TRANSFERRED = "transferred"
    """The accounts of two customers are merged: the order is the other one's from now on."""
    ARCHIVED = "archived"
    """The shop's system has the order no more."""
    PAYMENT_ADDED = "payment_added"
    """While the run waits, the order is sent by express: `amount` is charged and paid by another card."""
    PAYMENT_ADDED_LATER = "payment_added_later"
    """And that once more, when somebody has answered what became of a change before."""
    PAYMENT_EXCHANGED = "payment_exchanged"
    """The customer pays by another card, and what they had paid by the first one is refunded."""
    PRICES_CORRECTED = "prices_corrected"
    PACKED_ANEW = "packed_anew"
    """What stays of a parcel that was stopped gets another label, under the same number."""
    LOCK = "lock"
    """The accounting period of the order is closed, until nobody knows any other answer."""
    UNLOCK = "unlock"


class Repricing(Value):
    """The line `up` costs more by the difference, and `down` less."""

    up: str
    down: str
    difference: Money


class Act(Value):
    """`payment`: the number of the card's payment that it is about. `at_once`: right after the act before it, as soon as the
    run is under way, and waits in the moment's state where one is named."""

    kind: ActKind
    when: Moment
    request: CancellationRequest | None = None
    amount: Money | None = None
    payment: Count = 0
    beyond: bool = False
    repricing: Repricing | None = None
    at_once: bool = False


class Proof(StrEnum):
    """What a person names who has given money back another way."""

    OWN = "own"
    """A transfer, which has a reference of its own each time."""
    SAME = "same"
    """The same reference each time, as that of a ticket."""
    DISPUTE = "dispute"
    """The dispute by which the bank pays, or will."""
    OTHER_CARD = "other_card"
    """A refund on another card of the order: one that others have made, or that they make themselves."""


class GatewayFault(Value):
    """What meets the calls about the order's card payment number `payment`."""

    payment: Count
    operation: str
    fault: FaultKind
    times: Count = 1
    code: str | None = None


class CarrierFault(Value):
    """What meets the calls about the order's label number `label`."""

    label: Count
    operation: Operation
    fault: CarrierFaultKind
    times: Count = 1


class PlannedOrder(Value):
    """`approval` is what the second person says. `answers` are given to whatever needs a person, one after the other; when
    they are used up the step is tried again and done by hand in turn. `fails`: so many refunds fail once they are under
    way. `silent_returns`: a parcel whose carrier stays silent comes back, else it is delivered."""

    sample: SampleOrder
    request: CancellationRequest
    approval: Verb = Verb.APPROVE
    proof: Proof = Proof.OWN
    answers: tuple[Verb, ...] = ()
    fails: Count = 0
    silent_returns: bool = True
    acts: tuple[Act, ...] = ()
    gateway_faults: tuple[GatewayFault, ...] = ()
    carrier_faults: tuple[CarrierFault, ...] = ()

    @property
    def order_id(self) -> str:
        return self.sample.order_id


class DisturbanceKind(StrEnum):
    KILL = "kill"
    """SIGKILL of a worker process, and a new one."""
    STOP = "stop"
    """SIGTERM, and a new one: a deploy."""
    PAUSE = "pause"
    """SIGSTOP for longer than a step's heartbeat: the steps are given to others, and then it goes on."""
    LOCK_DATABASE = "lock_database"
    """Nobody else writes to the database for a while; on PostgreSQL every connection is closed."""


class Disturbance(Value):
    """Of the processes, after so many looks at all runs together."""

    kind: DisturbanceKind
    looks: Count
    worker: Count = 0
    seconds: Annotated[float, Field(ge=0)] = 0


class PlannedPolicy(Value):
    refund_intercepted: RefundIntercepted = RefundIntercepted.ON_RETURN_SCAN
    fallbacks: tuple[RefundMethod, ...] = (RefundMethod.STORE_CREDIT, RefundMethod.BANK_TRANSFER)


class SharedPayment(Value):
    """A payment that tenders of several orders name as theirs. What was captured of it for each of them, they have
    themselves."""

    name: str
    amount: Money
    captured: Money
    card: TestCard = TestCard.VISA


class Plan(Value):
    """`freezes`: the shop's order management system can freeze an order."""

    seed: int
    freezes: bool = True
    workers: Annotated[int, Field(ge=1)] = 2
    policy: PlannedPolicy = PlannedPolicy()
    orders: tuple[PlannedOrder, ...]
    shared_payments: tuple[SharedPayment, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()

    @property
    def size(self) -> int:
        """How much there is to cut away."""
        return (
            len(self.disturbances)
            + len(self.orders)
            + sum(
                len(order.acts) + len(order.gateway_faults) + len(order.carrier_faults) + len(order.answers)
                for order in self.orders
            )
        )
