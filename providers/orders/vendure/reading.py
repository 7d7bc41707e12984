"""An order of Vendure as the domain knows it."""

import re
from fractions import Fraction
from functools import cached_property

from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.order import Contact, Order, OrderFlag, OrderLine, SaleCondition, Tender, TenderKind
from domain.shipment import GoodsGroup, Shipment, ShipmentLine
from providers.orders.vendure.amounts import Amounts
from providers.orders.vendure.answers import Fulfillment, Line, Payment, Snapshot, VendureOrder
from providers.orders.vendure.shop_file import ShopFile

_GROUPS = {"Shipped": GoodsGroup.IN_NETWORK, "Delivered": GoodsGroup.DELIVERED}
_REPLACES = re.compile(r"(?P<method>.*) \(replaces (?P<replaced>[^()]+)\)", re.DOTALL)


def method_of_replacement(fulfillment: Fulfillment) -> str:
    """The method of the fulfillment that is made in place of a cancelled one, which is final in Vendure."""
    return f"{_written_method(fulfillment)} (replaces {fulfillment.id})"


def replacement_of(order: VendureOrder, fulfillment: Fulfillment) -> Fulfillment | None:
    """The fulfillment that was made in place of this one."""
    return next((later for later in order.fulfillments or () if _replaced_by(later) == fulfillment.id), None)


def _replaced_by(fulfillment: Fulfillment) -> str | None:
    found = _REPLACES.fullmatch(fulfillment.method)
    return found["replaced"] if found else None


def _written_method(fulfillment: Fulfillment) -> str:
    """The method as the warehouse has written it."""
    found = _REPLACES.fullmatch(fulfillment.method)
    return found["method"] if found else fulfillment.method


def units_sold(order: VendureOrder, line: Line) -> int:
    """Including those that were cancelled since, and those that staff has added (decision 0094)."""
    return max(line.order_placed_quantity, line.quantity + order.cancelled_units[line.id])


def amounts_of(snapshot: Snapshot) -> Amounts:
    return Amounts(snapshot.order.code, snapshot.order.currency_code, snapshot.precision)


# Rule: An order in a state from which Vendure cannot cancel it is not frozen, and waits [and no money moves]
def why_not_closable(order: VendureOrder) -> str:
    """In most cases staff is changing it."""
    return (
        f"Order {order.code} is {order.state} in Vendure, from where it cannot be cancelled. Finish its change there, or "
        "bring it into another state; it is tried again."
    )


