"""The gateway adapter and its stand-in speak as Stripe specifies. What is compared: tests/specifications/watching.py."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.money import money
from providers.events.stripe import StripeEvents
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.app import operations
from sandbox.gateway.state import State
from sandbox.gateway_admin import SANDBOX_KEY, TestCard
from tests.fixtures.gateway import GatewaySandbox
from tests.specifications.watching import Specification

TOTAL = money("52.35 USD")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "gateway.sqlite", settle_seconds=1, webhooks=False, seed=0)


def _any_id(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_stand_in_has_no_call_that_stripe_has_not(state: State) -> None:
    """F28."""
    specified = {(method, _any_id(path)) for method, path in Specification().operations()}
    assert {(operation.method, _any_id(operation.path)) for operation in operations(state)} == specified


async def test_each_call_of_the_adapter_and_each_answer_is_as_specified(
    gateway_sandbox: GatewaySandbox, gateway: StripeGateway, state: State
) -> None:
    """F28: the fixture compares them. Every call is made here once, whatever the other tests make."""
    admin, key = gateway_sandbox.admin, uuid4().hex
    reserved = await admin.create_payment(TOTAL, mandate=True)
    await gateway.void(await gateway.read_payment(reserved), key=f"{key}/void")
    await gateway.authorise_again(reserved, TOTAL, key=f"{key}/again")
    part = await admin.create_payment(money("106 USD"), capture=money("50 USD"))
    await gateway.void(await gateway.read_payment(part), key=f"{key}/rest")
    waiting = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:requires_action")
    made = (await gateway.refund(waiting, TOTAL, key=f"{key}/refund")).refund
    await gateway.read_refund(made.reference)
    await gateway.cancel_refund(made.reference, key=f"{key}/cancel")
    disputed = await admin.create_payment(TOTAL, TestCard.DISPUTED, capture=TOTAL)
    for _ in range(11):
        await admin.refund_elsewhere(part, money("0.01 USD"))
    for payment in (disputed, part):
        await gateway.read_payment(payment)
    events = StripeEvents(SANDBOX_KEY, gateway_sandbox.process.url)
    assert [event async for event in events.since(datetime.now(UTC) - timedelta(hours=1), _unknown)]
    await events.aclose()
    made_by_the_adapter = {operation.name for operation in operations(state)} - {"charge.retrieve"}
    assert made_by_the_adapter <= set(await admin.calls())


async def _unknown(_: str) -> bool:
    return False


REFUND: dict[str, Any] = {
    "id": "re_1",
    "object": "refund",
    "amount": 1,
    "created": 1,
    "currency": "usd",
    "status": "succeeded",
}


@pytest.mark.parametrize(
    ("sent", "answer", "found"),
    [
        ("payment_intent=pi_1&amount=1&expand[0]=charge", REFUND, ""),
        ("payment_intent=pi_1&amount=one", REFUND, "amount"),
        ("payment_intent=pi_1&amount_off=1", REFUND, "amount_off"),
        ("payment_intent=pi_1", REFUND | {"sandbox": True}, "sandbox"),
        ("payment_intent=pi_1", {name: REFUND[name] for name in REFUND if name != "created"}, "created"),
        ("payment_intent=pi_1", REFUND | {"failure_reason": None}, "failure_reason"),
    ],
    ids=["as specified", "no number", "unknown parameter", "unknown field", "missing field", "null"],
)
def test_what_is_not_as_specified_is_found(sent: str, answer: dict[str, Any], found: str) -> None:
    differences = Specification().differences("POST", "/v1/refunds", sent, 200, json.dumps(answer), must_be_valid=True)
    assert found in " ".join(differences)
    assert bool(differences) is bool(found)
