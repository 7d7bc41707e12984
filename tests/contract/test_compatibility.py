"""The comparison that says what a change of a message breaks for those who built on it. It rests until the contract is
frozen: then each release is compared with."""

import json
from typing import Any

import pytest

from tests.contract.compatibility import Schema, breaks

# One order message with a bit of everything, and what a change of it breaks.

NULL = {"type": "null"}
NEW = {"type": "string"}
GONE = object()
ORDER: Schema = {
    "$defs": {
        "Kind": {"enum": ["gift", "goods"], "title": "Kind", "type": "string"},
        "Line": {
            "properties": {
                "quantity": {"minimum": 1, "maximum": 9, "type": "integer"},
                "kind": {"$ref": "#/$defs/Kind", "default": "goods"},
            },
            "required": ["quantity"],
            "title": "Line",
            "type": "object",
        },
    },
    "properties": {
        "id": {"maxLength": 64, "minLength": 2, "pattern": "^[a-z]+$", "type": "string"},
        "note": {"anyOf": [{"maxLength": 500, "type": "string"}, NULL], "default": None},
        "lines": {"default": [], "items": {"$ref": "#/$defs/Line"}, "maxItems": 20, "minItems": 0, "type": "array"},
        "at": {"format": "date-time", "type": "string"},
        "labels": {"additionalProperties": {"type": "string"}, "type": "object"},
    },
    "required": ["id", "at"],
    "title": "Order",
    "type": "object",
}
ID, NOTE, LINES, LABELS = (f"properties/{name}" for name in ("id", "note", "lines", "labels"))
LINE, KIND = "$defs/Line", "$defs/Kind"
QUANTITY = f"{LINE}/properties/quantity"


def changed(change: dict[str, Any]) -> Schema:
    """ORDER with something else at each path, or without it."""
    schema: dict[str, Any] = json.loads(json.dumps(ORDER))
    for path, value in change.items():
        *parents, last = path.split("/")
        here = schema
        for name in parents:
            here = here[name]
        if value is GONE:
            del here[last]
        else:
            here[last] = value
    return schema


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({NOTE: GONE}, "Order.note is gone"),
        ({f"{LINE}/properties/kind": GONE}, "Order.lines[].kind is gone"),
        ({"required": ["id", "at", "note"]}, "Order.note became required"),
        ({f"{LINE}/required": ["quantity", "kind"]}, "Order.lines[].kind became required"),
        ({"properties/shop": NEW, "required": ["id", "at", "shop"]}, "Order.shop is new and required"),
        ({ID: {"type": "integer"}}, "Order.id no longer takes string"),
        ({f"{NOTE}/anyOf": [{"maxLength": 500, "type": "string"}]}, "Order.note no longer takes null"),
        ({f"{NOTE}/anyOf": [{"maxLength": 9, "type": "string"}, NULL]}, "Order.note has maxLength 9, and had 500"),
        ({f"{KIND}/enum": ["goods"]}, "Order.lines[].kind no longer takes 'gift'"),
        ({KIND: {"const": "goods", "type": "string"}}, "Order.lines[].kind no longer takes 'gift'"),
        ({f"{ID}/enum": ["a"]}, "Order.id takes only certain values now"),
        ({f"{ID}/maxLength": 63}, "Order.id has maxLength 63, and had 64"),
        ({f"{ID}/minLength": 3}, "Order.id has minLength 3, and had 2"),
        ({f"{ID}/pattern": "^[a-y]+$"}, "Order.id has pattern ^[a-y]+$, and had ^[a-z]+$"),
        ({f"{ID}/format": "uuid"}, "Order.id has format uuid, and had none"),
        (
            {f"{LABELS}/additionalProperties": {"type": "string", "pattern": "^a$"}},
            "Order.labels.* has pattern ^a$, and had none",
        ),
        ({f"{QUANTITY}/minimum": 2}, "Order.lines[].quantity has minimum 2, and had 1"),
        ({f"{QUANTITY}/maximum": 8}, "Order.lines[].quantity has maximum 8, and had 9"),
        ({f"{QUANTITY}/exclusiveMinimum": 0}, "Order.lines[].quantity has exclusiveMinimum 0, and had none"),
        ({f"{LINES}/maxItems": 19}, "Order.lines has maxItems 19, and had 20"),
        ({f"{LINES}/minItems": 1}, "Order.lines has minItems 1, and had 0"),
        ({f"{LINES}/items": {"type": "string"}}, "Order.lines[] no longer takes object"),
        (
            {f"{LINE}/properties/kind/default": "gift"},
            "Order.lines[].kind means 'gift' when it is left out, and meant 'goods'",
        ),
        ({"additionalProperties": False}, "Order.* takes only certain values now"),
        ({"dependentRequired": {"note": ["at"]}}, "Order has a dependentRequired, which nothing here can compare"),
    ],
)
def test_a_change_that_refuses_what_was_sent_is_found(change: dict[str, Any], says: str) -> None:
    assert breaks(ORDER, changed(change), sent=True) == [says]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({NOTE: GONE}, "Order.note is gone"),
        ({"required": ["id"]}, "Order.at is no longer always there"),
        ({f"{LINE}/required": []}, "Order.lines[].quantity is no longer always there"),
        ({"properties/at": {"format": "date", "type": "string"}}, "Order.at has format date, and had date-time"),
        ({"properties/at": {"type": "string"}}, "Order.at has format no more, and had date-time"),
        ({f"{NOTE}/anyOf": [{"maxLength": 500, "type": "string"}]}, "Order.note is never null any more"),
        (
            {QUANTITY: {"anyOf": [ORDER["$defs"]["Line"]["properties"]["quantity"], NULL]}},
            "Order.lines[].quantity can be null now",
        ),
        ({f"{KIND}/enum": ["goods", "service"]}, "Order.lines[].kind is never 'gift' any more"),
        ({KIND: {"type": "string"}}, "Order.lines[].kind can be any string now"),
        ({f"{ID}/maxLength": 65}, "Order.id has maxLength 65, and had 64"),
        ({f"{ID}/pattern": GONE}, "Order.id has pattern no more, and had ^[a-z]+$"),
        ({f"{QUANTITY}/minimum": 0}, "Order.lines[].quantity has minimum 0, and had 1"),
    ],
)
def test_a_change_that_a_reader_does_not_expect_is_found(change: dict[str, Any], says: str) -> None:
    assert breaks(ORDER, changed(change), sent=False) == [says]


