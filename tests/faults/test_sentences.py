"""What the check finds of the amounts that a person is told in a roll-back."""

from datetime import UTC, datetime

import pytest

from domain.money import Money, money
from domain.outcome import State, Wait
from domain.step import Owner, StepName
from tests.faults.model import FAILED, REFUNDED, RELEASED, AtGateway
from tests.faults.sentences import find_wrong_amounts, read_excess, read_refunds_to_name

KEY = "can-1/reverse_payment/T1/1"
VOID = AtGateway(kind=RELEASED, tender_id="T1", object_id="pi_1", amount=6000, key=f"{KEY}.void")
REFUND = AtGateway(kind=REFUNDED, tender_id="T1", object_id="re_1", amount=4000, key=KEY)
SOLD = AtGateway(kind=REFUNDED, tender_id="T1", object_id="1002", amount=4000, key=None)
FAILURE = AtGateway(kind=FAILED, tender_id="T1", object_id="re_1", amount=4000, key=None)
ANEW = (
    "{} of tender T1 of order O-1 is reserved no more, and payment pi_1 still holds 1.00 USD: ask the customer for it."
)
COLLECT = "{} of tender T1 of order O-1 went back to the customer ({}); collect it from the customer."


def wait_for(sentence: str, step: StepName = StepName.RESTORE_PAYMENT) -> Wait:
    return Wait(
        state=State.NEEDS_ATTENTION,
        owner=Owner.REFUND_DEPARTMENT,
        reason=sentence,
        due_at=datetime.now(UTC),
        step=step,
        target="T1",
    )


def wrong_amounts_in(sentence: str, *effects: AtGateway) -> list[str]:
    return list(find_wrong_amounts(wait_for(sentence), "can-1", effects))


@pytest.mark.parametrize(
    ("sentence", "effects"),
    [
        (ANEW.format("60.00 USD"), (VOID, REFUND)),
        (COLLECT.format("40.00 USD", "40.00 USD by refund re_1"), (VOID, REFUND)),
        (COLLECT.format("40.00 USD", "40.00 USD by refund re_1"), (VOID, REFUND, FAILURE)),
        (COLLECT.format("40.00 USD", "40.00 USD by refund 1002"), (SOLD,)),
        (COLLECT.format("90.00 USD", "50.00 USD by hand (REF-1)"), (VOID, REFUND)),
    ],
)
def test_what_is_right_is_not_reported(sentence: str, effects: tuple[AtGateway, ...]) -> None:
    assert wrong_amounts_in(sentence, *effects) == []


@pytest.mark.parametrize(
    "sentence",
    [
        ANEW.format("100.00 USD"),
        COLLECT.format("100.00 USD", "100.00 USD by refund re_1"),
        COLLECT.format("1.00 USD", ""),
    ],
)
def test_what_was_planned_and_not_done_is_reported(sentence: str) -> None:
    assert len(wrong_amounts_in(sentence, VOID, REFUND)) == 1


@pytest.mark.parametrize(
    ("step", "excess"), [(StepName.CHECK_REFUND, money("-1.50 USD")), (StepName.REVERSE_PAYMENT, None)]
)
def test_what_is_to_be_collected_is_read(step: StepName, excess: Money | None) -> None:
    sentence = "1.50 USD more than is due reached the customer on tender T1."
    assert read_excess(wait_for(sentence, step)) == excess


@pytest.mark.parametrize(
    ("last", "refunds"),
    [("Find out for which order that was.", ("re_1", "re_2")), ("If it was for something else, retry the step.", ())],
)
def test_the_refunds_that_a_person_may_name_are_read(last: str, refunds: tuple[str, ...]) -> None:
    sentence = (
        f"Others have refunded 1.50 USD (refund re_1) and 2.00 USD (refund re_2) on the payment of tender T1. {last}"
    )
    assert read_refunds_to_name(wait_for(sentence, StepName.REVERSE_PAYMENT)) == refunds
