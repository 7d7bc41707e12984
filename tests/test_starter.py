"""The command line and the library behind it: a real process against the dev server, with a worker on the real parts."""

import asyncio
import os
import re

from pydantic import TypeAdapter
from temporalio.testing import WorkflowEnvironment

from client.runs import handle_of
from domain.decision import Rule, Verdict
from domain.messages import Acknowledgement, RefundEvent, Submission
from domain.money import money
from domain.outcome import CancellationResult, Outcome, Progress, State
from domain.step import Owner, StepName, StepStatus
from order_cancellation import Cancellations, ExitCode, Source, Status, Summary
from sandbox import built_in
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.starter import (
    Starter,
    address_of,
    by_customer,
    decision_in,
)
from tests.system import System, eventually
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow

SUPERVISOR = "refund_department:supervisor-2"


def expensive() -> SampleOrder:
    """Above the limit that one person may decide on."""
    return captured(total="600.00 USD")


def settles_later() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "52.35 USD"),),
        tenders=(card("52.35 USD", card=TestCard.PENDING_REFUND),),
    )


async def reached(cancellations: Cancellations, order_id: str, state: State) -> Status:
    seen: list[Status] = []

    async def there() -> bool:
        seen.append(await cancellations.status(order_id))
        return seen[-1].state is state

    await eventually(there, f"the cancellation of {order_id} is {state}")
    return seen[-1]


# Starting


async def test_start_shows_the_decision_with_the_amounts_and_result_shows_the_end(
    open_system: System, starter: Starter
) -> None:
    """B2"""
    sample = captured(total="52.35 USD")
    await open_system.shop.place_order(sample)
    started = await starter(*by_customer("start", sample))
    assert started.code == ExitCode.DONE, started.err
    assert "approved" in started.out
    assert "refund  T1 (card)" in started.out
    assert "52.35 USD" in started.out
    ended = await starter("result", sample.order_id)
    assert ended.code == ExitCode.DONE
    assert "refunded 52.35 USD" in ended.out
    shown = await starter("status", sample.order_id, "--json")
    status = Status.model_validate_json(shown.out)
    assert (status.source, status.state) == (Source.RESULT, State.CANCELLED)
    assert status.steps[-1].status is StepStatus.DONE


async def test_the_same_request_twice_is_one_cancellation_with_one_answer(
    open_system: System, starter: Starter
) -> None:
    """A4: while it runs; and the result once it has ended (A3)."""
    sample = captured(total="52.35 USD")
    await open_system.shop.place_order(sample)
    command = by_customer("start", sample, "--request-id", "req-1", "--json")
    first = await starter(*command)
    submission = Submission.model_validate_json(first.out)
    assert submission.plan is not None
    assert submission.plan.refund == money("52.35 USD")
    await starter("result", sample.order_id)
    again = await starter(*command)
    assert (first.code, again.code) == (0, 0)
    answered = Submission.model_validate_json(again.out)
    assert answered.result is not None
    assert (answered.result.outcome, answered.result.refunded) == (Outcome.CANCELLED, money("52.35 USD"))
    assert answered.cancellation_id == submission.cancellation_id
    assert await open_system.refunds(sample.order_id) == [money("52.35 USD")]


async def test_two_at_once_get_the_same_answer(open_system: System, starter: Starter) -> None:
    """A4: the double click."""
    sample = expensive()
    await open_system.shop.place_order(sample)
    command = by_customer("start", sample, "--json")
    first, second = await asyncio.gather(starter(*command), starter(*command))
    assert (first.code, first.err) == (0, "")
    assert first.out == second.out
    await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")
    await starter("result", sample.order_id)
    again = await starter(*command)
    assert again.code == ExitCode.NOT_CANCELLED, "it was withdrawn, and the repeated request learns that"
    anew = await starter(*command, "--request-id", "anew")
    assert decision_in(anew).verdict is Verdict.NEEDS_APPROVAL
    await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")


