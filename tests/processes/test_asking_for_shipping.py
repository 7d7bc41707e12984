"""The shipping charge alone, asked for over HTTP and on the command line."""

from client.status import Status
from domain.decision import Rule
from domain.messages import Submission
from domain.money import Money, money
from domain.outcome import State
from sandbox import books
from sandbox.shop import SampleOrder, card, line
from tests.fixtures.api import AGENT, SERVICE, Api, ApiSystem
from tests.fixtures.starter import Starter, decision_in
from tests.system import System, eventually
from tests.workflows.samples import an_id

CHARGE = money("4.90 USD")


def with_shipping() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "50.00 USD"),),
        tenders=(card("54.90 USD"),),
        shipping=CHARGE,
    )


async def credited(system: System, order_id: str) -> list[Money]:
    return [document.total for document in await books.documents(system.engine) if document.order_id == order_id]


async def test_over_http_staff_asks_for_the_shipping_charge_alone(api: Api, api_system: ApiSystem) -> None:
    """F21, E13: that, and nothing else, down to the credit note; a service for its customer may not."""
    system, sample = api_system.system, with_shipping()
    await system.shop.place_order(sample)
    body = {"reason": "no_longer_needed", "shipping": True}
    refused = await api.start(sample.order_id, {**body, "customer_id": sample.customer_id}, SERVICE)
    assert refused.json()["decision"]["rule"] == Rule.INVALID_SCOPE
    started = await api.start(sample.order_id, body, AGENT, request_id="req-2")
    assert started.status_code == 201, started.text
    plan = Submission.model_validate_json(started.content).plan
    assert plan is not None
    assert (plan.lines, plan.shipping, plan.refund, plan.everything) == ((), CHARGE, CHARGE, False)

    async def over() -> bool:
        shown = await api.get(f"/orders/{sample.order_id}/cancellation", AGENT)
        return Status.model_validate_json(shown.content).state is State.CANCELLED

    await eventually(over, "the charge is given back")
    assert await system.refunds(sample.order_id) == [CHARGE]
    assert await credited(system, sample.order_id) == [CHARGE]
    assert (await system.read_order(sample.order_id)).lines[0].remaining == 2


async def test_on_the_command_line_staff_asks_for_the_shipping_charge_alone(
    open_system: System, starter: Starter
) -> None:
    """F21, E13: quoted first, which shows no line of the order."""
    sample = with_shipping()
    await open_system.shop.place_order(sample)
    asks = (sample.order_id, "--actor", "customer_service:agent-7", "--reason", "no_longer_needed", "--shipping")
    quoted = await starter("quote", *asks)
    assert quoted.code == 0, quoted.err
    assert "shipping charge" in quoted.out
    assert "L1" not in quoted.out
    started = await starter("start", *asks, "--json")
    assert decision_in(started).rule is Rule.WITHIN_POLICY
    ended = await starter("result", sample.order_id)
    assert "refunded 4.90 USD" in ended.out
    assert "its goods are not cancelled" in ended.out
    assert await open_system.refunds(sample.order_id) == [CHARGE]
    assert await credited(open_system, sample.order_id) == [CHARGE]
    assert (await open_system.read_order(sample.order_id)).lines[0].remaining == 2
