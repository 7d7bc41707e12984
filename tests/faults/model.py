"""What there is to see of an order once nothing moves any more: while its cancellation waits, and after the end.

The order as it was sold, what people said and how they were answered, and what each counterpart says that it did (world.py
reads that). What may be true of it is in invariants.py.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum

from domain.base import Value
from domain.facts import EffectOutcome
from domain.money import Money
from domain.order import Order, Tender, TenderKind
from domain.outcome import CARRIED_OUT, Outcome
from domain.request import Actor, LineScope
from domain.shipment import GoodsGroup, Shipment
from domain.step import StepName


class Invariant(StrEnum):
    """Those of the process; what each promises stands in docs/reliability.md."""

    MONEY = "I1"
    GOODS = "I2"
    TERMINAL = "I3"
    LEDGER = "I4"
    ONCE = "I5"
    VISIBLE = "I6"
    REPLAY = "I7"
    CONFIDENTIAL = "I8"
    COMPENSATION = "I9"
    ANSWERED = "I10"
    PAID_ONCE = "I11"


class Violation(Value):
    invariant: Invariant
    order_id: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant} order {self.order_id}: {self.sentence}"


class Verb(StrEnum):
    """What people say to a cancellation, and what they do to its run from outside."""

    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    RETRY = "retry"
    DONE_BY_HAND = "done_by_hand"
    NOTHING_DUE = "nothing_due"
    ROLL_BACK = "roll_back"
    CHOOSE = "choose"
    CANCEL = "cancel"
    TERMINATE = "terminate"
    RESET = "reset"
    SIGNAL = "signal"


class Said(Value):
    """A message or an act of somebody's. `accepted` None: there was no answer, so it may have counted. `scope` and
    `shipping` go with a request, `step` and `target` with an answer about a step, and
    `cancellation` with any answer; `amount` with money that a person has moved, `waived` with what they have declared not
    due: of the customer's, or below zero what they have too much; `proof` is what it was named as the proof of it, and
    `stands_for` what of it that is, where it is a refund that the gateway has. `joined`,
    of a request: the answer says that a cancellation which another one had opened carries it out; `deferred`: the answer
    says that it is kept until that one has ended; `by_right`: it is a consumer's withdrawal."""

    verb: Verb
    accepted: bool | None = True
    by: Actor | None = None
    scope: tuple[LineScope, ...] = ()
    shipping: bool = False
    request_id: str = ""
    step: StepName | None = None
    target: str = ""
    amount: Money | None = None
    waived: Money | None = None
    cancellation: str = ""
    proof: str = ""
    stands_for: Money | None = None
    joined: bool = False
    by_right: bool = False
    deferred: bool = False
    question: str = ""


class ChangedByOthers(Value):
    """Of an order that could not be frozen, while its cancellation waited. `words` tell a person of it, among others. Where
    one has said that the plan is right as it is, so much `less` may go back, or so much `more`, than what holds now; else
    a new plan was made. `given_for_it`: what others have given back for it, which is no part of what goes back."""

    words: str
    less: int = 0
    more: int = 0
    given_for_it: int = 0


class AtGateway(Value):
    """An effect that the gateway, the stored value or the marketplace has committed, in minor units. `key` is that of the
    call, where it had one; `object_id` is the refund's or the payment's. `by_others`: the harness did it, as somebody in the
    gateway's dashboard, or nobody called for it, as where a bank gives money back; everything else the process did, under
    whatever key. `on_account`: it is on a gift card or a store credit, and not at the gateway."""

    kind: str
    tender_id: str
    object_id: str
    amount: int
    key: str | None
    by_others: bool = False
    on_account: bool = False
    at: float = 0
    """By the machine's clock; where nobody needs to know, zero."""

    @property
    def noted_key(self) -> str:
        """Our key without what the gateway's adapter adds to it where it has to call once more."""
        return (self.key or "").partition("~")[0]

    @property
    def cancellation(self) -> str:
        """That whose key it bears, by the first part of the key."""
        return (self.key or "").partition("/")[0]


CAPTURED, REFUNDED, FAILED, RELEASED = "captured", "refunded", "failed", "released"
SETTLED, CHARGED_BACK, RESERVED = "settled", "charged_back", "reserved"
"""A refund has arrived; the customer's bank has given money back, after a dispute, or, below zero, has taken that back, on
appeal; a payment was authorised in the place of one that was released."""


class DoneToParcel(Value):
    """By its carrier, or by the stored value to the gift card. `at` is by the machine's clock; zero: nobody says when."""

    kind: str
    at: float = 0


