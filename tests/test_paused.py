"""Runs and steps that somebody has paused in the Temporal UI: shown as what they are, with an owner, and nothing is lost.
Against the dev server, which pauses as the real one does."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from client.engine import execution_of
from domain.messages import Approve
from domain.outcome import CancellationResult, Outcome, State
from domain.policy import Verdict
from domain.request import workflow_id
from domain.step import Owner
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, request
from starter import Execution, ExitCode, Source, Status, Summary
from tests.fixtures.starter import Starter, address_of
from tests.pausing import WHO, WHY, do_as_told, pause, pause_step, unpause
from tests.system import SUPERVISOR, System, eventually
from tests.workflows.samples import captured

BY = f'UTC by {WHO} ("{WHY}").'


async def waiting(system: System) -> SampleOrder:
    """An order above the limit, whose cancellation waits for a second person."""
    sample = captured(total="600.00 USD")
    await system.shop.place(sample)
    await system.library.start(request(sample))
    await system.waits_for(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
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
    return {found.order_id: found for found in await system.library.list(state=state, owner=owner, limit=10_000)}


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

    await do_as_told(wait.reason, address_of(open_system.server))
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


# A step


async def test_a_paused_step_waits_for_operations_beside_what_the_run_says(
    open_system: System, starter: Starter
) -> None:
    """E27: the run answers, so what it says is live."""
    sample = captured()
    await open_system.shop.place(sample)
    await open_system.disturb_look(sample.order_id, FaultKind.SLOW, 15)
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

    async def is_listed() -> bool:
        found = (await listed(open_system, owner=Owner.OPERATIONS)).get(sample.order_id)
        return found is not None and found.paused and found.execution is Execution.RUNNING

    await eventually(is_listed, "the list has the paused step")
    assert "(step" in (await starter("list")).out, "the cell is narrow"
    await do_as_told(wait.reason, address_of(open_system.server))
    submission = await asking
    assert submission.decision is not None
    assert submission.decision.verdict is Verdict.APPROVED
    assert (await open_system.library.result(sample.order_id)).outcome is Outcome.CANCELLED


# What comes next


def test_a_word_of_a_newer_engine_is_unknown_and_breaks_nothing() -> None:
    """E27: the cause was a number that the SDK does not know."""
    assert execution_of(8) is Execution.PAUSED
    assert execution_of(99) is Execution.UNKNOWN
