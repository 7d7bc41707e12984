"""What others have changed of an order that is not frozen, read again before the money moves."""

import pytest

from domain.facts import Fact, NothingDue, OrderChangeSeen, SettledByHand
from domain.money import money
from domain.order import Order
from domain.order_changes import is_asked_about, lines_taken_for_us, unanswered_change
from domain.plan import Plan
from domain.planning import make_plan
from domain.request import LineScope
from domain.step import StepName
from domain.terms import Terms
from domain.unfrozen import find_changed_money
from tests.domain.build import line, order, payment, request, tender
from tests.domain.cases import CLERK, entries

FIRST = tender("T1").model_copy(update={"amount": money("105.00 USD")})
THEN = order(line("L1", 3, "60.00 USD"), line("L2", 1, "40.00 USD"), tenders=(FIRST,), shipping="5.00 USD")
EVERYTHING, A_LINE = (), (LineScope(line_id="L1", quantity=2),)


def plan(*scope: LineScope, captured: str = "105.00 USD", shipping: bool = False) -> Plan:
    paid = payment(captured, capturable=str(money("105.00 USD") - money(captured)))
    return make_plan(
        cancellation_id="can-1001-1",
        order=THEN,
        request=request(*scope).model_copy(update={"shipping": shipping}),
        payments={"T1": paid},
        trackings={},
        terms=Terms(),
    )


def now(**changes: object) -> Order:
    return THEN.model_copy(update=changes)


def paid_by(*others: str, first: str = "105.00 USD") -> Order:
    more = (tender(f"T{at}").model_copy(update={"amount": money(amount)}) for at, amount in enumerate(others, start=2))
    return now(tenders=(FIRST.model_copy(update={"amount": money(first)}), *more))


@pytest.mark.parametrize("scope", [EVERYTHING, A_LINE])
def test_an_order_that_is_as_it_was_has_changed_nothing(scope: tuple[LineScope, ...]) -> None:
    assert find_changed_money(plan(*scope), THEN, THEN) == ()


@pytest.mark.parametrize("scope", [EVERYTHING, A_LINE])
def test_a_payment_that_the_order_does_not_name_any_more_is_asked_about(scope: tuple[LineScope, ...]) -> None:
    other = FIRST.model_copy(update={"reference": "ref-other"})
    gone, new = "the payment of tender T1 (105.00 USD) is gone", "tender T1 (105.00 USD) is a new payment"
    assert find_changed_money(plan(*scope), THEN, now(tenders=(other,))) == (gone, new)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (paid_by("15.00 USD"), ("tender T2 (15.00 USD) is a new payment",)),
        (paid_by(first="120.00 USD"), ("tender T1 is 120.00 USD instead of 105.00 USD",)),
        (paid_by(first="90.00 USD"), ()),
    ],
    ids=["new", "more", "less"],
)
def test_more_that_was_paid_is_asked_about_where_it_may_be_for_what_leaves(
    changed: Order, found: tuple[str, ...]
) -> None:
    """Of a part that is refunded by the payments that were named then, it is not."""
    assert find_changed_money(plan(*EVERYTHING), THEN, changed) == found
    assert find_changed_money(plan(*A_LINE, captured="0.00 USD"), THEN, changed) == found
    assert find_changed_money(plan(*A_LINE), THEN, changed) == ()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (now(lines=(line("L1", 3, "63.00 USD"), THEN.lines[1])), ("line L1 costs 63.00 USD instead of 60.00 USD",)),
        (now(lines=(line("L1", 4, "80.00 USD"), THEN.lines[1])), ()),
        (now(lines=(THEN.lines[0], line("L2", 1, "50.00 USD"))), ()),
        (now(discount=money("10.00 USD")), ("the discount is 10.00 USD instead of 0.00 USD",)),
        (now(discount=money("0.00 USD")), ()),
        (now(shipping=money("9.00 USD")), ()),
    ],
    ids=["its_price", "its_units", "price_of_another", "discount", "no_discount", "shipping_that_stays"],
)
def test_a_price_is_asked_about_where_it_is_what_goes_back(changed: Order, found: tuple[str, ...]) -> None:
    """Of the whole order goes back what was paid."""
    assert find_changed_money(plan(*A_LINE), THEN, changed) == found
    assert find_changed_money(plan(*EVERYTHING), THEN, changed) == ()


def test_a_shipping_charge_that_goes_back_is_asked_about() -> None:
    changed = find_changed_money(plan(*A_LINE, shipping=True), THEN, now(shipping=money("9.00 USD")))
    assert changed == ("the shipping charge is 9.00 USD instead of 5.00 USD",)


TAKEN = OrderChangeSeen(taken={"L1": 1}, money=("a payment",))
KNOWN = SettledByHand(step=StepName.CHECK_ORDER, target="1001", reference="TICKET-1", by=CLERK)


@pytest.mark.parametrize(
    ("facts", "asked"),
    [
        ([TAKEN], TAKEN),
        ([TAKEN, KNOWN], OrderChangeSeen()),
        ([TAKEN, NothingDue(**KNOWN.model_dump(exclude={"kind", "amount"}))], OrderChangeSeen()),
        ([KNOWN], TAKEN),
        ([TAKEN, KNOWN.model_copy(update={"step": StepName.CLOSE_ORDER})], TAKEN),
        ([OrderChangeSeen(money=TAKEN.money), KNOWN], OrderChangeSeen(taken=TAKEN.taken)),
        ([OrderChangeSeen(taken={"L1": 2}, added={"L1": 1}), KNOWN], TAKEN),
    ],
    ids=["asked", "ours", "no matter", "nothing seen", "of the close", "of a payment", "of another number of units"],
)
def test_an_answer_is_about_the_change_that_was_seen_before_it(facts: list[Fact], asked: OrderChangeSeen) -> None:
    assert unanswered_change(entries(facts), TAKEN) == asked


def test_units_that_were_missing_count_as_ours_where_the_answer_was_about_them() -> None:
    of_payment = OrderChangeSeen(money=TAKEN.money)
    assert lines_taken_for_us(entries([TAKEN])) == frozenset()
    assert lines_taken_for_us(entries([of_payment, KNOWN])) == frozenset()
    assert lines_taken_for_us(entries([TAKEN, KNOWN])) == {"L1"}


def test_a_change_is_kept_once_while_it_is_asked_about() -> None:
    other = OrderChangeSeen(taken={"L1": 2})
    assert not is_asked_about(entries([]), TAKEN)
    assert is_asked_about(entries([other, TAKEN]), TAKEN)
    assert not is_asked_about(entries([TAKEN, other]), TAKEN)
