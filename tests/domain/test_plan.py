import pytest

from domain.money import money
from domain.order import Order, Tender, TenderKind
from domain.payment import Payment, Refund, RefundStatus
from domain.plan import LeftOutReason, Plan
from domain.planning import NotCancellable, make_plan
from domain.request import LineScope
from domain.shipment import GoodsGroup, StopAction, Tracking
from domain.terms import Terms
from tests.domain.build import earlier_reversal, line, order, parcel, payment, request, tender, tracked

_OK = RefundStatus.SUCCEEDED


def plan_of(of: Order, *scope: LineScope, paid: dict[str, Payment], where: dict[str, Tracking] | None = None) -> Plan:
    return make_plan(
        cancellation_id="can-1",
        order=of,
        request=request(*scope),
        payments=paid,
        trackings=where or {},
        terms=Terms(),
    )


def test_an_authorisation_is_released_and_nothing_refunded() -> None:
    """B1"""
    plan = plan_of(order(line("L1", 1, "64.00 USD")), paid={"T1": payment("0.00 USD", capturable="64.00 USD")})
    assert (plan.release, plan.refund) == (money("64.00 USD"), money("0.00 USD"))


def test_a_partly_captured_payment_is_refunded_and_released() -> None:
    """B3"""
    plan = plan_of(order(line("L1", 1, "106.00 USD")), paid={"T1": payment("50.00 USD", capturable="56.00 USD")})
    assert (plan.release, plan.refund) == (money("56.00 USD"), money("50.00 USD"))


def test_what_was_refunded_earlier_is_not_refunded_again() -> None:
    """B8"""
    plan = plan_of(order(line("L1", 1, "12.72 USD")), paid={"T1": payment("12.72 USD", refunded="5.00 USD")})
    assert plan.refund == money("7.72 USD")


def given_by(*amounts: str, captured: str = "100.00 USD", ours: str = "", failed: bool = False) -> Payment:
    """Refunded by others in the dashboard, and by an earlier cancellation."""
    refunds = [Refund(reference=f"re-{n}", amount=money(a), status=_OK) for n, a in enumerate(amounts)]
    if ours:
        key, status = "can-earlier/reverse_payment/T1/1", RefundStatus.FAILED if failed else _OK
        refunds.append(Refund(reference="re-ours", amount=money(ours), status=status, key=key))
    live = sum(refund.amount.amount for refund in refunds if not refund.status.has_failed)
    found = payment(captured, refunded=f"{live / 100:.2f} USD")
    return found.model_copy(update={"refunds": tuple(refunds)})


@pytest.mark.parametrize(
    ("paid", "given"),
    [
        (given_by("20.00 USD", "5.00 USD"), {"re-0": "20.00 USD", "re-1": "5.00 USD"}),
        (given_by("100.00 USD"), {"re-0": "100.00 USD"}),
        (given_by("20.00 USD", ours="64.00 USD"), {"re-0": "20.00 USD"}),
        (given_by("64.00 USD", ours="64.00 USD", failed=True), {}),
        (given_by("80.00 USD", ours="64.00 USD", failed=True), {"re-0": "16.00 USD"}),
        (given_by("70.00 USD", captured="200.00 USD"), {}),
        (given_by("70.00 USD", "90.00 USD", captured="200.00 USD"), {"re-0": "60.00 USD"}),
    ],
    ids=["two", "all", "besides ours", "for ours", "for ours and besides", "for other orders", "for both"],
)
def test_what_others_had_refunded_is_what_the_plan_counts_on(paid: Payment, given: dict[str, str]) -> None:
    """I1: what made up for an earlier cancellation's refund is that one's; of a payment that pays for other orders too, only
    what is missing of the order's own share counts."""
    card = after("64.00 USD", "re-ours")[0] if any(refund.key for refund in paid.refunds) else tender("T1")
    of = order(line("L1", 1, "100.00 USD"), tenders=(card.model_copy(update={"amount": money("100.00 USD")}),))
    [planned] = plan_of(of, paid={"T1": paid}).tenders
    counted_on = {part.reference: part.amount for part in planned.by_others or ()}
    assert counted_on == {reference: money(amount) for reference, amount in given.items()}


def after(due: str, *references: str, released: str = "0.00 USD") -> tuple[Tender, ...]:
    """A card of which an earlier cancellation gives back `due`, by these refunds."""
    reversal = earlier_reversal(due, *references, released=released)
    return (tender("T1").model_copy(update={"earlier_reversals": (reversal,)}),)


