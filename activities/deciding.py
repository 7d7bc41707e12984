"""The decision about a request, by policy, on what the order's providers say now."""

import asyncio
from datetime import UTC, datetime
from functools import partial

from activities.tenders import Payments
from activities.together import read_together
from domain.facts import Decided, Requested
from domain.keys import id_of
from domain.order import Order
from domain.payment import Payment
from domain.policy import CustomerHistory, Policy
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Tracking
from providers.cancellations.port import Register
from providers.carrier.port import Labels
from providers.stored_value.port import StoredValue


class Deciding:
    def __init__(
        self, *, register: Register, stored_value: StoredValue, payments: Payments, labels: Labels, policy: Policy
    ) -> None:
        self._register = register
        self._stored_value = stored_value
        self._payments = payments
        self._labels = labels
        self._policy = policy

    async def decide(self, order: Order, requested: Requested) -> Decided:
        """Decision and plan by policy, on the live truth. Providers are not asked about a request that the order's own data
        rules out."""
        if no := self._policy.reject_by_order(order, requested.request):
            return Decided(decision=no, customer_id=order.customer_id)
        now = datetime.now(UTC)  # the clock by which the shop has set `placed_at`
        payments, trackings = await asyncio.gather(self._read_payments(order), self.read_trackings(order))
        decision, plan = self._policy.decide(
            cancellation_id=id_of(requested.request),
            order=order,
            request=requested.request,
            payments=payments,
            trackings=trackings,
            history=await self._read_history(order, now),
            now=now,
            learnt_at=requested.at,
        )
        return Decided(decision=decision, plan=plan, customer_id=order.customer_id)

    async def _read_history(self, order: Order, now: datetime) -> CustomerHistory:
        abuse = self._policy.abuse
        if abuse is None:
            return CustomerHistory()
        return await self._register.history(order.customer_id, now - abuse.within, but=order.order_id)

    async def _read_payments(self, order: Order) -> dict[str, Payment]:
        return await read_together(
            {
                tender.tender_id: partial(self._payments.read, order.order_id, tender, fresh=False)
                for tender in order.tenders
            }
        )

    async def read_trackings(self, order: Order) -> dict[str, Tracking]:
        return await read_together(
            {shipment.shipment_id: partial(self.read_tracking, shipment) for shipment in order.shipments}
        )

    async def read_tracking(self, shipment: Shipment) -> Tracking:
        """Where the shipment's goods are: by its carrier, or by the account of a gift card."""
        if shipment.gift_card and shipment.lines:
            used = await self._stored_value.gift_card_used(shipment.gift_card)
            return Tracking(group=GoodsGroup.DELIVERED if used else GoodsGroup.NOT_HANDED_OVER, label=LabelStatus.NONE)
        if shipment.label_reference and shipment.lines:
            return await self._labels.track(shipment.label_reference)
        # In the warehouse, or emptied by an earlier cancellation, unless the OMS says otherwise.
        group = (shipment.lines and shipment.group) or GoodsGroup.NOT_HANDED_OVER
        return Tracking(group=group, label=LabelStatus.NONE)
