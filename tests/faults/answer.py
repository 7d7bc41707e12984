"""What somebody says to a cancellation that waits, and the message that says it."""

from dataclasses import dataclass
from uuid import uuid4

from domain.messages import Approve, ChooseRefundMethod, Reject, Resolution, ResolveStep, RetryStep, Withdraw
from domain.money import Money
from domain.outcome import Wait
from domain.request import Actor
from domain.said import Steering
from domain.terms import RefundMethod
from sandbox.shop import SampleOrder
from tests.faults.model import Verb
from tests.system import customer_of

_RESOLUTIONS = {
    Verb.DONE_BY_HAND: Resolution.DONE_BY_HAND,
    Verb.NOTHING_DUE: Resolution.NOTHING_DUE,
    Verb.ROLL_BACK: Resolution.ROLL_BACK,
}


@dataclass(frozen=True)
class Answer:
    """What somebody says, and what of an order's money they move by it, or give up. `proof` None: a new one. `named`: it is
    asked of the books whether they have it. `stands_for`: it is a refund that the gateway has, and how much of that is
    meant."""

    verb: Verb
    proof: str | None = None
    named: bool = False
    amount: Money | None = None
    waived: Money | None = None
    stands_for: Money | None = None

    def to_message(self, sample: SampleOrder, wait: Wait, supervisor: Actor) -> Steering:
        match self.verb:
            case Verb.APPROVE:
                return Approve(actor=supervisor)
            case Verb.REJECT:
                return Reject(actor=supervisor)
            case Verb.WITHDRAW:
                return Withdraw(actor=customer_of(sample))
            case Verb.RETRY:
                return RetryStep(actor=supervisor, step=wait.step, target=wait.target)
            case Verb.CHOOSE:
                return ChooseRefundMethod(
                    actor=customer_of(sample), target=wait.target or "", method=RefundMethod.STORE_CREDIT
                )
            case _:
                return ResolveStep(
                    actor=supervisor,
                    step=wait.step,
                    target=wait.target,
                    resolution=_RESOLUTIONS[self.verb],
                    reference=self.proof or f"REF-{uuid4().hex[:8]}",
                )
