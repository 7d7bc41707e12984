"""What the policy decides, carried through a whole run."""

import json
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.decision import Decision, Rule, Verdict
from domain.messages import ChooseRefundMethod
from domain.money import money
from domain.order import OrderFlag, SaleCondition
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, State
from domain.policy import AbuseLimit, Mailboxes
from domain.request import Actor, ActorKind, LineScope
from domain.step import Owner
from domain.terms import RefundMethod, Terms
from sandbox import books
from sandbox.shop import SampleOrder, card, line, request
from tests.system import AGENT, POLICY, Handle, System
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow


async def test_outside_the_window_a_second_person_is_asked_and_the_order_not_refused(system: System) -> None:
    """A7"""
    sample = captured().model_copy(update={"age": timedelta(days=31)})
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert (submission.decision.verdict, submission.decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.OUTSIDE_WINDOW)
    assert submission.decision.policy_version == POLICY.version
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED


async def test_a_reason_that_the_customer_may_not_claim_is_rejected_and_nothing_is_touched(system: System) -> None:
    """A8"""
    sample = captured()
    await system.shop.place_order(sample)
    asked = request(sample).model_dump(mode="json") | {"reason": "out_of_stock"}
    result = await system.cancel(request(sample).model_validate(asked))
    assert result.decision is not None
    assert (result.outcome, result.decision.rule) == (Outcome.REJECTED, Rule.REASON_NOT_ALLOWED)
    assert "no_longer_needed" in result.decision.allowed_reasons
    assert await system.carrier_effects(sample.order_id) == []


def with_condition(condition: SaleCondition) -> SampleOrder:
    """A regular line and one that was sold under a condition."""
    bound = line("L2", 1, "20.00 USD").model_copy(update={"condition": condition})
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, "10.00 USD"), bound), tenders=(card("30.00 USD"),))


async def test_a_customised_line_is_refused_by_name_and_the_other_line_can_be_cancelled(system: System) -> None:
    """A12"""
    sample = with_condition(SaleCondition.CUSTOMISED)
    await system.shop.place_order(sample)
    whole = await system.cancel(request(sample))
    assert whole.decision is not None
    assert (whole.outcome, whole.decision.rule) == (Outcome.REJECTED, Rule.CUSTOMISED)
    assert "Line L2" in whole.sentence
    part = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1), request_id="the-regular-one"))
    assert (part.outcome, part.refunded) == (Outcome.CANCELLED, money("10.00 USD"))


async def test_a_final_sale_waits_for_a_second_person(system: System) -> None:
    """A12"""
    sample = with_condition(SaleCondition.FINAL_SALE)
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.decision.rule is Rule.FINAL_SALE
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert (await system.end(handle)).refunded == money("30.00 USD")


async def test_an_eu_consumers_withdrawal_passes_the_policy_and_shows_the_laws_due_time(system: System) -> None:
    """A15: final sale, outside the window, above the limit; the money is due 14 days on."""
    bound = line("L1", 1, "900.00 USD").model_copy(update={"condition": SaleCondition.FINAL_SALE})
    sample = SampleOrder(
        order_id=an_id(),
        lines=(bound,),
        tenders=(card("900.00 USD", card="pm_card_pendingRefund"),),
        flags=frozenset({OrderFlag.EU_CONSUMER}),
        country="DE",
        age=timedelta(days=40),
    )
    await system.shop.place_order(sample)
    asked = request(sample).model_dump(mode="json") | {"reason": "statutory_withdrawal"}
    submission, handle = await system.submit(request(sample).model_validate(asked))
    assert submission.decision.verdict is Verdict.APPROVED
    assert submission.plan is not None
    due = submission.plan.refund_due
    assert due is not None
    assert due.law == "Directive 2011/83/EU, art. 13"
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    assert progress.refund_due == due
    assert "withdrawal_acknowledged" in {notice.kind.value for notice in await books.notices(system.engine)}
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    assert (await system.end(handle)).outcome is Outcome.CANCELLED


async def test_a_withdrawal_from_the_whole_order_leaves_what_was_made_to_specification(system: System) -> None:
    """A12, A15"""
    sample = with_condition(SaleCondition.CUSTOMISED).model_copy(
        update={"flags": frozenset({OrderFlag.EU_CONSUMER}), "country": "DE"}
    )
    await system.shop.place_order(sample)
    asked = request(sample).model_dump(mode="json") | {"reason": "statutory_withdrawal"}
    result = await system.cancel(request(sample).model_validate(asked))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("10.00 USD"))
    kept = await system.read_order(sample.order_id)
    assert [(line.line_id, line.remaining) for line in kept.lines] == [("L1", 0), ("L2", 1)]