@pytest.mark.parametrize(
    ("made", "status", "left"),
    [
        ("64.00 USD", RefundStatus.SUCCEEDED, "36.00 USD"),
        ("64.00 USD", RefundStatus.PENDING, "36.00 USD"),
        ("64.00 USD", RefundStatus.FAILED, "36.00 USD"),
        ("40.00 USD", RefundStatus.SUCCEEDED, "36.00 USD"),
        ("80.00 USD", RefundStatus.SUCCEEDED, "20.00 USD"),
        ("80.00 USD", RefundStatus.FAILED, "36.00 USD"),
    ],
)
def test_what_an_earlier_cancellation_gives_back_is_not_given_back_by_the_next(
    made: str, status: RefundStatus, left: str
) -> None:
    """Rule 9, I11: its refund holds or has failed; it gave the rest another way; somebody else refunded more than was due,
    which the gateway has not got any more."""
    refund = Refund(reference="re-1", amount=money(made), status=status)
    counted = None if status.has_failed else made
    paid = payment("100.00 USD", refunded=counted).model_copy(update={"refunds": (refund,)})
    of = order(line("L1", 1, "64.00 USD", cancelled=1), line("L2", 1, "36.00 USD"), tenders=after("64.00 USD", "re-1"))
    assert plan_of(of, paid={"T1": paid}).refund == money(left)


@pytest.mark.parametrize(
    ("due", "made", "status", "paid_back", "left"),
    [
        ("0.00 USD", "64.00 USD", RefundStatus.SUCCEEDED, "64.00 USD", "100.00 USD"),
        ("0.00 USD", "64.00 USD", RefundStatus.FAILED, "64.00 USD", "100.00 USD"),
        ("64.00 USD", "80.00 USD", RefundStatus.SUCCEEDED, "16.00 USD", "36.00 USD"),
        ("64.00 USD", "80.00 USD", RefundStatus.FAILED, "16.00 USD", "36.00 USD"),
    ],
)
def test_what_was_paid_back_of_an_earlier_refund_is_given_back_by_the_next(
    due: str, made: str, status: RefundStatus, paid_back: str, left: str
) -> None:
    """I1: rolled back, or more than was due. A refund that has failed is at the gateway again, and once."""
    refund = Refund(reference="re-1", amount=money(made), status=status)
    counted = None if status.has_failed else made
    paid = payment("100.00 USD", refunded=counted).model_copy(update={"refunds": (refund,)})
    reversal = earlier_reversal(due, "re-1", paid_back=paid_back)
    of = order(
        line("L1", 1, "100.00 USD"),
        tenders=(tender("T1").model_copy(update={"earlier_reversals": (reversal,)}),),
    )
    plan = plan_of(of, paid={"T1": paid})
    assert plan.refund == money(left)


def test_what_was_paid_by_hand_before_it_was_captured_is_not_released_besides() -> None:
    """I11"""
    of = order(line("L1", 1, "40.00 USD", cancelled=1), line("L2", 1, "60.00 USD"), tenders=after("40.00 USD"))
    plan = plan_of(of, paid={"T1": payment("0.00 USD", capturable="100.00 USD")})
    assert (plan.release, plan.refund) == (money("60.00 USD"), money("0.00 USD"))


def test_an_order_that_was_refunded_in_full_still_has_its_goods_stopped() -> None:
    """B9"""
    plan = plan_of(
        order(line("L1", 1, "20.00 USD"), shipments=(parcel("S1", L1=1),)),
        paid={"T1": payment("20.00 USD", refunded="20.00 USD")},
        where={"S1": tracked(GoodsGroup.NOT_HANDED_OVER)},
    )
    assert plan.refund == money("0.00 USD")
    assert [stop.action for stop in plan.shipments] == [StopAction.VOID_LABEL]


def test_lines_worth_more_than_is_left_to_refund_are_rejected_with_the_maximum() -> None:
    """B10"""
    of = order(line("L1", 1, "80.00 USD"), line("L2", 1, "40.00 USD"))
    with pytest.raises(NotCancellable) as no:
        plan_of(
            of,
            LineScope(line_id="L1", quantity=1),
            paid={"T1": payment("120.00 USD", refunded="60.00 USD")},
        )
    assert no.value.reason == "amount_exceeds_refundable"
    assert no.value.maximum == money("60.00 USD")


def test_each_tender_gets_back_at_most_what_it_gave() -> None:
    """B12"""
    of = order(line("L1", 1, "52.35 USD"), tenders=(tender("T1", kind=TenderKind.GIFT_CARD), tender("T2")))
    plan = plan_of(of, paid={"T1": payment("10.00 USD"), "T2": payment("42.35 USD")})
    assert [part.refund for part in plan.tenders] == [money("10.00 USD"), money("42.35 USD")]


