"""What a look at the refunds of a tender finds: others' refunds count where the customer would have something twice."""

from domain.case import Case
from domain.earlier import EarlierReversal
from domain.facts import Fact, RefundSeen, RetryOrdered, SettledByHand
from domain.keys import EffectKey
from domain.money_questions import refuted_proof
from domain.payment import RefundStatus
from domain.plan import PlannedTender
from domain.settlement import refunds_found, refunds_found_after_end, unclear_refunds
from domain.step import StepName
from tests.domain.build import earlier_reversal
from tests.domain.cases import CLERK, key, opened, plan_of, planned_tender, refund_seen, usd
from tests.domain.gateways import Gateway

KEY = key(StepName.REVERSE_PAYMENT, "T1")
SUCCEEDED = RefundStatus.SUCCEEDED
WHOLE = planned_tender(refund=5_000)
PART = WHOLE.model_copy(update={"refund": usd(2_000)})
"""20.00 of a payment of 50.00."""


def by_hand(amount: int, reference: str = "BANK-1") -> SettledByHand:
    step = StepName.REVERSE_PAYMENT
    return SettledByHand(step=step, target="T1", reference=reference, by=CLERK, amount=usd(amount))


def store_credit(amount: int) -> Fact:
    return refund_seen(amount, SUCCEEDED, reference="SV-1", key=key(StepName.GIVE_STORE_CREDIT, "T1"))


def found(gateway: Gateway, planned: PlannedTender, *facts: Fact) -> list[str]:
    reversal = case_of(planned, *facts).reversal("T1")
    return [refund.reference for refund in refunds_found(reversal, gateway.read(), KEY)]


def found_after_end(
    gateway: Gateway, planned: PlannedTender, *facts: Fact, others: tuple[EarlierReversal, ...] = ()
) -> list[str]:
    reversal = case_of(planned, *facts).reversal("T1")
    return [refund.reference for refund in refunds_found_after_end(reversal, gateway.read(), KEY, others)]


def case_of(planned: PlannedTender, *facts: Fact) -> Case:
    return opened(plan_of(planned), *facts)


def gateway_with(*amounts: int, key: EffectKey | None = None) -> Gateway:
    gateway = Gateway(captured=5_000)
    for amount in amounts:
        gateway.refund(usd(amount), key, SUCCEEDED)
    return gateway


def test_ours_is_found_although_no_book_knows_it() -> None:
    """B18"""
    gateway = gateway_with(5_000, key=KEY.next)
    assert found(gateway, WHOLE) == found_after_end(gateway, WHOLE) == ["re-1"]


def test_what_others_refunded_gives_back_what_is_owed() -> None:
    """B9"""
    assert found(gateway_with(1_500), PART) == ["re-1"]


def test_what_others_refunded_besides_another_way_came_twice() -> None:
    """I11: by hand and as store credit, of a part of the payment too."""
    gateway = gateway_with(2_000)
    assert found(gateway, PART, by_hand(2_000)) == found(gateway, PART, store_credit(2_000)) == ["re-1"]


def test_what_others_refunded_for_something_else_is_not_this_cancellations() -> None:
    """Ours has gone back by the gateway, which gives nothing twice."""
    gateway = gateway_with(2_000, key=KEY)
    gateway.refund(usd(1_000), None, SUCCEEDED)
    ours = refund_seen(2_000, SUCCEEDED, key=KEY)
    assert found(gateway, PART, ours) == found_after_end(gateway, PART, ours) == ["re-1"]


def test_a_refund_that_a_person_names_as_their_proof_came_once() -> None:
    """I11: they paid by that very refund, and how much it gave back is the gateway's word."""
    for amount, owed in ((5_000, 0), (2_000, 3_000)):
        gateway = gateway_with(amount)
        assert found(gateway, WHOLE, by_hand(5_000, "re-1")) == ["re-1"]
        assert found_after_end(gateway, WHOLE, by_hand(5_000, "re-1")) == ["re-1"]
        now = case_of(WHOLE, by_hand(5_000, "re-1"), refund_seen(amount, SUCCEEDED)).reversal("T1")
        assert (now.outstanding, now.overpaid, now.by_hand) == (usd(owed), usd(0), ())


def test_a_refund_of_another_tender_that_was_named_has_paid_nothing_of_this_one() -> None:
    """I1: whose it is turns out when the gateway shows it, and a person is asked once."""
    plan = plan_of(WHOLE, planned_tender("T2", refund=1_000))
    theirs = refund_seen(1_000, SUCCEEDED, target="T2")
    paid = opened(plan, by_hand(5_000, "re-1"))
    assert (paid.outstanding("T1"), refuted_proof(paid.entries, "T1")) == (usd(0), None)
    refuted = opened(plan, by_hand(5_000, "re-1"), theirs)
    assert (refuted.outstanding("T1"), refuted_proof(refuted.entries, "T1")) == (usd(5_000), theirs)
    answered = opened(
        plan, by_hand(5_000, "re-1"), theirs, RetryOrdered(step=StepName.REVERSE_PAYMENT, target="T1", by=CLERK)
    )
    assert refuted_proof(answered.entries, "T1") is None


