"""The names by which callers reach a cancellation through Temporal, each with its message and its answer.

The workflows take their names from here, and callers need nothing else of them. docs/contract/README.md publishes the same.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.base import Value
from domain.errors import ErrorCode
from domain.examination import Examination, ExaminationRequest
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Quote,
    Receipt,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Withdraw,
)
from domain.outcome import CancellationResult, Progress
from domain.plan import Plan
from domain.request import CancellationRequest

Message = TypeVar("Message", bound=Value)
Answer = TypeVar("Answer", bound=Value)


@dataclass(frozen=True)
class WorkflowType(Generic[Message, Answer]):
    """`refusals`: the types of failure that are an answer; any other is a fault."""

    name: str
    message: type[Message]
    answer: type[Answer]
    refusals: frozenset[ErrorCode] = frozenset()


@dataclass(frozen=True)
class UpdateType(Generic[Message, Answer]):
    name: str
    message: type[Message]
    answer: type[Answer]


@dataclass(frozen=True)
class QueryType(Generic[Answer]):
    name: str
    answer: type[Answer]


@dataclass(frozen=True)
class SignalType(Generic[Message]):
    name: str
    message: type[Message]


CANCELLATION = WorkflowType("CancellationWorkflow", CancellationRequest, CancellationResult)
QUOTE = WorkflowType(
    "QuoteWorkflow", CancellationRequest, Quote, frozenset({ErrorCode.PAYMENT_NOT_FOUND, ErrorCode.UNDER_WAY})
)
EXAMINATION = WorkflowType("ExaminationWorkflow", ExaminationRequest, Examination)

# Rule: Callers reach a run by these names, each with its message and answer
SUBMIT = UpdateType("submit", CancellationRequest, Receipt)
APPROVE = UpdateType("approve", Approve, Acknowledgement)
REJECT = UpdateType("reject", Reject, Acknowledgement)
WITHDRAW = UpdateType("withdraw", Withdraw, Acknowledgement)
RETRY_STEP = UpdateType("retry_step", RetryStep, Acknowledgement)
RESOLVE_STEP = UpdateType("resolve_step", ResolveStep, Acknowledgement)
CHOOSE_REFUND_METHOD = UpdateType("choose_refund_method", ChooseRefundMethod, Acknowledgement)

SHIPMENT_EVENT = SignalType("shipment_event", ShipmentEvent)
REFUND_EVENT = SignalType("refund_event", RefundEvent)

PROGRESS = QueryType("progress", Progress)
PLAN = QueryType("plan", Plan)
"""Answers nothing while nothing is planned."""