async def test_asking_twice_without_a_request_id_is_one_request(open_system: System, starter: Starter) -> None:
    """A4: where a second request would cancel another unit."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "20.00 USD"),), tenders=(card("20.00 USD"),))
    await open_system.shop.place_order(sample)
    command = by_customer("start", sample, "--line", "L1=1", "--json")
    await starter(*command)
    await starter("result", sample.order_id)
    again = Submission.model_validate_json((await starter(*command)).out)
    assert again.result is not None
    assert await open_system.refunds(sample.order_id) == [money("10.00 USD")]


async def test_a_request_id_that_was_used_with_other_content_is_refused(open_system: System, starter: Starter) -> None:
    """A4"""
    sample = expensive()
    await open_system.shop.place_order(sample)
    first = await starter(*by_customer("start", sample, "--request-id", "req-1"))
    assert first.code == ExitCode.DONE
    other = await starter(*by_customer("start", sample, "--request-id", "req-1", "--note", "but in blue"))
    assert other.code == ExitCode.REFUSED
    assert "sent before with other content" in other.sentence
    joined = await starter(*by_customer("start", sample, "--request-id", "req-2", "--json"))
    assert Submission.model_validate_json(joined.out).joined
    assert (await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")).code == 0
    assert (await starter("result", sample.order_id)).code == ExitCode.NOT_CANCELLED


async def test_an_unknown_order_and_somebody_elses_get_one_sentence(open_system: System, starter: Starter) -> None:
    """A1"""
    sample = captured()
    await open_system.shop.place_order(sample)
    unknown = await starter("start", "O-none", "--actor", "customer:C-2", "--reason", "no_longer_needed")
    others = await starter("start", sample.order_id, "--actor", "customer:C-2", "--reason", "no_longer_needed")
    assert unknown.code == others.code == ExitCode.NOT_FOUND
    assert unknown.sentence == "Order O-none was not found for this customer. Check the order number."
    assert others.sentence == unknown.sentence.replace("O-none", sample.order_id)


async def test_a_message_for_somebody_elses_order_is_answered_like_one_for_an_unknown_order(
    open_system: System, starter: Starter
) -> None:
    """A1: while it runs, and when it is over."""
    sample = expensive()
    await open_system.shop.place_order(sample)
    await starter(*by_customer("start", sample))
    stranger = await starter("withdraw", sample.order_id, "--actor", "customer:C-2")
    unknown = await starter("withdraw", "O-none", "--actor", "customer:C-2")
    assert stranger.code == unknown.code == ExitCode.NOT_FOUND
    assert stranger.sentence == f"Order {sample.order_id} was not found for this customer. Check the order number."
    assert (await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")).code == 0
    await starter("result", sample.order_id)
    assert (await starter("withdraw", sample.order_id, "--actor", "customer:C-2")).sentence == stranger.sentence
    owner = await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")
    assert (owner.code, "recorded before the end" in owner.out) == (ExitCode.DONE, True)


async def test_after_a_request_of_the_wrong_customer_staff_reads_what_to_do(
    open_system: System, starter: Starter
) -> None:
    """A1: who approves is no customer, and has nothing of "not found for this customer"."""
    sample = captured()
    await open_system.shop.place_order(sample)
    await starter("start", sample.order_id, "--actor", "customer:C-2", "--reason", "no_longer_needed")
    await starter("result", sample.order_id)
    for command in ("approve", "reject", "withdraw"):
        answer = await starter(command, sample.order_id, "--actor", "refund_department:R-1")
        assert answer.code == ExitCode.NOT_FOUND
        assert "Ask again with the order's own customer." in answer.sentence
    assert "for this customer" in (await starter("withdraw", sample.order_id, "--actor", "customer:C-2")).sentence


async def test_a_rejected_request_names_what_is_allowed(open_system: System, starter: Starter) -> None:
    """A8"""
    sample = captured()
    await open_system.shop.place_order(sample)
    command = ("start", sample.order_id, "--actor", f"customer:{sample.customer_id}", "--reason", "out_of_stock")
    answer = await starter(*command, "--json")
    assert answer.code == ExitCode.NOT_CANCELLED
    decision = decision_in(answer)
    assert (decision.verdict, decision.rule) == (Verdict.REJECTED, Rule.REASON_NOT_ALLOWED)
    assert "rejected" in (await starter(*command)).out


async def test_a_whole_request_is_read_from_standard_input(open_system: System, starter: Starter) -> None:
    sample = captured()
    await open_system.shop.place_order(sample)
    whole = request(sample, request_id="from-the-shop").model_dump_json()
    answer = await starter("start", "--file", "-", "--json", stdin=whole)
    assert answer.code == ExitCode.DONE, answer.err
    assert Submission.model_validate_json(answer.out).request_id == "from-the-shop"
    assert (await starter("result", sample.order_id)).code == ExitCode.DONE


# The ends


async def test_the_result_of_a_run_that_a_failure_rolled_back_tells_its_steps(
    open_system: System, starter: Starter
) -> None:
    """The payment is not at the gateway, so nothing can be verified."""
    placed = await open_system.shop.place_order(captured())
    tender = placed.tenders[0].model_copy(update={"reference": "pi_gone"})
    lost = placed.model_copy(update={"order_id": an_id(), "tenders": (tender,), "shipments": ()})
    await built_in.add_order(open_system.engine, lost, email="buyer@shop.example")
    started = await starter(
        "start", lost.order_id, "--actor", f"customer:{lost.customer_id}", "--reason", "no_longer_needed"
    )
    assert started.code == ExitCode.NOT_CANCELLED
    ended = await starter("result", lost.order_id, "--json")
    assert ended.code == ExitCode.NOT_CANCELLED
    result = CancellationResult.model_validate_json(ended.out)
    assert result.outcome is Outcome.ROLLED_BACK
    assert started.sentence == result.sentence
    assert [(row.step, row.status) for row in result.steps] == [
        (StepName.VERIFY_ORDER, StepStatus.FAILED),
        (StepName.RELEASE_ORDER, StepStatus.DONE),
    ]


async def test_a_second_person_approves_and_the_watcher_sees_it_to_the_end(
    open_system: System, starter: Starter
) -> None:
    """A9: the requester may not."""
    sample = expensive()
    await open_system.shop.place_order(sample)
    started = await starter(
        "start",
        sample.order_id,
        "--actor",
        "customer_service:agent-7",
        "--customer",
        sample.customer_id,
        "--reason",
        "found_cheaper",
        "--json",
    )
    assert decision_in(started).verdict is Verdict.NEEDS_APPROVAL
    early = await starter("result", sample.order_id, "--wait", "0.2")
    assert early.code == ExitCode.UNDECIDED
    assert "has not ended" in early.sentence

    async def listed() -> bool:
        answer = await starter("list", "--state", "waiting_for_approval", "--owner", "second_person", "--json")
        found = TypeAdapter(list[Summary]).validate_json(answer.out)
        mine = [summary for summary in found if summary.order_id == sample.order_id]
        assert all(
            summary.owner is Owner.SECOND_PERSON and summary.due_at and summary.cancellation_id for summary in mine
        )
        return bool(mine)

    await eventually(listed, "the cancellation is listed as waiting for approval")
    of_order = TypeAdapter(list[Summary]).validate_json(
        (await starter("list", "--order", sample.order_id, "--json")).out
    )
    assert [summary.order_id for summary in of_order] == [sample.order_id]
    own = await starter("approve", sample.order_id, "--actor", "refund_department:agent-7")
    assert own.code == ExitCode.REFUSED
    assert "somebody else has to" in own.sentence

    watching = asyncio.create_task(starter("watch", sample.order_id, "--json"))
    approved = await starter("approve", sample.order_id, "--actor", SUPERVISOR, "--note", "fine", "--json")
    assert approved.code == ExitCode.DONE
    assert Acknowledgement.model_validate_json(approved.out).sentence == "Approved; the cancellation goes on."
    watched = await watching
    assert watched.code == ExitCode.DONE
    *before, last = watched.out.splitlines()
    assert all(Progress.model_validate_json(line).order_id == sample.order_id for line in before)
    result = CancellationResult.model_validate_json(last)
    assert result.outcome is Outcome.CANCELLED
    assert [entry.action for entry in result.actions] == ["approved"]


async def test_a_refused_approval_ends_as_rolled_back(open_system: System, starter: Starter) -> None:
    """D5"""
    sample = expensive()
    await open_system.shop.place_order(sample)
    await starter(*by_customer("start", sample))
    assert (await starter("reject", sample.order_id, "--actor", SUPERVISOR)).code == ExitCode.DONE
    watched = await starter("watch", sample.order_id)
    assert watched.code == ExitCode.NOT_CANCELLED
    assert "rolled back" in watched.out
    again = await starter("reject", sample.order_id, "--actor", SUPERVISOR)
    assert (again.code, "recorded before the end" in again.out) == (ExitCode.DONE, True)
    late = await starter("approve", sample.order_id, "--actor", SUPERVISOR)
    assert late.code == ExitCode.REFUSED
    assert "is over (rolled back)" in late.sentence


async def test_a_withdrawal_after_the_pivot_is_refused_with_the_reason(
    open_system: System, starter: Starter, dev_server: WorkflowEnvironment
) -> None:
    """D2; and then the refund settles (B22)."""
    sample = settles_later()
    await open_system.shop.place_order(sample)
    await starter(*by_customer("start", sample))
    cancellations = Cancellations(dev_server.client)
    waiting = await reached(cancellations, sample.order_id, State.WAITING_FOR_SETTLEMENT)
    refused = await starter("withdraw", sample.order_id, "--actor", f"customer:{sample.customer_id}")
    assert refused.code == ExitCode.REFUSED
    assert "cannot be withdrawn any more: its money is being given back" in refused.sentence
    nothing = await starter("retry", sample.order_id, "--actor", SUPERVISOR, "--step", "close_order")
    assert nothing.code == ExitCode.REFUSED
    assert "these wait: reverse_payment T1" in nothing.sentence
    shown = await starter("status", sample.order_id)
    assert "waits for" in shown.out

    refund = next(row.reference for row in waiting.steps if row.step is StepName.REVERSE_PAYMENT)
    assert refund is not None
    await open_system.shop.gateway.settle(refund)
    handle = handle_of(dev_server.client, sample.order_id)
    await handle.signal(CancellationWorkflow.refund_event, RefundEvent(subject=refund))
    assert (await starter("result", sample.order_id)).code == ExitCode.DONE


async def test_a_person_resolves_the_only_step_that_waits_without_naming_it(
    open_system: System, starter: Starter, dev_server: WorkflowEnvironment
) -> None:
    sample = captured(fault="refund.create:refuse")
    await open_system.shop.place_order(sample)
    await starter(*by_customer("start", sample))
    await reached(Cancellations(dev_server.client), sample.order_id, State.NEEDS_ATTENTION)
    resolved = await starter(
        "resolve",
        sample.order_id,
        "--actor",
        SUPERVISOR,
        "--resolution",
        "done_by_hand",
        "--reference",
        "BANK-1",
    )
    assert resolved.code == ExitCode.DONE, resolved.err
    result = CancellationResult.model_validate_json((await starter("result", sample.order_id, "--json")).out)
    assert [row.reference for row in result.steps if row.status is StepStatus.RESOLVED] == ["BANK-1"]


async def test_the_choice_is_made_with_the_command_that_is_shown(
    open_system: System, starter: Starter, dev_server: WorkflowEnvironment
) -> None:
    """B29: on the command line and on the run's page."""
    sample = captured(fault="refund.create:refuse")
    await open_system.shop.place_order(sample)
    await starter(*by_customer("start", sample))
    await reached(Cancellations(dev_server.client), sample.order_id, State.NEEDS_ATTENTION)
    handle = handle_of(dev_server.client, sample.order_id)
    page = str(await handle.query("__temporal_workflow_metadata"))
    shown = (await starter("status", sample.order_id)).out
    assert "**choose_refund_method**: The customer chooses store credit." in page
    [command] = re.findall(r"^  (\S.* choose .* store_credit)$", shown.replace("\\\n", " "), re.MULTILINE)
    pasted = await asyncio.create_subprocess_exec(
        *("bash", "-c", command.replace("KIND:ID", SUPERVISOR)),
        env={**os.environ, "TEMPORAL_ADDRESS": address_of(dev_server)},
    )
    assert await pasted.wait() == ExitCode.DONE
    assert (await starter("result", sample.order_id)).code == ExitCode.DONE
