"""What callers send and are answered, where the domain and the library have no message for it. Unknown fields are refused: a
misspelt `lines` must not cancel the whole order."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.messages import Resolution
from domain.request import BusinessId, Channel, LineScope, ReasonCode
from domain.step import StepName
from domain.terms import RefundMethod
from domain.texts import Note, Reference, Target


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


CustomerId = Annotated[
    BusinessId | None,
    Field(description="Who must own the order. A service acts for this customer; without one it acts by itself."),
]


class CancellationBody(Body):
    """A request for a cancellation. Without `lines` it is for the whole order, or with `shipping` for the shipping charge
    alone. No personal data in the note."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer_id": "C-77", "reason": "no_longer_needed", "channel": "web_shop"},
                {
                    "customer_id": "C-77",
                    "reason": "other",
                    "note": "Bought two, wants one.",
                    "lines": [{"line_id": "L1", "quantity": 1}],
                },
            ]
        }
    )

    customer_id: CustomerId = None
    channel: Channel = Channel.API
    reason: ReasonCode
    note: Note = ""
    lines: tuple[LineScope, ...] = Field(default=(), max_length=200)
    shipping: Annotated[
        bool,
        Field(
            description="Give the shipping charge back although lines remain: beside `lines` or, without any, alone. Only "
            "staff may ask so."
        ),
    ] = False


class WithdrawBody(Body):
    customer_id: CustomerId = None
    note: Note = ""


NO_CUSTOMER = WithdrawBody()


class NoteBody(Body):
    note: Note = ""


NO_NOTE = NoteBody()
"""What needs no words needs no body."""


class RetryStepBody(Body):
    """`step` and `target` as the status names them in its waits; not needed where only one step waits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"step": "reverse_payment", "target": "T1", "note": "The bank is back."}]}
    )

    step: StepName | None = None
    target: Target | None = None
    note: Note = ""


ONLY_STEP = RetryStepBody()
"""The one that waits."""


class ResolveStepBody(RetryStepBody):
    """`reference` is the proof, for the books."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "step": "reverse_payment",
                    "target": "T1",
                    "resolution": "done_by_hand",
                    "reference": "BANK-2026-11-0042",
                }
            ]
        }
    )

    resolution: Resolution
    reference: Reference


class ChooseRefundMethodBody(Body):
    """`target` is the tender, as the status names it in its waits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"customer_id": "C-77", "target": "T1", "method": "store_credit"}]}
    )

    customer_id: CustomerId = None
    target: Target
    method: RefundMethod
    note: Note = ""


class Pending(BaseModel):
    """The request was received and is not decided yet. `deferred`: it is carried out when another cancellation of the order
    has ended."""

    order_id: str
    sentence: str
    deferred: bool = False


class Health(BaseModel):
    status: str = "ok"
