"""django-oscar as an order management system: the worked example of docs/providers.md, and no part of the product.

Oscar has no word for "so many units of this line are cancelled", so they are a shipping event of the type `Cancelled`; what
the warehouse sends is one of the type `Shipped`, whose notes hold label and tracking number. It cannot freeze an order.
"""

from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction
from oscar.core.loading import get_class, get_model

from domain.closing import Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Contact, Order, OrderLine, Tender, TenderKind
from domain.shipment import Shipment, ShipmentLine
from providers.orders.plain import PlainOrders

OscarOrder = get_model("order", "Order")
ShippingEvent = get_model("order", "ShippingEvent")
ShippingEventType = get_model("order", "ShippingEventType")
Source = get_model("payment", "Source")
EventHandler = get_class("order.processing", "EventHandler")


class OscarOrders(PlainOrders):
    async def read(self, order_id: str) -> Order:
        return await sync_to_async(self._read)(order_id)

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        await sync_to_async(self._close)(order_id, closing)

    def _read(self, order_id: str) -> Order:
        try:
            found = OscarOrder.objects.get(number=order_id)
        except OscarOrder.DoesNotExist:
            raise Refused(
                ErrorCode.ORDER_NOT_FOUND, f"The shop has no order {order_id}. Check the order number and ask again."
            ) from None
        except OperationalError as error:
            raise Unavailable("The shop's database is not reachable at the moment.") from error

        def amount(price: Decimal) -> Money:
            return Money.parse(str(price), found.currency)

        return Order(
            order_id=found.number,
            customer_id=found.user.username,
            placed_at=found.date_placed,
            currency=found.currency,
            lines=tuple(
                OrderLine(
                    line_id=str(line.pk),
                    sku=line.partner_sku,
                    title=line.title,
                    quantity=line.quantity,
                    total=amount(line.line_price_incl_tax),
                    tax=amount(line.line_price_incl_tax - line.line_price_excl_tax),
                    cancelled=line.shipping_event_quantity(event_type("Cancelled")),
                )
                for line in found.lines.all()
            ),
            tenders=tuple(
                Tender(
                    tender_id=str(source.pk),
                    kind=TenderKind.CARD,
                    amount=amount(source.amount_allocated),
                    reference=source.reference,
                )
                for source in Source.objects.filter(order=found).order_by("pk")
            ),
            shipments=tuple(
                _parcel(event)
                for event in found.shipping_events.filter(event_type=event_type("Shipped")).order_by("pk")
            ),
            shipping=amount(found.shipping_incl_tax),
            shipping_tax=amount(found.shipping_incl_tax - found.shipping_excl_tax),
            contact=Contact(email=found.email),
        )

    def _close(self, order_id: str, closing: Closing) -> None:
        with transaction.atomic():
            order = OscarOrder.objects.select_for_update().get(number=order_id)
            cancelled = event_type("Cancelled")
            event = None
            for line_id, target in closing.targets.items():
                line = order.lines.get(pk=line_id)
                missing = target - line.shipping_event_quantity(cancelled)
                if missing <= 0:
                    continue  # an earlier attempt has taken them out
                promised = min(missing, line.num_allocated)
                if promised:
                    EventHandler().cancel_stock_allocations(order, [line], [promised])
                event = event or ShippingEvent.objects.create(order=order, event_type=cancelled)
                event.line_quantities.create(line=line, quantity=missing)


def event_type(name: str) -> Any:
    return ShippingEventType.objects.get_or_create(name=name)[0]


def _parcel(event: Any) -> Shipment:
    label, _, tracking = event.notes.partition(" ")
    return Shipment(
        shipment_id=f"S{event.pk}",
        lines=tuple(
            ShipmentLine(line_id=str(part.line_id), quantity=part.quantity) for part in event.line_quantities.all()
        ),
        carrier="UPS",
        label_reference=label or None,
        tracking_number=tracking or None,
    )