def test_an_order_discount_stays_in_the_lines() -> None:
    """B32: 10 % off 3 × 100; cancelling two gives back 180."""
    of = order(line("L1", 3, "270.00 USD"))
    plan = plan_of(of, LineScope(line_id="L1", quantity=2), paid={"T1": payment("270.00 USD")})
    assert plan.refund == money("180.00 USD")


def discounted(discount: str, *, credited: str = "0.00 USD") -> Order:
    """3 × 10.00 and 10.00 of shipping."""
    of = order(*(line(f"L{n}", 1, "10.00 USD", tax="1.60 USD") for n in (1, 2, 3)), shipping="10.00 USD")
    changes = {
        "discount": money(discount),
        "shipping_tax": money("1.60 USD"),
        "shipping_credited": money(credited),
    }
    return of.model_copy(update=changes)


def test_a_discount_that_is_larger_than_the_goods_is_divided_over_the_shipping_too() -> None:
    """F2, E2: 35.00 of 40.00; one line is worth 1.25, with 0.20 of tax."""
    plan = plan_of(discounted("35.00 USD"), LineScope(line_id="L1", quantity=1), paid={"T1": payment("5.00 USD")})
    assert (plan.refund, plan.tax) == (money("1.25 USD"), money("0.20 USD"))


def test_no_more_of_the_shipping_charge_goes_back_than_is_left_after_the_discount() -> None:
    """F2: all of it was credited as if there were no discount; nothing is left, and nothing is below zero."""
    plan = plan_of(discounted("35.00 USD", credited="10.00 USD"), paid={"T1": payment("5.00 USD")})
    assert (plan.shipping, plan.tax) == (money("0.00 USD"), money("0.60 USD"))


def test_figures_that_come_to_less_than_nothing_make_no_plan() -> None:
    """F2, E2"""
    with pytest.raises(NotCancellable, match="would go back") as no:
        plan_of(discounted("45.00 USD"), LineScope(line_id="L1", quantity=1), paid={"T1": payment("5.00 USD")})
    assert no.value.reason == "invalid_order"


def test_the_last_line_takes_the_shipping_charge_with_it() -> None:
    """B34"""
    of = order(line("L1", 1, "30.00 USD", cancelled=1), line("L2", 1, "20.00 USD"), shipping="4.90 USD")
    plan = plan_of(of, LineScope(line_id="L2", quantity=1), paid={"T1": payment("54.90 USD", refunded="30.00 USD")})
    assert plan.refund == money("24.90 USD")


def test_delivered_parcels_are_left_out_with_their_share_of_the_shipping_charge() -> None:
    """C10"""
    of = order(
        line("L1", 3, "90.00 USD"),
        shipments=(parcel("S1", L1=1), parcel("S2", L1=1), parcel("S3", L1=1)),
        shipping="9.00 USD",
    )
    plan = plan_of(
        of,
        paid={"T1": payment("99.00 USD")},
        where={
            "S1": tracked(GoodsGroup.DELIVERED),
            "S2": tracked(GoodsGroup.DELIVERED),
            "S3": tracked(GoodsGroup.NOT_HANDED_OVER),
        },
    )
    assert plan.refund == money("33.00 USD")
    assert [(out.shipment_id, out.reason) for out in plan.left_out] == [
        ("S1", LeftOutReason.DELIVERED),
        ("S2", LeftOutReason.DELIVERED),
    ]


def test_everything_delivered_is_a_return_and_no_cancellation() -> None:
    """C9"""
    of = order(line("L1", 1, "90.00 USD"), shipments=(parcel("S1", L1=1),))
    with pytest.raises(NotCancellable, match="offer a return") as no:
        plan_of(of, paid={"T1": payment("90.00 USD")}, where={"S1": tracked(GoodsGroup.DELIVERED)})
    assert no.value.reason == "already_delivered"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"carrier": "DHL"}, id="another carrier than UPS"),
        pytest.param({"tracking_number": None}, id="no tracking number"),
    ],
)
def test_a_parcel_on_its_way_that_nobody_can_be_asked_to_stop_is_a_return(changed: dict[str, str | None]) -> None:
    """C10: the plan says what the stop would say."""
    sent = parcel("S1", L1=1).model_copy(update=changed)
    of = order(line("L1", 1, "90.00 USD"), line("L2", 1, "10.00 USD"), shipments=(sent,))
    on_its_way = {"S1": tracked(GoodsGroup.IN_NETWORK)}
    plan = plan_of(of, paid={"T1": payment("100.00 USD")}, where=on_its_way)
    assert (plan.refund, plan.shipments) == (money("10.00 USD"), ())
    assert [(out.line_id, out.reason) for out in plan.left_out] == [("L1", LeftOutReason.STOP_DECLINED)]
    with pytest.raises(NotCancellable, match="cannot be stopped any more; offer a return") as no:
        plan_of(of, LineScope(line_id="L1", quantity=1), paid={"T1": payment("100.00 USD")}, where=on_its_way)
    assert no.value.reason == "already_delivered"


