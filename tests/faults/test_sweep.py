"""A few of the sweep's cases (python -m tests.faults.sweep), one of each fault; and that it knows every call that writes."""

import asyncio
import inspect
from pathlib import Path

import pytest

from providers.books.books import Books
from providers.carrier.port import Intercepts, Labels
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import Marketplace
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue
from tests.faults import disturbed
from tests.faults.confidential import NOTE
from tests.faults.disturbed import Case, Fault, cases_of
from tests.faults.points import WRITES, Moment, Point, Port
from tests.faults.stage import Database, open_stage
from tests.faults.stories import Story
from tests.faults.sweep import Result, describe, has_failed, open_results, run_cases, try_out
from tests.faults.worker import log_file
from tests.observing import eventually

pytestmark = pytest.mark.long


def _case(story: Story, fault: Fault, call: str, moment: Moment) -> Case:
    return Case(story=story, fault=fault, point=Point(call=call, number=1, moment=moment))


_CASES = (
    _case(Story.LABEL, Fault.WORKER_KILLED, "gateway.refund", Moment.AFTER),
    _case(Story.LABEL, Fault.WORKER_KILLED, "labels.void", Moment.BEFORE),
    _case(Story.LABEL, Fault.WORKER_KILLED, "return.close_order", Moment.AFTER),
    _case(Story.LABEL, Fault.WORKER_PAUSED, "gateway.refund", Moment.BEFORE),
    _case(Story.GOODS_LET_GO, Fault.WORKER_PAUSED, "labels.void", Moment.BEFORE),
    _case(Story.GOODS_LET_GO, Fault.WORKER_PAUSED, "return.stop_shipment", Moment.AFTER),
    _case(Story.RESERVED_AGAIN, Fault.WORKER_PAUSED, "gateway.authorise_again", Moment.AFTER),
    _case(Story.LABEL, Fault.ANSWER_LOST, "gateway.refund", Moment.AFTER),
    _case(Story.LABEL, Fault.DATABASE_LOCKED, "orders.close", Moment.BEFORE),
    _case(Story.RESERVED_AGAIN, Fault.ANSWER_LOST, "gateway.authorise_again", Moment.AFTER),
)


async def test_a_disturbed_cancellation_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """I1, I2, I4, I5, I9, D7: nothing is lost, nothing is paid twice."""
    async with open_stage(tmp_path / "stage") as stage:
        undisturbed = await try_out(stage, [Story.LABEL, Story.RESERVED_AGAIN, Story.GOODS_LET_GO])
        results = await run_cases(stage, _CASES, undisturbed, at_once=len(_CASES))
    assert [describe(result) for result in results if not result.survived] == []


async def test_temporal_killed_while_the_gateway_refunds_changes_nothing(tmp_path: Path) -> None:
    """D7: it goes on from its database file."""
    killed = _case(Story.LABEL, Fault.TEMPORAL_KILLED, "gateway.refund", Moment.BEFORE)
    async with open_stage(tmp_path / "stage", temporal_on_file=True) as stage:
        undisturbed = await try_out(stage, [Story.LABEL])
        [result] = await run_cases(stage, [killed], undisturbed, at_once=1)
        assert stage.temporal.kills == 1
    assert result.survived, describe(result)


async def test_a_cancellation_that_hangs_breaks_a_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I3, and it is not run again until it passes."""
    async with open_stage(tmp_path / "stage") as stage:
        undisturbed = await try_out(stage, [Story.LABEL])
        monkeypatch.setattr(disturbed, "_LONGEST", 0)
        [result] = await run_cases(stage, _CASES[:1], undisturbed, at_once=1)
    [violation] = result.violations
    assert violation.startswith("I3 order ")
    assert (result.wrong, result.differences, result.survived, has_failed(result)) == ("", (), False, True)
    results = open_results(tmp_path, Database.SQLITE)
    results.add(result)
    assert set(open_results(tmp_path, Database.SQLITE).found) == {result.case}


async def test_what_a_worker_writes_to_its_log_is_looked_at(tmp_path: Path) -> None:
    """I8. What is written here is not the worker's own."""
    async with open_stage(tmp_path / "stage") as stage:
        playing = asyncio.create_task(disturbed.play(stage, Case(story=Story.LABEL)))
        log = log_file(stage.folder / "1")

        async def is_written() -> bool:
            return log.exists()

        await eventually(is_written, "the worker has a log", within=60)
        with log.open("a", encoding="utf-8") as file:
            file.write(NOTE)
        seen = await playing
    assert seen.violations
    assert {violation.partition(" ")[0] for violation in seen.violations} == {"I8"}


