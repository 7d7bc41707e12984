"""A worker whose order management system cannot freeze an order, as most shops' cannot: others change it at any time."""

import worker
from domain.keys import EffectKey
from domain.order import Order
from providers.orders.built_in.orders import BuiltInOrders


class UnfrozenOrders(BuiltInOrders):
    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        return False


if __name__ == "__main__":
    vars(worker)["BuiltInOrders"] = UnfrozenOrders
    worker.app()
