"""The request: who asks for a cancellation, through which channel, for what, and why."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from domain.base import Rare, Value
from domain.money import Money
from domain.texts import MessageSignature, Note

# Ids become workflow ids, idempotency keys and search attributes, all of which are readable by many: no spaces, nothing
# long enough to carry a name and an address. What a shop writes into its ids is its own affair: `gid://shop/Order/1`.
BusinessId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class ActorKind(StrEnum):
    CUSTOMER = "customer"
    CUSTOMER_SERVICE = "customer_service"
    REFUND_DEPARTMENT = "refund_department"
    MERCHANT = "merchant"
    RISK = "risk"
    SYSTEM = "system"


STAFF = frozenset(
    {ActorKind.CUSTOMER_SERVICE, ActorKind.REFUND_DEPARTMENT, ActorKind.MERCHANT, ActorKind.RISK}
)  # people of the merchant: they may decide on what waits


class Actor(Value):
    """Who acts. `id` is the actor's id in its own system (customer number, staff login), never a name or an e-mail. Written
    `KIND:ID` where a person types it, which is read as well."""

    kind: ActorKind
    id: BusinessId

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        kind, colon, name = given.partition(":")
        if not colon or kind not in set(ActorKind):
            raise ValueError(f"write who acts as KIND:ID, where KIND is one of {', '.join(ActorKind)}")
        return {"kind": kind, "id": name}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What is sent may be either; what is answered is the object."""
        schema = handler(core_schema)
        if handler.mode != "validation":
            return schema
        text = {"type": "string", "pattern": f"^({'|'.join(ActorKind)}):[!-~]{{1,64}}$"}
        return {"anyOf": [schema, text], "description": schema.pop("description")}

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.id}"


class Channel(StrEnum):
    WEB_SHOP = "web_shop"
    HELP_DESK = "help_desk"
    MARKETPLACE = "marketplace"
    BACK_OFFICE = "back_office"
    API = "api"


class ReasonCode(StrEnum):
    NO_LONGER_NEEDED = "no_longer_needed"
    ORDERED_BY_MISTAKE = "ordered_by_mistake"
    WRONG_ITEM_OR_ADDRESS = "wrong_item_or_address"
    FOUND_CHEAPER = "found_cheaper"
    ARRIVES_TOO_LATE = "arrives_too_late"
    DUPLICATE_ORDER = "duplicate_order"
    STATUTORY_WITHDRAWAL = "statutory_withdrawal"
    OUT_OF_STOCK = "out_of_stock"
    PRICING_ERROR = "pricing_error"
    ADDRESS_PROBLEM = "address_problem"
    CANNOT_SHIP = "cannot_ship"
    STAFF_ERROR = "staff_error"
    POLICY_VIOLATION = "policy_violation"
    PAYMENT_DECLINED = "payment_declined"
    SUSPECTED_FRAUD = "suspected_fraud"
    CONFIRMED_FRAUD = "confirmed_fraud"
    UNPAID_EXPIRED = "unpaid_expired"
    MARKETPLACE_CANCELLED = "marketplace_cancelled"
    OTHER = "other"


CHANGES_OF_MIND = frozenset(
    {
        ReasonCode.NO_LONGER_NEEDED,
        ReasonCode.ORDERED_BY_MISTAKE,
        ReasonCode.WRONG_ITEM_OR_ADDRESS,
        ReasonCode.FOUND_CHEAPER,
        ReasonCode.ARRIVES_TOO_LATE,
        ReasonCode.DUPLICATE_ORDER,
        ReasonCode.STATUTORY_WITHDRAWAL,
    }
)
"""The customer's own reasons. What the merchant or the law of risk decides is not bound by conditions of sale."""

FRAUD = frozenset({ReasonCode.SUSPECTED_FRAUD, ReasonCode.CONFIRMED_FRAUD})
"""Reasons under which money goes back to the tender that it came from, or nowhere."""


NEEDS_NOTE = frozenset({ReasonCode.OTHER})
"""Reasons that say nothing by themselves."""


class LineScope(Value):
    """So many units of one order line."""

    line_id: BusinessId
    quantity: Annotated[int, Field(ge=1)]


class CancellationRequest(Value):
    """Input of `CancellationWorkflow` and of its `submit` update. `lines` empty means the whole order. `shipping`: the
    shipping charge goes back although lines remain, beside the `lines` or, without any, alone: then nothing is cancelled.
    Without it, the charge goes back with the last line.

    `request_id` is the caller's: the same id with the same content is the same request however often it is sent, the
    same id with other content is a conflict. `customer_id` must own the order when the actor is the customer.

    `at_most`: a plan that gives back more, refunds and releases together, is rejected. It bounds whoever sends the request,
    and is no part of its content.
    """

    request_id: BusinessId
    order_id: BusinessId
    customer_id: BusinessId | None = None
    actor: Actor
    channel: Channel
    reason: ReasonCode
    note: Note = ""
    lines: tuple[LineScope, ...] = Field(default=(), max_length=200)
    shipping: bool = False
    at_most: Rare[Money] = None
    signature: MessageSignature | None = None

    @model_validator(mode="after")
    def _complete(self) -> "CancellationRequest":
        if self.actor.kind is ActorKind.CUSTOMER and self.customer_id != self.actor.id:
            raise ValueError("a customer asks for their own orders only: customer_id must be the actor's id")
        if self.reason in NEEDS_NOTE and not self.note:
            raise ValueError(f"the reason '{self.reason}' needs a note")
        if len({line.line_id for line in self.lines}) != len(self.lines):
            raise ValueError("each order line may be named once")
        if self.shipping_alone and self.reason is ReasonCode.STATUTORY_WITHDRAWAL:
            raise ValueError(
                "a statutory withdrawal is from goods: name lines, or leave `shipping` out for the whole order"
            )
        return self

    @property
    def content(self) -> "CancellationRequest":
        """What makes it the same request, whoever has signed it, and under whichever limit it is sent."""
        return self.model_copy(update={"signature": None, "at_most": None})

    def exceeded_by_limit_of(self, other: "CancellationRequest") -> bool:
        """Whether the other's sender may have more given back than this one's."""
        mine, theirs = self.at_most, other.at_most
        if mine is None:
            return False
        return theirs is None or theirs.currency != mine.currency or theirs > mine

    @property
    def whole_order(self) -> bool:
        return not self.lines and not self.shipping

    @property
    def shipping_alone(self) -> bool:
        return self.shipping and not self.lines


# Rule: An order has one workflow id, and so one run at a time
def workflow_id(order_id: str) -> str:
    """One workflow per order."""
    return f"cancel-order-{order_id}"


def summary_of(request: CancellationRequest) -> str:
    """What its run is about, in a line."""
    return f"Cancel order {request.order_id}: {scope_of(request)}"


def scope_of(request: CancellationRequest) -> str:
    """What is asked for, and why."""
    goods = (
        "whole order" if request.whole_order else f"{len(request.lines)} line{'s' if len(request.lines) > 1 else ''}"
    )
    scope = "shipping charge alone" if request.shipping_alone else goods
    return f"{scope}, {request.reason.replace('_', ' ')}"
