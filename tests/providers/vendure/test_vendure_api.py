"""Vendure's Admin API over HTTP: the login, and what each answer means."""

import asyncio

import pytest
from aiohttp import web

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from providers.orders.vendure import documents
from providers.orders.vendure.answers import ChangeResult, FoundOrders
from providers.orders.vendure.api import UnknownToSchema, VendureApi, VendureRefusal
from tests.providers.vendure.scripted import CHANNEL, FORBIDDEN, Reply, ScriptedVendure, error, recorded, vendure_at

DOING = "reading order O-1"


async def read(api: VendureApi) -> FoundOrders:
    return await api.read(documents.ORDER, FoundOrders, DOING, code="O-1", skip=0)


async def write(api: VendureApi) -> ChangeResult:
    return await api.write(
        documents.CANCEL_ORDER, ChangeResult, "closing order O-1", cancellation_id="can-O-1-1", input={"orderId": "1"}
    )


async def test_one_login_serves_many_calls_and_names_the_channel() -> None:
    vendure = ScriptedVendure([Reply(recorded("order_as_placed"))] * 2)
    async with vendure_at(vendure, channel="eu") as api:
        for _ in range(2):
            assert len((await read(api)).orders.items) == 1
    assert vendure.tokens == ["token-1"]
    assert [headers[CHANNEL] for headers in vendure.headers] == ["eu", "eu"]
    assert not any("Cookie" in headers or "cancellation-id" in headers for headers in vendure.headers)


async def test_a_token_that_has_ended_is_renewed_once_and_the_call_is_made() -> None:
    vendure = ScriptedVendure([Reply(recorded("order_as_placed")), Reply('{"data": {"result": {}}}')])
    async with vendure_at(vendure) as api:
        await read(api)
        vendure.valid.clear()
        assert (await write(api)).result.error_code is None
    assert vendure.tokens == ["token-1", "token-2"]
    assert vendure.headers[-1]["cancellation-id"] == "can-O-1-1"


async def test_a_user_without_the_permission_is_refused_in_a_sentence() -> None:
    vendure = ScriptedVendure([Reply(FORBIDDEN), Reply(FORBIDDEN)])
    async with vendure_at(vendure) as api:
        with pytest.raises(Refused, match="ReadOrder and UpdateOrder") as refused:
            await read(api)
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS


async def test_a_wrong_password_is_refused_and_not_quoted() -> None:
    async with vendure_at(ScriptedVendure(), password="another-secret") as api:
        with pytest.raises(Refused, match="VENDURE_PASSWORD") as refused:
            await read(api)
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert "another-secret" not in refused.value.message
    assert "VENDURE_URL" in refused.value.message, "the Shop API has a login too, and refuses administrators"


async def test_a_shop_that_gives_no_token_is_told_how_to() -> None:
    """Vendure's default is the cookie alone."""
    async with vendure_at(ScriptedVendure(gives_token=False)) as api:
        with pytest.raises(Refused, match=r"authOptions\.tokenMethod") as refused:
            await read(api)
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_SETTINGS


@pytest.mark.parametrize(
    ("reply", "of_read", "of_write"),
    [
        (Reply(None), Unavailable, OutcomeUnknown),
        (Reply("Bad gateway", 502), Unavailable, OutcomeUnknown),
        (Reply(error("INTERNAL_SERVER_ERROR")), Unavailable, OutcomeUnknown),
        (Reply(error(None)), Unavailable, OutcomeUnknown),
        (Reply('{"data": {"result": 1}}'), Unavailable, OutcomeUnknown),
        (Reply("", 503), Unavailable, Unavailable),
        (Reply("", 429), Unavailable, Unavailable),
        (Reply("<html>", 200), Refused, OutcomeUnknown),
        (Reply("<html>", 404), Refused, Refused),
        (Reply(error("CHANNEL_NOT_FOUND")), Refused, Refused),
        (Reply(error("ENTITY_NOT_FOUND")), VendureRefusal, VendureRefusal),
        (Reply(error("ILLEGAL_OPERATION")), VendureRefusal, VendureRefusal),
        (Reply(error("GRAPHQL_VALIDATION_FAILED"), 400), UnknownToSchema, UnknownToSchema),
    ],
)
async def test_what_an_answer_means_for_a_read_and_for_a_write(
    reply: Reply, of_read: type[Exception], of_write: type[Exception]
) -> None:
    async with vendure_at(ScriptedVendure([reply, reply])) as api:
        with pytest.raises(of_read):
            await read(api)
        with pytest.raises(of_write):
            await write(api)


async def test_a_shop_that_is_not_there_has_changed_nothing() -> None:
    api = VendureApi("http://127.0.0.1:9/admin-api", "admin", "a-secret")
    with pytest.raises(Unavailable):
        await write(api)
    await api.aclose()


async def test_a_time_that_was_named_is_kept() -> None:
    vendure = ScriptedVendure([Reply("", 429, (("Retry-After", "7"),))])
    async with vendure_at(vendure) as api:
        with pytest.raises(Unavailable) as unavailable:
            await read(api)
    assert unavailable.value.retry_after == 7


class CountingVendure(ScriptedVendure):
    """Counts the calls that are there at the same time. None is answered before the fourth has come."""

    under_way = most_under_way = 0

    def __init__(self, script: list[Reply]) -> None:
        super().__init__(script)
        self.fourth_has_come = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not self.valid:
            return await super().answer(request)  # somebody logs in
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.under_way == 4:
            self.fourth_has_come.set()
        await self.fourth_has_come.wait()
        answer = await super().answer(request)
        self.under_way -= 1
        return answer


async def test_of_many_calls_four_are_made_at_once() -> None:
    """Vendure works on all of them at the same time, so that none would be answered within its time."""
    vendure = CountingVendure([Reply(recorded("order_as_placed"))] * 20)
    async with vendure_at(vendure) as api:
        answers = await asyncio.gather(*(read(api) for _ in range(20)))
    assert (len(answers), vendure.most_under_way) == (20, 4)
