"""What is to be done next about a tender: never more than is owed, never more than the gateway has, and until nothing is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.facts import DisputeSeen, NothingDue, ReversalSeen, SettledByHand
from domain.keys import EffectKey
from domain.money import Money
from domain.next_reversal import ByHandAlone, Disputed, MakeRefund, NotYet, Settled, Void, next_reversal
from domain.order import TenderKind
from domain.payment import ChargeBack, DisputeState, FailureCause, RefundStatus
from domain.plan import Plan, PlannedTender
from domain.planning import make_plan
from domain.reversal import Reversal
from domain.step import StepName
from domain.terms import Terms
from providers.ledger.port import CreditedTender
from tests.domain.build import earlier_reversal, line, order, request
from tests.domain.cases import CANCELLATION, CLERK, key, opened, plan_of, planned_tender, refund_seen, usd
from tests.domain.gateways import Books, Gateway, check, reverse

KEY = key(StepName.REVERSE_PAYMENT, "T1")


def known(planned: PlannedTender) -> Reversal:
    return Reversal.begin(planned)


def books_of(planned: PlannedTender) -> Books:
    return Books(opened(plan_of(planned)))


def amount_of(known: Reversal, gateway: Gateway, key: EffectKey = KEY) -> int | None:
    """What is to be refunded next; None: nothing is."""
    answer = next_reversal(known, gateway.read(), key)
    return answer.amount.amount if isinstance(answer, MakeRefund) else None


def part_of(captured: int, *, refund: int) -> PlannedTender:
    return planned_tender(refund=captured).model_copy(update={"refund": usd(refund)})


def plan_on(gateway: Gateway) -> Plan:
    """The plan for an order that this gateway's payment paid."""
    return make_plan(
        cancellation_id=CANCELLATION,
        order=order(line("L1", 1, "90.00 USD")),
        request=request(),
        payments={"T1": gateway.read()},
        trackings={},
        terms=Terms(),
    )


# Refunds


def test_what_was_captured_is_refunded_as_planned() -> None:
    """B2"""
    assert amount_of(known(part_of(10_000, refund=4_000)), Gateway(captured=10_000)) == 4_000


def test_our_refund_of_an_earlier_attempt_is_found_and_not_made_again() -> None:
    """B18: the answer was lost: nothing is in the books but the note."""
    gateway = Gateway(captured=5_000)
    refund = gateway.refund(usd(5_000), KEY)
    settled = next_reversal(known(planned_tender(refund=5_000)), gateway.read(), KEY)
    assert settled == Settled(released=usd(0), refunds=(refund,))


@pytest.mark.parametrize("n", [1, 3])
def test_our_refund_under_an_earlier_or_later_key_counts(n: int) -> None:
    """M3: a run that was lost may have gone further than the one that asks."""
    gateway = Gateway(captured=5_000)
    refund = gateway.refund(usd(5_000), EffectKey(KEY.cancellation_id, KEY.step, "T1", n))
    settled = next_reversal(known(planned_tender(refund=5_000)), gateway.read(), KEY.next)
    assert settled == Settled(released=usd(0), refunds=(refund,))


def test_our_refund_of_another_tender_or_cancellation_does_not_count() -> None:
    gateway = Gateway(captured=10_000)
    gateway.refund(usd(2_000), EffectKey(KEY.cancellation_id, KEY.step, "T2"))
    gateway.refund(usd(2_000), EffectKey("can-other", KEY.step, "T1"))
    assert amount_of(known(part_of(10_000, refund=5_000)), gateway) == 5_000


def test_a_refund_that_failed_under_this_key_is_reported_and_not_made_again() -> None:
    gateway = Gateway(captured=5_000)
    refund = gateway.refund(usd(5_000), KEY)
    gateway.change(refund.reference, RefundStatus.FAILED)
    settled = next_reversal(known(planned_tender(refund=5_000)), gateway.read(), KEY)
    assert isinstance(settled, Settled)
    assert [found.status for found in settled.refunds] == [RefundStatus.FAILED]
    assert amount_of(known(planned_tender(refund=5_000)), gateway, KEY.next) == 5_000


def test_what_somebody_refunded_at_the_gateway_since_the_plan_counts() -> None:
    gateway = Gateway(captured=5_000)
    gateway.refund(usd(2_000), None, RefundStatus.SUCCEEDED)
    assert amount_of(known(planned_tender(refund=5_000)), gateway) == 3_000