_READS = {
    Port.BOOKS: "of_order orders_of_customer orders_of read history order_when_decided quiet_after close_in_flight "
    "due_notices find_deferred due_requests notice_sent notice_delayed notice_refused request_sent request_delayed",
    Port.ORDERS: "list_findings read",
    Port.STORED_VALUE: "read find gift_card_used",
    Port.GATEWAY: "read_payment read_refund",
    Port.LABELS: "track",
    Port.INTERCEPTS: "active",
    Port.MARKETPLACE: "read_sale",
}
"""And what only those call who send mails and deferred requests, which no step waits for."""

_PROTOCOLS = {
    Port.BOOKS: Books,
    Port.ORDERS: Orders,
    Port.STORED_VALUE: StoredValue,
    Port.GATEWAY: PaymentGateway,
    Port.LABELS: Labels,
    Port.INTERCEPTS: Intercepts,
    Port.MARKETPLACE: Marketplace,
}


@pytest.mark.parametrize("port", Port)
def test_every_call_that_writes_is_known(port: Port) -> None:
    calls = {name for name, _ in inspect.getmembers(_PROTOCOLS[port], inspect.iscoroutinefunction)}
    assert calls == WRITES[port] | set(_READS[port].split())


def test_a_call_is_disturbed_before_and_after_it() -> None:
    cases = cases_of(Story.LABEL, ("return.close_order", "orders.close", "orders.close"), Database.SQLITE)
    assert [str(case) for case in cases] == [
        "label · worker_killed · after return.close_order 1",
        "label · worker_paused · after return.close_order 1",
        "label · temporal_killed · after return.close_order 1",
        "label · worker_killed · before orders.close 1",
        "label · worker_paused · before orders.close 1",
        "label · temporal_killed · before orders.close 1",
        "label · database_locked · before orders.close 1",
        "label · worker_killed · after orders.close 1",
        "label · worker_paused · after orders.close 1",
        "label · answer_lost · after orders.close 1",
        "label · worker_killed · before orders.close 2",
        "label · worker_paused · before orders.close 2",
        "label · temporal_killed · before orders.close 2",
        "label · database_locked · before orders.close 2",
        "label · worker_killed · after orders.close 2",
        "label · worker_paused · after orders.close 2",
        "label · answer_lost · after orders.close 2",
    ]


def test_what_was_not_hit_is_run_again_and_what_survived_is_not(tmp_path: Path) -> None:
    results = open_results(tmp_path, Database.SQLITE)
    hit = Result(case="a", story=Story.LABEL, fault=Fault.ANSWER_LOST, point="", hit=True, survived=True)
    missed = hit.model_copy(update={"case": "b", "hit": False, "survived": False})
    broken = hit.model_copy(update={"case": "c", "survived": False, "violations": ("I1 order 1: twice",)})
    hanging = missed.model_copy(update={"case": "d", "violations": ("I3 order 1: after 180 s",)})
    wrong = missed.model_copy(update={"case": "e", "wrong": "WorkerDied"})
    results.add(hit, missed, broken, hanging, wrong)
    assert set(open_results(tmp_path, Database.SQLITE).found) == {"a", "c", "d"}
    failed = [has_failed(result) for result in (hit, missed, broken, hanging, wrong)]
    assert failed == [False, False, True, True, False]
