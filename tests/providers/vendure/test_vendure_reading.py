"""Orders of Vendure as they are read: answers that were recorded from a real one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ErrorCode, Refused
from domain.money import Money, money
from domain.order import Order, OrderFlag, OrderState, SaleCondition, TenderKind
from domain.shipment import GoodsGroup, Shipment, ShipmentLine
from providers.orders.vendure.answers import FoundOrders, Snapshot
from providers.orders.vendure.reading import Reading
from providers.orders.vendure.shop_file import ShopFile, load_shop_file
from sandbox.serving import ROOT
from tests.providers.vendure.scripted import recorded

Change = Callable[[dict[str, Any]], object]


def read(name: str, shop: ShopFile | None = None, *, precision: int = 2, change: Change | None = None) -> Order:
    answer = json.loads(recorded(name))["data"]
    if change:
        change(answer["orders"]["items"][0])
    found = FoundOrders.model_validate(answer)
    order = found.orders.items[0]
    assert order.order_placed_at is not None
    snapshot = Snapshot(order=order, placed_at=order.order_placed_at, language="pt_BR", precision=precision)
    return Reading(snapshot, shop or ShopFile()).to_order()


def test_an_order_is_read_with_its_promotions_in_the_lines() -> None:
    """3 chairs of 30.00 and a table of 200.00, less 10 %, and 19 % of tax on both."""
    order = read("order_as_placed")
    assert [(line.title, line.quantity, line.total, line.tax, line.cancelled) for line in order.lines] == [
        ("Chair", 3, money("96.39 USD"), money("15.39 USD"), 0),
        ("Table", 1, money("214.20 USD"), money("34.20 USD"), 0),
    ]
    assert (order.shipping, order.shipping_tax, order.discount) == (money("4.90 USD"), money("0.00 USD"), None)
    [tender] = order.tenders
    assert (tender.kind, tender.amount, tender.reference) == (TenderKind.CARD, money("315.49 USD"), "pi_1")
    assert order.price == tender.amount
    assert (order.country, order.flags, order.state) == ("DE", frozenset(), OrderState.OPEN)
    assert order.contact is not None
    assert (order.contact.email, order.contact.language) == ("anna@customer.example", "pt-BR")


def test_of_a_line_that_has_lost_a_unit_the_amounts_are_of_all_that_was_sold() -> None:
    """64.30 for the two that are left."""
    [chairs, tables] = read("order_in_parts").lines
    assert (chairs.quantity, chairs.cancelled, chairs.total) == (3, 1, money("96.45 USD"))
    assert chairs.tax == money("15.40 USD"), "10.27 for two are 15.405: half to even"
    assert (tables.quantity, tables.cancelled) == (1, 0)


@pytest.mark.parametrize(
    ("paid", "total", "tax"),
    [(31549, "214.20 USD", "34.20 USD"), (10129, "0.00 USD", "0.00 USD"), (10128, "238.00 USD", "38.00 USD")],
    ids=["as_it_was", "all_of_it_was_free", "it_cannot_be"],
)
def test_what_a_line_cost_of_which_nothing_is_left_is_known_by_what_was_paid(paid: int, total: str, tax: str) -> None:
    """Vendure has only the price of its units, without reductions, which is what counts where the payments do not fit."""

    def take_all(order: dict[str, Any]) -> None:
        order["lines"][1] |= {"quantity": 0, "proratedLinePrice": 0, "proratedLinePriceWithTax": 0}
        order["payments"][0]["amount"] = paid

    table = read("order_as_placed", change=take_all).lines[1]
    assert (table.quantity, table.cancelled, table.total, table.tax) == (1, 1, money(total), money(tax))


def test_units_that_staff_has_added_after_the_order_was_placed_are_sold_too() -> None:
    """Vendure keeps how many were placed. One of three was cancelled, and two were added since: five were sold."""
    chairs = read("order_in_parts", change=lambda order: order["lines"][0].update(quantity=4)).lines[0]
    assert (chairs.quantity, chairs.cancelled) == (5, 1)


def test_surcharges_are_shipping_and_reductions_a_discount_on_the_order() -> None:
    order = read("order_in_parts")
    assert (order.shipping, order.shipping_tax, order.discount) == (
        money("7.90 USD"),
        money("0.48 USD"),
        money("5.00 USD"),
    )


def test_parcels_are_read_with_what_the_warehouse_has_written() -> None:
    """What was in a cancelled fulfillment is in no parcel. One that another has replaced is not there any more."""
    shop = ShopFile(fulfillment_method=r"(?P<carrier>\w+) (?P<label>shp_\w+)")
    one = ShipmentLine(line_id="7", quantity=1)
    shipped = Shipment(shipment_id="9", lines=(one,), tracking_number="1Z1", group=GoodsGroup.IN_NETWORK)
    assert read("order_in_parts", shop).shipments == (
        shipped.model_copy(update={"carrier": "UPS", "label_reference": "shp_1"}),
        Shipment(shipment_id="11", lines=(one,)),
        Shipment(shipment_id="12", lines=(), tracking_number="22", stopped=True),
    )
    assert all(parcel.label_reference is None for parcel in read("order_in_parts").shipments)
    assert [parcel.is_out_of_reach for parcel in read("order_in_parts").shipments] == [True, False, False]


def test_what_the_warehouse_writes_may_have_several_lines() -> None:
    """The pick in place of another is known all the same, so that there is never a third."""

    def write(order: dict[str, Any]) -> None:
        for fulfillment in order["fulfillments"]:
            fulfillment["method"] = fulfillment["method"].replace("Pick", "Shelf 4\nby hand")

    assert [parcel.shipment_id for parcel in read("order_in_parts", change=write).shipments] == ["9", "11", "12"]


def test_of_a_parcel_of_several_orders_the_goods_of_this_one_are_read() -> None:
    """Without its label, which is theirs too."""
    shop = ShopFile(fulfillment_method=r"(?P<carrier>\w+) (?P<label>shp_\w+)")

    def pack(order: dict[str, Any]) -> None:
        order["fulfillments"][0]["lines"].append({"orderLineId": "99", "quantity": 2})

    parcel = read("order_in_parts", shop, change=pack).shipments[0]
    assert (parcel.lines, parcel.label_reference) == ((ShipmentLine(line_id="7", quantity=1),), None)
    assert parcel.is_out_of_reach, "it is shipped"


def test_what_vendure_does_not_tell_is_told_by_the_file(tmp_path: Path) -> None:
    file = tmp_path / "vendure.toml"
    file.write_text(
        'eu_consumer_countries = ["DE"]\n[payment_methods]\ncard = "gift_card"\n[conditions]\nengraved = "customised"\n'
    )
    order = read("order_as_placed", load_shop_file(file))
    assert [line.condition for line in order.lines] == [SaleCondition.REGULAR, SaleCondition.CUSTOMISED]
    assert order.tenders[0].kind is TenderKind.GIFT_CARD
    assert order.flags == {OrderFlag.EU_CONSUMER}


def test_the_documented_file_shows_every_entry(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"`VENDURE_FILE` is a TOML file.*?```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "vendure.toml"
    file.write_text(shown)
    assert load_shop_file(file).model_fields_set == ShopFile.model_fields.keys()


def test_what_the_plugin_tells_counts_before_the_file() -> None:
    def fill_in(order: dict[str, Any]) -> None:
        order["customFields"] = {"fraudReview": True, "euConsumer": True}
        order["lines"][1]["productVariant"]["customFields"] = {"saleCondition": "final_sale"}
        order["fulfillments"][0]["customFields"] = {"carrier": "DHL", "labelReference": "shp_7"}

    shop = ShopFile(conditions={"engraved": SaleCondition.CUSTOMISED}, fulfillment_method=r"(?P<label>shp_\w+)")
    order = read("order_in_parts", shop, change=fill_in)
    assert order.flags == {OrderFlag.FRAUD_REVIEW, OrderFlag.EU_CONSUMER}
    assert order.lines[1].condition is SaleCondition.FINAL_SALE
    assert (order.shipments[0].carrier, order.shipments[0].label_reference) == ("DHL", "shp_7")


def test_payments_that_failed_or_were_cancelled_pay_for_nothing() -> None:
    def add(order: dict[str, Any]) -> None:
        payment = order["payments"][0]
        order["payments"] += [
            {**payment, "id": state, "state": state} for state in ("Declined", "Cancelled", "Authorized")
        ]

    assert [tender.tender_id for tender in read("order_as_placed", change=add).tenders] == ["5", "Authorized"]


def test_a_payment_whose_reference_is_not_known_is_refused_in_a_sentence() -> None:
    with pytest.raises(Refused, match="has no transaction id in Vendure") as refused:
        read("order_as_placed", change=lambda order: order["payments"][0].update(transactionId=None))
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND


@pytest.mark.parametrize(
    ("currency", "precision", "tender"),
    [("JPY", 2, None), ("JPY", 0, 31549), ("USD", 2, 31549), ("USD", 4, None), ("KWD", 2, 315490)],
)
def test_amounts_are_converted_exactly_or_refused(currency: str, precision: int, tender: int | None) -> None:
    def pay(order: dict[str, Any]) -> None:
        order["currencyCode"] = currency

    if tender is None:
        with pytest.raises(Refused, match="MoneyStrategy") as refused:
            read("order_as_placed", precision=precision, change=pay)
        assert refused.value.code is ErrorCode.PROVIDER_REJECTED_SETTINGS
    else:
        order = read("order_as_placed", precision=precision, change=pay)
        assert order.tenders[0].amount == Money(amount=tender, currency=currency)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('fulfilment_method = "x"', "fulfilment_method: there is no such field; it may be misspelt"),
        ('fulfillment_method = "("', "fulfillment_method: it is no regular expression"),
        ('fulfillment_method = "UPS"', "fulfillment_method: name the groups"),
        ('[payment_methods]\ncard = "money"', "payment_methods.card: it has to be one of 'card', 'gift_card'"),
        ('eu_consumer_countries = ["Germany"]', "is no country"),
        ("conditions", "it is no TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "vendure.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"VENDURE_FILE \(.*vendure\.toml\) is not valid: ") as refused:
        load_shop_file(file)
    assert why in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"VENDURE_FILE \(.*none\.toml\) cannot be read: No such file"):
        load_shop_file(tmp_path / "none.toml")
    assert load_shop_file(None) == ShopFile()
