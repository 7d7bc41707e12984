"""What our books know of an order, laid over what its order management system has."""

from datetime import timedelta

import pytest

from domain.case import Case
from domain.facts import (
    Ended,
    Entry,
    Fact,
    Joined,
    OrderClosed,
    ParcelReceived,
    Reopened,
    ReversalSeen,
    RollBackOrdered,
    SettledByHand,
)
from domain.keys import id_of
from domain.known_order import KnownOrder
from domain.money import money
from domain.order import Contact, Order, OrderLine
from domain.outcome import CARRIED_OUT, Outcome
from domain.payment import RefundStatus
from domain.plan import Plan
from domain.shipment import StopAction, StopStatus
from domain.step import StepName
from tests.domain.build import earlier_reversal, line, order, parcel, request, tender
from tests.domain.cases import CLERK, opened, plan_of, planned_tender, refund_seen, stop_seen, usd

PLAN = plan_of(planned_tender(refund=1000))
REVERSED = ReversalSeen(target="T1", released=usd(0), covered=usd(0))
REFUNDED = refund_seen(1000, RefundStatus.SUCCEEDED)


def over(outcome: Outcome = Outcome.CANCELLED) -> Ended:
    return Ended(outcome=outcome, sentence="It is over.")


def one(request_id: str, *facts: Fact, plan: Plan | None = PLAN, later: int = 0) -> tuple[Entry, ...]:
    """A cancellation that this request opened; `later`: so many minutes after others."""
    case = opened(plan, *facts, by=request().model_copy(update={"request_id": request_id}))
    return tuple(entry.model_copy(update={"at": entry.at + timedelta(minutes=later)}) for entry in case.entries)


def carried_out(request_id: str, *facts: Fact, plan: Plan | None = PLAN, later: int = 0) -> tuple[Entry, ...]:
    return one(request_id, *facts, OrderClosed(), over(), plan=plan, later=later)


def id_by(request_id: str) -> str:
    return id_of(request().model_copy(update={"request_id": request_id}))


def found(case: Case | None) -> str | None:
    return case.cancellation_id if case else None


# Which cancellation


def test_nothing_is_known_of_an_order_that_nobody_asked_to_cancel() -> None:
    known = KnownOrder()
    assert (known.cases, known.open, known.first_read, known.carried_out_last) == ([], None, None, None)
    assert known.of_request("r-1") is None
    assert known.case_for("r-1", carried_out=True).entries == ()


def test_the_one_under_way_is_open_and_one_that_was_opened_again_as_well() -> None:
    assert found(KnownOrder([carried_out("r-1"), one("r-2")]).open) == id_by("r-2")
    assert KnownOrder([carried_out("r-1")]).open is None
    again = (*carried_out("r-1"), Entry(seq=99, at=one("r-1")[0].at, fact=Reopened(why="A refund has failed.")))
    assert found(KnownOrder([again]).open) == id_by("r-1")


def test_a_request_has_the_cancellation_that_it_opened_or_joined_and_the_latest_of_both() -> None:
    """M10, M13"""
    joined = Joined(request=request().model_copy(update={"request_id": "r-2"}))
    first = one("r-1", joined, over(Outcome.WITHDRAWN))

    known = KnownOrder([first])
    assert [found(known.of_request(asked)) for asked in ("r-1", "r-2", "r-3")] == [id_by("r-1"), id_by("r-1"), None]

    known = KnownOrder([first, one("r-2")])
    assert [found(known.of_request(asked)) for asked in ("r-1", "r-2")] == [id_by("r-1"), id_by("r-2")]


@pytest.mark.parametrize("outcome", Outcome)
def test_the_last_that_was_carried_out_is_the_one_that_ended_last(outcome: Outcome) -> None:
    """Not the one that was opened last: one that was opened again ends later."""
    known = KnownOrder(
        [carried_out("r-1", later=5), carried_out("r-2"), one("r-3", over(outcome), later=9), one("r-4")]
    )
    assert found(known.carried_out_last) == id_by("r-3" if outcome in CARRIED_OUT else "r-1")


def test_a_request_has_the_cancellation_that_it_opened_or_joined() -> None:
    """M10: with the same content, whoever the order belongs to by now."""
    joined = request().model_copy(update={"request_id": "r-2"})
    known = KnownOrder([carried_out("r-1", Joined(request=joined)), one("r-3", plan=None)])
    first, another = (request().model_copy(update={"request_id": name}) for name in ("r-1", "r-4"))
    assert found(known.opened_for(first)) == found(known.opened_for(joined)) == id_by("r-1")
    assert known.opened_for(first.model_copy(update={"customer_id": "C-2"})) is None
    assert known.opened_for(another) is None
    verifying = opened(None, by=another).entries[:1]
    assert found(KnownOrder([verifying]).opened_for(another)) == id_by("r-4")


