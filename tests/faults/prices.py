"""What the units of an order cost. Counted here once more, because the product's own arithmetic is what is checked."""

from collections.abc import Mapping
from typing import NamedTuple

from domain.order import Order
from tests.faults.model import World


class Costs(NamedTuple):
    """By line and of the shipping charge, after the discount, and what of each is tax."""

    lines: Mapping[str, int]
    shipping: int
    taxes: Mapping[str, int]
    shipping_tax: int


def price_of(world: World, units: Mapping[str, int]) -> int:
    """What so many units of each line cost, with the shipping charge where none is left."""
    shipping = after_discount(world.order).shipping if _is_all(world.order, units) else 0
    return price_of_units(world.order, units) + shipping


def price_of_units(order: Order, units: Mapping[str, int]) -> int:
    """Without any shipping charge."""
    return _share_of(order, after_discount(order).lines, units)


def tax_of(world: World, units: Mapping[str, int]) -> int:
    """What of that is tax."""
    costs = after_discount(world.order)
    return _share_of(world.order, costs.taxes, units) + (costs.shipping_tax if _is_all(world.order, units) else 0)


def _share_of(order: Order, amounts: Mapping[str, int], units: Mapping[str, int]) -> int:
    return sum(amounts[line.line_id] * units.get(line.line_id, 0) // line.quantity for line in order.lines)


def _is_all(order: Order, units: Mapping[str, int]) -> bool:
    return all(units.get(line.line_id, 0) == line.quantity for line in order.lines)


def after_discount(order: Order) -> Costs:
    """The discount is taken off by largest remainders, and what is tax shrinks with what it is a part of."""
    costs = [*(line.total.amount for line in order.lines), order.shipping.amount]
    discount, whole = order.discount.amount if order.discount else 0, sum(costs)
    off = [discount * cost // whole if whole else 0 for cost in costs]
    largest = sorted(range(len(costs)), key=lambda at: -(discount * costs[at] % max(whole, 1)))
    for at in largest[: discount - sum(off)]:
        off[at] += 1
    left = [cost - part for cost, part in zip(costs, off, strict=True)]
    taxes = [*(line.tax.amount for line in order.lines), order.shipping_tax.amount if order.shipping_tax else 0]
    *of_lines, shipping_tax = (
        tax * after // before if before else tax for tax, after, before in zip(taxes, left, costs, strict=True)
    )
    names = [line.line_id for line in order.lines]
    return Costs(
        lines=dict(zip(names, left[:-1], strict=True)),
        shipping=left[-1],
        taxes=dict(zip(names, of_lines, strict=True)),
        shipping_tax=shipping_tax,
    )
