"""What callers expect of any HTTP API: methods, addresses, parameters, the idempotency key and its description."""

import re

import jsonschema_rs
import pytest

from client.status import Status
from domain.messages import Submission
from domain.money import money
from domain.outcome import State
from domain.request import Actor, ActorKind, ReasonCode
from domain.step import StepName
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line
from tests.fixtures.api import SERVICE, SUPERVISOR, Api, ApiSystem
from tests.processes.asking import asked, expensive, problem, reached
from tests.workflows.samples import an_id, captured

_KEY = {"Authorization": f"Bearer {SERVICE}"}


# Methods and addresses


@pytest.mark.parametrize("path", ["/health", "/ready", "/cancellations", "/reasons", "/orders/O-1/cancellations"])
async def test_head_answers_like_get_without_a_body(api: Api, path: str) -> None:
    """F19"""
    got = await api.http.get(path, headers=_KEY)
    head = await api.http.head(path, headers=_KEY)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/orders/O-1/cancellation", {"GET", "HEAD", "POST"}),
        ("/cancellations", {"GET", "HEAD"}),
        ("/orders/O-1/cancellations", {"GET", "HEAD"}),
        ("/reasons", {"GET", "HEAD"}),
        ("/orders/O-1/cancellation/approve", {"POST"}),
    ],
)
async def test_a_method_that_is_not_allowed_is_answered_with_all_that_are(
    api: Api, path: str, allowed: set[str]
) -> None:
    """F19"""
    answer = await api.http.delete(path, headers=_KEY)
    problem(answer, 405, "method_not_allowed")
    assert {method.strip() for method in answer.headers["allow"].split(",")} == allowed


async def test_nothing_is_redirected_to_the_host_that_the_caller_names(api: Api) -> None:
    """M33"""
    answer = await api.http.get("/health/", headers={"Host": "elsewhere.example"})
    problem(answer, 404, "no_such_address")
    assert "location" not in answer.headers


# Parameters


@pytest.mark.parametrize("path", ["/cancellations", "/orders/O-1/cancellations", "/reasons"])
async def test_a_parameter_that_is_unknown_is_refused(api: Api, path: str) -> None:
    """P6: what was meant as a filter is not to list everything."""
    answer = await api.get(path, order="O-1")
    assert "query.order: " in problem(answer, 422, "invalid_request")


async def test_a_status_is_somebody_elses_for_the_customer_who_is_named(api: Api, api_system: ApiSystem) -> None:
    """P6, A1: the same answer as for an order that is unknown."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    where = f"/orders/{sample.order_id}/cancellation"
    others = problem(await api.get(where, customer_id="C-other"), 404, "order_not_found")
    unknown = problem(await api.get("/orders/O-never/cancellation", customer_id="C-other"), 404, "order_not_found")
    assert others == unknown.replace("O-never", sample.order_id)
    assert (await api.get(where, customer_id=sample.customer_id)).status_code == 200
    await api.steer(sample.order_id, "approve", {})
    await reached(api, sample.order_id, State.CANCELLED)
    problem(await api.get(where, customer_id="C-other"), 404, "order_not_found")


async def test_a_status_has_who_asked_for_what_and_the_amounts(api: Api, api_system: ApiSystem) -> None:
    """P7: while it waits, and when it is over."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    shown = await reached(api, sample.order_id, State.WAITING_FOR_APPROVAL)
    customer = Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id)
    assert (shown.requested_by, shown.reason) == (customer, ReasonCode.NO_LONGER_NEEDED)
    assert (shown.planned_refund, shown.refunded) == (money("600.00 USD"), money("0.00 USD"))
    await api.steer(sample.order_id, "approve", {})
    ended = await reached(api, sample.order_id, State.CANCELLED)
    assert (ended.requested_by, ended.reason, ended.requested_at) == (customer, shown.reason, shown.requested_at)
    assert ended.refunded == money("600.00 USD")


