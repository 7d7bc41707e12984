"""The list of cancellations over HTTP: its filters and its pages."""

from datetime import UTC, datetime, timedelta
from itertools import chain

from client.listing import SummaryPage
from domain.outcome import State
from domain.step import Owner
from tests.fixtures.api import Api, ApiSystem
from tests.processes.asking import asked, expensive, problem, reached
from tests.system import eventually
from tests.workflows.samples import an_id, captured


async def listed(api: Api, **params: str) -> SummaryPage:
    answer = await api.get("/cancellations", **params)
    assert answer.status_code == 200, answer.text
    return SummaryPage.model_validate_json(answer.content)


async def begin(api: Api, system: ApiSystem, customer: str) -> str:
    """An order of the customer whose cancellation waits for an approval."""
    sample = expensive().model_copy(update={"customer": customer})
    await system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    await reached(api, sample.order_id, State.WAITING_FOR_APPROVAL)
    return sample.order_id


async def test_the_list_is_filtered_by_order_customer_owner_and_time(api: Api, api_system: ApiSystem) -> None:
    began = datetime.now(UTC)
    customer = f"C-{an_id()}"
    one, other = [await begin(api, api_system, customer) for _ in range(2)]

    async def found(**params: str) -> set[str]:
        return {row.order_id for row in (await listed(api, **params)).cancellations}

    async def both() -> bool:
        return await found(customer_id=customer) == {one, other}

    await eventually(both, "both are listed")
    assert await found(order_id=one) == {one}
    assert await found(order_id=one, customer_id="C-other") == set()
    assert await found(customer_id="C-other") == set()
    assert await found(customer_id=customer, owner=Owner.SECOND_PERSON) == {one, other}
    assert await found(customer_id=customer, owner=Owner.OPERATIONS) == set()
    assert await found(customer_id=customer, since=began.isoformat()) == {one, other}
    assert await found(customer_id=customer, since=(began + timedelta(hours=1)).isoformat()) == set()
    assert await found(customer_id=customer, overdue="true") == set()
    problem(await api.get("/cancellations", since="yesterday"), 422, "invalid_request")
    problem(await api.get("/cancellations", since="2026-11-01T00:00:00"), 422, "invalid_request")


async def test_the_pages_of_a_list_hold_each_cancellation_once(api: Api, api_system: ApiSystem) -> None:
    """Also those of several runs, and those that have ended."""
    customer = f"C-{an_id()}"
    orders = [await begin(api, api_system, customer) for _ in range(3)]
    sample = captured().model_copy(update={"customer": customer})
    await api_system.system.shop.place_order(sample)
    for request_id in ("req-1", "req-2"):  # the second one is answered by a run of its own
        await api.start(sample.order_id, asked(sample), request_id=request_id)
        await reached(api, sample.order_id, State.CANCELLED)
    orders.append(sample.order_id)

    async def pages(limit: int) -> list[list[str]]:
        found, cursor = list[list[str]](), dict[str, str]()
        while True:
            page = await listed(api, customer_id=customer, limit=str(limit), **cursor)
            found.append([row.order_id for row in page.cancellations])
            if page.next_cursor is None:
                return found
            cursor = {"cursor": page.next_cursor}

    async def all_listed() -> bool:
        return sorted(chain(*await pages(50))) == sorted(orders)

    await eventually(all_listed, "all are listed")
    for limit in (1, 2, 3):
        found = await pages(limit)
        assert all(len(page) == limit for page in found[:-2]), found
        assert sorted(chain(*found)) == sorted(orders)


async def test_a_cursor_of_nowhere_is_refused(api: Api) -> None:
    for cursor in ("nonsense", "bm9uc2Vuc2U="):
        assert "next_cursor" in problem(await api.get("/cancellations", cursor=cursor), 422, "invalid_request")
