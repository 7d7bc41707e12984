"""What becomes of a request that meets a cancellation of its order. Requests that cover the same are one cancellation,
however they are written; any other one has to wait for its end."""

from collections.abc import Sequence
from enum import StrEnum

from domain.case import Case
from domain.decision import Gate, Rule, Verdict
from domain.facts import Decided, Fact, Joined, Requested
from domain.order import Order
from domain.policy import NOT_AGAINST_A_RIGHT, is_statutory
from domain.request import CancellationRequest, ReasonCode
from domain.units import units_by_line


class Meeting(StrEnum):
    """UNDER_WAY: refused, to be sent again by its sender. DEFERRED: kept, acknowledged, and sent again by the product."""

    JOINS = "joins"
    UNDER_WAY = "under_way"
    DEFERRED = "deferred"


# Rule: A further request joins, is refused as under way, or is deferred
def meet(order: Order, under_way: Case, opened: Requested, request: CancellationRequest) -> Meeting:
    """`under_way` is what the books know of the order's cancellation, and `opened` is what the run that was met began with.
    The request's own cancellation has not ended, and its id was not used for another one."""
    # A run whose own request is refused without the books opens nothing in its name.
    refused = not order.is_of(opened.request.customer_id) or under_way.conflicts_with(opened.request)
    case = under_way if under_way.request else Case.opened_by(opened)
    if not refused and _takes_request(case, request) and same_scope(order, case, request):
        return Meeting.JOINS
    return meet_without_joining(request)


def meet_without_joining(request: CancellationRequest) -> Meeting:
    """What becomes of one that does not join: the law does not let a statutory withdrawal be sent again by its sender."""
    return Meeting.DEFERRED if request.reason is ReasonCode.STATUTORY_WITHDRAWAL else Meeting.UNDER_WAY


def under_way_sentence(order_id: str, cancellation_id: str, advice: str) -> str:
    """What the sender of a request hears that does not join. `advice`: when to ask again, or that it is kept."""
    return f"Another cancellation of order {order_id} is under way ({cancellation_id}). {advice}"


def joining_facts(order: Order, case: Case, request: CancellationRequest) -> Sequence[Fact]:
    """What is kept when the request joins this cancellation; nothing when it has joined before, or does not."""
    if case.has(request) or not _takes_request(case, request) or not same_scope(order, case, request):
        return []
    decided = with_rights(order, case.decided, request) if case.decided and not case.approved else case.decided
    return [Joined(request=request), *([decided] if decided and decided != case.decided else [])]


def _takes_request(case: Case, request: CancellationRequest) -> bool:
    """As long as it is not decided, the limit of the one who opened it may reject it. Nobody joins that who may have more
    given back: the limit is not theirs."""
    opened = case.request
    is_bounded = case.decided is None and opened is not None and opened.exceeded_by_limit_of(request)
    return not case.ended and case.roll_back_cause is None and not is_bounded


def with_rights(order: Order, decided: Decided, *requests: CancellationRequest) -> Decided:
    """The decision when these have asked as well: a statutory withdrawal makes an approval needless that does not stand
    against it. One that is sent under a limit frees no more money than that."""
    plan = decided.plan
    rights = [
        request
        for request in requests
        if is_statutory(order, request) and not (plan is not None and plan.exceeds(request.at_most))
    ]
    if not rights or decided.decision.rule not in NOT_AGAINST_A_RIGHT or decided.decision.gate is Gate.NONE:
        return decided
    sentence = f"The customer withdraws from order {order.order_id} by right, so nobody has to approve."
    approved = {"verdict": Verdict.APPROVED, "rule": Rule.WITHIN_POLICY, "gate": Gate.NONE, "sentence": sentence}
    return decided.model_copy(update={"decision": decided.decision.model_copy(update=approved)})


def same_scope(order: Order, case: Case, request: CancellationRequest) -> bool:
    """Whether a request covers what the cancellation was opened for. All units of all lines are the whole order.

    Units that this cancellation has taken out of the order already count as if they were in it: what was asked for
    first does not become something else when it is carried out."""
    opened = case.request
    remaining = {line.line_id: line.remaining for line in order.lines}
    if case.ever_closed and case.plan is not None:
        taken_out = units_by_line(case.plan.lines)
        remaining = {line_id: units + taken_out[line_id] for line_id, units in remaining.items()}
    everything = {line_id: units for line_id, units in remaining.items() if units}
    return opened is not None and _normalised(everything, opened) == _normalised(everything, request)


def _normalised(everything: dict[str, int], request: CancellationRequest) -> tuple[frozenset[tuple[str, int]], bool]:
    asked = everything if request.whole_order else {scope.line_id: scope.quantity for scope in request.lines}
    return frozenset(asked.items()), request.shipping and asked != everything