def test_what_somebody_had_refunded_before_the_plan_was_made_does_not_count() -> None:
    gateway = Gateway(captured=9_000)
    earlier = gateway.refund(usd(2_000), None, RefundStatus.SUCCEEDED)
    planned = part_of(7_000, refund=4_000).model_copy(update={"earlier": (earlier.reference,)})
    assert amount_of(known(planned), gateway) == 4_000


def test_somebody_who_refunded_more_than_is_owed_has_covered_it_and_the_excess_is_seen() -> None:
    """I11"""
    gateway = Gateway(captured=10_000)
    theirs = gateway.refund(usd(8_000), None, RefundStatus.SUCCEEDED)
    books = books_of(part_of(10_000, refund=5_000))
    assert reverse(books, gateway) == Settled(released=usd(0), refunds=(theirs,))
    reversal = books.case.reversal("T1")
    assert (reversal.outstanding, reversal.overpaid) == (usd(0), usd(3_000))


def test_of_several_refunds_by_others_those_that_fit_count_first() -> None:
    gateway = Gateway(captured=20_000)
    gateway.refund(usd(8_000), None, RefundStatus.SUCCEEDED)
    fits = gateway.refund(usd(5_000), None, RefundStatus.SUCCEEDED)
    settled = next_reversal(known(part_of(20_000, refund=5_000)), gateway.read(), KEY)
    assert settled == Settled(released=usd(0), refunds=(fits,))


def test_what_a_person_paid_and_what_is_not_due_is_not_refunded() -> None:
    books = books_of(planned_tender(refund=5_000))
    step = StepName.REVERSE_PAYMENT
    books.write(SettledByHand(step=step, target="T1", reference="BANK-1", by=CLERK, amount=usd(2_000)))
    assert amount_of(books.case.reversal("T1"), Gateway(captured=5_000)) == 3_000
    books.write(NothingDue(step=step, target="T1", reference="N-1", by=CLERK))
    assert isinstance(next_reversal(books.case.reversal("T1"), Gateway(captured=5_000).read(), KEY), Settled)


def test_store_credit_in_the_tenders_place_is_not_refunded_again() -> None:
    """M4"""
    books = books_of(planned_tender(refund=5_000))
    given = key(StepName.GIVE_STORE_CREDIT, "T1")
    books.write(refund_seen(5_000, RefundStatus.SUCCEEDED, reference="credit-1", key=given))
    assert isinstance(next_reversal(books.case.reversal("T1"), Gateway(captured=5_000).read(), KEY), Settled)


def test_a_disputed_payment_is_not_refunded_and_a_won_one_is() -> None:
    """B27, E8: of one that was lost or prevented the customer has the money already, and an inquiry has taken none."""
    planned = known(planned_tender(refund=5_000))
    for dispute in (DisputeState.OPEN, DisputeState.LOST, DisputeState.PREVENTED):
        answer = next_reversal(planned, Gateway(captured=5_000, dispute=dispute).read(), KEY)
        assert answer == Disputed(amount=usd(5_000), released=usd(0), found=())
    for dispute in (DisputeState.WON, DisputeState.INQUIRY):
        assert amount_of(planned, Gateway(captured=5_000, dispute=dispute)) == 5_000


@pytest.mark.parametrize(
    ("dispute", "next_is"),
    [(DisputeState.NONE, Disputed), (DisputeState.INQUIRY, Disputed), (DisputeState.WON, MakeRefund)],
)
def test_a_refund_that_failed_because_of_a_dispute_is_not_made_again_before_the_dispute_is_won(
    dispute: DisputeState, next_is: type[Disputed | MakeRefund]
) -> None:
    """E7"""
    gateway = Gateway(captured=5_000, dispute=dispute)
    refund = gateway.refund(usd(5_000), KEY)
    gateway.refunds = [refund.model_copy(update={"status": RefundStatus.FAILED, "cause": FailureCause.DISPUTE})]
    assert isinstance(next_reversal(known(planned_tender(refund=5_000)), gateway.read(), KEY.next), next_is)


