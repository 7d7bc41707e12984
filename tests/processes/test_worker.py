"""worker.py as a process of its own: killed, drained, badly set up; and what it writes to its log."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from client.cancellations import Cancellations
from domain.examination import Counterpart
from domain.money import money
from domain.outcome import Outcome
from domain.request import LineScope, ReasonCode, workflow_id
from runtime import search_attributes
from runtime.policy_file import load_policy
from sandbox.carrier.model import UPS_CLIENT_SECRET
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.serving import ROOT
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.mail import Mailbox
from tests.fixtures.temporal import start_dev_server
from tests.fixtures.workers import Workers, environment
from tests.system import System, eventually
from tests.workflows.samples import an_id, captured


async def test_a_worker_killed_between_the_gateways_commit_and_its_record_refunds_once(
    process_system: System, workers: Workers
) -> None:
    """D7: the gateway works on the refund while the worker dies; the next worker finds it."""
    system = process_system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.SLOW, payment=payment, seconds=1)
    worker = workers.start()
    _, handle = await system.submit(request(sample))

    async def asked() -> bool:
        return await system.shop.gateway.faults_left(payment) == 0

    await eventually(asked, "the refund is asked for")
    assert await system.refunds(sample.order_id) == []
    worker.kill()

    async def committed() -> bool:
        return bool(await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))

    await eventually(committed, "the gateway commits the refund that nobody waits for any more")
    workers.start()
    result = await handle.result()
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    await system.assert_books_balance()


async def test_a_worker_sends_deferred_requests_by_itself(process_system: System, workers: Workers) -> None:
    """E28: the first cancellation is withdrawn, and nobody asks again."""
    system = process_system
    lines = (line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("620.00 USD"),))
    await system.shop.place_order(sample)
    workers.start()
    first = request(sample, LineScope(line_id="L1", quantity=1), request_id="first")
    _, handle = await system.submit(first)
    second = request(
        sample,
        LineScope(line_id="L2", quantity=1),
        request_id="second",
        reason=ReasonCode.STATUTORY_WITHDRAWAL,
    )
    assert (await system.library.start(second)).deferred
    await system.withdraw(handle, first.actor)

    async def carried_out() -> bool:
        return await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN, Outcome.CANCELLED]

    await eventually(carried_out, "the worker sends the withdrawal when the first has ended", within=40)
    assert await system.refunds(sample.order_id) == [money("20.00 USD")]
    assert {"deferred_request_delayed", "deferred_request_sent"} >= {
        entry["event"] for entry in workers.lines() if entry["event"].startswith("deferred_request")
    }


async def test_a_worker_works_and_says_why_while_the_orders_do_not_answer(
    real_time_system: System, mailbox: Mailbox, tmp_path: Path, unused_tcp_port: int
) -> None:
    """And asks for work all the same: what it hears from `starter.py doctor` is answered with the same sentence."""
    nowhere = f"postgresql://shop@127.0.0.1:{unused_tcp_port}/books"
    away = Workers({**environment(real_time_system, mailbox), "DATABASE_URL": nowhere}, tmp_path, [])
    worker = away.start()
    try:

        async def said() -> bool:
            return any(line["event"] == "orders_do_not_answer" for line in away.lines())

        await eventually(said, "the worker says that it could not ask", within=20)
        found = await Cancellations(real_time_system.client).diagnose()
    finally:
        worker.stop()
    [line] = [line for line in away.lines() if line["event"] == "orders_do_not_answer"]
    assert line["level"] == "warning"
    assert found.examination is not None
    failures = {answer.counterpart: answer.failure for answer in found.examination.answers if answer.failure}
    assert failures[Counterpart.ORDERS] == failures[Counterpart.DATABASE] == line["why"]
    assert Counterpart.GATEWAY not in failures


async def test_sigterm_lets_the_running_step_end(process_system: System, workers: Workers) -> None:
    """Nothing is lost and no attempt is repeated."""
    system = process_system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.SLOW, payment=payment, seconds=1)
    worker = workers.start()
    _, handle = await system.submit(request(sample))

    async def asked() -> bool:
        return await system.shop.gateway.faults_left(payment) == 0

    await eventually(asked, "the refund is asked for")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.stop(timeout=20) == 0
    workers.start()
    result = await handle.result()
    assert result.outcome is Outcome.CANCELLED
    attempts = [
        (line["event"], line["attempt"])
        for line in workers.lines()
        if line.get("step") == "reverse_payment" and line["order_id"] == sample.order_id
    ]
    assert attempts == [("step_attempt_succeeded", 1)]


async def test_every_line_names_its_cancellation_and_comes_once_also_under_replay(
    process_system: System, workers: Workers
) -> None:
    """The second worker replays the run from its start and says nothing twice."""
    system = process_system
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    first = workers.start()
    submission, handle = await system.submit(request(sample))
    first.kill()
    workers.start()
    await handle.cancel()
    await handle.result()
    mine = [line for line in workers.lines() if line.get("order_id") == sample.order_id]
    steps = [line for line in mine if "step" in line and line["event"].startswith("step_attempt")]
    assert all(line["attempt"] >= 1 for line in steps)
    unnamed = [line for line in mine if line.get("cancellation_id") != submission.cancellation_id]
    assert unnamed == []
    logged = Counter((line["event"], line.get("step"), line.get("attempt")) for line in mine)
    assert logged["cancellation_started", None, None] == 1
    assert logged["cancellation_ended", None, None] == 1
    assert logged["step_attempt_succeeded", "verify_order", 1] == 1
    assert {line["workflow_id"] for line in mine if line["event"].startswith("cancellation_")} == {
        workflow_id(sample.order_id)
    }


async def test_nothing_personal_or_secret_is_in_the_log(process_system: System, workers: Workers) -> None:
    """I8"""
    system = process_system
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    worker = workers.start()
    private = request(sample).model_copy(update={"note": "call Mrs. Canary at 555-0199"})
    _, handle = await system.submit(private)
    await handle.result()
    worker.stop()
    log = worker.log.read_text()
    assert sample.order_id in log
    for secret in ("Canary", "customer.example", SANDBOX_KEY, UPS_CLIENT_SECRET):
        assert secret not in log


def run_worker(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("STRIPE", "EASYPOST", "UPS"))}
    return subprocess.run(
        [sys.executable, "worker.py", "run"],
        cwd=ROOT,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_settings_that_are_missing_are_named() -> None:
    done = run_worker({})
    assert done.returncode == 2
    assert "STRIPE_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_policy_that_does_not_read_is_named(real_time_system: System, mailbox: Mailbox, tmp_path: Path) -> None:
    broken = tmp_path / "policy.toml"
    broken.write_text('version = "1"\nwindow = "soon"\n')
    done = run_worker({**environment(real_time_system, mailbox), "POLICY_FILE": str(broken)})
    assert done.returncode == 2
    assert "policy.toml is not valid: window: " in done.stderr
    assert "reasons: it is missing" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_file_of_a_shop_that_does_not_read_is_named(
    real_time_system: System, mailbox: Mailbox, tmp_path: Path
) -> None:
    broken = tmp_path / "vendure.toml"
    broken.write_text('fulfillment_methods = "UPS"\n')
    shop = {"VENDURE_URL": "http://127.0.0.1:9/admin-api", "VENDURE_USERNAME": "worker", "VENDURE_PASSWORD": "a-secret"}
    done = run_worker({**environment(real_time_system, mailbox), **shop, "VENDURE_FILE": str(broken)})
    assert done.returncode == 2
    assert "vendure.toml) is not valid: fulfillment_methods: there is no such field" in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-secret" not in done.stderr


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("fallbacks = ", "fallback = ", "terms.fallback: there is no such field"),
        ('approval_escalation = "P2D"', 'approval_escalation = "P5D"', "in that sequence"),
        ('carrier_poll = "PT2H"', 'carrier_poll = "PT0S"', "carrier_poll must be longer"),
        ('countries = ["US"]', 'countries = ["USA"]', "'USA' is no country"),
    ],
)
def test_a_rule_that_is_misspelt_or_cannot_be_followed_is_refused(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    text = (ROOT / "policy.toml").read_text(encoding="utf-8")
    assert before in text
    changed = tmp_path / "policy.toml"
    changed.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        load_policy(changed)


async def test_a_server_that_does_not_answer_is_named(real_time_system: System, mailbox: Mailbox) -> None:
    done = run_worker({**environment(real_time_system, mailbox), "TEMPORAL_ADDRESS": "127.0.0.1:1"})
    assert done.returncode == 3
    assert "does not answer at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_database_without_tables_is_named(real_time_system: System, mailbox: Mailbox, tmp_path: Path) -> None:
    env = {**environment(real_time_system, mailbox), "DATABASE_URL": f"sqlite:///{tmp_path}/none.db"}
    done = await asyncio.to_thread(run_worker, env)
    assert done.returncode == 2
    assert "run python -m providers.database.migrate" in done.stderr
    assert "Traceback" not in done.stderr


async def test_missing_search_attributes_are_named_with_the_command_that_creates_them(
    real_time_system: System, mailbox: Mailbox
) -> None:
    """And that command is all it takes."""
    async with await start_dev_server(attributes=False) as server:
        address = server.client.service_client.config.target_host
        env = {**environment(real_time_system, mailbox), "TEMPORAL_ADDRESS": address}
        done = await asyncio.to_thread(run_worker, env)
        assert done.returncode == 2
        command = done.stderr.strip().splitlines()[-1].strip()
        assert command.startswith("temporal operator search-attribute create --namespace default --name OrderId")
        temporal = Path(sys.executable).with_name("temporal")
        creating = await asyncio.create_subprocess_exec(temporal, *command.split()[1:], "--address", address)
        assert await creating.wait() == 0
        assert await search_attributes.missing(server.client) == []
