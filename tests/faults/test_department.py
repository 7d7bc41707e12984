"""What the people of the swarm count as owed, where they have named something as the proof, or a marketplace has no keys."""

from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.plan import PlannedTender
from domain.step import StepName
from tests.faults.model import FAILED, REFUNDED, AtGateway, Said, Verb
from tests.faults.owed import Owed

FORTY = money("40.00 USD")
"""Owed on the second card, of which 30.00 were to go back to the first one: others have refunded them here."""
THEIRS = AtGateway(kind=REFUNDED, tender_id="T2", object_id="re_1", amount=3000, key="k", by_others=True)
NAMED = Said(
    verb=Verb.DONE_BY_HAND,
    step=StepName.REVERSE_PAYMENT,
    target="T1",
    amount=money("0.00 USD"),
    cancellation="can-1",
    proof="re_1",
    stands_for=money("30.00 USD"),
)


def owed(
    *said: Said,
    money_of: tuple[AtGateway, ...] = (THEIRS,),
    cancellation: str = "can-1",
    earlier: tuple[str, ...] = (),
) -> Owed:
    tender = Tender(tender_id="T2", kind=TenderKind.CARD, amount=money("100.00 USD"), reference="pi_2")
    zero = Money.zero("USD")
    planned = PlannedTender(
        tender=tender,
        captured=tender.amount,
        refundable=tender.amount,
        refund=FORTY,
        release=zero,
        capturable=zero,
        refunded=zero,
        earlier=earlier,
    )
    return Owed(planned, cancellation, money_of, said)


def test_a_refund_of_others_that_is_named_for_another_tender_counts_where_it_was_made() -> None:
    assert owed(NAMED).moved_by_hand(StepName.REVERSE_PAYMENT) == money("10.00 USD")
    assert owed(NAMED).moved_by_hand(StepName.CHECK_REFUND) == money("0.00 USD"), "it is counted once"


def test_a_named_refund_that_has_failed_is_owed() -> None:
    failed = THEIRS.model_copy(update={"kind": FAILED})
    assert owed(NAMED, money_of=(THEIRS, failed)).moved_by_hand(StepName.REVERSE_PAYMENT) == FORTY


def test_a_refund_that_was_named_for_another_cancellation_or_refused_counts_for_nothing_here() -> None:
    refused = NAMED.model_copy(update={"accepted": False})
    assert owed(refused).moved_by_hand(StepName.REVERSE_PAYMENT) == FORTY
    assert owed(NAMED, cancellation="can-2").moved_by_hand(StepName.REVERSE_PAYMENT) == FORTY


def test_what_was_cancelled_at_a_marketplace_since_the_plan_is_of_its_cancellation() -> None:
    sold = AtGateway(kind=REFUNDED, tender_id="T2", object_id="1002", amount=3000, key=None)
    assert owed(money_of=(sold,)).moved_by_hand(StepName.RESTORE_PAYMENT) == money("-30.00 USD")
    assert owed(money_of=(sold,), earlier=("1002",)).moved_by_hand(StepName.RESTORE_PAYMENT) == money("0.00 USD")