def test_what_is_less_than_the_gateways_steps_is_a_persons_to_give() -> None:
    """E9: 2.007 of 5.000 are left after somebody has paid an odd part by hand, and the gateway takes steps of 0.010."""
    books = books_of(planned_tender(refund=5_000).model_copy(update={"step": 10}))
    step = StepName.REVERSE_PAYMENT
    books.write(SettledByHand(step=step, target="T1", reference="BANK-1", by=CLERK, amount=usd(2_993)))
    gateway = Gateway(captured=5_000, step=10)
    assert amount_of(books.case.reversal("T1"), gateway) == 2_000
    refund = gateway.refund(usd(2_000), KEY)
    answer = next_reversal(books.case.reversal("T1"), gateway.read(), KEY)
    assert answer == ByHandAlone(amount=usd(7), released=usd(0), found=(refund,))


# Reservations


def test_a_reservation_that_goes_back_as_a_whole_is_voided() -> None:
    assert next_reversal(known(planned_tender(release=5_000)), Gateway(reserved=5_000).read(), KEY) == Void(usd(5_000))


def test_what_was_captured_since_the_plan_is_refunded_instead() -> None:
    gateway = Gateway(reserved=5_000)
    gateway.capture(5_000)
    assert amount_of(known(planned_tender(release=5_000)), gateway) == 5_000


def test_a_capture_under_way_is_waited_for() -> None:
    planned = known(planned_tender(release=5_000))
    assert isinstance(next_reversal(planned, Gateway(capturing=5_000).read(), KEY), NotYet)


def test_a_part_of_a_reservation_is_given_up_and_not_voided() -> None:
    """The rest of it is captured later."""
    planned = planned_tender(release=5_000).model_copy(update={"release": usd(2_000)})
    settled = next_reversal(known(planned), Gateway(reserved=5_000).read(), KEY)
    assert settled == Settled(released=usd(2_000), refunds=())


def test_a_part_of_a_reservation_that_was_captured_meanwhile_is_refunded() -> None:
    planned = planned_tender(release=5_000).model_copy(update={"release": usd(2_000)})
    gateway = Gateway(reserved=5_000)
    gateway.capture(4_000)
    assert amount_of(known(planned), gateway) == 1_000


def test_what_was_released_with_the_capture_of_the_rest_is_not_refunded() -> None:
    """B3: the gateway reserves nothing any more, and what was taken pays for what stays."""
    planned = planned_tender(release=64_000).model_copy(update={"release": usd(60_000)})
    gateway = Gateway(captured=4_000, released=True)
    settled = next_reversal(known(planned), gateway.read(), KEY)
    assert settled == Settled(released=usd(60_000), refunds=())


@pytest.mark.parametrize(("paid", "refund"), [(0, None), (4_000, None), (10_000, 6_000)])
def test_of_an_open_payment_for_two_orders_what_was_paid_for_this_one_is_refunded(
    paid: int, refund: int | None
) -> None:
    """E1, E3: 60.00 of 100.00 were this order's. The customer has paid nothing, just the other order after the merchant had
    lowered it, or both."""
    planned = planned_tender(release=6_000).model_copy(
        update={"capturable": usd(0), "unpaid": usd(10_000), "share": usd(6_000)}
    )
    assert planned.released_by_capture
    assert amount_of(known(planned), Gateway(captured=paid)) == refund
    if not refund:
        settled = next_reversal(known(planned), Gateway(captured=paid).read(), KEY)
        assert settled == Settled(released=usd(6_000), refunds=())


def test_an_earlier_refund_that_fails_meanwhile_is_not_taken_for_a_capture() -> None:
    """Rule 9: 60.00 captured, of which an earlier cancellation has refunded 10.00, and 40.00 reserved."""
    gateway = Gateway(captured=6_000, reserved=4_000)
    earlier = gateway.refund(usd(1_000), EffectKey("can-0", KEY.step, "T1"), RefundStatus.SUCCEEDED)
    [planned] = plan_on(gateway).tenders
    assert (planned.refund, planned.release) == (usd(5_000), usd(4_000))
    books = books_of(planned)
    gateway.change(earlier.reference, RefundStatus.FAILED)
    reverse(books, gateway)
    assert [refund.amount for refund in gateway.refunds if not refund.status.has_failed] == [usd(5_000)]
    assert books.case.reversal("T1").released == usd(4_000)


# The books' view


