"""Orders in django-oscar, and what its staff and its warehouse do."""

from decimal import Decimal

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection
from oscar.core.loading import get_model

from domain.money import Money
from domain.order import Order
from domain.shipment import Shipment
from tests.providers.oscar.adapter import OscarOrders, event_type, price

OscarOrder = get_model("order", "Order")
Line = get_model("order", "Line")
ShippingEvent = get_model("order", "ShippingEvent")
Source = get_model("payment", "Source")
Transaction = get_model("payment", "Transaction")
SourceType = get_model("payment", "SourceType")
Partner = get_model("partner", "Partner")
StockRecord = get_model("partner", "StockRecord")
Product = get_model("catalogue", "Product")
ProductClass = get_model("catalogue", "ProductClass")


class OscarShop:
    def __init__(self, adapter: type[OscarOrders] = OscarOrders) -> None:
        self.restarted = adapter
        self.orders = adapter()

    async def set_reachable(self, reachable: bool) -> None:
        await sync_to_async(self._set_reachable)(reachable)

    async def place_order(self, order: Order) -> str:
        return await sync_to_async(self._place)(order)

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        await sync_to_async(self._event)(order_id, "Cancelled", {line_id: units}, "")

    async def put_back(self, order_id: str) -> None:
        """Staff takes its own cancellation of units back."""
        await sync_to_async(self._put_back)(order_id)

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        notes = f"{parcel.label_reference} {parcel.tracking_number}" if parcel.label_reference else ""
        units = {part.line_id: part.quantity for part in parcel.lines}
        await sync_to_async(self._ship)(order_id, units, notes)

    async def add_payment(self, order_id: str, reference: str, amount: Money) -> None:
        """Staff charges more for the order, and the customer has paid that by another payment."""
        await sync_to_async(self._add_payment)(order_id, reference, price(amount))

    async def replace_payment(self, order_id: str, reference: str) -> None:
        """The customer has paid the order by another card instead."""
        await sync_to_async(self._replace_payment)(order_id, reference)

    async def change_price(self, order_id: str, line_id: str, total: Money) -> None:
        await sync_to_async(self._change_price)(line_id, price(total))

    async def archive(self, order_id: str) -> None:
        """The shop does not keep the order any more."""
        await sync_to_async(OscarOrder.objects.filter(number=order_id).delete)()

    async def relabel(self, order_id: str, parcel: Shipment, by: Shipment) -> None:
        """The warehouse packs the parcel anew, with the label of another one."""
        await sync_to_async(self._relabel)(parcel.shipment_id, f"{by.label_reference} {by.tracking_number}")

    async def for_sale(self, order_id: str, line_id: str) -> int:
        return await sync_to_async(self._for_sale)(line_id)

    async def given_back(self, order_id: str) -> list[tuple[str, Money]]:
        return await sync_to_async(self._given_back)(order_id)

    def _set_reachable(self, reachable: bool) -> None:
        here = connection.settings_dict
        here.setdefault("FILE", here["NAME"])
        here["NAME"] = here["FILE"] if reachable else "/no-such-folder/shop.sqlite"
        connection.close()

    def _given_back(self, order_id: str) -> list[tuple[str, Money]]:
        refunds = Transaction.objects.filter(source__order__number=order_id, txn_type="Refund").select_related("source")
        return [(refund.reference, Money.parse(str(refund.amount), refund.source.currency)) for refund in refunds]

    def _add_payment(self, order_id: str, reference: str, amount: Decimal) -> None:
        order = OscarOrder.objects.get(number=order_id)
        order.shipping_incl_tax += amount
        order.shipping_excl_tax += amount
        order.save()
        first = order.sources.first()
        order.sources.create(
            source_type=first.source_type,
            currency=first.currency,
            amount_allocated=amount,
            amount_debited=amount,
            reference=reference,
        )

    def _replace_payment(self, order_id: str, reference: str) -> None:
        Source.objects.filter(order__number=order_id).update(reference=reference)

    def _change_price(self, line_id: str, total: Decimal) -> None:
        Line.objects.filter(pk=line_id).update(line_price_incl_tax=total, line_price_excl_tax=total)

    def _relabel(self, shipment_id: str, notes: str) -> None:
        ShippingEvent.objects.filter(pk=shipment_id.removeprefix("S")).update(notes=notes)

    def _for_sale(self, line_id: str) -> int:
        return int(Line.objects.get(pk=line_id).stockrecord.net_stock_level)

    def _place(self, order: Order) -> str:
        email = order.contact.email if order.contact else "anna@customer.example"
        user, _ = get_user_model().objects.get_or_create(username=order.customer_id, defaults={"email": email})
        partner, _ = Partner.objects.get_or_create(name="The warehouse")
        kind, _ = ProductClass.objects.get_or_create(name="Furniture", defaults={"track_stock": True})
        value = sum((price(line.total) for line in order.lines), Decimal()) + price(order.shipping)
        placed = OscarOrder.objects.create(
            number=order.order_id,
            user=user,
            currency=order.currency,
            total_incl_tax=value,
            total_excl_tax=value,
            shipping_incl_tax=price(order.shipping),
            shipping_excl_tax=price(order.shipping),
            date_placed=order.placed_at,
        )
        for line in order.lines:
            stock = StockRecord.objects.filter(partner=partner, partner_sku=line.sku).first()
            if stock is None:
                product = Product.objects.create(title=line.title, product_class=kind)
                stock = StockRecord.objects.create(
                    product=product, partner=partner, partner_sku=line.sku, num_in_stock=10, num_allocated=0
                )
            stock.num_in_stock += line.quantity
            stock.save()
            stock.allocate(line.quantity)
            excl = price(line.total) - price(line.tax)
            Line.objects.create(
                order=placed,
                partner=partner,
                partner_sku=line.sku,
                stockrecord=stock,
                product=stock.product,
                title=line.title,
                quantity=line.quantity,
                line_price_incl_tax=price(line.total),
                line_price_excl_tax=excl,
                line_price_before_discounts_incl_tax=price(line.total),
                line_price_before_discounts_excl_tax=excl,
                num_allocated=line.quantity,
            )
        by_card, _ = SourceType.objects.get_or_create(name="Card")
        for tender in order.tenders:
            Source.objects.create(
                order=placed,
                source_type=by_card,
                currency=order.currency,
                amount_allocated=price(tender.amount),
                amount_debited=price(tender.amount),
                reference=tender.reference,
            )
        return order.order_id

    def _event(self, order_id: str, kind: str, units: dict[str, int], notes: str) -> None:
        order = OscarOrder.objects.get(number=order_id)
        event = ShippingEvent.objects.create(order=order, event_type=event_type(kind), notes=notes)
        for line_id, quantity in units.items():
            event.line_quantities.create(line=order.lines.get(pk=line_id), quantity=quantity)

    def _ship(self, order_id: str, units: dict[str, int], notes: str) -> None:
        self._event(order_id, "Shipped", units, notes)
        for line in Line.objects.filter(pk__in=units):
            line.consume_allocation(min(units[str(line.pk)], line.num_allocated))

    def _put_back(self, order_id: str) -> None:
        ShippingEvent.objects.filter(order__number=order_id, event_type=event_type("Cancelled")).delete()