def test_a_request_is_about_the_one_under_way_then_its_own_then_the_last_that_took_something_out() -> None:
    """A3, M38"""
    withdrawn, took_out = one("r-1", over(Outcome.WITHDRAWN)), carried_out("r-2")

    def case_for(known: KnownOrder, request_id: str, *, carried_out: bool) -> str:
        return known.case_for(request_id, carried_out=carried_out).cancellation_id

    known = KnownOrder([withdrawn, took_out])
    assert case_for(known, "r-1", carried_out=True) == id_by("r-1")
    assert case_for(known, "r-9", carried_out=True) == id_by("r-2")
    assert case_for(known, "r-9", carried_out=False) == ""
    known = KnownOrder([withdrawn, took_out, one("r-3")])
    for asked in ("r-1", "r-2", "r-9"):
        assert case_for(known, asked, carried_out=True) == id_by("r-3")


# What the cancellations did


IN_OMS = order(line("L0", 1, "10.00 USD"), shipping="5.00 USD").model_copy(
    update={"shipping_credited": None, "contact": Contact(email="anna@customer.example")}
)


def test_an_order_without_a_cancellation_is_as_it_is() -> None:
    assert KnownOrder().lay_over(IN_OMS) == IN_OMS.model_copy(update={"shipping_credited": usd(0)})


def test_the_shipping_that_was_credited_is_that_of_the_cancellations_that_closed_the_order() -> None:
    """B34: whether they have ended or not."""
    with_shipping = PLAN.model_copy(update={"shipping": usd(200)})
    last = PLAN.model_copy(update={"shipping": usd(300)})

    def credited(*cancellations: tuple[Entry, ...]) -> object:
        return KnownOrder(cancellations).lay_over(IN_OMS).shipping_credited

    assert credited(one("r-1", REFUNDED, plan=with_shipping)) == usd(0)
    assert credited(one("r-1", over(Outcome.ROLLED_BACK), plan=with_shipping)) == usd(0)
    assert credited(one("r-1", OrderClosed(), plan=with_shipping)) == usd(200)
    assert credited(carried_out("r-1", plan=with_shipping), carried_out("r-2", plan=last)) == usd(500)


@pytest.mark.parametrize(
    ("cancellation", "held"),
    [
        (one("r-1"), True),
        (one("r-1")[:2], False),
        (one("r-1", OrderClosed()), False),
        (carried_out("r-1"), False),
        (one("r-1", over(Outcome.WITHDRAWN)), False),
        ((*carried_out("r-1"), Entry(seq=99, at=IN_OMS.placed_at, fact=Reopened(why="A refund has failed."))), False),
    ],
    ids=["decided", "being verified", "closed", "carried out", "withdrawn", "opened again"],
)
def test_an_order_is_held_from_the_decision_until_it_is_closed(cancellation: tuple[Entry, ...], *, held: bool) -> None:
    """E25: what remains of it is free before the money has settled."""
    over_it = KnownOrder([cancellation]).lay_over(IN_OMS)
    assert over_it.held_by == (id_by("r-1") if held else None)


def test_what_a_cancellation_did_to_a_payment_is_laid_over_its_tender_once_it_has_closed_the_order() -> None:
    """B3, M4"""
    by_hand = SettledByHand(step=StepName.REVERSE_PAYMENT, target="T1", reference="bank 1", by=CLERK, amount=usd(1000))
    not_closed = KnownOrder([one("r-1", REFUNDED, REVERSED, by_hand)]).lay_over(IN_OMS)
    closed = KnownOrder([one("r-1", REFUNDED, REVERSED, OrderClosed())]).lay_over(IN_OMS)

    assert not_closed.tenders[0].earlier_reversals == ()
    assert closed.tenders[0].earlier_reversals == (earlier_reversal("10.00 USD", "re-1", cancellation_id=id_by("r-1")),)


def test_each_cancellation_leaves_its_own_and_none_looks_at_itself() -> None:
    known = KnownOrder(
        [carried_out(f"r-{n}", refund_seen(1000, RefundStatus.SUCCEEDED, reference=f"re-{n}")) for n in (1, 2)]
    )
    mine = tender("T1").model_copy(update={"reference": "ref-T1"})

    def left(*, but: str = "") -> list[str]:
        return [earlier.cancellation_id for earlier in known.earlier_reversals(mine, but=but)]

    assert left() == [id_by("r-1"), id_by("r-2")]
    assert left(but=id_by("r-1")) == [id_by("r-2")]
    other = tender("T9").model_copy(update={"reference": "ref-T9"})
    assert known.earlier_reversals(other) == ()


