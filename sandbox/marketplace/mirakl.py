"""Mirakl's seller API: OR11, OR28 and OR30, of a shop that sells in one currency at a time and without tax in its prices."""

import math
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from domain.money import Money
from sandbox.marketplace.answers import MODE, Json, made_json, order_json
from sandbox.marketplace.faults import FaultyRoute, problem
from sandbox.marketplace.ledger import Declined, Demand, Ledger
from sandbox.marketplace.model import MARKETPLACE_KEY, Kind, Operation


class Problem(Exception):
    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class Pace:
    """How often the list of orders may be read: Mirakl's contract says once a minute, for many orders at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = float("-inf")

    def check(self) -> None:
        left = self._last + self._seconds - time.monotonic()
        if left > 0:
            raise Problem(429, "The orders are listed too often", math.ceil(left))
        self._last = time.monotonic()


async def the_ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


Sales = Annotated[Ledger, Depends(the_ledger)]


async def _authorised(request: Request) -> None:
    if request.headers.get("authorization") != MARKETPLACE_KEY:
        raise Problem(401, "Unauthorized")


router = APIRouter(prefix="/api", route_class=FaultyRoute, dependencies=[Depends(_authorised)])


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _as_number(given: Any) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError("not a number")
    return Decimal(str(given))


Number = Annotated[Decimal, BeforeValidator(_as_number), Field(ge=0)]


class Amount(Body):
    """Of a tax, or of a fee."""

    code: str
    amount: Number


class Asked(Body):
    order_line_id: str
    quantity: Annotated[int, Field(ge=0)]
    amount: Number
    shipping_amount: Number
    currency_iso_code: str
    reason_code: str
    taxes: list[Amount] | None = None
    shipping_taxes: list[Amount] | None = None
    fees: list[Amount] = []


class AskedRefund(Asked):
    excluded_from_shipment: bool = False


class Cancel(Body):
    cancelations: Annotated[list[Asked], Field(min_length=1)]
    order_tax_mode: Literal["TAX_INCLUDED", "TAX_EXCLUDED"] | None = None


class RefundLines(Body):
    refunds: Annotated[list[AskedRefund], Field(min_length=1)]
    order_tax_mode: Literal["TAX_INCLUDED", "TAX_EXCLUDED"] | None = None


@router.get("/orders", name=Operation.ORDERS_READ)
async def list_orders(
    request: Request,
    ledger: Sales,
    order_ids: str | None = None,
    most: Annotated[int, Query(alias="max", ge=1, le=100)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Json:
    """In pages of ten, where nothing else is said."""
    pace: Pace = request.app.state.pace
    pace.check()
    wanted = order_ids.split(",") if order_ids else None
    if wanted and len(wanted) > 100:
        raise Problem(400, "order_ids: 100 at most")
    sales = [sale for sale in ledger.sales() if wanted is None or sale.order_id in wanted]
    page = [order_json(sale, can_cancel=ledger.may_cancel(sale)) for sale in sales[offset : offset + most]]
    return {"orders": page, "total_count": len(sales)}


@router.put("/orders/cancel", name=Operation.ORDERS_CANCEL)
async def cancel(body: Cancel, ledger: Sales) -> Json:
    made = _take_back(ledger, Kind.CANCELATION, body.cancelations)
    return {"cancelations": made, "order_tax_mode": MODE}


@router.put("/orders/refund", name=Operation.ORDERS_REFUND)
async def refund(body: RefundLines, ledger: Sales) -> Json:
    """A refund of goods that stay in the shipment would be a gift: nobody here makes one."""
    if not all(refund.excluded_from_shipment for refund in body.refunds):
        raise Problem(400, "excluded_from_shipment is missing")
    made = _take_back(ledger, Kind.REFUND, body.refunds)
    return {"refunds": made, "order_tax_mode": MODE}


def _take_back(ledger: Ledger, kind: Kind, asked: Sequence[Asked]) -> list[Json]:
    sale = ledger.sale_with(asked[0].order_line_id)
    if sale is None:
        raise Problem(404, f"Order line {asked[0].order_line_id} not found")
    if any(demand.currency_iso_code != sale.currency for demand in asked):
        raise Problem(400, "The currency is not that of the shop")

    def minor(amount: Decimal) -> int:
        return Money.parse(str(amount), sale.currency).amount

    try:
        demands = [
            Demand(
                line_id=demand.order_line_id,
                quantity=demand.quantity,
                amount=minor(demand.amount),
                shipping=minor(demand.shipping_amount),
                tax=None if demand.taxes is None else sum(minor(tax.amount) for tax in demand.taxes),
                reason_code=demand.reason_code,
                fees={fee.code: minor(fee.amount) for fee in demand.fees},
            )
            for demand in asked
        ]
        made = ledger.take_back(sale, kind, demands)
    except (Declined, ValueError) as declined:
        raise Problem(400, str(declined)) from declined
    return [made_json(sale, cancelation, demand.line_id) for cancelation, demand in zip(made, demands, strict=True)]


def install(app: FastAPI) -> None:
    app.include_router(router)

    @app.exception_handler(Problem)
    async def refuse(_: Request, refused: Problem) -> Response:
        return problem(refused.status, refused.message, refused.retry_after)
