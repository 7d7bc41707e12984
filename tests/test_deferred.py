"""A statutory withdrawal that meets another cancellation of its order: received at once, sent again by the product."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from client.deferred import DeferredRequestDispatcher
from client.errors import ExitCode, RunSuperseded, StarterError, UnderWay
from domain.messages import Submission
from domain.money import money
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope, ReasonCode
from providers.outbox.port import DeferredRequest
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import ApiSystem
from tests.fixtures.starter import Starter, address_of, answers, run_starter, summary
from tests.system import System
from tests.workflows.samples import an_id

L1, L2 = LineScope(line_id="L1", quantity=1), LineScope(line_id="L2", quantity=1)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def two_lines() -> SampleOrder:
    """The first line is above the limit, so that its cancellation waits for a second person."""
    lines = (line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("620.00 USD"),))


def withdrawal(sample: SampleOrder) -> CancellationRequest:
    return request(sample, L2, request_id="second", reason=ReasonCode.STATUTORY_WITHDRAWAL)


async def first_under_way(system: System) -> SampleOrder:
    sample = two_lines()
    await system.shop.place_order(sample)
    await system.library.start(request(sample, L1, request_id="first"))
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    return sample


async def test_the_command_line_says_in_words_that_it_was_received(open_system: System, starter: Starter) -> None:
    """E28: it is no failure and needs no repetition; sent again after the other's end it has its decision."""
    sample = await first_under_way(open_system)
    asked = withdrawal(sample).model_dump_json()
    shown = await starter("start", "--file", "-", stdin=asked)
    assert shown.code == ExitCode.DONE, shown.err
    for words in ("received", "under way", "You don't need to send it again"):
        assert words in " ".join(shown.out.split())
    document = Submission.model_validate_json((await starter("start", "--file", "-", "--json", stdin=asked)).out)
    assert (document.deferred, document.decision) == (True, None)
    handle = open_system.current(sample.order_id)
    await open_system.approve(handle)
    await open_system.end(handle)
    late = Submission.model_validate_json((await starter("start", "--file", "-", "--json", stdin=asked)).out)
    assert (late.deferred, late.plan and late.plan.refund) == (False, money("20.00 USD"))
    await open_system.end(open_system.current(sample.order_id))


async def test_over_http_it_is_accepted_and_any_other_scope_is_under_way(api_system: ApiSystem) -> None:
    api, system = api_system.api, api_system.system
    sample = await first_under_way(system)
    ours = {"customer_id": sample.customer_id, "lines": [{"line_id": "L2", "quantity": 1}]}
    accepted = await api.start(sample.order_id, {**ours, "reason": "statutory_withdrawal"}, request_id="second")
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["deferred"] is True
    refused = await api.start(sample.order_id, {**ours, "reason": "found_cheaper"}, request_id="third")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:order-cancellation:under_way")
    assert "Ask again after" in refused.json()["detail"]
    await system.withdraw(system.current(sample.order_id), request(sample).actor)


async def test_bulk_counts_it_as_deferred_and_sends_what_is_under_way_again(
    open_system: System, dev_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    """E5, E28: the order whose cancellation waits for a person is reported; the one whose cancellation ends is not."""
    waits = await first_under_way(open_system)
    both = (line("L1", 1, "32.00 USD"), line("L2", 1, "32.00 USD"))
    ends = SampleOrder(order_id=an_id(), lines=both, tenders=(card("64.00 USD"),))
    await open_system.shop.place_order(ends)
    lines = [
        withdrawal(waits),
        request(ends, L1, request_id="one"),
        request(ends, L2, request_id="two"),
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(found.model_dump_json() for found in lines), encoding="utf-8")
    done = await run_starter(address_of(dev_server), "bulk", str(file), "--json")
    assert done.code == ExitCode.DONE, done.err
    assert summary(done).answers == {"approved": 2, "deferred": 1}
    assert {answer.request_id for answer in answers(file) if answer.deferred} == {"second"}
    again = summary(await run_starter(address_of(dev_server), "bulk", str(file), "--json"))
    assert (again.before, again.answers) == (3, {})


@pytest.mark.parametrize("lost", [False, True])
async def test_the_product_sends_it_until_it_is_decided(open_system: System, *, lost: bool) -> None:
    """E28: also when the run that it met is lost; then the sending takes that one up first."""
    system = open_system
    sample = await first_under_way(system)
    asked = withdrawal(sample)
    assert (await system.library.start(asked)).deferred
    dispatcher = DeferredRequestDispatcher(system.books, system.library)
    now = datetime.now(UTC)
    if lost:
        await system.current(sample.order_id).terminate("by mistake")
    await dispatcher.send_due(now)
    first = system.current(sample.order_id)
    await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
    assert await system.books.due_requests(now + timedelta(seconds=3), 10) == [], "not before some seconds have passed"
    await system.approve(first)
    await system.end(first)
    await dispatcher.send_due(now + timedelta(minutes=2))
    await system.end(system.current(sample.order_id))
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED] * 2
    assert await system.refunds(sample.order_id) == [money("600.00 USD"), money("20.00 USD")]
    assert await system.books.due_requests(now + timedelta(days=1), 10) == [], "it is decided, and not sent any more"
    kinds = [notice.kind.value for notice in await system.notices(sample.order_id)]
    assert kinds.count("withdrawal_acknowledged") == 1


class Books:
    """The outbox of deferred requests with one in it, sent `attempts` times before."""

    def __init__(self, attempts: int) -> None:
        self.due = DeferredRequest(request=withdrawal(two_lines()), received_at=NOW, attempts=attempts)
        self.until: datetime | None = None
        self.sent = False

    async def due_requests(self, now: datetime, limit: int) -> Sequence[DeferredRequest]:
        return [self.due]

    async def request_sent(self, request: CancellationRequest, now: datetime) -> None:
        self.sent = True

    async def request_delayed(self, request: CancellationRequest, until: datetime) -> None:
        self.until = until


class Refusing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def start(self, request: CancellationRequest, wait: timedelta) -> Submission:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        UnderWay("Another one is under way."),
        RunSuperseded("Ask in the other namespace."),
        StarterError(ExitCode.UNDECIDED, "Not decided."),
        StarterError(ExitCode.UNREACHABLE, "Temporal does not answer."),
        RuntimeError("a programming error"),
    ],
)
@pytest.mark.parametrize(("attempts", "pause"), [(1, 5), (4, 40), (40, 3600)])
async def test_what_is_not_decided_is_sent_again_after_a_growing_pause(
    error: Exception, attempts: int, pause: int
) -> None:
    books = Books(attempts)
    await DeferredRequestDispatcher(books, Refusing(error)).send_due(NOW)
    assert (books.until, books.sent) == (NOW + timedelta(seconds=pause), False)


@pytest.mark.parametrize("code", [ExitCode.NOT_CANCELLED, ExitCode.REFUSED])
async def test_a_final_answer_ends_the_sending(code: ExitCode) -> None:
    books = Books(1)
    await DeferredRequestDispatcher(books, Refusing(StarterError(code, "No."))).send_due(NOW)
    assert (books.until, books.sent) == (None, True)
