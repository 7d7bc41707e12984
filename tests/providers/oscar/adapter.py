"""django-oscar as an order management system: the worked example of docs/providers.md, and no part of the product.

Oscar has no word for "so many units of this line are cancelled", so they are a shipping event of the type `Cancelled`. A
parcel is an event too, whose notes hold label and tracking number: `Shipped`, with its stock consumed; once a cancellation
has stopped it `Stopped`, with its stock in the warehouse again, or `Coming back`. It cannot freeze an order.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction
from django.db.models import F
from oscar.core.loading import get_class, get_model

from domain.closing import Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.findings import Subject
from domain.keys import EffectKey
from domain.money import Money, exponent
from domain.order import Contact, Order, OrderLine, Tender, TenderKind
from domain.shipment import Shipment, ShipmentLine
from providers.orders.plain import PlainOrders
from providers.orders.port import GivenBack

OscarOrder = get_model("order", "Order")
Line = get_model("order", "Line")
ShippingEvent = get_model("order", "ShippingEvent")
ShippingEventType = get_model("order", "ShippingEventType")
Source = get_model("payment", "Source")
StockRecord = get_model("partner", "StockRecord")
EventHandler = get_class("order.processing", "EventHandler")


class OscarOrders(PlainOrders):
    told_by_read = frozenset({Subject.LABELS})

    async def read(self, order_id: str) -> Order:
        return await sync_to_async(self._read)(order_id)

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        await sync_to_async(self._close)(order_id, closing)

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        await sync_to_async(self._note_given_back)(order_id, given, key.cancellation_id)

    def _read(self, order_id: str) -> Order:
        with _transaction(order_id) as found:
            return self._order(found)

    def _order(self, found: Any) -> Order:
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
            shipments=tuple(_parcel(event) for event in _parcels(found)),
            shipping=amount(found.shipping_incl_tax),
            shipping_tax=amount(found.shipping_incl_tax - found.shipping_excl_tax),
            contact=Contact(email=found.email),
        )

    def _close(self, order_id: str, closing: Closing) -> None:
        with _transaction(order_id) as order:
            for parcel in _parcels(order):
                self._move(parcel, closing)
            elsewhere = Counter[str]()
            for part in closing.lines:
                elsewhere[part.line_id] += part.quantity if part.shipment_id in closing.gone else 0
            cancelled = event_type("Cancelled")
            event = None
            for line_id, target in closing.targets.items():
                line = order.lines.get(pk=line_id)
                missing = min(target, line.quantity) - line.shipping_event_quantity(cancelled)
                if missing <= 0:
                    continue  # an earlier attempt has taken them out
                self._release(line, missing, elsewhere[line_id])
                event = event or ShippingEvent.objects.create(order=order, event_type=cancelled)
                event.line_quantities.create(line=line, quantity=missing)

    def _note_given_back(self, order_id: str, given: Sequence[GivenBack], cancellation_id: str) -> None:
        with _transaction(order_id) as order:
            for source in order.sources.all():
                source.transactions.filter(txn_type="Refund", status=cancellation_id).delete()
                for part in given:
                    if part.tender_id == str(source.pk):
                        source.transactions.create(
                            txn_type="Refund",
                            amount=price(part.amount),
                            reference=part.reference,
                            status=cancellation_id,
                        )
                refunds = source.transactions.filter(txn_type="Refund")
                source.amount_refunded = sum((refund.amount for refund in refunds), Decimal())
                source.save()

    def _release(self, line: Any, missing: int, elsewhere: int) -> None:
        """So many of the units that leave the order have left the warehouse, and their allocation was consumed then."""
        promised = min(missing - elsewhere, line.num_allocated)
        if promised > 0:
            EventHandler().cancel_stock_allocations(line.order, [line], [promised])

    def _move(self, parcel: Any, closing: Closing) -> None:
        """By what has become of a parcel. Its own type says what is done already."""
        name, was = _name(parcel), parcel.event_type.name
        if name in closing.stopped:
            now = "Coming back" if name in closing.gone else "Stopped"
        else:
            now = "Shipped" if name in closing.gone else was
        ours = Counter[str]()
        for line in closing.lines:
            ours[line.line_id] += line.quantity if line.shipment_id == name else 0
        for part in parcel.line_quantities.all():
            self._count(part, ours[str(part.line_id)], back=now == "Stopped" != was, left=was == "Stopped" != now)
        parcel.event_type = event_type(now)
        parcel.save()

    def _count(self, part: Any, ours: int, *, back: bool, left: bool) -> None:
        """Back in the warehouse, all of it is promised as it was before. Where it has left after all, ours is not promised
        any more."""
        if back:
            add(part.line, in_stock=part.quantity, allocated=part.quantity)
        if left:
            add(part.line, in_stock=-part.quantity, allocated=ours - part.quantity)


@contextlib.contextmanager
def _transaction(order_id: str) -> Iterator[Any]:
    """The order, locked."""
    try:
        with transaction.atomic():
            yield OscarOrder.objects.select_for_update().get(number=order_id)
    except OscarOrder.DoesNotExist:
        raise Refused(
            ErrorCode.ORDER_NOT_FOUND, f"The shop has no order {order_id}. Check the order number and ask again."
        ) from None
    except OperationalError as error:
        raise Unavailable("The shop's database is not reachable at the moment.") from error


def price(amount: Money) -> Decimal:
    return Decimal(amount.amount).scaleb(-exponent(amount.currency))


def add(line: Any, *, in_stock: int, allocated: int) -> None:
    """To what its stock record counts, and to the line's own promise."""
    Line.objects.filter(pk=line.pk).update(num_allocated=F("num_allocated") + allocated, allocation_cancelled=False)
    StockRecord.objects.filter(pk=line.stockrecord_id).update(
        num_in_stock=F("num_in_stock") + in_stock, num_allocated=F("num_allocated") + allocated
    )


def event_type(name: str) -> Any:
    return ShippingEventType.objects.get_or_create(name=name)[0]


def _parcels(order: Any) -> list[Any]:
    kinds = ("Shipped", "Stopped", "Coming back")
    return list(order.shipping_events.filter(event_type__name__in=kinds).select_related("event_type").order_by("pk"))


def _name(parcel: Any) -> str:
    return f"S{parcel.pk}"


def _parcel(event: Any) -> Shipment:
    label, _, tracking = event.notes.partition(" ")
    return Shipment(
        shipment_id=_name(event),
        lines=tuple(
            ShipmentLine(line_id=str(part.line_id), quantity=part.quantity) for part in event.line_quantities.all()
        ),
        carrier="UPS",
        label_reference=label or None,
        tracking_number=tracking or None,
        stopped=event.event_type.name != "Shipped",
    )