class Reading:
    """One order, read with what VENDURE_FILE says."""

    def __init__(self, snapshot: Snapshot, shop_file: ShopFile) -> None:
        self._order = snapshot.order
        self._placed_at = snapshot.placed_at
        self._language = snapshot.language.replace("_", "-")
        self._amounts = amounts_of(snapshot)
        self._shop_file = shop_file

    # Rule: Vendure's surcharges count as shipping, and its reductions as a discount on the order
    def to_order(self) -> Order:
        found, amounts = self._order, self._amounts
        charges = [surcharge for surcharge in found.surcharges if surcharge.price_with_tax > 0]
        reductions = sum(surcharge.price_with_tax for surcharge in found.surcharges if surcharge.price_with_tax < 0)
        shipping = found.shipping_with_tax + sum(charge.price_with_tax for charge in charges)
        net = found.shipping + sum(charge.price for charge in charges)
        return Order(
            order_id=found.code,
            customer_id=found.customer.id if found.customer else "",
            placed_at=self._placed_at,
            currency=found.currency_code,
            lines=tuple(self._line(line, sold) for line in found.lines if (sold := units_sold(found, line))),
            tenders=tuple(self._tender(payment) for payment in found.paid_by),
            shipments=tuple(
                self.to_shipment(fulfillment)
                for fulfillment in found.fulfillments or ()
                if replacement_of(found, fulfillment) is None
            ),
            shipping=amounts.to_money(shipping),
            shipping_tax=amounts.to_nearest_money(Fraction(shipping - net)),
            discount=amounts.to_money(-reductions) if reductions else None,
            country=(found.shipping_address and found.shipping_address.country_code) or None,
            flags=self._flags(),
            contact=Contact(email=found.customer.email_address, language=self._language) if found.customer else None,
            not_closable=None if found.can_become_cancelled else why_not_closable(found),
        )

    def _line(self, line: Line, sold: int) -> OrderLine:
        total, tax = self._amounts_of_line(line, sold)
        return OrderLine(
            line_id=line.id,
            sku=line.product_variant.sku,
            title=line.product_variant.name,
            quantity=sold,
            total=total,
            tax=tax,
            cancelled=sold - line.quantity,
            condition=self._condition(line),
        )

    def _amounts_of_line(self, line: Line, sold: int) -> tuple[Money, Money]:
        """The total and the tax of all units sold. Vendure keeps those of the units that remain."""
        if line.quantity == sold:
            total = self._amounts.to_money(line.prorated_line_price_with_tax)
            return total, self._amounts.to_nearest_money(
                Fraction(line.prorated_line_price_with_tax - line.prorated_line_price)
            )
        gross, net, scale = (
            (line.prorated_line_price_with_tax, line.prorated_line_price, Fraction(sold, line.quantity))
            if line.quantity
            else (line.unit_price_with_tax, line.unit_price, sold * self._paid_share)
        )
        return self._amounts.to_nearest_money(gross * scale), self._amounts.to_nearest_money((gross - net) * scale)

    # Rule: What was paid tells the reductions of a line of which no unit remains in Vendure
    @cached_property
    def _paid_share(self) -> Fraction:
        """The part of their listed prices that was paid for such lines: what was paid for the order and the rest of it does
        not explain."""
        found = self._order
        listed, explained = 0, Fraction(found.shipping_with_tax)
        explained += sum(surcharge.price_with_tax for surcharge in found.surcharges)
        for line in found.lines:
            sold = units_sold(found, line)
            if line.quantity:
                explained += Fraction(line.prorated_line_price_with_tax * sold, line.quantity)
            else:
                listed += line.unit_price_with_tax * sold
        paid = sum(payment.amount for payment in found.paid_by) - explained
        return paid / listed if 0 <= paid <= listed and listed else Fraction(1)

    def _condition(self, line: Line) -> SaleCondition:
        variant = line.product_variant
        by_field = variant.custom_fields and variant.custom_fields.sale_condition
        if by_field and by_field is not SaleCondition.REGULAR:
            return by_field
        by_facet = (condition for code, condition in self._shop_file.conditions.items() if code in variant.facet_codes)
        return next(by_facet, SaleCondition.REGULAR)

    def _tender(self, payment: Payment) -> Tender:
        if not payment.transaction_id:
            raise Refused(
                ErrorCode.PAYMENT_NOT_FOUND,
                f"Payment {payment.id} of order {self._order.code} has no transaction id in Vendure, so nobody knows which "
                "payment at the gateway it is. Note the gateway's reference there and ask again.",
            )
        return Tender(
            tender_id=payment.id,
            kind=self._shop_file.payment_methods.get(payment.method, TenderKind.CARD),
            amount=self._amounts.to_money(payment.amount),
            reference=payment.transaction_id,
        )

    # Rule: What was in a cancelled fulfillment of Vendure is in no parcel
    # Rule: A fulfillment of several orders in Vendure is stopped by a person
    def to_shipment(self, fulfillment: Fulfillment) -> Shipment:
        """A fulfillment with goods of other orders is read without its label, so that nobody voids the label or has the
        parcel sent back."""
        pattern = self._shop_file.fulfillment_method
        match = re.search(pattern, _written_method(fulfillment)) if pattern else None
        by_method = match.groupdict() if match else {}
        fields = fulfillment.custom_fields
        return Shipment(
            shipment_id=fulfillment.id,
            lines=()
            if fulfillment.is_cancelled
            else tuple(
                ShipmentLine(line_id=part.line_id, quantity=part.quantity)
                for part in self._order.list_own_parts(fulfillment)
            ),
            carrier=(fields and fields.carrier) or by_method.get("carrier") or None,
            label_reference=None
            if self._order.is_shared(fulfillment)
            else (fields and fields.label_reference) or by_method.get("label") or None,
            tracking_number=fulfillment.tracking_code or None,
            stopped=fulfillment.is_cancelled,
            group=_GROUPS.get(fulfillment.state),
        )

    def _flags(self) -> frozenset[OrderFlag]:
        fields, address = self._order.custom_fields, self._order.shipping_address
        flags = set()
        if fields and fields.fraud_review:
            flags.add(OrderFlag.FRAUD_REVIEW)
        by_country = address and address.country_code in self._shop_file.eu_consumer_countries
        if (fields and fields.eu_consumer) or by_country:
            flags.add(OrderFlag.EU_CONSUMER)
        return frozenset(flags)
