"""`starter.py doctor`: what it says and how it ends, with a worker, without one, and without Temporal."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest
from temporalio.testing import WorkflowEnvironment

from client import diagnosis
from client.cancellations import Cancellations
from client.diagnosis import Diagnosis, DiagnosisCode, Waiting
from client.diagnosis_view import diagnosis_view
from client.errors import ExitCode
from client.views import new_console
from domain.errors import Unavailable
from domain.examination import Answer, Counterpart, Examination
from domain.findings import Subject
from providers.breaker import OPENS_AFTER
from providers.gateway.stripe import StripeGateway
from providers.mail.smtp import SmtpMailer
from runtime.plugin import TASK_QUEUE
from sandbox.gateway_admin import SANDBOX_KEY
from tests.activities.test_examining import Shop
from tests.fixtures.starter import Starter, address_of, run_starter
from tests.fixtures.temporal import start_dev_server
from tests.system import System, new_queue


async def test_where_everything_answers_each_line_has_a_mark(open_system: System, starter: Starter) -> None:
    shown, read = await starter("doctor"), await starter("doctor", "--json")
    assert (shown.code, read.code) == (DiagnosisCode.ALL_ANSWER, DiagnosisCode.ALL_ANSWER), shown.err + read.err
    found = Diagnosis.model_validate_json(read.out)
    assert (found.missing_search_attributes, found.polling) == ((), True)
    assert found.examination is not None
    assert {answer.counterpart for answer in found.examination.answers} == {*Counterpart} - {Counterpart.MARKETPLACE}
    assert not found.examination.failed
    lines = shown.out.splitlines()
    assert f"✓ Temporal answers at {found.address}; its namespace is default." in lines
    assert "✓ gateway: answers." in lines
    assert lines[-len(Subject) - 1] == "✓ orders: answers."
    assert [line[:3] for line in lines[-len(Subject) :]] == ["  ✓"] * len(Subject)
    assert all(line.strip().startswith("✓ ") for line in lines)


async def test_what_the_shop_cannot_do_is_said_and_is_no_failure(real_time_system: System, starter: Starter) -> None:
    system = dataclasses.replace(real_time_system, task_queue=TASK_QUEUE, orders=Shop())
    async with system.worker():
        shown = await starter("doctor")
    assert shown.code == DiagnosisCode.ALL_ANSWER, shown.err
    assert "  – Orders cannot be frozen" in shown.out
    assert "✗" not in shown.out, "that mark is for failures"


async def test_a_system_that_does_not_answer_is_named_with_the_reason(
    real_time_system: System, starter: Starter, unused_tcp_port: int
) -> None:
    away = SmtpMailer("127.0.0.1", unused_tcp_port, "shop@example.com")
    system = dataclasses.replace(real_time_system, task_queue=TASK_QUEUE, mailer=away)
    async with system.worker():
        shown = await starter("doctor")
    assert (shown.code, shown.err) == (DiagnosisCode.SYSTEM_DOES_NOT_ANSWER, "")
    assert "✗ mail: The mail server is not taking connections." in shown.out
    assert "✓ gateway: answers." in shown.out


async def test_a_system_that_is_away_is_named_with_the_time_since_when(
    real_time_system: System, starter: Starter, unused_tcp_port: int
) -> None:
    gateway = StripeGateway(SANDBOX_KEY, f"http://127.0.0.1:{unused_tcp_port}")
    for _ in range(OPENS_AFTER):
        with pytest.raises(Unavailable):
            await gateway.read_payment("pi_1")
    system = dataclasses.replace(real_time_system, task_queue=TASK_QUEUE, gateway=gateway)
    async with system.worker():
        shown = await starter("doctor")
    assert shown.code == DiagnosisCode.SYSTEM_DOES_NOT_ANSWER, shown.err
    assert f"✗ gateway: The gateway has not answered since {datetime.now(UTC):%Y-%m-%d}" in shown.out
    await gateway.aclose()


def test_how_many_wait_stands_below_the_system() -> None:
    answers = (Answer(counterpart=Counterpart.GATEWAY, failure="The gateway has not answered since noon."),)
    waiting = (Waiting(counterpart=Counterpart.GATEWAY, runs=12), Waiting(counterpart=Counterpart.MARKETPLACE, runs=3))
    found = Diagnosis(
        address="here",
        namespace="default",
        missing_search_attributes=(),
        polling=True,
        examination=Examination(version="1", policy_version="2", answers=answers),
        waiting=waiting,
    )
    console = new_console(width=200)
    with console.capture() as shown:
        console.print(diagnosis_view(found))
    assert [line.rstrip() for line in shown.get().splitlines()[-4:]] == [
        "✗ gateway: The gateway has not answered since noon.",
        "  – Cancellations that wait for it, and go on by themselves: 12",
        "– marketplace: it is asked only for a cancellation.",
        "  – Cancellations that wait for it, and go on by themselves: 3",
    ]


async def test_it_speaks_the_language_of_its_reader(
    open_system: System, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    shown, read = await starter("doctor"), await starter("doctor", "--json")
    assert "✓ Zahlungsanbieter: antwortet." in shown.out
    assert "Bestellungen lassen sich einfrieren" in shown.out
    assert json.loads(read.out)["examination"]["findings"][0]["sentence"].startswith("Orders can be frozen")


async def test_without_a_worker_it_says_so_after_seconds() -> None:
    """A server that no worker has ever asked for work."""
    async with await start_dev_server() as server:
        shown = await run_starter(address_of(server), "doctor")
        read = await run_starter(address_of(server), "doctor", "--json")
    assert (shown.code, read.code) == (DiagnosisCode.NO_WORKER_ANSWERS, DiagnosisCode.NO_WORKER_ANSWERS), shown.err
    assert f"✗ No worker polls the task queue {TASK_QUEUE}. Start one: python worker.py run" in shown.out
    found = Diagnosis.model_validate_json(read.out)
    assert (found.polling, found.examination) == (False, None)


async def test_a_worker_that_has_polled_and_is_gone_is_not_waited_for_long(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal remembers it for minutes after it was killed."""
    monkeypatch.setattr(diagnosis, "WORKER_WAIT", timedelta(seconds=1))
    client, queue = dev_server.client, new_queue()
    poll = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), identity="1@gone")
    await client.workflow_service.poll_workflow_task_queue(poll, timeout=timedelta(seconds=3))
    found = await Cancellations(client, task_queue=queue).diagnose()
    assert (found.polling, found.examination, found.code) == (True, None, DiagnosisCode.NO_WORKER_ANSWERS)
    console = new_console(width=200)
    with console.capture() as shown:
        console.print(diagnosis_view(found))
    assert f"✗ A worker has polled the task queue {TASK_QUEUE} in the last two minutes, and none has" in shown.get()


async def test_search_attributes_that_are_missing_come_with_the_command() -> None:
    async with await start_dev_server(attributes=False) as server:
        shown = await run_starter(address_of(server), "doctor")
    assert shown.code == DiagnosisCode.SEARCH_ATTRIBUTES_MISSING
    assert (
        "✗ Namespace default lacks search attributes; create them with: temporal operator search-attribute" in shown.out
    )


async def test_without_temporal_it_is_one_sentence(unused_tcp_port: int) -> None:
    answer = await run_starter(f"127.0.0.1:{unused_tcp_port}", "doctor")
    assert answer.code == ExitCode.UNREACHABLE
    assert answer.sentence.startswith(f"Temporal does not answer at 127.0.0.1:{unused_tcp_port}.")
