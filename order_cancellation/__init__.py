"""The client library: ask for cancellations of orders, watch them and steer them, from any Python program.

    from order_cancellation import Actor, CancellationRequest, Cancellations, Channel, ReasonCode

    async with await Cancellations.connect() as cancellations:  # TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …
        submission = await cancellations.start(request)

Every method of `Cancellations` raises `StarterError`, whose `sentence` is for people and whose `code` is for programs.
What is not named here may change without notice.
"""

from client.cancellations import Cancellations
from client.engine import Execution
from client.errors import ExitCode, OrderNotFound, RunPaused, RunSuperseded, StarterError, UnderWay
from client.listing import Filter, SummaryPage
from client.requests import new_request
from client.status import Source, Status, Summary
from domain.decision import Decision, Rule, Verdict
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Quote,
    RefundEvent,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Submission,
    Withdraw,
)
from domain.money import Money
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, Outcome, PaperStatus, State, Wait
from domain.plan import Plan
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.step import Owner, StepName
from domain.terms import RefundMethod

__all__ = [
    "Acknowledgement",
    "Actor",
    "ActorKind",
    "Approve",
    "CancellationRequest",
    "CancellationResult",
    "Cancellations",
    "Channel",
    "ChooseRefundMethod",
    "Decision",
    "Execution",
    "ExitCode",
    "Filter",
    "GoodsStatus",
    "LineScope",
    "Money",
    "MoneyStatus",
    "OrderNotFound",
    "Outcome",
    "Owner",
    "PaperStatus",
    "Plan",
    "Quote",
    "ReasonCode",
    "RefundEvent",
    "RefundMethod",
    "Reject",
    "Resolution",
    "ResolveStep",
    "RetryStep",
    "Rule",
    "RunPaused",
    "RunSuperseded",
    "ShipmentEvent",
    "Source",
    "StarterError",
    "State",
    "Status",
    "StepName",
    "Submission",
    "Summary",
    "SummaryPage",
    "UnderWay",
    "Verdict",
    "Wait",
    "Withdraw",
    "new_request",
]
