"""The port `orders` on a real Vendure, with this product's plugin and without it."""

import pytest

from tests.integrations.vendure.over import with_plugin, without_plugin
from tests.integrations.vendure.shops import VendureUnderTest
from tests.providers.orders_contract import OrdersContract
from tests.providers.parcels_contract import ParcelsContract


class OnVendure(ParcelsContract, OrdersContract):
    has_picks = True

    @pytest.fixture
    def shop(self, connected: VendureUnderTest) -> VendureUnderTest:
        return connected


@with_plugin
class TestWithPlugin(OnVendure):
    can_freeze = shows_refunds = True


@without_plugin
class TestWithoutPlugin(OnVendure):
    counts_what_left_beside = True
