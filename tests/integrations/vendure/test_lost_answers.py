"""E21: Vendure has done what it was asked for, and its answer is lost. Nothing is done twice."""

import pytest

from tests.integrations.vendure import journeys
from tests.integrations.vendure.journeys import Journey
from tests.integrations.vendure.over import OverVendure, with_plugin, without_plugin

pytestmark = pytest.mark.long


@with_plugin
@pytest.mark.parametrize(
    ("journey", "mutation"),
    [
        (journeys.carry_out, "holdOrder"),
        (journeys.carry_out, "transitionFulfillmentToState"),
        (journeys.carry_out, "closeOrder"),
        (journeys.carry_out, "noteRefunds"),
        (journeys.receive, "closeOrder"),
        (journeys.withdraw, "addFulfillmentToOrder"),
        (journeys.withdraw, "releaseOrder"),
        (journeys.roll_back, "recordLabel"),
        (journeys.roll_back, "replacePayment"),
    ],
)
async def test_an_answer_of_the_plugins_shop_is_lost(over: OverVendure, journey: Journey, mutation: str) -> None:
    await lose(over, journey, mutation)


@without_plugin
@pytest.mark.parametrize(
    ("journey", "mutation"),
    [
        (journeys.carry_out, "transitionFulfillmentToState"),
        (journeys.carry_out, "cancelOrder"),
        (journeys.receive, "cancelOrder"),
        (journeys.withdraw, "addFulfillmentToOrder"),
    ],
)
async def test_an_answer_of_a_plain_shop_is_lost(over: OverVendure, journey: Journey, mutation: str) -> None:
    await lose(over, journey, mutation)


async def lose(over: OverVendure, journey: Journey, mutation: str) -> None:
    """The first answer to this mutation."""
    call = f"{mutation}("
    over.network.lose_answer(call)
    await journey(over)
    assert over.network.requests_lost == [call]


@with_plugin
async def test_the_answer_to_the_close_of_what_came_back_is_lost_with_the_plugin(over: OverVendure) -> None:
    await lose_later(over, "closeOrder")


@without_plugin
@pytest.mark.parametrize("mutation", ["transitionFulfillmentToState", "cancelOrder"])
async def test_an_answer_to_the_close_of_what_came_back_is_lost(over: OverVendure, mutation: str) -> None:
    await lose_later(over, mutation)


async def lose_later(over: OverVendure, mutation: str) -> None:
    """The first answer to it when the parcel has arrived."""
    call = f"{mutation}("

    async def begin_to_lose() -> None:
        over.network.lose_answer(call)

    await journeys.receive(over, begin_to_lose)
    assert over.network.requests_lost == [call]