def test_what_others_gave_and_what_came_twice_is_more_than_the_plan() -> None:
    """E23: the customer has what others gave, the refund that settled, and what a person paid while it was under way."""
    books, gateway = books_of(planned_tender(refund=10_000)), Gateway(captured=10_000)
    gateway.refund(usd(4_000), None, RefundStatus.SUCCEEDED)
    reverse(books, gateway)
    books.write(SettledByHand(step=StepName.REVERSE_PAYMENT, target="T1", reference="B-1", by=CLERK, amount=usd(6_000)))
    gateway.change("re-2", RefundStatus.SUCCEEDED)
    check(books, gateway)
    assert books.case.reversal("T1").overpaid == usd(6_000)


def test_store_credit_went_elsewhere_unless_the_tender_is_kept_here() -> None:
    given = refund_seen(500, RefundStatus.SUCCEEDED, key=key(StepName.GIVE_STORE_CREDIT, "T1"))
    card = opened(plan_of(planned_tender(refund=500)), given).reversal("T1")
    gift_card = opened(plan_of(planned_tender(refund=500, kind=TenderKind.GIFT_CARD)), given).reversal("T1")
    assert (card.given_another_way, gift_card.given_another_way) == (usd(500), usd(0))
    assert card.is_store_credit(card.refunds[0])


def test_what_came_twice_and_was_collected_is_left_to_the_next_cancellation_once() -> None:
    """E23, I11: paid by hand while it was pending, settled after all, and collected: 50.00 in all."""
    by_hand = SettledByHand(step=KEY.step, target="T1", reference="B-1", by=CLERK, amount=usd(5_000))
    collected = SettledByHand(step=StepName.CHECK_REFUND, target="T1", reference="C-1", by=CLERK, amount=usd(5_000))
    seen = refund_seen(5_000, RefundStatus.SUCCEEDED, key=KEY)
    reversal = opened(plan_of(planned_tender(refund=5_000)), by_hand, seen, collected).reversal("T1")
    seen_by_others = reversal.as_earlier("can-1", undone=False)
    assert seen_by_others == earlier_reversal("50.00 USD", "re-1", of_provider="0.00 USD", cancellation_id="can-1")


def test_what_was_paid_back_is_given_back_by_hand_where_the_gateway_does_not_have_it() -> None:
    """I1: of 100.00 an earlier cancellation refunded 64.00, which was rolled back and collected: 64.00 again."""
    gateway = Gateway(captured=10_000)
    earlier = gateway.refund(usd(6_400), EffectKey("can-other", KEY.step, "T1"), RefundStatus.SUCCEEDED)
    again = {"earlier": (earlier.reference,)}
    books = books_of(part_of(10_000, refund=6_400).model_copy(update=again))
    reversal = books.case.reversal("T1")
    assert amount_of(reversal, gateway) == 3_600
    refund = gateway.refund(usd(3_600), KEY, RefundStatus.SUCCEEDED)
    left = next_reversal(reversal, gateway.read(), KEY)
    assert left == ByHandAlone(amount=usd(2_800), released=usd(0), found=(refund,))
    books.write(
        refund_seen(3_600, RefundStatus.SUCCEEDED, key=KEY),
        SettledByHand(step=KEY.step, target="T1", reference="B-1", by=CLERK, amount=usd(2_800)),
    )
    assert books.case.outstanding("T1") == usd(0)


def test_what_was_paid_back_before_the_payment_was_replaced_is_given_back_once() -> None:
    """M19, I1: 64.00 were paid back in a roll-back; the next cancellation has given 28.00 of it by hand."""
    seen = refund_seen(6_400, RefundStatus.SUCCEEDED, key=KEY)
    back = SettledByHand(step=StepName.RESTORE_PAYMENT, target="T1", reference="C-1", by=CLERK, amount=usd(6_400))
    by_hand = SettledByHand(step=KEY.step, target="T1", reference="B-1", by=CLERK, amount=usd(2_800))
    rolled_back = opened(plan_of(planned_tender(refund=6_400)), seen, back).reversal("T1")
    carried_out = opened(plan_of(planned_tender(refund=2_800)), by_hand).reversal("T1")
    before = rolled_back.before_payment_was_replaced("can-1", undone=True)
    after = carried_out.before_payment_was_replaced("can-2", undone=False)
    nothing_there = Gateway().read()
    assert (before.beyond_refunds(nothing_there), after.beyond_refunds(nothing_there)) == (usd(-6_400), usd(2_800))
    kept = opened(plan_of(planned_tender(refund=6_400)), seen).reversal("T1")
    assert not kept.before_payment_was_replaced("can-3", undone=True).due


