"""What is wrong with an order's own data. No plan can be made of such an order: it is refused before anything is held, in a
sentence that says what is to be corrected."""

from collections import Counter
from collections.abc import Iterator, Mapping

from domain.country import countries
from domain.money import Money
from domain.order import Order
from domain.payment import Payment

_CORRECT = "Correct it in the order management system, then ask again under a new request id."


# Rule: An order whose own data cannot be right is refused
def defect_of(order: Order) -> str | None:
    """The first of them."""
    return next((f"{sentence} {_CORRECT}" for sentence in _defects(order)), None)


# Rule: A payment in another currency than its order is refused
def foreign_payment(order: Order, payments: Mapping[str, Payment]) -> str | None:
    """A tender, by its id, whose provider has it in another currency than the order's."""
    for tender in order.tenders:
        currency = payments[tender.tender_id].captured.currency
        if currency != order.currency:
            kind = tender.kind.replace("_", " ")
            return (
                f"Order {order.order_id} is in {order.currency}, but its tender {tender.tender_id} ({kind}) was paid in "
                f"{currency}. {_CORRECT}"
            )
    return None


def negative_amount(order: Order, amount: Money) -> str:
    """What no plan may come to."""
    return f"By the figures of order {order.order_id}, {amount} would go back to the customer. {_CORRECT}"


def _defects(order: Order) -> Iterator[str]:
    """One after the other: what comes later relies on what comes before."""
    of, amounts = order.order_id, [*_amounts(order)]
    for what, amount in amounts:
        if amount.currency != order.currency:
            yield f"Order {of} is in {order.currency}, but {what} is in {amount.currency}."
    for what, amount in amounts:
        if amount.amount < 0:
            yield f"In order {of}, {what} is {amount}, which is below zero."
    for part, most, what in _parts(order):
        if part > most:
            yield f"In order {of}, {what} is {part}, and cannot be more than {most}."
    for line in order.lines:
        if line.remaining < 0:
            yield f"Of line {line.line_id} of order {of}, {line.cancelled} units are cancelled, and it has {line.quantity}."
    for what, ids in _ids(order):
        for twice in (name for name, times in Counter(ids).items() if times > 1):
            yield f"Order {of} has more than one {what} {twice}."
    known = {line.line_id for line in order.lines}
    for shipment in order.shipments:
        for packed in shipment.lines:
            if packed.line_id not in known:
                yield f"Shipment {shipment.shipment_id} holds line {packed.line_id}, which order {of} does not have."
    if order.country is not None and order.country not in countries():
        yield f"Order {of} goes to {order.country!r}, which is no country by the two letters of ISO 3166-1."
    if order.placed_at.tzinfo is None:
        yield f"The time at which order {of} was placed has no time zone."


def _amounts(order: Order) -> Iterator[tuple[str, Money]]:
    for line in order.lines:
        yield f"line {line.line_id}", line.total
        yield f"the tax of line {line.line_id}", line.tax
    for tender in order.tenders:
        yield f"tender {tender.tender_id}", tender.amount
    yield "the shipping charge", order.shipping
    yield "what is credited of the shipping charge", order.shipping_given_back
    if order.shipping_tax is not None:
        yield "the tax of the shipping charge", order.shipping_tax
    if order.discount is not None:
        yield "the discount", order.discount


def _ids(order: Order) -> Iterator[tuple[str, list[str]]]:
    yield "line", [line.line_id for line in order.lines]
    yield "tender", [tender.tender_id for tender in order.tenders]
    yield "shipment", [shipment.shipment_id for shipment in order.shipments]


def _parts(order: Order) -> Iterator[tuple[Money, Money, str]]:
    for line in order.lines:
        yield line.tax, line.total, f"the tax of line {line.line_id}"
    yield order.shipping_given_back, order.shipping, "what is credited of the shipping charge"
    if order.shipping_tax is not None:
        yield order.shipping_tax, order.shipping, "the tax of the shipping charge"
    if order.discount is not None:
        yield order.discount, order.price, "the discount"
