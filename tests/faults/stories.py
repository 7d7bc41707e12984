"""Ways in which cancellations go, together with every effect of the process: each forward step and each compensation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.money import money
from domain.order import OrderFlag, TenderKind
from domain.request import LineScope
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, SampleTender, card, line, parcel, stored
from tests.faults.model import Verb
from tests.workflows.samples import an_id, bought_gift_card, captured, in_network, split_tender

ABOVE_LIMIT = "600.00 USD"
UNDISTURBED_AT_ONCE = 5
"""Stories. So few that no attempt times out: whatever is called again then is no call of the story."""


class Story(StrEnum):
    LABEL = "label"
    AUTHORISED = "authorised"
    CAPTURED_IN_PART = "captured_in_part"
    GIFT_CARD_AND_CARD = "gift_card_and_card"
    PICK = "pick"
    INTERCEPTED = "intercepted"
    INTERCEPT_DECLINED = "intercept_declined"
    INTERCEPT_FAILS = "intercept_fails"
    INTERCEPT_IS_FINAL = "intercept_is_final"
    PENDING_REFUND = "pending_refund"
    REFUND_FAILS = "refund_fails"
    STORE_CREDIT = "store_credit"
    SOLD_ELSEWHERE = "sold_elsewhere"
    ONE_OF_THREE_SOLD = "one_of_three_sold"
    GIFT_CARD_SOLD = "gift_card_sold"
    ONE_LINE_OF_TWO = "one_line_of_two"
    APPROVED = "approved"
    APPROVAL_REFUSED = "approval_refused"
    GOODS_LET_GO = "goods_let_go"
    BALANCE_TAKEN_BACK = "balance_taken_back"
    REFUND_TAKEN_BACK = "refund_taken_back"
    RESERVED_AGAIN = "reserved_again"
    REFUND_COLLECTED = "refund_collected"
    PAID_BEFORE_IT_SETTLED = "paid_before_it_settled"
    PARCEL_FETCHED = "parcel_fetched"


Answers = Mapping[StepName, tuple[Verb, ...]]
"""What a person says when a step needs one: the first time, the next time … The last answer is given from then on."""


@dataclass(frozen=True)
class Course:
    """`approval`: what the second person says, or the customer. `locked`: the accounting period is closed, so that the order
    cannot be closed. `fails`: how many refunds fail once they are under way. `pays_early`: while one is under way a person
    pays it too. `leaves`: its parcels are out for delivery then, although their labels are void. `and_the_rest`: once it is
    over the rest of the order is asked for. `kept`: these units too are withdrawn from by right, while the run waits for the
    first time. `fails_at_close`: while the order cannot be closed a refund fails that had arrived; then it can be closed. In
    the id of a line `{order_id}` stands for the order's."""

    sample: Callable[[], SampleOrder]
    scope: tuple[LineScope, ...] = ()
    approval: Verb = Verb.APPROVE
    answers: Answers | None = None
    locked: bool = False
    fails: int = 0
    pays_early: bool = False
    leaves: bool = False
    and_the_rest: bool = False
    kept: tuple[LineScope, ...] = ()
    fails_at_close: bool = False


def _one(total: str, *, tender: str | None = None, **more: object) -> SampleOrder:
    paid = card(total, tender, **more)
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, total),), tenders=(paid,))


def _on_marketplace(units: int = 1) -> SampleOrder:
    """No two sales may have lines of the same id."""
    order_id, total = an_id(), "63.00 USD"
    paid = SampleTender(kind=TenderKind.MARKETPLACE, amount=money(total))
    return SampleOrder(order_id=order_id, lines=(line(f"{order_id}-L1", units, total),), tenders=(paid,))


def _all_kinds_of_parcels(flags: frozenset[OrderFlag] = frozenset()) -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("90.00 USD"),),
        parcels=(parcel(None, L1=1), parcel(Script.LABEL_ONLY, L1=1), parcel(Script.INTERCEPT_SILENT, L1=1)),
        flags=flags,
    )


def _two_lines() -> SampleOrder:
    lines = (line("L1", 2, "40.00 USD"), line("L2", 1, "24.00 USD"))
    parcels = (parcel(Script.LABEL_ONLY, L1=2), parcel(None, L2=1))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=parcels)


_CLOSE, _RESTORE = StepName.CLOSE_ORDER, StepName.RESTORE_PAYMENT
_ROLL_BACK: Answers = {_CLOSE: (Verb.ROLL_BACK,), _RESTORE: (Verb.DONE_BY_HAND,)}