def test_what_the_gateway_lacks_and_nobody_has_given_is_owed() -> None:
    """I1: others' refund of 100.00 counts for another cancellation, which has collected what was too much of it."""
    gateway = Gateway(captured=10_000)
    gateway.refund(usd(10_000), None, RefundStatus.SUCCEEDED)
    other = earlier_reversal("64.00 USD", "re-1", cancellation_id="can-other")
    books = books_of(part_of(10_000, refund=3_600))
    answer = next_reversal(books.case.reversal("T1"), gateway.read(), KEY, (other,))
    assert answer == ByHandAlone(amount=usd(3_600), released=usd(0), found=())


def test_what_others_had_given_before_is_none_of_its_part() -> None:
    books = books_of(planned_tender(refund=10_000, kind=TenderKind.GIFT_CARD))
    books.write(
        refund_seen(6_000, RefundStatus.SUCCEEDED, reference="re-2", key=KEY),
        ReversalSeen(target="T1", released=usd(0), covered=usd(4_000)),
    )
    earlier = books.case.reversal("T1").as_earlier("can-1", undone=False)
    assert earlier == earlier_reversal("60.00 USD", "re-2", cancellation_id="can-1")


def test_the_last_word_on_a_dispute_counts() -> None:
    seen = [DisputeSeen(target="T1", disputed=disputed) for disputed in (True, False)]
    plan = plan_of(planned_tender(refund=500))
    assert opened(plan, seen[0]).reversal("T1").disputed
    assert not opened(plan, *seen).reversal("T1").disputed


def charged_back(amount: int) -> DisputeSeen:
    return DisputeSeen(target="T1", disputed=True, charge_backs=(ChargeBack(reference="dp-1", amount=usd(amount)),))


def test_what_the_bank_gives_back_besides_our_refund_is_too_much() -> None:
    """I11: of a dispute over the whole payment, what this plan gives back; the other 40.00 are those of goods that stay."""
    ours = refund_seen(5_000, RefundStatus.SUCCEEDED, key=KEY)
    plan = plan_of(part_of(9_000, refund=5_000))
    for amount, overpaid in ((9_000, 5_000), (6_000, 2_000), (4_000, 0)):
        assert opened(plan, ours, charged_back(amount)).reversal("T1").overpaid == usd(overpaid)
    won = DisputeSeen(target="T1", disputed=False)
    assert opened(plan, ours, charged_back(9_000), won).reversal("T1").overpaid == usd(0)


def test_what_a_person_has_left_to_the_bank_came_once() -> None:
    """B27: nothing is due, or it is settled with the dispute's number."""
    step = StepName.REVERSE_PAYMENT
    nothing_due = NothingDue(step=step, target="T1", reference="dp-1", by=CLERK)
    settled = SettledByHand(step=step, target="T1", reference="dp-1", by=CLERK, amount=usd(5_000))
    for said in (nothing_due, settled):
        reversal = opened(plan_of(planned_tender(refund=5_000)), said, charged_back(5_000)).reversal("T1")
        assert (reversal.outstanding, reversal.overpaid, reversal.given_by_bank) == (usd(0), usd(0), usd(0))


# Whatever happens


@pytest.mark.parametrize("lost", [False, True])
def test_what_others_gave_and_did_not_arrive_is_owed_beside_our_refund(lost: bool) -> None:
    """I1: others gave 40 of 100 and we the rest; theirs fails. The 40 are at the gateway and owed, not given by others."""
    books, gateway = books_of(planned_tender(refund=10_000)), Gateway(captured=10_000)
    gateway.refund(usd(4_000), None)
    reverse(books, gateway, loses_answer=lost)
    gateway.change("re-1", RefundStatus.FAILED)
    check(books, gateway)
    reverse(books, gateway)
    assert books.case.key_of(StepName.REVERSE_PAYMENT, "T1") == KEY.next
    reverse(books, gateway)
    assert (gateway.left, books.case.outstanding("T1")) == (0, usd(0))


