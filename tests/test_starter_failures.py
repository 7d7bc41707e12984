"""The command line when something is missing: a worker, a server, an order, an option."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client import cancellations as library
from client import runs
from domain.messages import Approve
from domain.outcome import State
from domain.request import workflow_id
from order_cancellation import Cancellations, Execution, ExitCode, Source, StarterError, Status
from runtime.plugin import plugin
from sandbox.shop import request
from tests.fixtures.starter import (
    Starter,
    address_of,
    begin_starter,
    end_starter,
    run_starter,
)
from tests.fixtures.temporal import start_dev_server
from tests.system import AGENT, eventually, new_queue
from tests.workflows.samples import captured


async def test_without_a_worker_the_request_is_kept_and_says_so(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "QUERY_WAIT", timedelta(seconds=0.5))
    cancellations = Cancellations(dev_server.client, task_queue=new_queue())
    sample = captured()
    with pytest.raises(StarterError) as undecided:
        await cancellations.start(request(sample), timedelta(seconds=0.5))
    assert undecided.value.code is ExitCode.UNDECIDED
    assert f"order-cancellation status {sample.order_id}" in undecided.value.sentence
    status = await cancellations.status(sample.order_id)
    assert (status.source, status.state) == (Source.LAST_PUBLISHED, State.RUNNING)
    assert status.cancellation_id.startswith(f"can-{sample.order_id}-")
    assert "No worker answers" in status.sentence

    await dev_server.client.get_workflow_handle(workflow_id(sample.order_id)).terminate()
    with pytest.raises(StarterError) as lost:
        await cancellations.result(sample.order_id)
    assert lost.value.code is ExitCode.NOT_CANCELLED
    assert (await cancellations.status(sample.order_id)).sentence == lost.value.sentence
    with pytest.raises(StarterError) as refused:
        await cancellations.approve(sample.order_id, Approve(actor=AGENT))
    assert (refused.value.code, refused.value.sentence) == (ExitCode.REFUSED, lost.value.sentence)

    async def listed() -> bool:
        found = [
            summary
            for summary in (await cancellations.list(limit=10_000)).cancellations
            if summary.order_id == sample.order_id
        ]
        return [summary.execution for summary in found] == [Execution.TERMINATED]

    await eventually(listed, "the lost run is listed as terminated")


async def test_a_message_that_is_not_answered_in_time_says_nothing_false(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for another system answers as late as one that does not run."""
    monkeypatch.setattr(library, "ANSWER_WAIT", timedelta(seconds=0.5))
    cancellations = Cancellations(dev_server.client, task_queue=new_queue())
    asked = request(captured())
    order_id = asked.order_id
    with pytest.raises(StarterError):
        await cancellations.start(asked, timedelta(seconds=0.1))
    with pytest.raises(StarterError) as unanswered:
        await cancellations.approve(order_id, Approve(actor=AGENT))
    assert unanswered.value.code is ExitCode.UNDECIDED
    assert unanswered.value.sentence.startswith(
        f"The message for order {order_id} was not answered within 0.5 seconds: no worker runs, or the worker still waits "
        "for another system. The message may still be taken. Look before you repeat it:"
    )
    await dev_server.client.get_workflow_handle(workflow_id(order_id)).terminate()


async def test_the_cancel_of_a_caller_stays_a_cancel(dev_server: WorkflowEnvironment) -> None:
    cancellations = Cancellations(dev_server.client, task_queue=new_queue())
    asked = request(captured())
    asking = asyncio.create_task(cancellations.start(asked))

    async def begun() -> bool:
        try:
            await dev_server.client.get_workflow_handle(workflow_id(asked.order_id)).describe()
        except Exception:  # noqa: BLE001 - not there yet
            return False
        return True

    await eventually(begun, "the run has begun")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await dev_server.client.get_workflow_handle(workflow_id(asked.order_id)).terminate()


async def test_the_cancel_of_a_caller_ends_a_start_that_is_never_answered() -> None:
    """The server has taken the connection and says nothing; whoever hangs up, or shuts the API down, does not wait."""
    asked_of = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked_of.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        client = await Client.connect(f"{host}:{port}", lazy=True, plugins=[plugin()])
        asking = asyncio.create_task(Cancellations(client).start(request(captured())))
        await asked_of.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asking, 60)


@pytest.mark.parametrize("command", ["status", "watch", "result"])
async def test_an_order_without_a_cancellation_is_one_sentence(starter: Starter, command: str) -> None:
    answer = await starter(command, "O-none-yet")
    assert answer.code == ExitCode.NOT_FOUND
    assert answer.sentence.startswith("There is no cancellation of order O-none-yet; start one with")


async def test_a_server_that_is_down_is_one_sentence() -> None:
    answer = await run_starter("127.0.0.1:9", "status", "O-1")
    assert answer.code == ExitCode.UNREACHABLE
    assert answer.sentence == (
        "Temporal does not answer at 127.0.0.1:9. Start it, or set TEMPORAL_ADDRESS to where it is."
    )


async def test_a_server_that_goes_down_under_a_watcher_is_one_sentence_beside_its_answers() -> None:
    async with await start_dev_server() as server:
        waiting = request(captured())
        with pytest.raises(StarterError):
            await Cancellations(server.client).start(waiting, timedelta(seconds=0.1))
        watcher = await begin_starter(address_of(server), "watch", waiting.order_id, "--json")
        assert watcher.stdout is not None
        first = await watcher.stdout.readline()
    answer = await end_starter(watcher)
    assert answer.code == ExitCode.UNREACHABLE
    assert Status.model_validate_json(first).order_id == waiting.order_id
    assert answer.sentence.startswith("Temporal does not answer at ")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("start", "O-1"), "Missing: --actor, --reason. Or give the whole request with --file."),
        (("quote", "--reason", "other"), "Missing: ORDER_ID, --actor. Or"),
        (("start", "O-1", "--wait", "soon"), "'--wait': a number is needed"),
        (("list", "--limit", "0"), "'--limit': it has to be at least 1"),
        (("start", "O-1", "--actor", "bob", "--reason", "other"), "write who acts as KIND:ID"),
        (("start", "Jo Doe", "--actor", "risk:R-1", "--reason", "other"), "an id is 1 to 64 letters"),
        (("start", "O-1", "--actor", "risk:R-1", "--reason", "other"), "the reason 'other' needs a note"),
        (("start", "O-1", "--actor", "risk:R-1", "--reason", "bored"), "is not one of"),
        (
            ("start", "O-1", "--actor", "customer:C-1", "--customer", "C-2", "--reason", "found_cheaper"),
            "own orders only",
        ),
        (("start", "O-1", "--actor", "risk:R-1", "--reason", "other", "--line", "L1"), "LINE=QUANTITY"),
        (("start", "--file", "no-such-file.json"), "cannot be read"),
        (("start", "--file", "-"), "is not valid"),
        (("approve", "O-1"), "Missing option '--actor'"),
        (("fetch",), "No such command"),
    ],
)
async def test_wrong_input_is_one_sentence(args: tuple[str, ...], says: str) -> None:
    answer = await run_starter("127.0.0.1:9", *args, stdin='{"order_id": "Jo Doe <jo@doe.example>"}')
    assert answer.code == ExitCode.WRONG_INPUT
    assert says in answer.sentence
    assert "jo@doe" not in answer.sentence
