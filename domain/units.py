"""Units by order line. Lines, parcels, plans and requests all name a line and a quantity; one line may be named several
times, such as once for each of its parcels."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol


class LinePart(Protocol):
    """So many units of an order line."""

    @property
    def line_id(self) -> str: ...

    @property
    def quantity(self) -> int: ...


def units_by_line(parts: Iterable[LinePart]) -> Counter[str]:
    """How many units of each line the parts come to together; lines in the order in which they are named first."""
    units = Counter[str]()
    for part in parts:
        units[part.line_id] += part.quantity
    return units
