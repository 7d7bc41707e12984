"""A quote: decision and plan as `start` would answer them, and nothing done. On the dev server, with the real parts."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from domain.decision import Rule, Verdict
from domain.messages import Quote, Submission
from domain.money import money
from domain.order import TenderKind
from domain.outcome import Outcome
from domain.plan import LeftOutReason
from domain.shipment import StopAction
from order_cancellation import Cancellations, ExitCode, StarterError
from sandbox import books, built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request, stored
from tests.fixtures.starter import Starter, by_customer
from tests.system import System, customer_of, eventually, new_queue
from tests.workflows.samples import an_id, captured


def a_bit_of_everything() -> SampleOrder:
    """Two tenders; of three units one is delivered, one is labelled and one is in no parcel yet."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(stored(TenderKind.GIFT_CARD, "19.00 USD"), card("80.00 USD")),
        shipping=money("9.00 USD"),
        parcels=(parcel(Script.DELIVERED, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
    )


async def everything_done(system: System, order_id: str) -> list[object]:
    """All that can be seen of an order outside the process: at the gateway, at the carrier, in the shop and in our books."""
    return [
        await system.read_order(order_id),
        [await system.shop.gateway.effects(payment) for payment in system.shop.payments[order_id]],
        await system.carrier_effects(order_id),
        await built_in.effects(system.engine),
        await books.cancellations(system.engine),
        await books.notices(system.engine),
    ]


async def test_a_quote_says_what_start_answers_then_and_does_nothing(open_system: System, starter: Starter) -> None:
    sample = a_bit_of_everything()
    await open_system.shop.place_order(sample)
    before = await everything_done(open_system, sample.order_id)
    shown = await starter(*by_customer("quote", sample))
    quoted = await starter(*by_customer("quote", sample, "--json"))
    assert (shown.code, quoted.code) == (ExitCode.DONE, ExitCode.DONE), shown.err + quoted.err
    assert await everything_done(open_system, sample.order_id) == before
    assert (await starter("status", sample.order_id)).code == ExitCode.NOT_FOUND

    quote = Quote.model_validate_json(quoted.out)
    assert quote.plan is not None
    assert [(str(t.tender.kind), str(t.refund)) for t in quote.plan.tenders] == [
        ("gift_card", "0.00 USD"),
        ("card", "66.00 USD"),
    ]
    assert [(p.shipment.shipment_id, p.action) for p in quote.plan.shipments] == [("S2", StopAction.VOID_LABEL)]
    assert [(left.quantity, left.reason) for left in quote.plan.left_out] == [(1, LeftOutReason.DELIVERED)]
    for word in ("approved", "66.00 USD", "void label", "delivered: offer a return", "nothing was done"):
        assert word in shown.out

    submission = Submission.model_validate_json((await starter(*by_customer("start", sample, "--json"))).out)
    assert (submission.decision, submission.plan, submission.request_id) == (
        quote.decision,
        quote.plan,
        quote.request_id,
    )
    assert (await starter("result", sample.order_id)).code == ExitCode.DONE


async def test_a_quote_for_an_order_that_is_being_cancelled_or_has_been_says_so(
    open_system: System, starter: Starter
) -> None:
    """A3"""
    sample = captured(total="600.00 USD")
    await open_system.shop.place_order(sample)
    submission, handle = await open_system.submit(request(sample))
    other = by_customer("quote", sample, "--request-id", "another")
    under_way = Quote.model_validate_json((await starter(*other, "--json")).out)
    assert (under_way.existing, under_way.result) == (submission.cancellation_id, None)
    assert (under_way.decision, under_way.plan) == (submission.decision, submission.plan)
    assert "under way" in (await starter(*other)).out

    await starter("approve", sample.order_id, "--actor", "refund_department:supervisor-2")
    await open_system.end(handle)
    over = await starter(*other, "--json")
    answered = Quote.model_validate_json(over.out)
    assert over.code == ExitCode.DONE
    assert (answered.existing, answered.plan, answered.decision.rule) == (
        submission.cancellation_id,
        None,
        Rule.EXISTING_CANCELLATION,
    )
    assert answered.result is not None
    assert answered.result.outcome is Outcome.CANCELLED


async def test_a_quote_for_other_lines_than_those_that_are_being_cancelled_is_refused_like_its_start(
    open_system: System, starter: Starter
) -> None:
    """A3: the plan of the one that is under way is no answer."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "600.00 USD"),), tenders=(card("600.00 USD"),))
    await open_system.shop.place_order(sample)
    submission, handle = await open_system.submit(request(sample))
    other = ("--request-id", "another", "--line", "L1=1")
    quoted = await starter(*by_customer("quote", sample, *other))
    assert (quoted.code, quoted.out) == (ExitCode.REFUSED, "")
    assert f"Another cancellation of order {sample.order_id} is under way ({submission.cancellation_id})" in quoted.err
    assert (await starter(*by_customer("start", sample, *other))).code == quoted.code
    await open_system.withdraw(handle, customer_of(sample))
    await open_system.finish(handle)
    again = Quote.model_validate_json((await starter(*by_customer("quote", sample, *other, "--json"))).out)
    assert again.plan
    assert again.plan.value == money("300.00 USD")


async def test_what_would_be_rejected_is_quoted_as_rejected_with_the_code_of_start(
    open_system: System, starter: Starter
) -> None:
    """A1, A8"""
    sample = captured()
    await open_system.shop.place_order(sample)
    asks = ("--actor", f"customer:{sample.customer_id}", "--reason", "out_of_stock", "--json")
    refused = await starter("quote", sample.order_id, *asks)
    assert refused.code == ExitCode.NOT_CANCELLED
    assert Quote.model_validate_json(refused.out).decision.verdict is Verdict.REJECTED
    unknown = await starter("quote", "O-none", "--actor", "customer:C-2", "--reason", "no_longer_needed")
    assert unknown.code == ExitCode.NOT_FOUND
    assert unknown.sentence == "Order O-none was not found for this customer. Check the order number."


async def test_an_order_that_cannot_be_verified_cannot_be_quoted(open_system: System, starter: Starter) -> None:
    """Its payment is not at the gateway."""
    placed = await open_system.shop.place_order(captured())
    tender = placed.tenders[0].model_copy(update={"reference": "pi_gone"})
    lost = placed.model_copy(update={"order_id": an_id(), "tenders": (tender,), "shipments": ()})
    await built_in.add_order(open_system.engine, lost, email="buyer@shop.example")
    asks = ("--actor", f"customer:{lost.customer_id}", "--reason", "no_longer_needed")
    answer = await starter("quote", lost.order_id, *asks)
    assert answer.code == ExitCode.NOT_CANCELLED
    assert "pi_gone" in answer.sentence


async def test_without_a_worker_there_is_no_quote_and_no_run_that_waits_for_one(
    dev_server: WorkflowEnvironment,
) -> None:
    sample = captured()
    with pytest.raises(StarterError) as none:
        await Cancellations(dev_server.client, task_queue=new_queue()).quote(request(sample), timedelta(seconds=1))
    assert none.value.code is ExitCode.UNDECIDED
    assert "no worker answered" in none.value.sentence
    assert "Nothing was done" in none.value.sentence

    async def over() -> bool:
        runs = dev_server.client.list_workflows(f"WorkflowId STARTS_WITH 'quote-order-{sample.order_id}-'")
        return [run.status async for run in runs] == [WorkflowExecutionStatus.TIMED_OUT]

    await eventually(over, "the run of the quote has ended")
