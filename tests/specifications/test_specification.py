"""A call or an answer that is not what its provider describes is found."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.marketplace_admin import MarketplaceAdmin
from tests.fixtures.gateway import GatewaySandbox
from tests.specifications.specification import Exchange, Specification

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(params=["stripe", "easypost", "ups", "mirakl"])
async def made(
    request: pytest.FixtureRequest,
    gateway_sandbox: GatewaySandbox,
    carrier_sandbox: CarrierAdmin,
    marketplace_sandbox: MarketplaceAdmin,
) -> tuple[Specification, Exchange]:
    """A call that was made to a stand-in, and its provider's specification."""
    async with httpx2.AsyncClient() as http:
        match request.param:
            case "stripe":
                key = {"Authorization": f"Bearer {SANDBOX_KEY}"}
                answer = await http.get(f"{gateway_sandbox.process.url}/v1/events", headers=key)
            case "easypost":
                answer = await http.get(f"{carrier_sandbox.easypost_url}/events", auth=(EASYPOST_KEY, ""))
            case "ups":
                answer = await http.post(
                    f"{carrier_sandbox.ups_url}/security/v1/oauth/token",
                    data={"grant_type": "client_credentials"},
                    auth=(UPS_CLIENT_ID, UPS_CLIENT_SECRET),
                )
            case _:
                key = {"Authorization": MARKETPLACE_KEY}
                answer = await http.get(f"{marketplace_sandbox.url}/api/orders", headers=key)
    called = answer.raise_for_status().request
    exchange = Exchange(
        method=called.method,
        path=urlsplit(str(called.url)).path,
        query=called.url.query.decode(),
        headers=dict(called.headers),
        body=called.content,
        status=answer.status_code,
        answer=answer.content,
    )
    return Specification(request.param), exchange


def test_a_field_that_the_provider_does_not_answer_is_found(made: tuple[Specification, Exchange]) -> None:
    specification, exchange = made
    assert specification.problems(exchange) == []
    planted = json.dumps(json.loads(exchange.answer) | {"planted": 1}).encode()
    assert "planted" in " ".join(specification.problems(replace(exchange, answer=planted)))


def test_a_parameter_that_the_provider_does_not_take_is_found(made: tuple[Specification, Exchange]) -> None:
    specification, exchange = made
    found = specification.problems(replace(exchange, query="planted=1"))
    if specification.provider == "easypost":
        assert found == [], "its recordings say nothing about what may be asked"
    else:
        assert "planted" in " ".join(found)


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
    ids=["as described", "no number", "unknown parameter", "unknown field", "missing field", "null"],
)
def test_what_stripe_does_not_describe_is_found(sent: str, answer: dict[str, Any], found: str) -> None:
    exchange = Exchange("POST", "/v1/refunds", "", FORM, sent.encode(), 200, json.dumps(answer).encode())
    problems = Specification("stripe").problems(exchange)
    assert found in " ".join(problems)
    assert bool(problems) is bool(found)
