"""Mirakl's seller API: OR11, OR28 and OR30, of a shop that sells in one currency at a time and without tax in its prices."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel, Field

from domain.money import Money, exponent
from sandbox.marketplace.faults import FaultyRoute, problem
from sandbox.marketplace.ledger import Declined, Demand, Ledger
from sandbox.marketplace.model import MARKETPLACE_KEY, TAX, Cancelation, Kind, LineState, Operation, Sale, SoldLine


class Problem(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


async def the_ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


Sales = Annotated[Ledger, Depends(the_ledger)]


async def _authorised(request: Request) -> None:
    if request.headers.get("authorization") != MARKETPLACE_KEY:
        raise Problem(401, "Unauthorized")


router = APIRouter(prefix="/api", route_class=FaultyRoute, dependencies=[Depends(_authorised)])


class TaxAmount(BaseModel):
    code: str
    amount: Decimal


class Asked(BaseModel):
    order_line_id: str
    quantity: Annotated[int, Field(ge=0)]
    amount: Annotated[Decimal, Field(ge=0)]
    shipping_amount: Annotated[Decimal, Field(ge=0)]
    currency_iso_code: str
    reason_code: str
    taxes: list[TaxAmount] | None = None


class AskedRefund(Asked):
    excluded_from_shipment: bool = False


class Cancel(BaseModel):
    cancelations: Annotated[list[Asked], Field(min_length=1)]
    order_tax_mode: str | None = None


class RefundLines(BaseModel):
    refunds: Annotated[list[AskedRefund], Field(min_length=1)]
    order_tax_mode: str | None = None


_MODE = "TAX_EXCLUDED"
Json = dict[str, Any]


@router.get("/orders", name=Operation.ORDERS_READ)
async def list_orders(order_ids: str, ledger: Sales) -> Json:
    sales = [sale for order_id in order_ids.split(",") if (sale := ledger.sale(order_id))]
    return {"orders": [_order(sale, can_cancel=ledger.may_cancel(sale)) for sale in sales], "total_count": len(sales)}


@router.put("/orders/cancel", name=Operation.ORDERS_CANCEL)
async def cancel(body: Cancel, ledger: Sales) -> Json:
    made = _take_back(ledger, Kind.CANCELATION, body.cancelations)
    return {"cancelations": [{**one, "cancelation_id": one["id"]} for one in made], "order_tax_mode": _MODE}


@router.put("/orders/refund", name=Operation.ORDERS_REFUND)
async def refund(body: RefundLines, ledger: Sales) -> Json:
    """A refund of goods that stay in the shipment would be a gift: nobody here makes one."""
    if not all(one.excluded_from_shipment for one in body.refunds):
        raise Problem(400, "excluded_from_shipment is missing")
    made = _take_back(ledger, Kind.REFUND, body.refunds)
    return {"refunds": [{**one, "refund_id": one["id"]} for one in made], "order_tax_mode": _MODE}


def _take_back(ledger: Ledger, kind: Kind, asked: Sequence[Asked]) -> list[Json]:
    sale = ledger.sale_with(asked[0].order_line_id)
    if sale is None:
        raise Problem(404, f"Order line {asked[0].order_line_id} not found")
    if any(one.currency_iso_code != sale.currency for one in asked):
        raise Problem(400, "The currency is not that of the shop")

    def minor(amount: Decimal) -> int:
        return Money.parse(str(amount), sale.currency).amount

    try:
        demands = [
            Demand(
                line_id=one.order_line_id,
                quantity=one.quantity,
                amount=minor(one.amount),
                shipping=minor(one.shipping_amount),
                tax=None if one.taxes is None else sum(minor(tax.amount) for tax in one.taxes),
                reason_code=one.reason_code,
            )
            for one in asked
        ]
        made = ledger.take_back(sale, kind, demands)
    except (Declined, ValueError) as declined:
        raise Problem(400, str(declined)) from declined
    return [
        {**_cancelation(sale, one), "order_line_id": demand.line_id, "currency_iso_code": sale.currency}
        for one, demand in zip(made, demands, strict=True)
    ]


def _number(sale: Sale, amount: int) -> float:
    """As Mirakl writes it: a number with decimals."""
    return float(Decimal(amount).scaleb(-exponent(sale.currency)))


def _taxes(sale: Sale, amount: int) -> list[Json]:
    """The marketplace's own taxes are not payable to the shop."""
    if not amount:
        return []
    number = _number(sale, amount)
    part = {
        "amount": number,
        "commissionable": False,
        "debitable_from_customer": True,
        "payable_to_shop": sale.tax_for_seller,
    }
    return [{"code": TAX, "amount": number, "rate": None, "amount_breakdown": {"parts": [part]}}]


def _order(sale: Sale, *, can_cancel: bool) -> Json:
    states = {line.state for line in sale.lines}
    whole_prices = sum(line.price for line in sale.lines)
    whole_shipping = sum(line.shipping for line in sale.lines)
    return {
        "order_id": sale.order_id,
        "commercial_id": sale.order_id,
        "order_state": states.pop() if len(states) == 1 else LineState.SHIPPING,
        "currency_iso_code": sale.currency,
        "can_cancel": can_cancel,
        "payment_workflow": "PAY_ON_ACCEPTANCE" if sale.charged else "PAY_ON_SHIPMENT",
        "order_tax_mode": _MODE,
        "price": _number(sale, whole_prices),
        "shipping_price": _number(sale, whole_shipping),
        "total_price": _number(sale, whole_prices + whole_shipping),
        "total_commission": _number(sale, sum(line.commission for line in sale.lines)),
        "order_lines": [_line(sale, line, index) for index, line in enumerate(sale.lines, start=1)],
    }


def _line(sale: Sale, line: SoldLine, index: int) -> Json:
    return {
        "order_line_id": line.id,
        "order_line_index": index,
        "order_line_state": line.state,
        "can_refund": sale.charged and not line.cancelled,
        "quantity": line.quantity,
        "price": _number(sale, line.price),
        "shipping_price": _number(sale, line.shipping),
        "total_price": _number(sale, line.price + line.shipping),
        "commission_fee": _number(sale, line.commission),
        "total_commission": _number(sale, line.commission),
        "taxes": _taxes(sale, line.tax),
        "shipping_taxes": [],
        "cancelations": [_cancelation(sale, one) for one in line.cancelled if one.kind is Kind.CANCELATION],
        "refunds": [_cancelation(sale, one) for one in line.cancelled if one.kind is Kind.REFUND],
    }


def _cancelation(sale: Sale, one: Cancelation) -> Json:
    commission = _number(sale, one.commission)
    state = {} if one.state is None else {"state": one.state, "refund_state": one.state}
    return {
        "id": one.id,
        "quantity": one.quantity,
        "amount": _number(sale, one.amount),
        "shipping_amount": _number(sale, one.shipping),
        "commission_amount": commission,
        "commission_total_amount": commission,
        "commission_taxes": [],
        "taxes": _taxes(sale, one.tax),
        "shipping_taxes": [],
        "reason_code": one.reason_code,
        "created_date": one.at.isoformat().replace("+00:00", "Z"),
        **state,
    }


def install(app: FastAPI) -> None:
    app.include_router(router)

    @app.exception_handler(Problem)
    async def refuse(_: Request, refused: Problem) -> Response:
        return problem(refused.status, refused.message)
