"""What callers send and are answered, where the domain and the library have no message for it. Unknown fields are refused: a
misspelt `lines` must not cancel the whole order."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.case import Case
from domain.messages import Resolution
from domain.money import Money
from domain.outcome import State
from domain.request import Actor, ActorKind, BusinessId, Channel, LineScope, ReasonCode
from domain.standing import given_back_of
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
            "staff may ask for this."
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


class CancellationRecord(BaseModel):
    """A cancellation of an order as our books know it. `state` is its outcome once it has ended; what one that is under way
    waits for, its status says. `planned_refund` and `planned_release` are what was to go back, `refunded` and `released`
    what has, or is on its way."""

    cancellation_id: str
    state: State
    sentence: str
    requested_by: Actor
    reason: ReasonCode
    requested_at: datetime
    ended_at: datetime | None = None
    planned_refund: Money | None = None
    planned_release: Money | None = None
    refunded: Money | None = None
    released: Money | None = None
    credit_note: str | None = None

    @classmethod
    def of(cls, case: Case) -> "CancellationRecord":
        request, requested_at, ended, plan = case.request, case.requested_at, case.ended, case.plan
        assert request is not None
        assert requested_at is not None
        under_way = State.ROLLING_BACK if case.roll_back_cause else State.RUNNING
        is_answered = case.approved or case.roll_back_cause is not None
        decided = case.decision.describe(is_answered=is_answered) if case.decision else ""
        refunded, released = given_back_of(case)
        return cls(
            cancellation_id=case.cancellation_id,
            state=State(ended.outcome.value) if ended else under_way,
            sentence=ended.sentence if ended else decided,
            requested_by=request.actor,
            reason=request.reason,
            requested_at=requested_at,
            ended_at=next(entry.at for entry in reversed(case.entries) if entry.fact == ended) if ended else None,
            planned_refund=plan.refund if plan else None,
            planned_release=plan.release if plan else None,
            refunded=refunded,
            released=released,
            credit_note=case.credit_note,
        )


class OrderHistory(BaseModel):
    """Every cancellation that an order ever had, the latest first."""

    cancellations: list[CancellationRecord]


class PermittedReason(BaseModel):
    """`actors`: as whom the caller may give it. `needs_note`: it says nothing by itself."""

    reason: ReasonCode
    actors: list[ActorKind]
    needs_note: bool


class ReasonList(BaseModel):
    """The reasons that a caller may give."""

    reasons: list[PermittedReason]


class Health(BaseModel):
    """`warnings`: what needs somebody, although requests are answered."""

    status: str = "ok"
    warnings: list[str] = []
