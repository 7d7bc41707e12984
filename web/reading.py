"""The endpoints that only look: where a cancellation stands, lists of them, and the reasons for one."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime

from client.errors import ExitCode, OrderNotFound, StarterError
from client.listing import Filter, SummaryPage
from client.status import Source, Status
from domain.outcome import State
from domain.permissions import may_see
from domain.request import NEEDS_NOTE, Actor, ActorKind, BusinessId, ReasonCode
from domain.step import Owner
from web.bodies import CancellationRecord, OrderHistory, PermittedReason, ReasonList
from web.callers import Caller, check_names_customer
from web.parameters import OrderId, refuse_unknown_parameters
from web.parts import SharedParts
from web.problems import COMMON, RETRY_AFTER, Code, HttpProblem, hide_existence_from, is_of, responses_of

OwnerId = Annotated[BusinessId | None, Query(description="Who must own the order.")]

reading = APIRouter(tags=["cancellations"], dependencies=[Depends(refuse_unknown_parameters)])


@reading.get(
    "/orders/{order_id:path}/cancellation",
    summary="Where it stands",
    responses=responses_of(*COMMON, Code.OUTSIDE_SCOPE, Code.NO_CANCELLATION, Code.ORDER_NOT_FOUND),
)
async def get_cancellation(
    order_id: OrderId,
    caller: Caller,
    parts: SharedParts,
    customer_id: OwnerId = None,
) -> Status:
    """The order's latest cancellation: goods, money and paper, what it waits for, and each step. When it is over, its
    outcome. With `customer_id` the answer is the same for an order that is unknown and for somebody else's."""
    check_names_customer(caller, customer_id, f"about order {order_id}")
    library = await parts.temporal.cancellations()
    if customer_id is None:
        return await library.status(order_id)
    customer = Actor(kind=ActorKind.CUSTOMER, id=customer_id)
    async with hide_existence_from(customer, order_id, parts.register):
        found = await library.status(order_id)
        is_theirs: bool | None = found.customer_id == customer_id
        if found.customer_id is None and found.source is not Source.RESULT:
            is_theirs = await is_of(customer, order_id, parts.register)
        if is_theirs is None:
            raise HttpProblem(
                Code.UNAVAILABLE,
                f"Whose order {order_id} is cannot be read at the moment; ask again.",
                {"Retry-After": str(RETRY_AFTER)},
            )
        if not is_theirs:
            raise OrderNotFound(f"Order {order_id} is not of this customer.")
    return found


@reading.get("/cancellations", summary="List cancellations", responses=responses_of(*COMMON, Code.OUTSIDE_SCOPE))
async def list_cancellations(
    *,
    caller: Caller,
    parts: SharedParts,
    order_id: Annotated[BusinessId | None, Query(description="Only those of this order.")] = None,
    customer_id: Annotated[BusinessId | None, Query(description="Only those of this customer's orders.")] = None,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    owner: Annotated[Owner | None, Query(description="Only those that wait for this owner.")] = None,
    overdue: Annotated[bool, Query(description="Only those whose wait is overdue.")] = False,
    since: Annotated[
        AwareDatetime | None, Query(description="Only those whose run began then or later; ISO 8601 with the offset.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="`next_cursor` of the page before, with the same filters.")
    ] = None,
) -> SummaryPage:
    """The latest, running ones first. The list lags a moment behind the cancellations."""
    check_names_customer(caller, customer_id, "for the list")
    orders = None if order_id is None else {order_id}
    if customer_id is not None:
        theirs = set(await parts.register.orders_of_customer(customer_id))
        orders = theirs if orders is None else orders & theirs
    which = Filter(
        order_ids=None if orders is None else tuple(sorted(orders)),
        state=state,
        owner=owner,
        overdue=datetime.now(UTC) if overdue else None,
        since=since,
    )
    library = await parts.temporal.cancellations()
    try:
        return await library.list(which, limit=limit, cursor=cursor)
    except StarterError as error:
        if error.code is not ExitCode.WRONG_INPUT:
            raise
        raise RequestValidationError(
            [{"type": "value_error", "loc": ("query", "cursor"), "msg": error.sentence.rstrip(".")}]
        ) from None


# Rule: All cancellations of an order can be read, also those that Temporal has forgotten
@reading.get(
    "/orders/{order_id:path}/cancellations",
    summary="All cancellations of an order",
    responses=responses_of(*COMMON, Code.OUTSIDE_SCOPE),
)
async def list_order_cancellations(
    order_id: OrderId, caller: Caller, parts: SharedParts, customer_id: OwnerId = None
) -> OrderHistory:
    """Those that our books know, the latest first, however long ago: a request that the policy has rejected is one too. With
    `customer_id` the list of somebody else's order is empty, like that of an unknown one."""
    check_names_customer(caller, customer_id, f"about order {order_id}")
    cases = (await parts.register.of_order(order_id)).cases
    if customer_id is not None:
        customer = Actor(kind=ActorKind.CUSTOMER, id=customer_id)
        cases = [case for case in cases if may_see(case, customer)]
    return OrderHistory(cancellations=[CancellationRecord.of(case) for case in reversed(cases)])


# Rule: A caller can read which reasons it may give
@reading.get("/reasons", summary="Reasons that the caller may give", responses=responses_of(*COMMON))
async def list_reasons(caller: Caller, parts: SharedParts) -> ReasonList:
    """By the merchant's policy and the scope of the key. A service gives those of `customer` for a customer that it names,
    and those of `system` by itself. Whether a reason holds for an order, its quote says."""
    found = []
    for reason in filter(caller.may_give, ReasonCode):
        actors = [kind for kind in sorted(caller.kinds) if reason in parts.policy.reasons.get(kind, ())]
        if actors:
            found.append(PermittedReason(reason=reason, actors=actors, needs_note=reason in NEEDS_NOTE))
    return ReasonList(reasons=found)
