"""What a key opens, and what it does not: expiry, scopes, a change of the file, and the record of what was refused."""

from pathlib import Path
from typing import Any

import pytest

from domain.decision import Rule
from domain.messages import Submission
from domain.outcome import State
from runtime.api_keys import digest_of
from tests.fixtures.api import (
    APP,
    CLERK,
    EXPIRED,
    KEYS_FILE,
    RISK_ENGINE,
    SERVICE,
    Api,
    ApiSystem,
    environment,
    running_api,
)
from tests.fixtures.databases import Databases
from tests.processes.asking import asked, expensive, problem, reached
from tests.workflows.samples import an_id, captured


def refusals(api: Api, order_id: str | None) -> list[dict[str, Any]]:
    """What the log has of refused tries about the order."""
    return [
        {name: line[name] for name in ("caller", "method", "route", "code")}
        for line in api.lines()
        if line["event"] == "request_refused" and line["order_id"] == order_id
    ]


async def test_an_expired_key_opens_nothing_and_says_when_it_expired(api: Api) -> None:
    order_id = an_id()
    answer = await api.get(f"/orders/{order_id}/cancellation", EXPIRED)
    assert "expired at 2026-01-01 00:00 UTC; ask for a new one" in problem(answer, 401, "key_expired")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert refusals(api, order_id) == [
        {
            "caller": "old-shop",
            "method": "GET",
            "route": "/orders/{order_id:path}/cancellation",
            "code": "key_expired",
        }
    ]


async def test_a_try_with_no_key_of_ours_is_recorded_without_it(api: Api) -> None:
    """I8: nor with what a stranger writes into the address."""
    before = len(refusals(api, None))
    problem(await api.get("/orders/canary@example.test/cancellations", "the-canary-key"), 401, "key_missing")
    refused = {"caller": "unknown", "method": "GET", "route": "/orders/{order_id:path}/cancellations"}
    assert refusals(api, None)[before:] == [{**refused, "code": "key_missing"}]
    log = api.process.log.read_text()
    assert "canary" not in log
    assert digest_of("the-canary-key") not in log


async def test_a_service_that_may_not_decide_is_recorded(api: Api) -> None:
    order_id = an_id()
    problem(await api.steer(order_id, "approve", {}, SERVICE), 403, "not_permitted")
    [refused] = refusals(api, order_id)
    assert (refused["caller"], refused["code"]) == ("web-shop", "not_permitted")


async def test_a_key_for_customers_sees_and_asks_nothing_without_one(api: Api, api_system: ApiSystem) -> None:
    sample = captured()
    await api_system.system.shop.place_order(sample)
    order_id = sample.order_id
    for answer in (
        await api.start(order_id, {"reason": "no_longer_needed"}, APP),
        await api.get(f"/orders/{order_id}/cancellation", APP),
        await api.get(f"/orders/{order_id}/cancellations", APP),
        await api.steer(order_id, "withdraw", {}, APP),
    ):
        sentence = problem(answer, 403, "outside_scope")
        assert order_id in sentence
        assert "Name the customer in customer_id" in sentence
    assert "for the list" in problem(await api.get("/cancellations", APP), 403, "outside_scope")
    assert len(refusals(api, order_id)) == 4
    assert (await api.get("/cancellations", APP, customer_id=sample.customer_id)).status_code == 200
    assert (await api.start(order_id, asked(sample), APP)).status_code == 201
    shown = await api.get(f"/orders/{order_id}/cancellation", APP, customer_id=sample.customer_id)
    assert shown.status_code == 200


async def test_a_key_that_speaks_by_itself_names_no_customer(api: Api, api_system: ApiSystem) -> None:
    sample = captured()
    await api_system.system.shop.place_order(sample)
    refused = await api.start(sample.order_id, asked(sample), RISK_ENGINE)
    assert "Leave customer_id out" in problem(refused, 403, "outside_scope")
    by_itself = await api.start(sample.order_id, {"reason": "unpaid_expired"}, RISK_ENGINE)
    assert Submission.model_validate_json(by_itself.content).decision is not None, by_itself.text