class ParcelNow(Value):
    """One parcel of the order as it was placed. `in_oms` False: the order does not have it any more; `stopped`: the order
    management system shows it as stopped. `group` is the carrier's truth about the label that it had; None without one.
    `effects` are what the carrier did to that label and to those bought in its place, or what was done to the gift card."""

    shipment: Shipment
    stopped: bool
    group: GoodsGroup | None
    voided: bool = False
    intercepted: bool = False
    deactivated: bool = False
    effects: tuple[DoneToParcel, ...] = ()
    asked_to_stop: int = 0
    """How often its carrier was called to stop it, and may have refused; read where that is another one than UPS."""

    @property
    def bought_again(self) -> int:
        """How many labels."""
        return sum(effect.kind == "label.bought" for effect in self.effects)


class AtShop(Value):
    """What the order management system did for a cancellation, once under a key. `reference` is the label, or the payment,
    that it was given."""

    kind: str
    cancellation_id: str
    target: str
    reference: str | None = None
    at: float = 0
    """By the machine's clock."""


class Noted(Value):
    """An effect was noted, with no outcome yet, or has ended with this one. `at` is by the machine's clock."""

    key: str
    outcome: EffectOutcome | None = None
    at: float = 0


class Recorded(Value):
    """A cancellation of the order in the register. `outcome` None: it is open."""

    cancellation_id: str
    outcome: Outcome | None
    refunded: Money | None = None
    released: Money | None = None
    facts: tuple[str, ...] = ()
    """The kinds of its facts, in their order."""
    effects: tuple[Noted, ...] = ()
    """In the order in which they were noted, and in which they ended."""
    began_at: float = 0
    ended_at: float | None = None
    rolled_back_at: float | None = None
    """When somebody ordered the roll-back."""
    planned: tuple[str, ...] = ()
    """The parcels and tenders of the plan, in its order."""
    requests: tuple[str, ...] = ()
    """The ids of those that it carries out, or has refused."""
    proofs: tuple[str, ...] = ()
    """Those of what people have decided about its steps."""
    refunds: tuple[str, ...] = ()
    """The tenders of which it was to refund something."""
    taken_back_at: float | None = None
    """When a person ordered the roll-back, once the money was being given back."""

    @property
    def noted(self) -> frozenset[str]:
        return frozenset(effect.key for effect in self.effects if effect.outcome is None)


class Posted(Value):
    cancellation_id: str
    debit: str
    credit: str
    amount: int
    currency: str
    reference: str


class Paper(Value):
    """A credit note of the order's; below zero, a debit note."""

    amount: int
    tax: int


class RunNow(Value):
    """The order's latest run. `state` and `owner` are search attributes. `waits`: each as its owner, and whether it has a
    due time. `unbooked`: no book keeps its request, as that of a stranger, or one whose id had other content before."""

    status: str
    state: str | None = None
    owner: str | None = None
    task_fails: bool = False
    cancellation_id: str | None = None
    outcome: Outcome | None = None
    refunded: Money | None = None
    existing: bool = False
    unbooked: bool = False
    waits: tuple[tuple[str, bool], ...] = ()
    needs_person: bool = False
    """One of its waits is for a person, who has to do something about it."""
    most_urgent: tuple[str, ...] = ()
    """The owners of those waits, or of all where there is none such: the list of runs shows one of them."""
    pending: bool = False
    """An activity of it is under way, or is to be tried again."""


