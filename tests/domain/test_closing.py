"""What leaves an order when it is closed, and what others have taken out of it meanwhile."""

from typing import Any

import pytest

from domain.closing import (
    ClosedLine,
    Closing,
    cases_since,
    changed_at_close,
    changed_before,
    gone_of,
    not_received,
)
from domain.facts import OrderChangeSeen, OrderClosed, ParcelReceived
from domain.money import money
from domain.order import Order
from domain.payment import RefundStatus
from domain.plan import Plan
from domain.planning import make_plan
from domain.request import CancellationRequest, LineScope
from domain.shipment import GoodsGroup, StopAction, StopStatus
from domain.step import StepName
from domain.terms import Terms
from tests.domain.build import line, order, parcel, payment, request, tracked
from tests.domain.cases import CANCELLATION, ORDER, noted, opened, plan_of, planned_tender, refund_seen, stop_seen

TWO_PARCELS = plan_of(planned_tender(refund=3000), parcels=("A", "B"))


def closing(*units: tuple[str, int, int]) -> Closing:
    """By line, units that leave, and those that had left before."""
    return Closing(
        lines=tuple(
            ClosedLine(line_id=line_id, quantity=quantity, shipment_id=None, gone_before=before)
            for line_id, quantity, before in units
        )
    )


def planned(of: Order) -> Closing:
    """All of the order."""
    return Closing.of(opened(plan_for(of, request())))


def plan_for(of: Order, asks: CancellationRequest) -> Plan:
    """Every parcel is in the warehouse."""
    return make_plan(
        cancellation_id=CANCELLATION,
        order=of,
        request=asks,
        payments={tender.tender_id: payment("90.00 USD") for tender in of.tenders},
        trackings={shipment.shipment_id: tracked(GoodsGroup.NOT_HANDED_OVER) for shipment in of.shipments},
        terms=Terms(),
    )


# What leaves


def test_each_line_leaves_out_of_its_parcel_and_counts_with_what_had_left_before() -> None:
    """Units of one line in two parcels and in none are three parts, and one target."""
    of = order(line("L1", 5, "50.00 USD", cancelled=1), shipments=(parcel("A", L1=1), parcel("B", L1=1)))

    all_of_it = planned(of)

    assert [(part.shipment_id, part.quantity, part.gone_before) for part in all_of_it.lines] == [
        (None, 2, 1),
        ("A", 1, 1),
        ("B", 1, 1),
    ]
    assert all_of_it.gone_before == {"L1": 1}
    assert all_of_it.targets == {"L1": 5}


def test_targets_are_of_the_lines_that_leave_and_of_no_other() -> None:
    assert closing(("L1", 2, 0), ("L2", 1, 3)).targets == {"L1": 2, "L2": 4}
    assert closing().targets == {}


def test_an_order_at_its_targets_stays_as_it_is_when_it_is_brought_to_them_once_more() -> None:
    """What an order management system without idempotency keys goes by."""
    one = closing(("L1", 2, 1))
    gone = dict(one.gone_before)
    for _ in range(2):
        for line_id, target in one.targets.items():
            gone[line_id] = max(gone[line_id], target)
    assert gone == {"L1": 3}


@pytest.mark.parametrize(
    ("status", "stopped", "coming_back", "gone"),
    [
        (StopStatus.STOPPED, True, False, False),
        (StopStatus.REQUESTED, True, True, True),
        (StopStatus.COMING_BACK, True, True, True),
        (StopStatus.LOST, True, False, True),
        (StopStatus.MOVING, False, False, True),
    ],
)
def test_where_the_goods_of_a_parcel_are_goes_by_what_was_seen_of_it(
    status: StopStatus, *, stopped: bool, coming_back: bool, gone: bool
) -> None:
    of_it = Closing.of(opened(TWO_PARCELS, stop_seen("A", status)))
    assert (of_it.stopped, of_it.coming_back, of_it.gone) == tuple(
        frozenset({"A"} if yes else ()) for yes in (stopped, coming_back, gone)
    )


def test_a_parcel_that_was_not_stopped_before_the_money_moved_keeps_its_lines() -> None:
    one = Closing.of(opened(TWO_PARCELS, stop_seen("A", StopStatus.STOPPED), stop_seen("B", StopStatus.DECLINED)))
    assert [part.line_id for part in one.lines] == ["L0", "L-A"]
    assert (one.stopped, one.gone) == (frozenset({"A"}), frozenset())


