"""The orders that `make up OMS=vendure` places in Vendure: each differs in one thing, and nobody has cancelled them yet."""

from collections.abc import Sequence

from domain.base import Value
from domain.money import money
from domain.order import OrderFlag, SaleCondition
from sandbox.carrier.model import Script
from sandbox.shop import SampleLine, SampleOrder, SampleParcel, card, line, parcel


class VendureSample(Value):
    title: str
    order: SampleOrder


def _article(name: str, line_id: str, quantity: int, total: str, tax: str | None = None) -> SampleLine:
    return line(line_id, quantity, total, tax).model_copy(update={"title": name})


def _boots(total: str = "119.00 EUR", tax: str | None = "19.00 EUR", *, quantity: int = 1) -> SampleLine:
    return _article("Hiking boots", "L1", quantity, total, tax)


def _order(number: int, *lines: SampleLine, paid: str, captured: str | None = None, **more: object) -> SampleOrder:
    return SampleOrder.model_validate(
        {"order_id": str(number), "lines": lines, "tenders": (card(paid, captured),), "country": "DE", **more}
    )


def _parcel(script: Script | None) -> tuple[SampleParcel, ...]:
    return (parcel(script, L1=1),)


_JACKET = _article("Rain jacket", "L2", 2, "166.60 EUR", "26.60 EUR")

SAMPLES: Sequence[VendureSample] = (
    VendureSample(
        title="captured, two articles and shipping",
        order=_order(
            5001, _boots(), _JACKET, paid="291.55 EUR", shipping=money("5.95 EUR"), shipping_tax=money("0.95 EUR")
        ),
    ),
    VendureSample(
        title="captured, and being picked",
        order=_order(5002, _boots(), paid="119.00 EUR", parcels=_parcel(None)),
    ),
    VendureSample(title="authorised only", order=_order(5003, _boots(), paid="119.00 EUR", captured="0.00 EUR")),
    VendureSample(
        title="a label bought, still in the warehouse",
        order=_order(5004, _boots(), paid="119.00 EUR", parcels=_parcel(Script.LABEL_ONLY)),
    ),
    VendureSample(
        title="shipped; its carrier will bring it back",
        order=_order(5005, _boots(), paid="119.00 EUR", parcels=_parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)),
    ),
    VendureSample(
        title="shipped; its carrier will not stop it",
        order=_order(5006, _boots(), paid="119.00 EUR", parcels=_parcel(Script.INTERCEPT_DECLINED)),
    ),
    VendureSample(
        title="3 units, of which 1 is delivered",
        order=_order(
            5007, _boots("357.00 EUR", "57.00 EUR", quantity=3), paid="357.00 EUR", parcels=_parcel(Script.DELIVERED)
        ),
    ),
    VendureSample(
        title="above the limit of one person",
        order=_order(5008, _article("Tent", "L1", 1, "833.00 EUR", "133.00 EUR"), paid="833.00 EUR"),
    ),
    VendureSample(
        title="in pounds",
        order=_order(5009, _boots("96.00 GBP", "16.00 GBP"), paid="96.00 GBP", country="GB"),
    ),
    VendureSample(
        title="in yen, which have no decimals",
        order=_order(5010, _boots("14900 JPY", None), paid="14900 JPY", country="JP"),
    ),
    VendureSample(
        title="made to specification",
        order=_order(5011, _boots().model_copy(update={"condition": SaleCondition.CUSTOMISED}), paid="119.00 EUR"),
    ),
    VendureSample(
        title="in fraud review",
        order=_order(5012, _boots(), paid="119.00 EUR", flags=frozenset({OrderFlag.FRAUD_REVIEW})),
    ),
)
"""The shop numbers orders from 5001 on, in this sequence."""