def test_a_cancellation_that_left_nothing_of_a_tender_is_not_named() -> None:
    """Rolled back without a payment, or declared not due and nothing given."""
    rolled_back = one("r-1", RollBackOrdered(sentence="Rolled back."), over(Outcome.ROLLED_BACK))
    untouched = carried_out("r-2", plan=plan_of(planned_tender()))
    assert KnownOrder([rolled_back, untouched]).lay_over(IN_OMS).tenders[0].earlier_reversals == ()


@pytest.mark.parametrize("collected", [False, True])
def test_of_a_cancellation_that_was_rolled_back_what_the_customer_kept_is_left(*, collected: bool) -> None:
    """M18"""
    by_hand = SettledByHand(step=StepName.REVERSE_PAYMENT, target="T1", reference="bank 1", by=CLERK, amount=usd(1000))
    back = SettledByHand(step=StepName.RESTORE_PAYMENT, target="T1", reference="bank 2", by=CLERK, amount=usd(1000))
    facts: list[Fact] = [by_hand, RollBackOrdered(sentence="Rolled back."), *([back] if collected else [])]

    known = KnownOrder([one("r-1", *facts, over(Outcome.ROLLED_BACK))])

    kept = earlier_reversal("10.00 USD", of_provider="0.00 USD", another_way="10.00 USD", cancellation_id=id_by("r-1"))
    assert known.lay_over(IN_OMS).tenders[0].earlier_reversals == (() if collected else (kept,))


def test_what_was_done_to_a_payment_that_was_replaced_since_is_of_the_payment_before() -> None:
    """M19: the gateway counts nothing at the new one of what was released at the old one."""
    released = ReversalSeen(target="T1", released=usd(1000), covered=usd(0))
    known = KnownOrder([carried_out("r-1", released, plan=plan_of(planned_tender(release=1000)))])
    before, after = tender("T1"), tender("T1").model_copy(update={"reference": "pi_2"})

    assert known.earlier_reversals(before.model_copy(update={"reference": "ref-T1"})) == (
        earlier_reversal("0.00 USD", released="10.00 USD", cancellation_id=id_by("r-1")),
    )
    assert known.earlier_reversals(after) == ()


def test_a_payment_that_another_tender_names_by_now_has_what_was_done_to_it() -> None:
    """The order management system numbers its tenders anew."""
    known = KnownOrder([carried_out("r-1", REFUNDED, REVERSED)])
    renamed = tender("T7").model_copy(update={"reference": "ref-T1"})
    assert [earlier.refunds for earlier in known.earlier_reversals(renamed)] == [("re-1",)]


# Goods that are still in the order where it is kept


def test_units_on_their_way_back_have_left_by_our_books_although_the_order_has_them() -> None:
    """It would restock them at once; they leave it when they are received."""
    plan = plan_of(planned_tender(refund=2000), parcels=("A",))
    in_oms = order(
        line("L0", 1, "10.00 USD", cancelled=1), line("L-A", 1, "10.00 USD"), shipments=(parcel("A", **{"L-A": 1}),)
    )
    coming_back = stop_seen("A", StopStatus.COMING_BACK, StopAction.INTERCEPT)
    expected = one("r-1", coming_back, OrderClosed(expected_back=("A",)), over(), plan=plan)
    known = KnownOrder([expected])

    laid_over = known.lay_over(in_oms)

    assert [row.cancelled for row in laid_over.lines] == [1, 1]
    assert laid_over.shipments[0].lines == ()
    assert known.expected_units() == {"L-A": 1}
    assert known.ahead_of_oms(id_by("r-1")) == {}

    received = Entry(seq=99, at=in_oms.placed_at, fact=ParcelReceived(shipment_id="A"))
    known = KnownOrder([(*expected, received)])
    assert known.lay_over(in_oms).lines == in_oms.lines
    assert known.lay_over(in_oms).shipments[0].lines == (), (
        "what was in it is in the warehouse, and not cancelled once more"
    )


def test_what_later_cancellations_took_out_had_not_left_when_an_earlier_one_was_decided() -> None:
    """Two of one unit each, both on their way back at first; the later one's arrives first."""
    plans = [plan_of(planned_tender(refund=2000), parcels=(name,)) for name in ("A", "B")]
    first = one("r-1", OrderClosed(expected_back=("A",)), over(), plan=plans[0])
    second = one("r-2", OrderClosed(expected_back=("B",)), over(), plan=plans[1], later=5)
    received = Entry(seq=99, at=second[-1].at, fact=ParcelReceived(shipment_id="B"))
    units = {f"L-{name}": line.quantity for name, plan in zip("AB", plans, strict=True) for line in plan.lines[1:]}

    both = KnownOrder([first, second])
    assert +both.ahead_of_oms(id_by("r-2")) == {"L-A": units["L-A"]}
    assert -both.ahead_of_oms(id_by("r-1")) == {"L0": 1}, "which lies in the warehouse, and was taken out at once"
    now = KnownOrder([first, (*second, received)])
    assert -now.ahead_of_oms(id_by("r-1")) == {"L0": 1, "L-B": units["L-B"]}