STORIES: Mapping[Story, Course] = {
    Story.LABEL: Course(captured),
    Story.AUTHORISED: Course(lambda: _one("64.00 USD", tender="0.00 USD")),
    Story.CAPTURED_IN_PART: Course(lambda: _one("64.00 USD", tender="24.00 USD")),
    Story.GIFT_CARD_AND_CARD: Course(split_tender),
    Story.PICK: Course(lambda: captured(parcels=(parcel(None, L1=1),))),
    Story.INTERCEPTED: Course(lambda: in_network(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)),
    Story.INTERCEPT_DECLINED: Course(lambda: in_network(Script.INTERCEPT_DECLINED)),
    Story.INTERCEPT_FAILS: Course(lambda: in_network(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED)),
    Story.INTERCEPT_IS_FINAL: Course(
        lambda: in_network(Script.INTERCEPT_IS_FINAL),
        approval=Verb.WITHDRAW,
        answers={StepName.RESUME_SHIPMENT: (Verb.DONE_BY_HAND,)},
    ),
    Story.PENDING_REFUND: Course(lambda: _one("64.00 USD", card=TestCard.PENDING_REFUND)),
    Story.REFUND_FAILS: Course(lambda: _one("64.00 USD", card=TestCard.PENDING_REFUND), fails=1),
    Story.STORE_CREDIT: Course(
        lambda: _one("64.00 USD", card=TestCard.PENDING_REFUND),
        answers={StepName.REVERSE_PAYMENT: (Verb.CHOOSE,)},
        fails=1,
    ),
    Story.SOLD_ELSEWHERE: Course(_on_marketplace),
    Story.ONE_OF_THREE_SOLD: Course(
        lambda: _on_marketplace(3), scope=(LineScope(line_id="{order_id}-L1", quantity=1),)
    ),
    Story.GIFT_CARD_SOLD: Course(bought_gift_card),
    Story.ONE_LINE_OF_TWO: Course(_two_lines, scope=(LineScope(line_id="L1", quantity=1),)),
    Story.APPROVED: Course(lambda: captured(total=ABOVE_LIMIT)),
    Story.APPROVAL_REFUSED: Course(
        lambda: captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})}), approval=Verb.REJECT
    ),
    Story.GOODS_LET_GO: Course(_all_kinds_of_parcels, approval=Verb.WITHDRAW),
    Story.BALANCE_TAKEN_BACK: Course(
        lambda: SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 1, "20.00 USD"),),
            tenders=(stored(TenderKind.GIFT_CARD, "20.00 USD"),),
        ),
        answers=_ROLL_BACK,
        locked=True,
    ),
    Story.REFUND_TAKEN_BACK: Course(
        lambda: _one("64.00 USD", card=TestCard.PENDING_REFUND, fault="refund.create:requires_action"),
        answers=_ROLL_BACK,
        locked=True,
    ),
    Story.RESERVED_AGAIN: Course(
        lambda: _one("64.00 USD", tender="0.00 USD", mandate=True), answers=_ROLL_BACK, locked=True
    ),
    Story.REFUND_COLLECTED: Course(lambda: _one("64.00 USD"), answers=_ROLL_BACK, locked=True),
    Story.PAID_BEFORE_IT_SETTLED: Course(
        lambda: _one("64.00 USD", card=TestCard.PENDING_REFUND),
        answers={StepName.CHECK_REFUND: (Verb.DONE_BY_HAND,)},
        pays_early=True,
    ),
    Story.PARCEL_FETCHED: Course(
        lambda: SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 1, "64.00 USD"),),
            tenders=(card("64.00 USD", card=TestCard.PENDING_REFUND),),
            parcels=(parcel(Script.LABEL_ONLY, L1=1),),
        ),
        answers={StepName.STOP_SHIPMENT: (Verb.DONE_BY_HAND,)},
        leaves=True,
    ),
}


def _paid_by_two(first: SampleTender, second: SampleTender, **more: object) -> SampleOrder:
    bought = line("L1", 2, "64.00 USD", "10.22 USD")
    return SampleOrder.model_validate({"order_id": an_id(), "lines": (bought,), "tenders": (first, second), **more})


def _one_of_two_units(paid: SampleTender) -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(paid,))


def _above_limit_and_another() -> SampleOrder:
    lines = (line("L1", 1, ABOVE_LIMIT), line("L2", 1, "24.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("624.00 USD"),))


class Longer(StrEnum):
    """Stories that are only run undisturbed: they combine several STORIES."""

    ALL_TAKEN_BACK = "all_taken_back"
    ONE_OF_TWO_CARDS_FAILS = "one_of_two_cards_fails"
    THE_REST_AFTER_STORE_CREDIT = "the_rest_after_store_credit"
    KEPT_WHILE_IT_WAITS = "kept_while_it_waits"
    CLOSED_BY_HAND = "closed_by_hand"
    FAILS_AT_CLOSE = "fails_at_close"


LONGER_STORIES: Mapping[Longer, Course] = {
    Longer.ALL_TAKEN_BACK: Course(
        lambda: _paid_by_two(
            stored(TenderKind.GIFT_CARD, "20.00 USD"),
            card("44.00 USD", card=TestCard.PENDING_REFUND, fault="refund.create:requires_action"),
            parcels=(parcel(Script.LABEL_ONLY, L1=2),),
        ),
        answers=_ROLL_BACK,
        locked=True,
    ),
    Longer.ONE_OF_TWO_CARDS_FAILS: Course(
        lambda: _paid_by_two(
            card("20.00 USD", card=TestCard.PENDING_REFUND), card("44.00 USD", card=TestCard.PENDING_REFUND)
        ),
        fails=1,
    ),
    Longer.THE_REST_AFTER_STORE_CREDIT: Course(
        lambda: _one_of_two_units(card("64.00 USD", card=TestCard.PENDING_REFUND)),
        scope=(LineScope(line_id="L1", quantity=1),),
        answers={StepName.REVERSE_PAYMENT: (Verb.CHOOSE,)},
        fails=1,
        and_the_rest=True,
    ),
    Longer.KEPT_WHILE_IT_WAITS: Course(
        _above_limit_and_another,
        scope=(LineScope(line_id="L1", quantity=1),),
        kept=(LineScope(line_id="L2", quantity=1),),
    ),
    Longer.CLOSED_BY_HAND: Course(captured, answers={_CLOSE: (Verb.DONE_BY_HAND,)}, locked=True),
    Longer.FAILS_AT_CLOSE: Course(captured, locked=True, fails_at_close=True),
}
