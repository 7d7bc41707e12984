"""A django-oscar that is kept by people who count nothing by parcels: what leaves an order is for sale at that moment."""

from typing import Any

from tests.providers.oscar.adapter import OscarOrders, add


class RestockingOscarOrders(OscarOrders):
    restocks_at_once = True

    def _release(self, line: Any, missing: int, elsewhere: int) -> None:
        consumed = max(missing - line.num_allocated, 0)
        super()._release(line, missing, 0)
        add(line, in_stock=consumed, allocated=0)

    def _count(self, part: Any, ours: int, *, back: bool, left: bool) -> None:
        return
