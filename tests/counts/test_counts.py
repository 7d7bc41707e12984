"""The guard of what a run costs: eight paths that are gone most often, on a real server, with their bounds in bounds.toml.

A change that costs more has to say so there. Timings are never looked at.
"""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from domain.messages import Approve, Withdraw
from domain.order import TenderKind
from domain.outcome import CancellationResult, Outcome, State
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleTender, card, line, parcel, request, stored
from tests.counts.counting import Counts, bounds, counts_of, exceeded, provider_calls, statements_of
from tests.system import SUPERVISOR, System, customer_of
from tests.workflows.samples import an_id, captured

Act = Callable[[System, SampleOrder], Awaitable[None]]


async def nothing_more(system: System, sample: SampleOrder) -> None:
    """It goes through by itself."""


async def approve(system: System, sample: SampleOrder) -> None:
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))


async def withdraw(system: System, sample: SampleOrder) -> None:
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    await system.library.withdraw(sample.order_id, Withdraw(actor=customer_of(sample)))


async def signal(system: System, sample: SampleOrder) -> None:
    """An event more than the path needs."""
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    await system.wake(system.current(sample.order_id))
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))


async def ask(system: System, sample: SampleOrder) -> None:
    """A statement more than the path needs."""
    async with system.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def sold(total: str, *tenders: SampleTender, lines: int = 1) -> SampleOrder:
    """Nothing is packed yet."""
    each = tuple(line(f"L{number}", 1, total) for number in range(1, lines + 1))
    return SampleOrder(order_id=an_id(), lines=each, tenders=tenders)


PATHS: dict[str, tuple[Callable[[], SampleOrder], Act, Outcome]] = {
    "captured_card": (lambda: captured(parcels=()), nothing_more, Outcome.CANCELLED),
    "captured_card_and_label": (captured, nothing_more, Outcome.CANCELLED),
    "reserved_card": (
        lambda: sold("64.00 USD", card("64.00 USD", captured="0.00 USD")),
        nothing_more,
        Outcome.CANCELLED,
    ),
    "gift_card": (
        lambda: sold("10.00 USD", stored(TenderKind.GIFT_CARD, "10.00 USD")),
        nothing_more,
        Outcome.CANCELLED,
    ),
    "delivered": (lambda: captured(parcels=(parcel(Script.DELIVERED, L1=1),)), nothing_more, Outcome.REJECTED),
    "approved": (lambda: captured(total="600.00 USD"), approve, Outcome.CANCELLED),
    "withdrawn": (lambda: captured(total="600.00 USD"), withdraw, Outcome.WITHDRAWN),
    "two_hundred_lines": (lambda: sold("1.00 USD", card("200.00 USD"), lines=200), nothing_more, Outcome.CANCELLED),
}


async def run_path(system: System, sample: SampleOrder, act: Act) -> tuple[CancellationResult, Counts]:
    await system.shop.place_order(sample)
    calls = await provider_calls(system)
    async with statements_of(system.engine) as statements:
        await system.library.start(request(sample))
        await act(system, sample)
        result = await system.library.result(sample.order_id)
    handle = system.current(sample.order_id)
    made = await provider_calls(system) - calls
    return result, await counts_of(handle, statements=len(statements), calls=made)


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_costs_what_stands_in_the_file(open_system: System, path: str) -> None:
    make, act, outcome = PATHS[path]
    result, counts = await run_path(open_system, make(), act)
    assert result.outcome is outcome
    assert not exceeded(counts, bounds()[path]), counts


def test_the_bounds_are_those_that_the_product_promises() -> None:
    found = bounds()
    assert set(found) == set(PATHS)
    captured_card, label = found["captured_card"], found["captured_card_and_label"]
    assert (captured_card.events, label.events) == (17, 23)
    assert (captured_card.cloud_actions, label.cloud_actions) == (6, 7)


@pytest.mark.parametrize(("more", "what"), [(signal, "events: "), (ask, "statements: ")])
async def test_one_event_or_statement_more_is_seen(open_system: System, more: Act, what: str) -> None:
    path = "approved" if more is signal else "captured_card"
    make, _, _ = PATHS[path]
    _, counts = await run_path(open_system, make(), more)
    assert any(sentence.startswith(what) for sentence in exceeded(counts, bounds()[path]))