def test_a_change_of_type_is_a_break_for_readers_twice_over() -> None:
    assert breaks(ORDER, changed({ID: {"type": "integer"}}), sent=False) == [
        "Order.id is never string any more",
        "Order.id can be integer now",
    ]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"properties/shop": NEW},
        {f"{KIND}/enum": ["service", "goods", "gift"]},
        {"$defs/Category": ORDER["$defs"]["Kind"], f"{LINE}/properties/kind/$ref": "#/$defs/Category"},
        {"title": "Order", "description": "said in other words"},
    ],
)
def test_growth_breaks_nothing(change: dict[str, Any], sent: bool) -> None:
    assert breaks(ORDER, changed(change), sent=sent) == []


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["id"], "properties/at/default": "2026-01-01T00:00:00Z"},
        {f"{ID}/maxLength": 65, f"{ID}/minLength": 1, f"{ID}/pattern": GONE},
        {f"{QUANTITY}/minimum": GONE, f"{QUANTITY}/maximum": 10, f"{QUANTITY}/type": "number"},
        {f"{LINES}/maxItems": 21},
        {ID: {"anyOf": [ORDER["properties"]["id"], NULL]}},
        {ID: {}},
        {KIND: {"anyOf": [ORDER["$defs"]["Kind"], {"type": "string"}]}},
    ],
)
def test_what_accepts_more_breaks_no_sender(change: dict[str, Any]) -> None:
    assert breaks(ORDER, changed(change), sent=True) == []


def test_what_promises_more_breaks_no_reader() -> None:
    change = {"required": ["id", "at", "lines"], f"{ID}/maxLength": 32, f"{QUANTITY}/exclusiveMinimum": 1}
    assert breaks(ORDER, changed(change), sent=False) == []
