"""Runs and steps that somebody has paused in the Temporal UI: shown as what they are, with an owner, and nothing is lost.
Against the dev server, which pauses as the real one does."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from client.deferred import DeferredRequestDispatcher
from client.engine import execution_of
from client.listing import Filter
from domain.decision import Verdict
from domain.messages import Acknowledgement, Approve
from domain.outcome import CancellationResult, Outcome, State
from domain.request import LineScope, ReasonCode, workflow_id
from domain.step import Owner
from order_cancellation import Cancellations, Execution, ExitCode, RunPaused, Source, StarterError, Status, Summary
from sandbox.gateway.messages import FaultKind
from sandbox.serving import ROOT
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import SUPERVISOR as SUPERVISORS_KEY
from tests.fixtures.api import ApiSystem
from tests.fixtures.starter import Starter, address_of, by_customer
from tests.pausing import WHO, WHY, follow_instructions, pause, pause_step, unpause
from tests.system import SUPERVISOR, System, customer_of, eventually, new_queue
from tests.workflows.samples import an_id, captured

BY = f'UTC by {WHO} ("{WHY}").'


async def waiting(system: System) -> SampleOrder:
    """An order above the limit, whose cancellation waits for a second person."""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    await system.library.start(request(sample))
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    return sample


async def paused(system: System) -> SampleOrder:
    """The same, and its run is paused."""
    sample = await waiting(system)
    await pause(system.client, workflow_id(sample.order_id))
    return sample


async def begun(client: Client, run: str) -> None:
    async def there() -> bool:
        try:
            await client.get_workflow_handle(run).fetch_history()
        except RPCError:
            return False
        return True

    await eventually(there, f"the run {run} has begun")


async def finish(system: System, sample: SampleOrder) -> CancellationResult:
    """To its end, by the second person."""
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))
    return await system.library.result(sample.order_id)


async def listed(system: System, *, state: State | None = None, owner: Owner | None = None) -> dict[str, Summary]:
    page = await system.library.list(Filter(state=state, owner=owner), limit=10_000)
    return {found.order_id: found for found in page.cancellations}


# A run


async def test_a_paused_run_says_who_paused_it_and_the_command_that_lets_it_go_on(
    open_system: System, starter: Starter
) -> None:
    """E27: in status; and the command that it shows does it."""
    sample = await paused(open_system)
    shown = await starter("status", sample.order_id)
    assert shown.code == ExitCode.DONE, shown.err
    words = " ".join(shown.out.split())
    assert "needs attention" in words
    assert "waits for operations" in words
    assert BY in words
    assert "its state was: waiting for approval" in words
    assert "approve|reject" not in words, "nobody can approve before it is unpaused"
    status = Status.model_validate_json((await starter("status", sample.order_id, "--json")).out)
    assert (status.source, status.state) == (Source.LAST_PUBLISHED, State.NEEDS_ATTENTION)
    (wait,) = status.waits
    assert (wait.owner, wait.state) == (Owner.OPERATIONS, State.NEEDS_ATTENTION)
    assert wait.due_at <= datetime.now(UTC)

    await follow_instructions(wait.reason, address_of(open_system.server))
    after = await open_system.library.status(sample.order_id)
    assert (after.source, after.state) == (Source.RUN, State.WAITING_FOR_APPROVAL)
    assert (await finish(open_system, sample)).outcome is Outcome.CANCELLED


async def test_a_list_with_a_paused_run_shows_it_and_all_the_others(open_system: System, starter: Starter) -> None:
    """E27: it waits for operations, whatever it has published; so do the filters."""
    stands = await paused(open_system)
    goes_on = await waiting(open_system)

    async def both() -> bool:
        found = await listed(open_system)
        return stands.order_id in found and found[stands.order_id].paused and goes_on.order_id in found

    await eventually(both, "the list has both, and the pause")
    everything = await listed(open_system)
    seen = everything[stands.order_id]
    assert (seen.execution, seen.state, seen.owner) == (Execution.PAUSED, State.NEEDS_ATTENTION, Owner.OPERATIONS)
    other = everything[goes_on.order_id]
    assert (other.execution, other.paused, other.owner) == (Execution.RUNNING, False, Owner.SECOND_PERSON)
    for found in (
        await listed(open_system, owner=Owner.OPERATIONS),
        await listed(open_system, state=State.NEEDS_ATTENTION),
        await listed(open_system, owner=Owner.OPERATIONS, state=State.NEEDS_ATTENTION),
    ):
        assert (stands.order_id in found, goes_on.order_id in found) == (True, False)
    for found in (
        await listed(open_system, owner=Owner.SECOND_PERSON),
        await listed(open_system, state=State.WAITING_FOR_APPROVAL),
    ):
        assert (stands.order_id in found, goes_on.order_id in found) == (False, True)
    shown = await starter("list", "--owner", "operations", "--state", "needs_attention")
    assert shown.code == ExitCode.DONE, shown.err
    assert "(paused)" in shown.out


async def test_a_run_that_was_terminated_while_paused_is_lost_and_not_paused(open_system: System) -> None:
    """E27: the server keeps on such a run what it says of a paused one."""
    sample = await paused(open_system)
    await open_system.current(sample.order_id).terminate()

    async def ended() -> bool:
        found = (await listed(open_system)).get(sample.order_id)
        return found is not None and found.execution is Execution.TERMINATED

    await eventually(ended, "the run is listed as terminated")
    seen = (await listed(open_system))[sample.order_id]
    assert (seen.paused, seen.state) == (False, State.WAITING_FOR_APPROVAL)
    assert sample.order_id not in await listed(open_system, owner=Owner.OPERATIONS)
    assert sample.order_id in await listed(open_system, state=State.WAITING_FOR_APPROVAL)
    status = await open_system.library.status(sample.order_id)
    assert (status.waits, "was terminated" in status.sentence) == ((), True)


async def test_a_watcher_sees_the_pause_and_the_way_on_and_the_end(open_system: System) -> None:
    """E27"""
    sample = await waiting(open_system)
    news = open_system.library.watch(sample.order_id, timedelta(seconds=0.1))
    seen = [await anext(news)]
    await pause(open_system.client, workflow_id(sample.order_id))
    seen.append(await anext(news))
    await unpause(open_system.client, workflow_id(sample.order_id))
    seen.append(await anext(news))
    states = [now.state for now in seen if isinstance(now, Status)]
    assert states == [State.WAITING_FOR_APPROVAL, State.NEEDS_ATTENTION, State.WAITING_FOR_APPROVAL]
    await open_system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))
    *_, last = [now async for now in news]
    assert isinstance(last, CancellationResult)
    assert last.outcome is Outcome.CANCELLED


async def test_a_result_is_awaited_through_a_pause_and_one_with_a_limit_names_it(
    open_system: System, starter: Starter
) -> None:
    """E27"""
    sample = await waiting(open_system)
    before = asyncio.create_task(open_system.library.result(sample.order_id))
    assert (await starter("result", sample.order_id, "--wait", "0.5")).code == ExitCode.UNDECIDED
    await pause(open_system.client, workflow_id(sample.order_id))
    limited = await starter("result", sample.order_id, "--wait", "0.5")
    assert limited.code == ExitCode.UNDECIDED
    assert BY in limited.sentence
    assert "has not ended within 0.5 seconds. Unpause it" in limited.sentence
    meanwhile = asyncio.create_task(open_system.library.result(sample.order_id))
    await follow_instructions(limited.sentence, address_of(open_system.server))
    ended = await finish(open_system, sample)
    assert (await before, await meanwhile) == (ended, ended)


async def test_requests_and_messages_that_meet_a_paused_run_say_that_they_were_not_kept(
    open_system: System, starter: Starter
) -> None:
    """E27: at once; and sent again afterwards they are taken. The request that opened it has the answer that it had."""
    sample = await paused(open_system)
    other = by_customer("start", sample, "--request-id", "another")
    for command in (other, ("approve", sample.order_id, "--actor", f"{SUPERVISOR}", "--json")):
        refused = await starter(*command)
        assert refused.code == ExitCode.REFUSED
        assert BY in refused.sentence
        assert "What was sent now was not kept; send it again afterwards. To unpause it: temporal" in refused.sentence
    again = await open_system.library.start(request(sample))
    assert again.decision is not None
    assert again.decision.verdict is Verdict.NEEDS_APPROVAL

    await follow_instructions(refused.sentence, address_of(open_system.server))
    joined = await starter(*other, "--json")
    assert '"joined":true' in joined.out
    approved = await starter("approve", sample.order_id, "--actor", f"{SUPERVISOR}", "--json")
    assert Acknowledgement.model_validate_json(approved.out).sentence == "Approved; the cancellation goes on."
    assert (await starter("result", sample.order_id)).code == ExitCode.DONE


async def test_a_request_whose_run_is_paused_before_a_worker_has_it_ends_in_time_and_says_so(
    open_system: System,
) -> None:
    """E27: nobody knows whether it was kept; sent again it is the same request."""
    sample = captured()
    await open_system.shop.place_order(sample)
    nobody_works = Cancellations(open_system.client, task_queue=new_queue())
    asking = asyncio.create_task(nobody_works.start(request(sample), timedelta(seconds=3)))
    await begun(open_system.client, workflow_id(sample.order_id))
    await pause(open_system.client, workflow_id(sample.order_id))
    with pytest.raises(StarterError) as undecided:
        await asking
    assert undecided.value.code is ExitCode.UNDECIDED
    assert BY in undecided.value.sentence
    assert "send the same request again; that is safe: temporal workflow unpause" in undecided.value.sentence
    await open_system.current(sample.order_id).terminate()


async def test_a_deferred_request_that_meets_a_paused_run_is_sent_again_later(open_system: System) -> None:
    """E27: it is no answer to a statutory withdrawal."""
    lines = (line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD"), line("L3", 1, "600.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("1220.00 USD"),))
    await open_system.shop.place_order(sample)
    first, second, third = (LineScope(line_id=line.line_id, quantity=1) for line in lines)
    library = open_system.library
    await library.start(request(sample, first, request_id="first"))
    await open_system.wait_for_state(open_system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    withdrawal = request(sample, second, request_id="second", reason=ReasonCode.STATUTORY_WITHDRAWAL)
    assert (await library.start(withdrawal)).deferred
    await open_system.withdraw(open_system.current(sample.order_id), customer_of(sample))
    await library.result(sample.order_id)
    await library.start(request(sample, third, request_id="third"))
    await pause(open_system.client, workflow_id(sample.order_id))

    dispatcher = DeferredRequestDispatcher(open_system.books, library)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    await dispatcher.send_due(soon)
    kept = await open_system.books.due_requests(soon + timedelta(hours=2), 10)
    assert [found.request.request_id for found in kept] == ["second"]
    await unpause(open_system.client, workflow_id(sample.order_id))


async def test_over_http_a_paused_run_is_not_available_at_the_moment(api_system: ApiSystem) -> None:
    """E27: the list and the status are there; who paused it is in the log, not in the answer to a caller."""
    api, system = api_system.api, api_system.system
    sample = await paused(system)
    body = {"customer_id": sample.customer_id, "reason": "found_cheaper", "channel": "web_shop"}
    for answer in (
        await api.start(sample.order_id, body, request_id="another"),
        await api.steer(sample.order_id, "approve", {}, SUPERVISORS_KEY),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.text
        assert "is paused and takes nothing at the moment" in answer.json()["detail"]
        assert WHO not in answer.text
    assert any(BY in entry.get("error", "") for entry in api.lines())
    shown = Status.model_validate_json((await api.get(f"/orders/{sample.order_id}/cancellation")).content)
    assert (shown.state, shown.waits[0].owner) == (State.NEEDS_ATTENTION, Owner.OPERATIONS)

    async def there() -> bool:
        answer = await api.get("/cancellations", owner="operations", limit="1000")
        return sample.order_id in {found["order_id"] for found in answer.json()["cancellations"]}

    await eventually(there, "the list has it as waiting for operations")
    await unpause(system.client, workflow_id(sample.order_id))
    await system.withdraw(system.current(sample.order_id), customer_of(sample))


async def test_paused_runs_are_replayed_before_a_deploy(open_system: System) -> None:
    """E27: they go on with the new code as well."""
    sample = await paused(open_system)
    query = f"CloseTime IS NULL AND WorkflowId = '{workflow_id(sample.order_id)}'"

    async def replayed() -> bool:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "worker.py", "replay", "--query", query],
            cwd=ROOT,
            env={**os.environ, "TEMPORAL_ADDRESS": address_of(open_system.server)},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return (done.returncode, done.stdout) == (0, "1 replayed, 0 failed\n")

    await eventually(replayed, "the paused run is found and replays")


# A step


async def test_a_paused_step_waits_for_operations_beside_what_the_run_says(
    open_system: System, starter: Starter
) -> None:
    """E27: the run answers, so what it says is live; a request that waits for the step hears why."""
    sample = captured()
    await open_system.shop.place_order(sample)
    await open_system.disturb_look(sample.order_id, FaultKind.SLOW, 15, times=2)
    asking = asyncio.create_task(open_system.library.start(request(sample)))
    await begun(open_system.client, workflow_id(sample.order_id))
    await open_system.wait_for_attempt(open_system.current(sample.order_id))
    step = await pause_step(open_system.client, sample.order_id)

    status = await open_system.library.status(sample.order_id)
    assert (status.source, status.state) == (Source.RUN, State.NEEDS_ATTENTION)
    wait = status.waits[0]
    assert wait.owner is Owner.OPERATIONS
    assert wait.reason.startswith(f"Step {step} of order {sample.order_id} was paused at ")
    assert BY in wait.reason
    with pytest.raises(StarterError) as undecided:
        await open_system.library.start(request(sample), timedelta(seconds=0.5))
    assert undecided.value.code is ExitCode.UNDECIDED
    assert not isinstance(undecided.value, RunPaused)
    assert f"Step {step}" in undecided.value.sentence

    async def is_listed() -> bool:
        found = (await listed(open_system, owner=Owner.OPERATIONS)).get(sample.order_id)
        return found is not None and found.paused and found.execution is Execution.RUNNING

    await eventually(is_listed, "the list has the paused step")
    assert "(step" in (await starter("list")).out, "the cell is narrow"
    await follow_instructions(wait.reason, address_of(open_system.server))
    submission = await asking
    assert submission.decision is not None
    assert submission.decision.verdict is Verdict.APPROVED
    assert (await open_system.library.result(sample.order_id)).outcome is Outcome.CANCELLED


# What comes next


def test_a_word_of_a_newer_engine_is_unknown_and_breaks_nothing() -> None:
    """E27: the cause was a number that the SDK does not know."""
    assert execution_of(8) is Execution.PAUSED
    assert execution_of(99) is Execution.UNKNOWN