def test_what_had_left_when_it_was_closed_last_goes_by_the_facts_of_then() -> None:
    """Neither what was seen since, nor how it was closed before that."""
    refunded = refund_seen(3000, RefundStatus.SUCCEEDED)
    first, second, third = (
        stop_seen("A", status) for status in (StopStatus.MOVING, StopStatus.LOST, StopStatus.MOVING)
    )
    case = opened(TWO_PARCELS, refunded, first)
    assert Closing.before(case) is None

    again = opened(TWO_PARCELS, refunded, first, OrderClosed(), second, OrderClosed(), third)

    before = Closing.before(again)
    assert before is not None
    assert (before.stopped, before.gone) == (frozenset({"A"}), frozenset({"A"}))
    assert Closing.of(again).stopped == frozenset()
    assert before.lines == Closing.of(again).lines


def test_goods_on_their_way_back_stay_in_an_order_that_would_restock_them_at_once() -> None:
    """And what has left it by our books alone, for another cancellation, has not left it where it is kept."""
    one = Closing.of(opened(TWO_PARCELS, stop_seen("A", StopStatus.COMING_BACK)))

    left = one.without_expected(("A",), {})

    assert [part.line_id for part in left.lines] == ["L0", "L-B"]
    assert (left.stopped, left.coming_back) == (one.stopped, one.coming_back)
    less = closing(("L1", 1, 2), ("L2", 1, 0)).without_expected((), {"L1": 2})
    assert (less.gone_before, less.targets) == ({"L1": 0, "L2": 0}, {"L1": 1, "L2": 1})


@pytest.mark.parametrize(
    ("remaining", "asked", "back"),
    [
        ((1, 1), {}, True),
        ((1, 0), {}, True),
        ((1, 1), {"lines": (LineScope(line_id="L1", quantity=1),)}, False),
        ((1, 0), {"lines": (LineScope(line_id="L1", quantity=1),)}, True),
        ((1, 1), {"lines": (LineScope(line_id="L1", quantity=1),), "shipping": True}, True),
        ((1, 1), {"shipping": True}, True),
    ],
    ids=["whole", "rest", "one line", "last line", "one line with shipping", "shipping alone"],
)
@pytest.mark.parametrize("credited", ["0.00 USD", "2.00 USD"])
def test_nothing_of_the_shipping_charge_is_owed_once_its_rest_has_gone_back(
    remaining: tuple[int, int], asked: dict[str, Any], *, back: bool, credited: str
) -> None:
    """With the last line, or because it was asked for; earlier cancellations may have given back a part of it."""
    lines = (line(name, 1, "40.00 USD", cancelled=1 - left) for name, left in zip(("L1", "L2"), remaining, strict=True))
    of = order(*lines, shipping="5.00 USD").model_copy(update={"shipping_credited": money(credited)})
    asks = request().model_copy(update=asked)

    plan = plan_for(of, asks)

    assert (plan.shipping + money(credited) == of.shipping) is back
    assert Closing.of(opened(plan, by=asks)).shipping_back is back


@pytest.mark.parametrize("with_shipping", [True, False])
def test_a_parcel_that_was_not_stopped_keeps_its_part_of_the_shipping_charge(*, with_shipping: bool) -> None:
    of = order(line("L1", 2, "40.00 USD"), shipments=(parcel("A", L1=1), parcel("B", L1=1)), shipping="5.00 USD")
    asks = request().model_copy(
        update={"shipping": True, "lines": (LineScope(line_id="L1", quantity=2),)} if with_shipping else {}
    )
    stopped, declined = stop_seen("A", StopStatus.STOPPED), stop_seen("B", StopStatus.DECLINED)
    plan = plan_for(of, asks)
    assert Closing.of(opened(plan, stopped, by=asks)).shipping_back
    assert not Closing.of(opened(plan, stopped, declined, by=asks)).shipping_back


def test_a_shop_that_restocks_at_once_hears_of_the_shipping_charge_when_it_goes_back() -> None:
    """The goods leave the order later, when they arrive."""
    one = Closing.of(opened(TWO_PARCELS, stop_seen("A", StopStatus.COMING_BACK)))
    assert one.without_expected(("A",), {}).shipping_back


# What others have taken out


