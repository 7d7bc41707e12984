"""A request as it arrives, with what is known of it: verify_order, quote_cancellation and receive_request begin with it."""

from dataclasses import dataclass

from activities.known_orders import KnownOrders, SeenOrder
from domain.case import Case
from domain.order import Order, OrderState
from domain.request import CancellationRequest
from providers.cancellations.port import Register
from providers.orders.port import Orders
from providers.outbox.port import DeferredRequest, Outbox


@dataclass(frozen=True)
class IncomingRequest:
    """`seen` is the order that it is about. `deferred`: what was kept under its id while it waited for another cancellation
    to end; None: it never had to wait."""

    request: CancellationRequest
    seen: SeenOrder
    deferred: DeferredRequest | None

    @property
    def order(self) -> Order:
        return self.seen.order

    @property
    def own_case(self) -> Case | None:
        """The cancellation that the request has opened or joined before."""
        return self.seen.known.of_request(self.request.request_id)

    @property
    def case(self) -> Case:
        """The cancellation that the request meets: the one under way, else its own, else the one that has taken out the
        last of the order. Empty: there is none."""
        carried_out = self.order.state is OrderState.CANCELLED
        return self.seen.known.case_for(self.request.request_id, carried_out=carried_out)

    # Rule: The same request id with other content is a conflict [by the books]
    def conflicts_with(self, case: Case) -> bool:
        """Whether its id was used before with other content: in this cancellation, or by a request that had to wait."""
        kept = self.deferred
        return case.conflicts_with(self.request) or (kept is not None and kept.request.content != self.request.content)


class IncomingRequests:
    def __init__(self, orders: Orders, register: Register, outbox: Outbox) -> None:
        self._known = KnownOrders(orders, register)
        self._outbox = outbox

    async def read(self, request: CancellationRequest) -> IncomingRequest | None:
        """None: the order does not exist, or is another customer's; nobody learns which."""
        deferred = await self._outbox.find_deferred(request.order_id, request.request_id)
        was_theirs = deferred is not None and deferred.request.content == request.content
        seen = await self._known.read_owned(request, was_theirs=was_theirs)
        return IncomingRequest(request, seen, deferred) if seen else None
