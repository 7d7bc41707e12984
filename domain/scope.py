"""What a request covers: two requests that cover the same are one cancellation, however they are written."""

from collections import Counter

from domain.case import Case
from domain.order import Order
from domain.request import CancellationRequest


def same_scope(order: Order, case: Case, request: CancellationRequest) -> bool:
    """Whether a request covers what the cancellation was opened for. All units of all lines are the whole order.

    Units that this cancellation has taken out of the order already count as if they were in it: what was asked for
    first does not become something else when it is carried out."""
    opened = case.request
    remaining = {line.line_id: line.remaining for line in order.lines}
    if case.ever_closed and case.plan is not None:
        taken_out: Counter[str] = Counter()
        for line in case.plan.lines:
            taken_out[line.line_id] += line.quantity
        remaining = {line_id: units + taken_out[line_id] for line_id, units in remaining.items()}
    everything = {line_id: units for line_id, units in remaining.items() if units}
    return opened is not None and _normalised(everything, opened) == _normalised(everything, request)


def _normalised(everything: dict[str, int], request: CancellationRequest) -> tuple[frozenset[tuple[str, int]], bool]:
    asked = {scope.line_id: scope.quantity for scope in request.lines} or everything
    return frozenset(asked.items()), request.shipping and asked != everything
