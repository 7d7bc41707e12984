"""A worker whose order management system archives orders, as the swarm wants it, and does not find them any more. By an
environment variable it cannot freeze any, as most shops' cannot: others change them at any time."""

import os
from collections.abc import Sequence
from pathlib import Path

import worker
from domain.closing import Closing
from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.order import Order
from providers.orders.built_in.orders import BuiltInOrders
from providers.orders.port import GivenBack

ARCHIVE, CANNOT_FREEZE = "SWARM_ARCHIVE", "SWARM_CANNOT_FREEZE"
"""The variables: a file with the ids of the orders that are archived, a line for each; and whether it is set."""


class ShopOrders(BuiltInOrders):
    async def read(self, order_id: str) -> Order:
        _find(order_id)
        return await super().read(order_id)

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        _find(seen.order_id)
        return CANNOT_FREEZE not in os.environ and await super().freeze(seen, key=key)

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        _find(order_id)
        await super().withdraw_pick(order_id, shipment_id, key=key)

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        _find(order_id)
        await super().resume_pick(order_id, shipment_id, key=key)

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: EffectKey
    ) -> None:
        _find(order_id)
        await super().relabel(order_id, shipment_id, label_reference, tracking_number, key=key)

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey) -> None:
        _find(order_id)
        await super().replace_payment(order_id, tender_id, reference, key=key)

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        _find(order_id)
        await super().close(order_id, closing, before, key=key)

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        _find(order_id)
        await super().note_given_back(order_id, given, key=key)


def _find(order_id: str) -> None:
    if order_id in Path(os.environ[ARCHIVE]).read_text(encoding="utf-8").split():
        raise Refused(ErrorCode.ORDER_NOT_FOUND, f"The shop has archived order {order_id}.")


if __name__ == "__main__":
    vars(worker)["BuiltInOrders"] = ShopOrders
    worker.app()
