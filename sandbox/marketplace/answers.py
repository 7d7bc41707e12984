"""Mirakl's orders, cancelations and refunds, with the fields that its description of the seller API demands."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.money import exponent
from sandbox.marketplace.model import TAX, Cancelation, Kind, LineState, Sale, SoldLine

Json = dict[str, Any]
MODE = "TAX_EXCLUDED"
_MADE = "2026-11-01T08:00:00Z"
_ADDRESS = {
    "lastname": "Sample",
    "street_1": "1 Sample Street",
    "city": "Berlin",
    "country": "Germany",
    "country_iso_code": "DEU",
}


def _number(sale: Sale, amount: int) -> float:
    """As Mirakl writes it: a number with decimals."""
    return float(Decimal(amount).scaleb(-exponent(sale.currency)))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


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
    return [{"code": TAX, "amount": number, "amount_breakdown": {"parts": [part]}}]


def _fees(sale: Sale, fees: dict[str, int]) -> list[Json]:
    return [{"code": code, "amount": _number(sale, fee)} for code, fee in fees.items() if fee]


def order_json(sale: Sale, *, can_cancel: bool) -> Json:
    lines = [_line(sale, line, index) for index, line in enumerate(sale.lines, start=1)]

    def total(field: str) -> float:
        return float(sum((Decimal(str(line[field])) for line in lines), Decimal()))

    return {
        "order_id": sale.order_id,
        "commercial_id": sale.order_id,
        "order_state": _state(sale),
        "created_date": _MADE,
        "last_updated_date": _MADE,
        "currency_iso_code": sale.currency,
        "can_cancel": can_cancel,
        "can_shop_ship": LineState.SHIPPING in {line.state for line in sale.lines},
        "customer": {
            "customer_id": "sample",
            "firstname": "Sample",
            "lastname": "Sample",
            "billing_address": _ADDRESS,
            "shipping_address": _ADDRESS,
        },
        "fulfillment": {"center": {"code": "DEFAULT"}},
        "fully_refunded": all(line.state is LineState.REFUNDED for line in sale.lines),
        "has_customer_message": False,
        "has_incident": False,
        "has_invoice": False,
        "leadtime_to_ship": 2,
        "paymentType": "Card",
        "payment_workflow": "PAY_ON_ACCEPTANCE" if sale.charged else "PAY_ON_SHIPMENT",
        "order_tax_mode": MODE,
        "price": total("price"),
        "shipping_price": total("shipping_price"),
        "shipping_type_code": "STD",
        "shipping_type_label": "Standard",
        "shipping_zone_code": "INT1",
        "shipping_zone_label": "International 1",
        "total_price": total("total_price"),
        "total_commission": total("total_commission"),
        "order_lines": lines,
    }


def _state(sale: Sale) -> str:
    """An order has the states of its lines, but that of a refund: then it is closed."""
    states = {line.state for line in sale.lines}
    if len(states) > 1:
        return LineState.SHIPPING
    return "CLOSED" if states == {LineState.REFUNDED} else states.pop()


def _line(sale: Sale, line: SoldLine, index: int) -> Json:
    left = sale.takes_off
    price, shipping = (line.price_left, line.shipping_left) if left else (line.price, line.shipping)
    commission, tax = (line.commission_left, line.tax_left) if left else (line.commission, line.tax)
    fees = line.fees_left if left else line.fees
    return {
        "order_line_id": line.id,
        "order_line_index": index,
        "order_line_state": line.state,
        "order_line_additional_fields": [],
        "created_date": _MADE,
        "last_updated_date": _MADE,
        "category_code": "samples",
        "category_label": "Samples",
        "description": "",
        "offer_id": index,
        "offer_sku": line.id,
        "offer_state_code": "11",
        "product_medias": [],
        "product_sku": line.id,
        "product_title": "Sample",
        "can_refund": sale.charged and not line.cancelled,
        "quantity": line.quantity,
        "price": _number(sale, price),
        "price_unit": _number(sale, line.price // line.quantity),
        "shipping_price": _number(sale, shipping),
        "total_price": _number(sale, price + shipping + sum(fees.values())),
        "commission_fee": _number(sale, commission),
        "commission_rate_vat": 0,
        "commission_vat": 0,
        "commission_taxes": [],
        "total_commission": _number(sale, commission),
        "fees": _fees(sale, fees),
        "taxes": [{**tax, "tax_calculation_rule": "NONE"} for tax in _taxes(sale, tax)],
        "shipping_taxes": [],
        "promotions": [],
        "cancelations": [
            _cancelation(sale, cancelation) for cancelation in line.cancelled if cancelation.kind is Kind.CANCELATION
        ],
        "refunds": [_refund(sale, cancelation) for cancelation in line.cancelled if cancelation.kind is Kind.REFUND],
    }


def _cancelation(sale: Sale, cancelation: Cancelation) -> Json:
    commission = _number(sale, cancelation.commission)
    return {
        "id": cancelation.id,
        "quantity": cancelation.quantity,
        "amount": _number(sale, cancelation.amount),
        "shipping_amount": _number(sale, cancelation.shipping),
        "commission_amount": commission,
        "commission_total_amount": commission,
        "commission_taxes": [],
        "fees": _fees(sale, cancelation.fees),
        "taxes": _taxes(sale, cancelation.tax),
        "shipping_taxes": [],
        "reason_code": cancelation.reason_code,
        "created_date": _time(cancelation.at),
    }


def _refund(sale: Sale, cancelation: Cancelation) -> Json:
    return {
        **_cancelation(sale, cancelation),
        "commission_tax_amount": 0,
        "order_refund_id": f"group-{cancelation.id}",
        "refund_state": cancelation.state,
        "state": cancelation.state,
    }


def made_json(sale: Sale, cancelation: Cancelation, line_id: str) -> Json:
    """In the answer to the call that made it: the commission is not there."""
    made = {
        "order_line_id": line_id,
        "quantity": cancelation.quantity,
        "amount": _number(sale, cancelation.amount),
        "shipping_amount": _number(sale, cancelation.shipping),
        "currency_iso_code": sale.currency,
        "fees": _fees(sale, cancelation.fees),
        "taxes": _taxes(sale, cancelation.tax),
        "shipping_taxes": [],
        "reason_code": cancelation.reason_code,
    }
    if cancelation.kind is Kind.CANCELATION:
        return {**made, "cancelation_id": cancelation.id}
    return {
        **made,
        "refund_id": cancelation.id,
        "order_refund_id": f"group-{cancelation.id}",
        "excluded_from_shipment": True,
    }
