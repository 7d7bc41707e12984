"""How the tests ask the API, and what they ask for."""

from typing import Any

import httpx2

from client.status import Status
from domain.outcome import State
from sandbox.shop import SampleOrder
from tests.fixtures.api import Api
from tests.system import eventually
from tests.workflows.samples import captured


def asked(sample: SampleOrder, **more: Any) -> dict[str, Any]:
    return {"customer_id": sample.customer_id, "reason": "no_longer_needed", "channel": "web_shop", **more}


def expensive() -> SampleOrder:
    """Above the limit that one person may decide on."""
    return captured(total="600.00 USD")


def problem(answer: httpx2.Response, status: int, code: str) -> str:
    """The sentence of a problem, which is one, and of this kind."""
    assert answer.headers["content-type"] == "application/problem+json"
    answered = answer.json()
    assert (answer.status_code, answered["status"], answered["type"]) == (
        status,
        status,
        f"urn:order-cancellation:{code}",
    )
    assert answered["title"]
    return str(answered["detail"])


async def reached(api: Api, order_id: str, *states: State) -> Status:
    seen: list[Status] = []

    async def there() -> bool:
        seen.append(Status.model_validate_json((await api.get(f"/orders/{order_id}/cancellation")).content))
        return seen[-1].state in states

    await eventually(there, f"the cancellation of {order_id} is {states}")
    return seen[-1]