class World(Value):
    """Everything about one order, read when nothing moves any more."""

    order: Order
    said: tuple[Said, ...]
    money: tuple[AtGateway, ...]
    """For this order."""
    for_other_orders: tuple[AtGateway, ...] = ()
    """With its payments, where they are those of other orders too."""
    parcels: tuple[ParcelNow, ...]
    handed_over: frozenset[str] = frozenset()
    """The parcels that the carrier had before anything was asked for."""
    cancelled: tuple[tuple[str, int], ...]
    """By line, the units that have left the order in its order management system."""
    held_by: str | None
    at_shop: tuple[AtShop, ...] = ()
    cancellations: tuple[Recorded, ...]
    ledger: tuple[Posted, ...]
    papers: tuple[Paper, ...] = ()
    run: RunNow | None
    failed_replays: tuple[str, ...] = ()
    """Why histories of its runs do not replay on the code of now."""
    never_taken: tuple[str, ...] = ()
    """The tenders whose payment has neither been reserved nor taken: debits that are processed, or have failed."""
    paid_with: tuple[tuple[str, str], ...] = ()
    """By tender, the payment that the order names now."""
    changes: tuple[ChangedByOthers, ...] = ()
    captured_for: tuple[tuple[str, int], ...] = ()
    """By tender of a payment that pays other orders too, what was captured for this one."""
    leaks: tuple[str, ...] = ()
    """Where the engine shows something confidential of its runs."""

    @property
    def currency(self) -> str:
        return self.order.currency

    def has_said(self, *verbs: Verb, step: StepName | None = None, target: str | None = None) -> bool:
        """Whether somebody said one of these, about this step and target where they are named, and was not refused."""
        return any(
            said.verb in verbs
            and said.accepted is not False
            and step in {None, said.step}
            and target in {None, said.target}
            for said in self.said
        )

    def total(self, *kinds: str, ours: bool | None = None, tender_id: str | None = None) -> int:
        """What these effects come to. `ours`: only those of the process, or only those of others."""
        return sum(
            effect.amount
            for effect in self.money
            if effect.kind in kinds and tender_id in {None, effect.tender_id} and ours in {None, not effect.by_others}
        )

    @property
    def given_back(self) -> int:
        """By the process: refunds that have not failed, released reservations, and balances put back."""
        return self.refunded(ours=True) + self.total(RELEASED, ours=True)

    @property
    def reserved(self) -> int:
        """What of the cards is neither captured nor released: the customer still has it, and a part of it that is not
        captured any more is as good as released."""
        return sum(
            max(tender.amount.amount - self._captured(tender) - self.total(RELEASED, tender_id=tender.tender_id), 0)
            for tender in self.order.tenders
            if tender.kind is TenderKind.CARD
        )

    def _captured(self, tender: Tender) -> int:
        return dict(self.captured_for).get(tender.tender_id, self.total(CAPTURED, tender_id=tender.tender_id))

    def refunded(self, *, ours: bool, tender_id: str | None = None) -> int:
        """What was refunded and has not failed since."""
        failed = {effect.object_id for effect in self.money if effect.kind == FAILED}
        return sum(
            effect.amount
            for effect in self.money
            if effect.kind == REFUNDED
            and tender_id in {None, effect.tender_id}
            and effect.object_id not in failed
            and ours is not effect.by_others
        )

    @property
    def by_hand(self) -> int:
        """What people say that they have given back outside, less what they have collected."""
        return sum(said.amount.amount for said in self.paid_by_hand if said.amount is not None)

    @property
    def paid_by_hand(self) -> tuple[Said, ...]:
        return tuple(said for said in self.said if said.verb is Verb.DONE_BY_HAND and said.accepted is not False)

    @property
    def paid_anew(self) -> int:
        """By a payment that the shop has yet to list: what was given up could not be reserved again in a roll-back."""
        undone = {found.cancellation_id for found in self.cancellations if found.outcome not in CARRIED_OUT}
        given_up = sum(
            effect.amount for effect in self.money if effect.kind == RELEASED and effect.cancellation in undone
        )
        restored = (s for s in self.paid_by_hand if s.step is StepName.RESTORE_PAYMENT and s.cancellation in undone)
        return min(given_up, sum(max(-said.amount.amount, 0) for said in restored if said.amount))

    @property
    def waived(self) -> int:
        """Of what was owed to the customer, what a person has declared not due."""
        return sum(max(amount, 0) for amount in self._amounts_waived())

    def left_to_customer(self, *steps: StepName) -> int:
        """What the customer has too much, and a person has left to them: at one of these steps, or at any."""
        return sum(max(-amount, 0) for amount in self._amounts_waived(*steps))

    def _amounts_waived(self, *steps: StepName) -> Iterator[int]:
        tenders = {tender.tender_id for tender in self.order.tenders}
        for said in self.said:
            counts = said.verb is Verb.NOTHING_DUE and said.accepted is not False and said.target in tenders
            if counts and said.waived is not None and (not steps or said.step in steps):
                yield said.waived.amount

    @property
    def known_changes(self) -> tuple[ChangedByOthers, ...]:
        """Those of which somebody who was told of them has said that the plan is right as it is."""
        about = [
            said.question
            for said in self.said
            if said.verb in {Verb.DONE_BY_HAND, Verb.NOTHING_DUE}
            and said.accepted is not False
            and said.step is StepName.CHECK_ORDER
        ]
        return tuple(change for change in self.changes if any(change.words in question for question in about))

    @property
    def lapsed(self) -> int:
        """What others had refunded and has failed since: it may be owed once more."""
        failed = {effect.object_id for effect in self.money if effect.kind == FAILED}
        theirs = (effect for effect in self.money if effect.kind == REFUNDED and effect.by_others)
        return sum(effect.amount for effect in theirs if effect.object_id in failed)

    @property
    def by_others(self) -> int:
        """What somebody refunded or released in the gateway's dashboard, and what the bank has given back."""
        return self.refunded(ours=False) + self.total(RELEASED, ours=False) + self.total(CHARGED_BACK)

    @property
    def carried_out(self) -> tuple[Recorded, ...]:
        return tuple(found for found in self.cancellations if found.outcome in CARRIED_OUT)

    @property
    def is_open(self) -> bool:
        return any(found.outcome is None for found in self.cancellations)


Check = Callable[[World], Iterator[tuple[Invariant, str]]]
