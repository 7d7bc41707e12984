"""Orders whose own data cannot be right are refused by a sentence, and never meet the arithmetic."""

from datetime import datetime
from typing import Any

import pytest

from domain.defects import defect_of, foreign_payment
from domain.money import money
from domain.order import Order, TenderKind
from domain.request import Actor, ActorKind
from domain.shipment import Shipment, ShipmentLine
from tests.domain.build import line, order, payment, request, tender
from tests.domain.test_policy import POLICY

SOUND = order(line("L1", 2, "20.00 USD", tax="3.20 USD"), shipping="5.00 USD")


def changed(**fields: Any) -> Order:
    return SOUND.model_copy(update=fields)


def with_line(**fields: Any) -> Order:
    return changed(lines=(SOUND.lines[0].model_copy(update=fields),))


def of_line(line_id: str) -> tuple[Shipment, ...]:
    return (Shipment(shipment_id="S1", lines=(ShipmentLine(line_id=line_id, quantity=1),)),)


def test_a_sound_order_has_no_defect() -> None:
    assert defect_of(SOUND) is None
    assert defect_of(changed(country="US", discount=money("25.00 USD"), shipments=of_line("L1"))) is None


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (with_line(total=money("20.00 EUR")), ("line L1", "USD", "EUR")),
        (with_line(tax=money("1.00 EUR")), ("tax of line L1", "USD", "EUR")),
        (changed(shipping=money("5.00 GBP")), ("shipping charge", "USD", "GBP")),
        (changed(shipping_credited=money("0.00 GBP")), ("credited of the shipping charge", "USD", "GBP")),
        (changed(shipping_tax=money("1.00 GBP")), ("tax of the shipping charge", "USD", "GBP")),
        (changed(discount=money("100 JPY")), ("discount", "USD", "JPY")),
        (changed(tenders=(tender("T1", currency="EUR"),)), ("tender T1", "USD", "EUR")),
        (with_line(total=money("-20.00 USD"), tax=money("-30.00 USD")), ("line L1", "-20.00 USD")),
        (with_line(tax=money("-3.20 USD")), ("tax of line L1", "-3.20 USD")),
        (changed(shipping=money("-5.00 USD")), ("shipping charge", "-5.00 USD")),
        (changed(discount=money("-1.00 USD")), ("discount", "-1.00 USD")),
        (changed(discount=money("25.01 USD")), ("discount", "25.01 USD", "25.00 USD")),
        (with_line(tax=money("20.01 USD")), ("tax of line L1", "20.01 USD", "20.00 USD")),
        (changed(shipping_tax=money("5.01 USD")), ("tax of the shipping charge", "5.01 USD", "5.00 USD")),
        (changed(shipping_credited=money("6.00 USD")), ("credited", "6.00 USD", "5.00 USD")),
        (with_line(cancelled=3), ("line L1", "3 units", "it has 2")),
        (changed(lines=SOUND.lines * 2), ("more than one line L1",)),
        (changed(tenders=SOUND.tenders * 2), ("more than one tender T1",)),
        (changed(shipments=of_line("L1") * 2), ("more than one shipment S1",)),
        (changed(shipments=of_line("L9")), ("S1", "L9")),
        (changed(country="XX"), ("XX", "ISO 3166-1")),
        (changed(placed_at=datetime(2026, 11, 20, 12)), ("no time zone",)),  # noqa: DTZ001 (what is refused)
    ],
)
def test_what_cannot_be_right_is_said_and_refused(of: Order, words: tuple[str, ...]) -> None:
    """F2, F5, F22, E2, E4: by the policy, before a payment or a parcel is looked at; a person can act on the sentence."""
    decision = POLICY.reject_by_order(of, request())
    assert decision is not None
    assert decision.rule.value == "invalid_order"
    for word in ("1001", *words, "Correct it", "new request id"):
        assert word in decision.sentence, decision.sentence


def test_an_order_without_lines_is_no_defect_and_has_nothing_to_cancel() -> None:
    assert defect_of(changed(lines=())) is None


@pytest.mark.parametrize("kind", TenderKind)
def test_a_payment_in_another_currency_names_both(kind: TenderKind) -> None:
    """F5, E4"""
    of = changed(tenders=(tender("T1"), tender("T2", kind=kind)))
    sentence = foreign_payment(of, {"T1": payment("10.00 USD"), "T2": payment("10.00 EUR")})
    assert sentence is not None
    for word in ("1001", "T2", "USD", "EUR", kind.replace("_", " ")):
        assert word in sentence


def test_payments_in_the_orders_currency_are_no_defect() -> None:
    assert foreign_payment(SOUND, {"T1": payment("10.00 USD")}) is None


def test_who_may_not_ask_learns_nothing_of_a_defect() -> None:
    """A8: what the reason is worth is said first."""
    asked = request().model_copy(update={"actor": Actor(kind=ActorKind.MERCHANT, id="M-1")})
    decision = POLICY.reject_by_order(with_line(total=money("1.00 EUR")), asked)
    assert decision is not None
    assert decision.rule.value == "reason_not_allowed"