def test_who_names_a_refund_that_had_failed_has_paid_another_way() -> None:
    """I10: they know that it has failed, so the number is their note only."""
    failed = refund_seen(5_000, RefundStatus.FAILED)
    paid = case_of(WHOLE, failed, by_hand(5_000, "re-1")).reversal("T1")
    assert (paid.outstanding, paid.given_by_hand) == (usd(0), usd(5_000))
    unheard = case_of(WHOLE, by_hand(5_000, "re-1"), failed).reversal("T1")
    assert (unheard.outstanding, unheard.given_by_hand) == (usd(5_000), usd(0))


def test_of_a_refund_for_two_cancellations_each_counts_its_part() -> None:
    """I11: 20.00 and 30.00 of 50.00 have failed, and an agent refunds all of it. Neither demands anything back."""
    gateway = gateway_with(2_000, key=KEY)
    gateway.refund(usd(3_000), EffectKey("can-next", StepName.REVERSE_PAYMENT, "T1"), SUCCEEDED)
    for reference in ("re-1", "re-2"):
        gateway.change(reference, RefundStatus.FAILED)
    gateway.refund(usd(5_000), None, SUCCEEDED)
    rest = earlier_reversal("30.00 USD", "re-2", cancellation_id="can-next")
    ours = refund_seen(2_000, RefundStatus.FAILED, key=KEY)
    reversal = case_of(PART, ours).reversal("T1")
    for look in (refunds_found, refunds_found_after_end):
        *_, part = look(reversal, gateway.read(), KEY, (rest,))
        assert (part.amount, part.reference, part.part_for) == (usd(2_000), "re-3", KEY.cancellation_id)
    counted = case_of(PART, ours, RefundSeen(target="T1", refund=part)).reversal("T1")
    assert refunds_found(counted, gateway.read(), KEY, (rest,))[-1] == part
    seen_by_the_next = counted.as_earlier("can-1", undone=False)
    assert seen_by_the_next.claim(gateway.read()).counted == {"re-3": usd(2_000)}


def test_what_others_refunded_since_the_plan_and_nobody_counts_is_unclear() -> None:
    gateway = gateway_with(2_000, key=KEY)
    gateway.change("re-1", RefundStatus.FAILED)
    for amount in (500, 600, 700):
        gateway.refund(usd(amount), None, SUCCEEDED)
    planned = PART.model_copy(update={"earlier": ("re-2",)})
    reversal = case_of(planned, refund_seen(2_000, RefundStatus.FAILED, key=KEY)).reversal("T1")
    counts_it = earlier_reversal("7.00 USD", "re-4", cancellation_id="can-next")
    unclear = unclear_refunds(reversal, gateway.read(), reversal.refunds, (counts_it,))
    assert [refund.reference for refund in unclear] == ["re-3"]


def test_what_came_twice_and_was_collected_is_not_found_a_second_time() -> None:
    gateway = gateway_with(2_000, 2_000)
    theirs = refund_seen(2_000, SUCCEEDED)
    collected = by_hand(2_000, "COLLECTED-1").model_copy(update={"step": StepName.CHECK_REFUND})
    facts = (by_hand(2_000), theirs, collected)
    assert found(gateway, PART, *facts) == ["re-1"]


def test_after_the_end_a_refund_of_others_counts_beyond_what_was_taken() -> None:
    """I11: 20.00 of store credit, and 30.00 or 50.00 by card of the 50.00 that the customer has paid."""
    assert found_after_end(gateway_with(3_000), PART, store_credit(2_000)) == []
    assert found_after_end(gateway_with(5_000), PART, store_credit(2_000)) == ["re-1"]


def test_after_the_end_a_refund_of_others_makes_up_for_what_the_gateway_has_not_got_any_more() -> None:
    """I11: ours failed, and an agent has refunded all of it. Goodwill leaves enough, and does not count."""
    failed = refund_seen(5_000, RefundStatus.FAILED, key=KEY)
    for theirs, expected in ((5_000, ["re-1", "re-2"]), (3_000, ["re-1", "re-2"])):
        gateway = gateway_with(5_000, key=KEY)
        gateway.change("re-1", RefundStatus.FAILED)
        gateway.refund(usd(theirs), None, SUCCEEDED)
        assert found_after_end(gateway, WHOLE, failed) == expected
    gateway = gateway_with(2_000, key=KEY)
    gateway.change("re-1", RefundStatus.FAILED)
    gateway.refund(usd(500), None, SUCCEEDED)
    assert found_after_end(gateway, PART, refund_seen(2_000, RefundStatus.FAILED, key=KEY)) == ["re-1"]


def test_what_all_cancellations_gave_counts_and_what_another_one_counts_is_not_counted_again() -> None:
    """I11: 20.00 of 50.00 by hand, and the other 30.00 as store credit of the next cancellation."""
    gateway = gateway_with(1_000)
    rest = earlier_reversal("30.00 USD", of_provider="0.00 USD", another_way="30.00 USD", cancellation_id="can-next")
    assert found_after_end(gateway, PART, by_hand(2_000)) == []
    assert found_after_end(gateway, PART, by_hand(2_000), others=(rest,)) == ["re-1"]
    counts_it = rest.model_copy(update={"refunds": ("re-1",)})
    assert found_after_end(gateway, PART, by_hand(2_000), others=(counts_it,)) == []
    collected = rest.model_copy(update={"another_way": usd(2_000)})
    assert found_after_end(gateway, PART, by_hand(2_000), others=(collected,)) == []