async def test_the_due_time_of_a_refund_that_waits_is_never_later_than_the_laws(bare_system: System) -> None:
    """B21: the policy would give it 60 days, 16 CFR 435 gives seven working days."""
    system = bare_system
    terms = Terms(settlement_due=timedelta(days=60))
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = captured(fault="refund.create:pending_insufficient_funds").model_copy(update={"country": "US"})
        await system.shop.place_order(sample)
        submission, handle = await system.submit(request(sample))
        progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        assert submission.plan is not None
        assert submission.plan.refund_due is not None
        assert progress.waits[0].due_at == submission.plan.refund_due.at
        await system.skip(timedelta(days=15))
        assert (await system.wait_for_state(handle, State.NEEDS_ATTENTION)).waits[0].owner is Owner.REFUND_DEPARTMENT


async def test_a_customer_who_cancels_often_needs_a_second_person(bare_system: System) -> None:
    """The abuse view: carried-out changes of mind count, each order once."""
    system = bare_system
    policy = POLICY.model_copy(update={"abuse": AbuseLimit(cancellations=2, within=timedelta(days=90))})
    async with system.worker(policy=policy):
        customer = f"C-{an_id()}"
        rules = []
        for _ in range(3):
            sample = captured(parcels=()).model_copy(update={"customer": customer})
            await system.shop.place_order(sample)
            submission, handle = await system.submit(request(sample))
            rules.append(submission.decision.rule)
            if submission.decision.verdict is Verdict.APPROVED:
                await system.end(handle)
        assert rules == [Rule.WITHIN_POLICY, Rule.WITHIN_POLICY, Rule.FREQUENT_CANCELLATIONS]


async def test_an_order_discount_is_divided_among_the_lines(system: System) -> None:
    """B32: 10 % on 3 × 100; two of them are worth 180.00, not 200.00."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "300.00 USD", "30.00 USD"),),
        tenders=(card("270.00 USD"),),
        discount=money("30.00 USD"),
    )
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=2)))
    second = await system.cancel(request(sample, request_id="the-rest"))
    assert (first.refunded, second.refunded) == (money("180.00 USD"), money("90.00 USD"))
    assert [document.tax for document in await books.documents(system.engine)] == [
        money("18.00 USD"),
        money("9.00 USD"),
    ]


async def test_the_tax_of_the_shipping_charge_is_credited_with_it(system: System) -> None:
    """B34"""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "119.00 USD", "19.00 USD"),),
        tenders=(card("124.95 USD"),),
        shipping=money("5.95 USD"),
        shipping_tax=money("0.95 USD"),
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.refunded == money("124.95 USD")
    assert [document.tax for document in await books.documents(system.engine)] == [money("19.95 USD")]


async def test_staff_gives_the_shipping_charge_back_with_a_part_of_the_order(system: System) -> None:
    """B34: it arrived too late, say; it does not go back once more with the last line."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "50.00 USD"),),
        tenders=(card("54.90 USD"),),
        shipping=money("4.90 USD"),
    )
    await system.shop.place_order(sample)
    asked = request(sample, LineScope(line_id="L1", quantity=1)).model_copy(update={"actor": AGENT, "shipping": True})
    first = await system.cancel(asked)
    second = await system.cancel(request(sample, request_id="the-rest"))
    assert (first.refunded, second.refunded) == (money("29.90 USD"), money("25.00 USD"))


async def test_an_approval_that_nobody_gives_is_reminded_of_and_escalated_by_mail(bare_system: System) -> None:
    """A9: the second stage is found under the supervisor, and its approval still counts."""
    system = bare_system
    boxes = Mailboxes(approvals="refunds@shop.example", escalations="head@shop.example")
    async with system.worker(policy=POLICY.model_copy(update={"mailboxes": boxes})):
        sample = captured(total="600.00 USD")
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        assert (await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)).waits[0].owner is Owner.SECOND_PERSON
        await system.skip(timedelta(hours=49))
        progress = await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        assert progress.waits[0].owner is Owner.SUPERVISOR
        sent = {notice.kind.value: notice.to for notice in await books.notices(system.engine) if notice.to}
        assert sent == {"approval_due": "refunds@shop.example", "approval_escalated": "head@shop.example"}
        await system.approve(handle)
        result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert [(entry.action, entry.actor.kind) for entry in result.actions] == [
        ("reminder: the approval is due", ActorKind.SYSTEM),
        ("escalated: nobody has answered", ActorKind.SYSTEM),
        ("approved", ActorKind.REFUND_DEPARTMENT),
    ]


async def test_an_approval_that_was_reminded_of_still_counts(system: System) -> None:
    """A9"""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.skip(timedelta(hours=25))
    await system.approve(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED


async def test_a_customer_chooses_only_what_the_policy_offers(bare_system: System) -> None:
    """B23, B29: no store credit here; the mail names what there is."""
    system = bare_system
    terms = Terms(fallbacks=(RefundMethod.BANK_TRANSFER,))
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = captured(fault="refund.create:refuse")
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        choice = ChooseRefundMethod(
            actor=Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id), target="T1", method=RefundMethod.STORE_CREDIT
        )
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
        assert "Choose one of: bank transfer" in str(refused.value.cause)