@pytest.mark.parametrize(
    ("gone", "others"),
    [
        ({"L1": 1, "L2": 0}, {}),
        ({"L1": 2, "L2": 0}, {"L1": 1}),
        ({"L1": 3, "L2": 0}, {"L1": 2}),
        ({"L1": 4, "L2": 1}, {"L1": 3, "L2": 1}),
        ({"L1": 0, "L2": 0}, {"L1": -1}),
        ({"L1": 1, "L2": 0, "L3": 5}, {}),
        ({"L1": 1}, {}),
    ],
    ids=["none", "some", "as many as ours", "more than ours", "put back", "of no line of ours", "a line is not shown"],
)
def test_at_the_first_attempt_whatever_has_left_since_was_taken_by_others(
    gone: dict[str, int], others: dict[str, int]
) -> None:
    """As many as ours, too: the two may both have been paid back."""
    assert closing(("L1", 2, 1), ("L2", 1, 0)).taken_by_others(gone) == others


@pytest.mark.parametrize(
    ("gone", "others"),
    [
        ({"L1": 1, "L2": 0}, {}),
        ({"L1": 3, "L2": 1}, {}),
        ({"L1": 3, "L2": 0}, {}),
        ({"L1": 2, "L2": 1}, {"L1": 1}),
        ({"L1": 5, "L2": 1}, {"L1": 4}),
    ],
    ids=["nothing yet", "all of ours", "a line of ours", "less than ours", "more than ours"],
)
def test_at_a_later_attempt_units_at_their_target_may_be_ours(gone: dict[str, int], others: dict[str, int]) -> None:
    """The answer of the earlier one was lost; it may have been stopped between two lines."""
    both = closing(("L1", 2, 1), ("L2", 1, 0))
    assert both.taken_by_others(gone, tried=[both.targets]) == others


def test_a_person_learns_of_which_lines_how_much_is_missing() -> None:
    others = {"L2": 1, "L1": 2}
    for said in (changed_before("1001", OrderChangeSeen(taken=others)), changed_at_close("1001", others)):
        assert said.startswith("Somebody else has taken 2 of line L1, 1 of line L2 out of order 1001 since")


def test_a_person_learns_of_what_is_put_back_and_of_what_leaves_the_order_later() -> None:
    assert changed_before("1001", OrderChangeSeen(taken={"L2": -1, "L1": 2})).startswith(
        "Somebody else has taken 2 of line L1 out of and put 1 of line L2 back into order 1001 since"
    )
    assert changed_at_close("1001", {"L1": 1}, {"S2"}).endswith("What is on its way back leaves it later: parcel S2.")


def test_a_person_learns_of_what_was_added_and_what_becomes_of_it() -> None:
    said = changed_before("1001", OrderChangeSeen(taken={"L2": 1}, added={"L1": 1}))
    assert said.startswith("Somebody else has taken 1 of line L2 out of and added 1 of line L1 to order 1001 since")
    assert said.endswith("What was added stays in the order then, and the shipping charge goes back all the same.")


def test_what_has_gone_is_counted_by_line() -> None:
    of = order(line("L1", 3, "30.00 USD", cancelled=2), line("L2", 1, "5.00 USD"))
    assert gone_of(of) == {"L1": 2, "L2": 0}


# Goods that come back to a shop that restocks at once


def test_a_parcel_whose_units_have_left_the_order_is_not_waited_for_although_it_comes_back() -> None:
    """It left right before the close, or in spite of its void: nothing of it is in the order any more."""
    back = stop_seen("A", StopStatus.COMING_BACK, StopAction.INTERCEPT)
    assert not_received(opened(TWO_PARCELS, back)) == {"A"}
    assert not_received(opened(TWO_PARCELS, back, OrderClosed(expected_back=("A",)))) == {"A"}
    assert not_received(opened(TWO_PARCELS, OrderClosed(), back)) == set()


def test_each_attempt_to_close_went_by_what_had_arrived_by_then() -> None:
    """Both parcels were on their way at the first one; at the last, both are there."""
    close = noted(StepName.CLOSE_ORDER, ORDER)
    backs = [stop_seen(name, StopStatus.COMING_BACK, StopAction.INTERCEPT) for name in ("A", "B")]
    received = [ParcelReceived(shipment_id=name) for name in ("A", "B")]
    case = opened(TWO_PARCELS, *backs, close, *received)
    assert [not_received(then) for then in cases_since(case, close.key)] == [{"A", "B"}, {"B"}, set()]


def test_units_at_the_target_of_any_attempt_may_be_ours() -> None:
    """At each of two attempts whose answers were lost one more unit had arrived. Nobody has tried to take out all three."""
    three = closing(("L1", 3, 0))
    tried = [{"L1": 1}, {"L1": 2}]
    others = [three.taken_by_others({"L1": gone}, tried=tried) for gone in range(5)]
    assert others == [{}, {}, {}, {"L1": 3}, {"L1": 4}]
