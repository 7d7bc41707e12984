"""The order of a request, as the order management system has it and as our books know it."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.closing import gone_of
from domain.errors import ErrorCode, Refused
from domain.known_order import KnownOrder
from domain.order import Order
from domain.request import CancellationRequest
from providers.cancellations.port import Register
from providers.orders.port import Orders


@dataclass(frozen=True)
class SeenOrder:
    """`in_oms` is what the order management system has; `order` is that with what our cancellations did to it; `known` is
    all that the books know of it."""

    in_oms: Order
    order: Order
    known: KnownOrder

    @property
    def gone_in_oms(self) -> Mapping[str, int]:
        """By line, the units that have left the order there: those that are expected back are still in it."""
        expected = self.known.expected_units()
        return {line_id: units - expected[line_id] for line_id, units in gone_of(self.order).items()}


class KnownOrders:
    def __init__(self, orders: Orders, register: Register) -> None:
        self._orders = orders
        self._register = register

    async def read(self, order_id: str) -> SeenOrder:
        """Refused: ORDER_NOT_FOUND."""
        in_oms = await self._orders.read(order_id)
        known = await self._register.of_order(order_id)
        return SeenOrder(in_oms, known.lay_over(in_oms), known)

    # Rule: Whose order it is was asked when its cancellation was opened
    async def read_owned(self, request: CancellationRequest, *, was_theirs: bool = False) -> SeenOrder | None:
        """The order that a request is about. None: it does not exist, or is another customer's; nobody learns which. A
        request whose own cancellation the books have is answered all the same, with an order that is gone as it was when
        that was decided.
        `was_theirs`: the order was its sender's when the request was kept, to be carried out later."""
        try:
            seen = await self.read(request.order_id)
        except Refused as refused:
            if refused.code is not ErrorCode.ORDER_NOT_FOUND:
                raise
            return await self._read_from_books(request)
        is_answered = was_theirs or seen.order.is_of(request.customer_id) or seen.known.opened_for(request)
        return seen if is_answered else None

    async def _read_from_books(self, request: CancellationRequest) -> SeenOrder | None:
        known = await self._register.of_order(request.order_id)
        own = known.opened_for(request)
        then = await self._register.order_when_decided(own.cancellation_id) if own else None
        return SeenOrder(then, known.lay_over(then), known) if then else None
