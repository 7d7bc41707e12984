"""The port `orders` on a real Vendure, with this product's plugin and without it."""

import pytest

from tests.integrations.vendure.shops import VendureUnderTest
from tests.providers.orders_contract import OrdersContract
from tests.providers.parcels_contract import ParcelsContract


class OnVendure(ParcelsContract, OrdersContract):
    has_picks = True

    @pytest.fixture
    def shop(self, connected: VendureUnderTest) -> VendureUnderTest:
        return connected


@pytest.mark.parametrize("vendure_process", [True], ids=["with_plugin"], indirect=True)
class TestWithPlugin(OnVendure):
    can_freeze = shows_refunds = True


@pytest.mark.parametrize("vendure_process", [False], ids=["without_plugin"], indirect=True)
class TestWithoutPlugin(OnVendure):
    counts_what_left_beside = True