async def test_a_reason_outside_the_scope_is_refused_before_anything_begins(api: Api, api_system: ApiSystem) -> None:
    sample = captured()
    await api_system.system.shop.place_order(sample)
    body = asked(sample, reason="found_cheaper")
    for answer in (
        await api.start(sample.order_id, body, APP),
        await api.post(f"/orders/{sample.order_id}/cancellation/quote", body, APP),
    ):
        sentence = problem(answer, 403, "outside_scope")
        assert f"the reason found_cheaper for order {sample.order_id}" in sentence
        assert "GET /reasons" in sentence
    problem(await api.get(f"/orders/{sample.order_id}/cancellation"), 404, "no_cancellation")


@pytest.mark.parametrize(("total", "status"), [("100.00 USD", 201), ("100.01 USD", 403)])
async def test_a_key_with_a_limit_gives_back_no_more_than_that(
    api: Api, api_system: ApiSystem, total: str, status: int
) -> None:
    """On what would really go out: the run that holds the order decides it, so nothing comes in between."""
    sample = captured(total=total)
    await api_system.system.shop.place_order(sample)
    quote = await api.post(f"/orders/{sample.order_id}/cancellation/quote", asked(sample), APP)
    assert quote.status_code == (200 if status == 201 else 403)
    answer = await api.start(sample.order_id, asked(sample), APP)
    assert answer.status_code == status, answer.text
    if status == 201:
        await reached(api, sample.order_id, State.CANCELLED)
        return
    sentence = problem(answer, 403, "outside_scope")
    assert sentence.startswith(f"100.01 USD of order {sample.order_id} would go back, and at most 100.00 USD may here.")
    assert await api_system.system.refunds(sample.order_id) == []
    same = await api.start(sample.order_id, asked(sample), SERVICE)
    assert problem(same, 403, "outside_scope") == sentence, "the same request gets the same answer"
    [first, *_] = refusals(api, sample.order_id)
    assert (first["caller"], first["code"]) == ("app", "outside_scope")
    another = await api.start(sample.order_id, asked(sample), SERVICE, "req-2")
    assert another.status_code == 201, another.text


async def test_whoever_has_a_limit_approves_no_more_than_that(api: Api, api_system: ApiSystem) -> None:
    """The run itself refuses it; another person goes on."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    started = Submission.model_validate_json((await api.start(sample.order_id, asked(sample))).content)
    assert started.decision is not None
    assert started.decision.rule is Rule.ABOVE_LIMIT
    refused = await api.steer(sample.order_id, "approve", {}, CLERK)
    assert problem(refused, 403, "outside_scope") == (
        f"600.00 USD of order {sample.order_id} would go back, and at most 599.99 USD may here. Somebody who may give it "
        "back has to approve."
    )
    [entry] = refusals(api, sample.order_id)
    assert (entry["caller"], entry["code"]) == ("clerk-9", "outside_scope")
    await reached(api, sample.order_id, State.WAITING_FOR_APPROVAL)
    assert (await api.steer(sample.order_id, "approve", {})).status_code == 200
    await reached(api, sample.order_id, State.CANCELLED)


async def test_a_key_is_revoked_without_a_restart_and_health_says_what_is_wrong_with_the_file(
    databases: Databases, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    text = KEYS_FILE.read_text()
    keys.write_text(text)
    env = {**environment("127.0.0.1:9", await databases.sqlite(tmp_path / "book.db")), "API_KEYS_FILE": str(keys)}
    async with running_api(tmp_path / "api.log", env) as api:
        assert (await api.get("/reasons")).status_code == 200
        keys.write_text(text.replace(digest_of(SERVICE), digest_of("the next one")))
        problem(await api.get("/reasons"), 401, "key_missing")
        assert (await api.get("/reasons", "the next one")).status_code == 200
        keys.write_text("[[key]")
        assert (await api.get("/reasons", "the next one")).status_code == 200
        [warning] = (await api.http.get("/health")).json()["warnings"]
        assert "the keys before the change are in force" in warning
        assert str(tmp_path) not in warning
        assert len([line for line in api.lines() if line["event"] == "api_keys_not_read"]) == 1
        keys.write_text(text)
        assert (await api.http.get("/health")).json() == {"status": "ok", "warnings": []}
        assert (await api.get("/reasons")).status_code == 200