@st.composite
def planned_with_gateway(draw: st.DrawFn) -> tuple[PlannedTender, Gateway]:
    """A payment, of which a part was refunded before, and a plan that asks for no more than there is."""
    gateway = Gateway(captured=draw(st.integers(0, 10_000)), reserved=draw(st.integers(0, 10_000)))
    if gateway.captured and draw(st.booleans()):
        amount = draw(st.integers(1, gateway.captured))
        gateway.refund(usd(amount), None, RefundStatus.SUCCEEDED)
    whole = draw(st.booleans())
    planned = planned_tender(refund=gateway.left, release=gateway.reserved)
    planned = planned.model_copy(
        update={
            "earlier": tuple(refund.reference for refund in gateway.refunds),
            "captured": usd(gateway.captured),
            "refunded": usd(gateway.refunded),
        }
    )
    if not whole:
        # What is only reserved is released before what was captured is refunded.
        wanted = draw(st.integers(0, gateway.left + gateway.reserved))
        release = min(wanted, gateway.reserved)
        planned = planned.model_copy(update={"release": usd(release), "refund": usd(wanted - release)})
    return planned, gateway


@pytest.mark.properties
@given(planned_with_gateway(), st.data())
def test_a_reversal_ends_with_what_is_due_and_never_makes_more(
    start: tuple[PlannedTender, Gateway], data: st.DataObject
) -> None:
    """I1, I11: answers are lost, others refund and capture meanwhile, refunds fail; at the end the customer has what is due,
    as far as the gateway had it, and of what we did never more."""
    planned, gateway = start
    books = books_of(planned)
    before, start_refunds = gateway.refunded, len(gateway.refunds)
    for _ in range(data.draw(st.integers(0, 6), label="turns")):
        match data.draw(st.sampled_from(["lost", "round", "others", "captured", "failed", "theirs", "settled"])):
            case "lost" if books.case.outstanding("T1"):
                reverse(books, gateway, loses_answer=True)
            case "round" if books.case.outstanding("T1"):
                reverse(books, gateway)
            case "others" if gateway.left:
                gateway.refund(usd(data.draw(st.integers(1, gateway.left))), None, RefundStatus.SUCCEEDED)
            case "captured" if gateway.reserved:
                gateway.capture(data.draw(st.integers(1, gateway.reserved)))
            case "failed" if mine := [r for r in gateway.refunds if r.key and not r.status.has_failed]:
                gateway.change(mine[-1].reference, RefundStatus.FAILED)
                check(books, gateway)
            case "theirs" if theirs := [r for r in gateway.refunds[start_refunds:] if r.key is None]:
                gateway.change(theirs[-1].reference, RefundStatus.FAILED)
                check(books, gateway)
            case "settled":
                for refund in [r for r in gateway.refunds if r.status is RefundStatus.PENDING]:
                    gateway.change(refund.reference, RefundStatus.SUCCEEDED)
                check(books, gateway)
            case _:
                pass
        ours = sum(r.amount.amount for r in gateway.refunds if r.key and not r.status.has_failed)
        assert ours <= planned.refund.amount + planned.release.amount
    for _ in range(4):
        if books.case.outstanding("T1"):
            assert isinstance(reverse(books, gateway), Settled)
    assert not books.case.outstanding("T1")
    due = planned.refund.amount + planned.release.amount
    released = books.case.reversal("T1").released.amount
    assert gateway.refunded - before + released >= due or gateway.left == 0 or _reserved_in_part(planned)


def _reserved_in_part(planned: PlannedTender) -> bool:
    """A part of a reservation was given up: what is captured of it afterwards is the merchant's."""
    return bool(planned.release) and planned.release < planned.capturable


def test_each_lost_dispute_has_given_its_own_amount() -> None:
    """I4: two partial disputes are lost, one after the other; the ledger posts each under its own number."""
    ours = refund_seen(5_000, RefundStatus.SUCCEEDED, key=KEY)
    first, second = (ChargeBack(reference=f"dp_{n}", amount=usd(amount)) for n, amount in enumerate((3_000, 2_000), 1))
    posted: dict[str, Money] = {}
    for charge_backs in ((first,), (first, second)):
        seen = DisputeSeen(target="T1", disputed=True, charge_backs=charge_backs)
        case = opened(plan_of(planned_tender(refund=5_000)), ours, seen)
        for part in CreditedTender.of_bank(case.reversal("T1")):
            assert posted.setdefault(part.reference, part.amount) == part.amount
    assert posted == {"dp_1": usd(3_000), "dp_2": usd(2_000)}
