"""A cancellation that is withdrawn or rolled back leaves an order in Vendure that goes on."""

import pytest

from tests.integrations.vendure import journeys
from tests.integrations.vendure.over import OverVendure

pytestmark = pytest.mark.long


async def test_a_pick_is_resumed_once_when_the_customer_withdraws(over: OverVendure) -> None:
    """D1: a cancelled fulfilment is final in Vendure, so another one with another id takes its place."""
    await journeys.withdraw(over)


async def test_a_new_label_and_a_new_reservation_are_recorded(over: OverVendure) -> None:
    """M19: what replaces them is what the order goes on with."""
    await journeys.roll_back(over)
