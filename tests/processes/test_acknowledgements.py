"""A15: the receipt of a statutory withdrawal is acknowledged with its content, date and time, in every way in."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.notices import address, write
from domain.order import OrderFlag
from domain.outcome import State
from domain.request import CancellationRequest, LineScope, ReasonCode
from order_cancellation import ExitCode
from providers.mail.port import Mail
from providers.outbox.port import NoticeKind
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import ApiSystem
from tests.fixtures.starter import run_starter
from tests.system import System, eventually
from tests.workflows.samples import an_id

NOTE = "Zu groß.\nBitte schnell, שלום"


def two_lines() -> SampleOrder:
    lines = (line("L1", 1, "600.00 USD"), line("L2", 2, "40.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("640.00 USD"),))
    return sample.model_copy(update={"flags": frozenset({OrderFlag.EU_CONSUMER}), "country": "DE"})


def withdrawal(sample: SampleOrder) -> CancellationRequest:
    scope = LineScope(line_id="L2", quantity=2)
    asked = request(sample, scope, request_id="withdrawal", reason=ReasonCode.STATUTORY_WITHDRAWAL)
    return asked.model_copy(update={"note": NOTE})


async def by_http(system: ApiSystem, asked: CancellationRequest, _: Path) -> None:
    body = {
        "customer_id": asked.customer_id,
        "reason": asked.reason.value,
        "note": asked.note,
        "lines": [{"line_id": "L2", "quantity": 2}],
    }
    answer = await system.api.start(asked.order_id, body, request_id=asked.request_id)
    assert answer.status_code in {200, 201, 202}, answer.text  # 200: all was over before it was answered


async def by_command(system: ApiSystem, asked: CancellationRequest, _: Path) -> None:
    who = ("--actor", str(asked.actor), "--reason", asked.reason.value, "--request-id", asked.request_id)
    done = await run_starter(
        system.temporal, "start", asked.order_id, *who, "--line", "L2=2", "--note", asked.note, "--channel", "web_shop"
    )
    assert done.code == ExitCode.DONE, done.err


async def by_file(system: ApiSystem, asked: CancellationRequest, folder: Path) -> None:
    file = folder / "requests.jsonl"
    file.write_text(asked.model_dump_json() + "\n", encoding="utf-8")
    done = await run_starter(system.temporal, "bulk", str(file))
    assert done.code == ExitCode.DONE, done.err


async def acknowledgements(system: System, order_id: str) -> list[Mail]:
    """What is claimed here is sent by nobody else."""
    found: list[Mail] = []

    async def there() -> bool:
        due = await system.books.due_notices(datetime.now(UTC), 100)
        kind, order = NoticeKind.WITHDRAWAL_ACKNOWLEDGED, await system.orders.read(order_id)
        mine = [notice for notice in due if notice.order_id == order_id and notice.content.kind is kind]
        found.extend(write(address(notice, order), "shop.example") for notice in mine)
        return bool(found)

    await eventually(there, "the withdrawal is acknowledged")
    return found


@pytest.mark.parametrize("under_way", [False, True], ids=["", "while another cancellation is under way"])
@pytest.mark.parametrize("send", [by_http, by_command, by_file])
async def test_a_withdrawal_is_acknowledged_with_its_content_and_the_time_of_the_request(
    api_system: ApiSystem,
    tmp_path: Path,
    send: Callable[[ApiSystem, CancellationRequest, Path], Awaitable[None]],
    *,
    under_way: bool,
) -> None:
    """A15, E28, M30: with the time zone, in the customer's words, and before anything is decided."""
    system, sample = api_system.system, two_lines()
    await system.shop.place_order(sample)
    if under_way:
        first = request(sample, LineScope(line_id="L1", quantity=1), request_id="first")
        await system.library.start(first)
        await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    before = datetime.now(UTC).replace(microsecond=0)
    await send(api_system, withdrawal(sample), tmp_path)
    after = datetime.now(UTC)
    [mail] = await acknowledgements(system, sample.order_id)
    [received] = [text for text in mail.body.splitlines() if text.startswith("Received: ")]
    at = datetime.strptime(received, "Received: %B %d, %Y, %I:%M:%S\u202f%p UTC").replace(tzinfo=UTC)
    assert before - timedelta(seconds=1) <= at <= after
    assert f"Order: {sample.order_id}\n" in mail.body
    assert "\n- 2 × " in mail.body
    assert mail.body.count(" × ") == 1
    for said in NOTE.splitlines():
        assert f"\n> {said}\n" in mail.body
    if under_way:
        await system.withdraw(system.current(sample.order_id), request(sample).actor)
