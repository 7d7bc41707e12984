"""What can be looked up over HTTP besides a status: an order's earlier cancellations, and the reasons for a new one."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.messages import Submission
from domain.money import money
from domain.outcome import State
from domain.request import ActorKind, ReasonCode
from tests.fixtures.api import AGENT, APP, RISK_ENGINE, SERVICE, SUPERVISOR, Api, ApiSystem, environment, running_api
from tests.fixtures.temporal import start_dev_server
from tests.processes.asking import asked, expensive, problem, reached
from tests.system import POLICY
from tests.workflows.samples import an_id, captured
from web.bodies import CancellationRecord, OrderHistory, ReasonList


async def history(api: Api, order_id: str, key: str = SERVICE, **params: str) -> list[CancellationRecord]:
    answer = await api.get(f"/orders/{order_id}/cancellations", key, **params)
    assert answer.status_code == 200, answer.text
    return OrderHistory.model_validate_json(answer.content).cancellations


async def test_an_order_has_all_its_cancellations_the_latest_first_also_where_the_engine_knows_none(
    api: Api, api_system: ApiSystem, tmp_path: Path
) -> None:
    """They are read from our books alone: the engine forgets its runs when their retention has passed."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    order_id = sample.order_id
    await api.start(order_id, asked(sample, reason="out_of_stock"), request_id="not-theirs")
    await reached(api, order_id, State.REJECTED)
    await api.start(order_id, asked(sample), request_id="first")
    await reached(api, order_id, State.WAITING_FOR_APPROVAL)
    await api.steer(order_id, "reject", {})
    await reached(api, order_id, State.ROLLED_BACK)
    await api.start(order_id, asked(sample, channel="help_desk"), AGENT, "second")
    await reached(api, order_id, State.WAITING_FOR_APPROVAL)

    under_way, rolled_back, rejected = await history(api, order_id)
    assert (under_way.state, str(under_way.requested_by)) == (State.RUNNING, "customer_service:agent-7")
    assert (under_way.planned_refund, under_way.refunded) == (money("600.00 USD"), money("0.00 USD"))
    assert under_way.ended_at is None
    assert "A second person has to approve." in under_way.sentence
    assert (rolled_back.state, str(rolled_back.requested_by)) == (State.ROLLED_BACK, f"customer:{sample.customer_id}")
    assert rolled_back.ended_at is not None
    assert rolled_back.requested_at < rolled_back.ended_at < under_way.requested_at
    assert (rejected.state, rejected.reason) == (State.REJECTED, ReasonCode.OUT_OF_STOCK)
    assert (rejected.planned_refund, rejected.credit_note) == (None, None)

    await api.steer(order_id, "approve", {})
    await reached(api, order_id, State.CANCELLED)
    cancelled = (await history(api, order_id))[0]
    assert (cancelled.state, cancelled.refunded) == (State.CANCELLED, money("600.00 USD"))
    assert cancelled.credit_note
    env = environment("127.0.0.1:9", api_system.database_url)
    async with running_api(tmp_path / "api.log", env) as without_engine:
        assert await history(without_engine, order_id) == [cancelled, rolled_back, rejected]


async def test_a_customer_sees_the_cancellations_of_their_own_orders_only(api: Api, api_system: ApiSystem) -> None:
    """A1: somebody else's order is like one that is unknown."""
    sample = captured()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    await reached(api, sample.order_id, State.CANCELLED)
    assert len(await history(api, sample.order_id, customer_id=sample.customer_id)) == 1
    assert await history(api, sample.order_id, customer_id="C-other") == []
    assert await history(api, an_id(), customer_id="C-other") == []
    problem(await api.get(f"/orders/{sample.order_id}/cancellations", None), 401, "key_missing")


