"""What was given back, divided over the payments that Vendure has: no amount on one is more than it is."""

import json
from typing import Any

import pytest
from pydantic import JsonValue

from domain.errors import ErrorCode, Refused
from domain.money import money
from providers.orders.port import GivenBack
from providers.orders.vendure.amounts import Amounts
from providers.orders.vendure.answers import VendureOrder
from providers.orders.vendure.refund_notes import RefundNotes, divide_refunds
from tests.providers.vendure.scripted import recorded

IN_CENTS = Amounts("O-1", "EUR", 2)


def payment(id_: str, amount: int, transaction: str, *refunds: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        "id": id_,
        "method": "card",
        "amount": amount,
        "state": "Settled",
        "transactionId": transaction,
        "refunds": list(refunds),
    }


def refund(total: int, reference: str, by: str | None = None, state: str = "Settled") -> dict[str, JsonValue]:
    metadata: JsonValue = {"cancellationId": by} if by else {}
    return {"state": state, "total": total, "transactionId": reference, "metadata": metadata}


def divide(payments: list[dict[str, JsonValue]], *given: tuple[str, str, str]) -> RefundNotes:
    answer: Any = json.loads(recorded("order_as_placed"))
    order = VendureOrder.model_validate(answer["data"]["orders"]["items"][0] | {"payments": payments})
    parts = [
        GivenBack(tender_id=tender_id, reference=reference, amount=money(f"{amount} EUR"))
        for tender_id, reference, amount in given
    ]
    return divide_refunds(order, IN_CENTS, parts, "can-1")


def shown(notes: RefundNotes) -> list[JsonValue]:
    return [[*note.values()] for note in notes.noted if isinstance(note, dict)]


TWO = [payment("1", 4000, "pi_1"), payment("2", 2000, "pi_1")]


def test_what_is_more_than_a_payment_is_noted_on_the_next_one_of_its_transaction() -> None:
    assert shown(divide(TWO, ("1", "re_1", "60.00"))) == [["1", "re_1", 4000], ["2", "re_1", 2000]]


def test_several_refunds_fill_the_payments_one_after_the_other() -> None:
    notes = divide(TWO, ("1", "re_1", "30.00"), ("1", "re_2", "30.00"))
    assert shown(notes) == [["1", "re_1", 3000], ["1", "re_2", 1000], ["2", "re_2", 2000]]


def test_a_payment_of_another_transaction_takes_nothing() -> None:
    notes = divide([payment("1", 4000, "pi_1"), payment("2", 2000, "pi_2")], ("1", "re_1", "60.00"))
    assert shown(notes) == [["1", "re_1", 4000]]
    with pytest.raises(Refused, match="only in part: re_1") as refused:
        notes.check_complete("O-1")
    assert refused.value.code is ErrorCode.REFUND_EXCEEDS_CAPTURED


def test_what_another_cancellation_has_noted_is_taken() -> None:
    """What this one has noted before is replaced, and what has failed did not go back."""
    first = payment("1", 4000, "pi_1", refund(3000, "re_0", "can-0"), refund(500, "re_1", "can-1"))
    second = payment("2", 2000, "pi_1", refund(2000, "re_9", state="Failed"))
    assert shown(divide([first, second], ("1", "re_1", "30.00"))) == [["1", "re_1", 1000], ["2", "re_1", 2000]]


def test_a_refund_that_staff_has_made_in_vendure_is_not_noted_again() -> None:
    notes = divide([payment("1", 6000, "pi_1", refund(6000, "re_1"))], ("1", "re_1", "60.00"))
    assert (shown(notes), notes.left_out) == ([], ())


def test_what_goes_back_of_a_payment_that_is_gone_is_said() -> None:
    notes = divide(TWO, ("7", "re_1", "60.00"))
    assert (shown(notes), notes.left_out) == ([], ("re_1",))
