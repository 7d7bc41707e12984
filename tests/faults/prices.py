"""What the units of an order cost. Counted here once more, because the product's own arithmetic is what is checked."""

from domain.order import Order
from tests.faults.model import World


def price_of(world: World, units: dict[str, int]) -> int:
    """What so many units of each line cost, with the shipping charge where none is left."""
    totals, shipping = after_discount(world.order)
    lines = world.order.lines
    goods = sum(totals[line.line_id] * units.get(line.line_id, 0) // line.quantity for line in lines)
    everything = all(units.get(line.line_id, 0) == line.quantity for line in lines)
    return goods + (shipping if everything else 0)


def after_discount(order: Order) -> tuple[dict[str, int], int]:
    """What each line costs, and the shipping charge: the discount is taken off by largest remainders."""
    costs = [*(line.total.amount for line in order.lines), order.shipping.amount]
    discount, whole = order.discount.amount if order.discount else 0, sum(costs)
    off = [discount * cost // whole if whole else 0 for cost in costs]
    largest = sorted(range(len(costs)), key=lambda at: -(discount * costs[at] % max(whole, 1)))
    for at in largest[: discount - sum(off)]:
        off[at] += 1
    *totals, shipping = (cost - part for cost, part in zip(costs, off, strict=True))
    return {line.line_id: total for line, total in zip(order.lines, totals, strict=True)}, shipping