def test_a_parcel_on_its_way_is_not_turned_round_for_one_of_its_lines() -> None:
    of = order(line("L1", 1, "10.00 USD"), line("L2", 1, "10.00 USD"), shipments=(parcel("S1", L1=1, L2=1),))
    with pytest.raises(NotCancellable):
        plan_of(
            of,
            LineScope(line_id="L1", quantity=1),
            paid={"T1": payment("20.00 USD")},
            where={"S1": tracked(GoodsGroup.IN_NETWORK)},
        )


def test_a_parcel_that_names_a_line_twice_holds_the_units_of_both() -> None:
    twice = parcel("S1", L1=1).model_copy(update={"lines": parcel("S1", L1=1).lines * 2})
    of = order(line("L1", 2, "20.00 USD"), shipments=(twice,))
    plan = plan_of(of, paid={"T1": payment("20.00 USD")}, where={"S1": tracked(GoodsGroup.IN_NETWORK)})
    assert [(part.shipment_id, part.quantity) for part in plan.lines] == [("S1", 2)]
    assert [planned.shared for planned in plan.shipments] == [None]


def test_the_lines_of_a_parcel_that_was_not_stopped_leave_the_plan() -> None:
    of = order(line("L1", 2, "100.00 USD"), shipments=(parcel("S1", L1=1), parcel("S2", L1=1)), shipping="5.00 USD")
    in_network = tracked(GoodsGroup.IN_NETWORK)
    plan = plan_of(of, paid={"T1": payment("105.00 USD")}, where={"S1": in_network, "S2": in_network})
    left = plan.without(frozenset({"S2"}))
    assert left.refund == money("52.50 USD")
    assert [(out.shipment_id, out.reason) for out in left.left_out] == [("S2", LeftOutReason.STOP_DECLINED)]


def test_units_that_leave_without_those_before_them_are_worth_what_the_next_cancellation_takes_them_for() -> None:
    """B32: of three units for 108.59 the first one's parcel is not stopped; the others are worth 72.39, and it is 36.20."""
    of = order(line("L1", 3, "108.59 USD"), shipments=(parcel("S1", L1=1), parcel("S2", L1=2)))
    in_network = tracked(GoodsGroup.IN_NETWORK)
    plan = plan_of(of, paid={"T1": payment("108.59 USD")}, where={"S1": in_network, "S2": in_network})

    left = plan.without(frozenset({"S1"}))

    assert [part.amount for part in left.lines] == [money("72.39 USD")]
    assert left.refund == money("72.39 USD")
    assert of.lines[0].after(2).value_of(1) == money("36.20 USD")


@pytest.mark.parametrize(
    ("release", "captured", "taken"),
    [
        ("60.00 USD", "50.00 USD", "0.00 USD"),  # as much as the other order paid
        ("60.00 USD", "70.00 USD", "60.00 USD"),  # 20.00 at least
        ("60.00 USD", "110.00 USD", "60.00 USD"),
        ("20.00 USD", "90.00 USD", "0.00 USD"),  # the other order, and what stays of this one
        ("20.00 USD", "95.00 USD", "20.00 USD"),
    ],
)
def test_of_a_shared_reservation_that_was_given_up_what_may_have_been_captured_all_the_same_is_owed(
    release: str, captured: str, taken: str
) -> None:
    """E29: 110.00 are reserved for this order of 60.00 and for another one of 50.00."""
    paid = tender("T1").model_copy(update={"amount": money("60.00 USD")})
    one = order(line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD"), tenders=(paid,))
    scope = () if release == "60.00 USD" else (LineScope(line_id="L1", quantity=1),)
    [planned] = plan_of(one, *scope, paid={"T1": payment("0.00 USD", capturable="110.00 USD")}).tenders
    left = money("110.00 USD") - money(captured)
    now = payment(captured, capturable=str(left))
    assert (planned.release, planned.taken_anyway(now)) == (money(release), money(taken))
    assert planned.may_be_of_others(now) is (captured in {"70.00 USD", "95.00 USD"})