# Order management systems that count only what is left


SOLD = order(
    line("L1", 3, "270.01 USD", tax="43.11 USD"), line("L2", 1, "10.00 USD", tax="1.60 USD"), shipping="4.90 USD"
).model_copy(update={"discount": money("5.00 USD"), "shipping_tax": money("0.78 USD"), "shipping_credited": None})


def over_first_read(now: Order, first: Order = SOLD) -> Order:
    return KnownOrder([carried_out("r-1")], first).lay_over(now)


def left(quantity: int, total: str, *, line_id: str = "L1", cancelled: int = 0) -> OrderLine:
    return line(line_id, quantity, total, cancelled=cancelled, tax="1.00 USD")


def with_lines(*lines: OrderLine) -> Order:
    return SOLD.model_copy(update={"lines": lines})


def test_an_order_that_shows_all_that_was_sold_is_as_it_is() -> None:
    now = with_lines(SOLD.lines[0].model_copy(update={"cancelled": 2}), SOLD.lines[1])
    assert over_first_read(now).lines == now.lines


def test_a_line_that_has_shrunk_is_as_it_was_sold_and_what_is_missing_has_left() -> None:
    """B32: what a unit is worth does not change between two cancellations: 180.00 and 90.01, nothing lost."""
    now = with_lines(left(1, "91.00 USD"), SOLD.lines[1])

    shrunk = over_first_read(now).lines[0]

    assert (shrunk.quantity, shrunk.total, shrunk.tax) == (3, money("270.01 USD"), money("43.11 USD"))
    assert (shrunk.cancelled, shrunk.remaining) == (2, 1)
    assert SOLD.lines[0].value_of(2) + shrunk.value_of(1) == money("270.01 USD")


def test_a_line_that_has_shrunk_and_counts_what_was_cancelled_counts_no_unit_twice() -> None:
    assert over_first_read(with_lines(left(2, "180.00 USD", cancelled=1))).lines[0].cancelled == 2
    assert over_first_read(with_lines(left(1, "90.00 USD", cancelled=3))).lines[0].cancelled == 3


def test_a_line_that_has_disappeared_has_left_as_a_whole() -> None:
    gone, stays = over_first_read(with_lines(SOLD.lines[1])).lines
    assert gone == SOLD.lines[0].model_copy(update={"cancelled": 3})
    assert stays == SOLD.lines[1]


def test_an_order_of_which_no_line_is_left_is_cancelled() -> None:
    assert over_first_read(with_lines()).state.value == "cancelled"


def test_a_line_that_has_grown_is_another_one() -> None:
    """Somebody has sold more of it since: it is worth what it says now."""
    grown = left(4, "360.00 USD", cancelled=1)
    assert over_first_read(with_lines(grown, SOLD.lines[1])).lines[0] == grown


def test_a_line_that_is_new_comes_after_the_others() -> None:
    new = left(1, "7.00 USD", line_id="L3")
    assert over_first_read(with_lines(new, *SOLD.lines)).lines == (*SOLD.lines, new)


def test_shipping_and_discount_are_those_of_the_first_read_and_everything_else_is_of_now() -> None:
    now = SOLD.model_copy(
        update={
            "shipping": usd(0),
            "shipping_tax": None,
            "discount": money("1.00 USD"),
            "country": "AT",
            "contact": Contact(email="anna@customer.example"),
            "shipments": (parcel("A", L1=1),),
        }
    )
    laid_over = over_first_read(now)
    assert (laid_over.shipping, laid_over.shipping_tax, laid_over.discount) == (
        SOLD.shipping,
        SOLD.shipping_tax,
        SOLD.discount,
    )
    assert (laid_over.country, laid_over.contact, laid_over.shipments) == (now.country, now.contact, now.shipments)
    assert laid_over.discounted().lines == SOLD.discounted().lines


def test_what_had_left_when_it_was_read_first_is_not_counted_twice() -> None:
    """The first cancellation came after staff had taken a unit out, and the system shows both kinds of numbers."""
    first = with_lines(SOLD.lines[0].model_copy(update={"cancelled": 1}), SOLD.lines[1])
    assert over_first_read(first, first).lines == first.lines
    later = with_lines(first.lines[0].model_copy(update={"cancelled": 3}), SOLD.lines[1])
    assert over_first_read(later, first).lines[0].cancelled == 3


def test_without_a_first_read_the_order_is_as_it_is() -> None:
    """None was ever decided."""
    now = with_lines(left(1, "91.00 USD"))
    assert KnownOrder([one("r-1")[:2]]).lay_over(now).lines == now.lines
