"""One call of the API: what was asked, what was answered, and how its numbers and pages are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.expanding import NOTHING, Expanded
from sandbox.gateway.messages import FaultKind
from sandbox.gateway.records import AnyRecord


@dataclass(frozen=True)
class Call:
    """One request to the API: the id in its path, its parameters, what of its answer is shown whole, and what is going to
    happen to it."""

    params: Mapping[str, Any]
    object_id: str = ""
    key: str | None = None
    fault: FaultKind | None = None
    fault_code: str | None = None
    expanded: Expanded = NOTHING


@dataclass(frozen=True)
class Stored:
    fingerprint: str
    status: int
    body: Json


def whole_number(params: Mapping[str, Any], name: str) -> int:
    text = str(params.get(name, ""))
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name, stored=False)
    return int(text)


def positive_number(params: Mapping[str, Any], name: str) -> int:
    number = whole_number(params, name)
    if number < 1:
        raise ApiError(
            400,
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param=name,
            stored=False,
        )
    return number


_STEPS = {"bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10, "isk": 100, "ugx": 100}
"""Whose amounts have to end with a zero, or with two (docs.stripe.com/currencies#special-cases)."""


def amount_of(params: Mapping[str, Any], name: str, currency: str) -> int:
    """At least 1, in Stripe's units, as the currency has to be written."""
    number = positive_number(params, name)
    step = _STEPS.get(currency, 1)
    if number % step:
        code = "invalid_charge_amount_no_decimal_compatible" if step == 100 else "parameter_invalid_integer"
        raise ApiError(
            400, f"Amounts in {currency} have to be divisible by {step}: {number}", code=code, param=name, stored=False
        )
    return number


def page_of(params: Mapping[str, Any], records: list[AnyRecord], render: Callable[[AnyRecord], Json], url: str) -> Json:
    """A page of a list, newest first, after the object that `starting_after` names."""
    limit = min(positive_number(params, "limit"), 100) if "limit" in params else 10
    if "starting_after" in params:
        ids = [record.id for record in records]
        if params["starting_after"] not in ids:
            raise ApiError(400, "No such object", code="resource_missing", param="starting_after")
        records = records[ids.index(params["starting_after"]) + 1 :]
    return {
        "object": "list",
        "url": url,
        "has_more": len(records) > limit,
        "data": [render(record) for record in records[:limit]],
    }