async def test_the_order_of_a_lost_run_is_its_owners_alone(api: Api, api_system: ApiSystem) -> None:
    """A1: somebody has terminated the run, so nobody but our books knows whose order it is."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    order_id = sample.order_id
    await api.start(order_id, asked(sample))
    await reached(api, order_id, State.WAITING_FOR_APPROVAL)
    await api_system.system.lose(api_system.system.current(order_id))

    async def answers(of: str, customer_id: str) -> list[tuple[int, str]]:
        chosen = {"target": "T1", "method": "store_credit"}
        found = (
            await api.get(f"/orders/{of}/cancellation", APP, customer_id=customer_id),
            await api.steer(of, "withdraw", {"customer_id": customer_id}, APP),
            await api.steer(of, "choose-refund-method", {"customer_id": customer_id, **chosen}, APP),
        )
        return [(answer.status_code, answer.text.replace(of, "ORDER")) for answer in found]

    assert await answers(order_id, "C-stranger") == await answers(an_id(), "C-stranger")
    assert [status for status, _ in await answers(order_id, sample.customer_id)] == [200, 409, 409]


async def test_a_request_that_is_repeated_after_the_end_gets_its_first_decision_and_plan(
    api: Api, api_system: ApiSystem, tmp_path: Path
) -> None:
    """A3: also by an engine that has forgotten the run."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    order_id = sample.order_id
    first = Submission.model_validate_json((await api.start(order_id, asked(sample))).content)
    assert first.decision is not None
    assert first.plan is not None
    await api.steer(order_id, "approve", {})
    await reached(api, order_id, State.CANCELLED)

    async def check_repeated(asked_of: Api) -> None:
        answer = await asked_of.start(order_id, asked(sample))
        assert answer.status_code == 200, answer.text
        repeated = Submission.model_validate_json(answer.content)
        assert (repeated.decision, repeated.plan) == (first.decision, first.plan)
        assert repeated.result is not None

    await check_repeated(api)
    async with await start_dev_server() as empty, replace(api_system.system, server=empty, started=[]).worker():
        env = environment(empty.client.service_client.config.target_host, api_system.database_url)
        async with running_api(tmp_path / "api.log", env) as other:
            await check_repeated(other)
    assert await api_system.system.refunds(order_id) == [money("600.00 USD")]


# Reasons


async def reasons(api: Api, key: str) -> dict[ReasonCode, list[ActorKind]]:
    answer = await api.get("/reasons", key)
    assert answer.status_code == 200, answer.text
    return {row.reason: row.actors for row in ReasonList.model_validate_json(answer.content).reasons}


async def test_a_service_has_the_reasons_of_customers_and_its_own(api: Api) -> None:
    found = await reasons(api, SERVICE)
    assert found[ReasonCode.NO_LONGER_NEEDED] == [ActorKind.CUSTOMER]
    assert found[ReasonCode.UNPAID_EXPIRED] == [ActorKind.SYSTEM]
    assert found[ReasonCode.OTHER] == [ActorKind.CUSTOMER, ActorKind.SYSTEM]
    assert ReasonCode.OUT_OF_STOCK not in found


@pytest.mark.parametrize(
    ("key", "kind"), [(AGENT, ActorKind.CUSTOMER_SERVICE), (SUPERVISOR, ActorKind.REFUND_DEPARTMENT)]
)
async def test_a_person_has_the_reasons_of_the_policy(api: Api, key: str, kind: ActorKind) -> None:
    assert await reasons(api, key) == {reason: [kind] for reason in POLICY.reasons[kind]}


async def test_the_scope_of_a_key_bounds_the_reasons(api: Api) -> None:
    """Both of them: what the policy does not let a customer say is not in the list, although the key's scope has it."""
    assert await reasons(api, APP) == {
        ReasonCode.NO_LONGER_NEEDED: [ActorKind.CUSTOMER],
        ReasonCode.OTHER: [ActorKind.CUSTOMER],
    }
    assert {*await reasons(api, RISK_ENGINE)} == {*POLICY.reasons[ActorKind.SYSTEM]}


async def test_a_reason_that_needs_a_note_is_marked(api: Api) -> None:
    listed = ReasonList.model_validate_json((await api.get("/reasons")).content).reasons
    marked = {row.reason for row in listed if row.needs_note}
    sample = captured()
    for row in listed:
        answer = await api.post(f"/orders/{sample.order_id}/cancellation/quote", {"reason": row.reason})
        assert (answer.status_code == 422) is (row.reason in marked), row.reason
    assert marked == {ReasonCode.OTHER}