async def test_a_suspects_money_goes_back_to_its_own_card_or_waits_for_a_person(system: System) -> None:
    """A11: approved after the review, refused by the gateway; no store credit, no transfer by the customer's choice."""
    sample = captured(fault="refund.create:refuse").model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.decision.rule is Rule.FRAUD_REVIEW
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    await system.approve(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    choice = ChooseRefundMethod(
        actor=Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id), target="T1", method=RefundMethod.STORE_CREDIT
    )
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
    assert "staff will settle it" in str(refused.value.cause)


async def test_a_suspects_reservation_above_the_limit_is_released_at_once(system: System) -> None:
    """A11: uncaptured, so nobody is asked."""
    sample = captured(total="900.00 USD").model_copy(
        update={"tenders": (card("900.00 USD", "0.00 USD"),), "flags": frozenset({OrderFlag.FRAUD_REVIEW})}
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.released) == (Outcome.CANCELLED, money("900.00 USD"))
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]


# A run that was lost


async def test_a_run_that_was_terminated_after_the_refund_is_taken_up_without_asking_again(system: System) -> None:
    """D7, I5: above the limit and approved; the refund is pending when somebody terminates the run."""
    sample = captured(total="600.00 USD").model_copy(
        update={"tenders": (card("600.00 USD", card="pm_card_pendingRefund"),)}
    )
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await system.approve(lost)
    await system.wait_for_state(lost, State.WAITING_FOR_SETTLEMENT)
    await lost.terminate("by mistake")
    _, handle = await system.submit(request(sample, request_id="again"))
    system.started.reverse()
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    result = await system.end(handle)
    assert (result.outcome, result.money, result.goods) == (
        Outcome.CANCELLED,
        MoneyStatus.REFUNDED,
        GoodsStatus.NEVER_HANDED_OVER,
    )
    assert await system.refunds(sample.order_id) == [money("600.00 USD")]
    await system.assert_books_balance()


async def test_a_run_that_was_terminated_before_the_approval_asks_again(system: System) -> None:
    """A9: nothing has moved, so nobody has approved anything."""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await lost.terminate("by mistake")
    _, handle = await system.submit(request(sample, request_id="again"))
    system.started.reverse()
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    assert await system.refunds(sample.order_id) == []
    await system.approve(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED


async def test_another_scope_while_one_runs_is_refused_as_under_way_and_carried_out_afterwards(system: System) -> None:
    """A4, E5: other lines, another person; never answered with the first one's decision, and no second effect. (It
    joined the first one before, and was lost.)"""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("620.00 USD"),),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    other = request(sample, LineScope(line_id="L2", quantity=1), request_id="other").model_copy(update={"actor": AGENT})
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await system.submit(other)
    assert "is under way" in str(refused.value.cause)
    await system.approve(handle)
    assert (await system.end(handle)).refunded == money("600.00 USD")
    later = await system.cancel(other)
    assert later.refunded == money("20.00 USD")
    assert await system.refunds(sample.order_id) == [money("600.00 USD"), money("20.00 USD")]


async def test_the_runs_page_says_by_when_the_law_wants_the_money_back(system: System) -> None:
    sample = captured(fault="refund.create:pending_insufficient_funds").model_copy(update={"country": "US"})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    page = json.dumps(str(await handle.query("__temporal_workflow_metadata")))
    assert "By law the money is due" in page
    payment = system.shop.payments[sample.order_id][0]
    refund = (await system.shop.gateway.effects(payment))[-1].object_id
    await system.shop.gateway.settle(refund)
    await system.wake(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED


async def test_the_runs_page_says_once_what_is_asked_and_in_the_end_how_it_ended(system: System) -> None:
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)

    async def page() -> str:
        return str(await handle.query("__temporal_workflow_metadata"))

    assert (await page()).count("A second person has to approve") == 1
    await system.approve(handle)
    await system.end(handle)
    assert "is cancelled as requested" in await page()
    assert "A second person has to approve" not in await page()


async def test_whoever_asks_part_by_part_does_not_get_past_the_limit(system: System) -> None:
    """A9: three lines of 400.00, one after the other; what a second person has approved does not count."""
    lines = tuple(line(f"L{n}", 1, price) for n, price in enumerate(("400.00 USD", "400.00 USD", "90.00 USD"), start=1))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("890.00 USD"),))
    await system.shop.place_order(sample)

    async def cancel_part(line_id: str) -> tuple[Decision | None, Handle]:
        part = request(sample, LineScope(line_id=line_id, quantity=1), request_id=f"part-{line_id}")
        submission, handle = await system.submit(part.model_copy(update={"actor": AGENT}))
        return submission.decision, handle

    decision, handle = await cancel_part("L1")
    assert decision
    assert decision.verdict is Verdict.APPROVED
    await system.finish(handle)
    decision, handle = await cancel_part("L2")
    assert decision
    assert (decision.verdict, decision.rule) == (Verdict.NEEDS_APPROVAL, Rule.ABOVE_LIMIT)
    assert "400.00 USD, with 400.00 USD by earlier cancellations of the order, is above" in decision.sentence
    await system.approve(handle)
    await system.finish(handle)
    decision, handle = await cancel_part("L3")
    assert decision
    assert decision.verdict is Verdict.APPROVED
    assert (await system.finish(handle)).refunded == money("90.00 USD")