@pytest.mark.parametrize(("verb", "end"), [("approve", State.CANCELLED), ("reject", State.ROLLED_BACK)])
async def test_what_needs_no_words_needs_no_body(api: Api, api_system: ApiSystem, verb: str, end: State) -> None:
    """P9"""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    answer = await api.http.post(
        f"/orders/{sample.order_id}/cancellation/{verb}", headers={"Authorization": f"Bearer {SUPERVISOR}"}
    )
    assert answer.status_code == 200, answer.text
    await reached(api, sample.order_id, end)


async def test_the_step_is_named_only_where_several_wait(api: Api, api_system: ApiSystem) -> None:
    """P3"""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "30.00 USD"),),
        tenders=(card("30.00 USD", card=TestCard.PENDING_REFUND),),
    )
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    await reached(api, sample.order_id, State.WAITING_FOR_SETTLEMENT)
    paid = {"resolution": "done_by_hand", "reference": "BANK-1"}
    answer = await api.steer(sample.order_id, "resolve-step", paid)
    assert answer.status_code == 200, answer.text
    shown = Status.model_validate_json((await api.get(f"/orders/{sample.order_id}/cancellation")).content)
    assert "BANK-1" in {row.reference for row in shown.steps if row.step is StepName.REVERSE_PAYMENT}


# The idempotency key, as draft-ietf-httpapi-idempotency-key-header-07 has it


@pytest.mark.parametrize(
    "key",
    [
        pytest.param('"8e03978e-40d5-43dd-bc93-6894a57f9324"', id="in quotes"),
        pytest.param("k" * 200, id="long"),
        pytest.param('"with blanks and \\"quotes\\""', id="with blanks"),
    ],
)
async def test_a_key_is_a_text_in_quotes_or_without(api: Api, api_system: ApiSystem, key: str) -> None:
    """P9: `"abc"` and `abc` are the same key."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    first = await api.start(sample.order_id, asked(sample), request_id=key)
    assert first.status_code == 201, first.text
    bare = key if not key.startswith('"') or " " in key else key.strip('"')
    again = await api.start(sample.order_id, asked(sample), request_id=bare)
    assert again.text == first.text
    problem(await api.start(sample.order_id, asked(sample, note="blue"), request_id=key), 422, "request_conflict")


async def test_a_key_that_is_missing_and_one_with_other_content_are_told_apart(api: Api, api_system: ApiSystem) -> None:
    sample = captured()
    await api_system.system.shop.place_order(sample)
    missing = await api.post(f"/orders/{sample.order_id}/cancellation", asked(sample))
    assert "Idempotency-Key" in problem(missing, 400, "idempotency_key_missing")
    empty = await api.start(sample.order_id, asked(sample), request_id='""')
    assert "Idempotency-Key" in problem(empty, 400, "idempotency_key_missing")
    started = await api.start(sample.order_id, asked(sample))
    assert Submission.model_validate_json(started.content).decision
    problem(await api.start(sample.order_id, asked(sample, note="blue")), 422, "request_conflict")


# The description


async def test_the_documentation_is_a_page_that_loads_nothing_from_elsewhere(api: Api) -> None:
    """P9"""
    page = await api.http.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 2
    for address in loaded:
        assert address.startswith("/"), address
        assert (await api.http.get(address)).status_code == 200


async def test_operations_have_names_that_a_generated_client_can_live_with(api: Api) -> None:
    """P9: they are part of the contract."""
    document = (await api.http.get("/openapi.json")).json()
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names == {
        "list_cancellations",
        "list_order_cancellations",
        "list_reasons",
        "start_cancellation",
        "quote_cancellation",
        "get_cancellation",
        "withdraw_cancellation",
        "approve_cancellation",
        "reject_cancellation",
        "retry_step",
        "resolve_step",
        "choose_refund_method",
        "receive_stripe_event",
        "receive_easypost_event",
        "check_health",
        "check_readiness",
    }


async def test_every_success_has_an_example_that_is_one(api: Api) -> None:
    """P9: each fits the schema beside it."""
    document = (await api.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if int(status) < 300:
                    [media] = response["content"].values()
                    assert media["example"], (method, path, status)
                    schema = {**media["schema"], "components": document["components"]}
                    jsonschema_rs.Draft202012Validator(schema).validate(media["example"])
