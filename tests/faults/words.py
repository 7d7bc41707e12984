"""Everything that people and the world can say to a run, sent at one moment and answered at another."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from client.runs import is_refused_for_now
from domain.facts import NothingDue, RollBackOrdered, SettledByHand
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    Withdraw,
)
from domain.request import Actor, CancellationRequest, LineScope
from domain.said import Steering
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox.shop import request
from tests.faults.confidential import NOTE
from tests.faults.model import Said, Verb
from tests.faults.staff import Staff
from tests.faults.world import read_cases
from tests.observing import eventually, update_id
from tests.system import SUPERVISOR, customer_of
from workflows.cancellation import CancellationWorkflow

ANSWERED_WITHIN = 120
_DROPPED = "AcceptedUpdateCompletedWorkflow"
"""The server's name for a message that its run has accepted, and ended without an answer to."""
_PAUSE = 0.1


class Word(StrEnum):
    """SAME is the request that opened the cancellation, sent again; ANOTHER asks for the same, WIDER for something else.
    NO_PROOF names a dispute that there is not as the proof that the bank has paid."""

    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    RETRY = "retry"
    DONE_BY_HAND = "done_by_hand"
    NO_PROOF = "no_proof"
    NOTHING_DUE = "nothing_due"
    ROLL_BACK = "roll_back"
    STORE_CREDIT = "store_credit"
    BANK_TRANSFER = "bank_transfer"
    CANCEL = "cancel"
    OF_PARCEL = "of_parcel"
    OF_REFUND = "of_refund"
    SAME = "same"
    ANOTHER = "another"
    WIDER = "wider"


VERBS: Mapping[Word, Verb] = {
    Word.NO_PROOF: Verb.DONE_BY_HAND,
    Word.STORE_CREDIT: Verb.CHOOSE,
    Word.BANK_TRANSFER: Verb.CHOOSE,
    Word.OF_PARCEL: Verb.SIGNAL,
    Word.OF_REFUND: Verb.SIGNAL,
    Word.SAME: Verb.SUBMIT,
    Word.ANOTHER: Verb.SUBMIT,
    Word.WIDER: Verb.SUBMIT,
    **{word: Verb(word.value) for word in Word if word.value in {verb.value for verb in Verb}},
}
_STEERING: Mapping[Verb, UpdateMethodMultiParam[[Any, Any], Acknowledgement]] = {
    Verb.APPROVE: CancellationWorkflow.approve,
    Verb.REJECT: CancellationWorkflow.reject,
    Verb.WITHDRAW: CancellationWorkflow.withdraw,
    Verb.RETRY: CancellationWorkflow.retry_step,
    Verb.DONE_BY_HAND: CancellationWorkflow.resolve_step,
    Verb.NOTHING_DUE: CancellationWorkflow.resolve_step,
    Verb.ROLL_BACK: CancellationWorkflow.resolve_step,
    Verb.CHOOSE: CancellationWorkflow.choose_refund_method,
}
_RESOLUTIONS = frozenset({Verb.DONE_BY_HAND, Verb.NOTHING_DUE, Verb.ROLL_BACK})
NO_ANSWER = frozenset({Word.CANCEL, Word.OF_PARCEL, Word.OF_REFUND})
"""They are no updates: the engine takes them, and nobody answers."""
HARMLESS = frozenset({Word.OF_PARCEL, Word.OF_REFUND, Word.SAME, Word.ANOTHER, Word.WIDER, Word.RETRY})
"""However they are answered, they change nothing of how the cancellation ends."""


@dataclass
class Answer:
    """`accepted` None: the sender cannot know. `sentence` says why it was refused."""

    word: Word
    accepted: bool | None
    sentence: str = ""


@dataclass
class Spoken:
    word: Word
    task: asyncio.Task[Answer]


async def speak(staff: Staff, *words: Word, as_one: bool = False) -> list[Spoken]:
    """Returns once the server has all of them, in this order; whether the run has is another matter. `as_one`: they are one
    message, sent again as it was."""
    spoken: list[Spoken] = []
    reference = _new_reference()
    for word in words:
        known_as = uuid4().hex
        arrived = asyncio.Event()
        message = _Message(staff, word, reference if as_one else _new_reference())
        task = asyncio.create_task(_say(staff, message, known_as, arrived))
        spoken.append(Spoken(word, task))
        if word in NO_ANSWER:
            await arrived.wait()
            continue
        with contextlib.suppress(AssertionError):  # whether it was answered is seen at the end
            await eventually(partial(_has_arrived, staff, task, known_as), f"the server has {word}", ANSWERED_WITHIN)
    return spoken


async def _has_arrived(staff: Staff, task: asyncio.Task[Answer], known_as: str) -> bool:
    return task.done() or await staff.system.has_arrived(staff.handle, known_as)


async def answers_of(spoken: list[Spoken]) -> list[Answer | None]:
    """None: there is no answer within the longest time."""
    if spoken:
        await asyncio.wait([said.task for said in spoken], timeout=ANSWERED_WITHIN)
    return [said.task.result() if said.task.done() else None for said in spoken]


def _new_reference() -> str:
    return uuid4().hex[:8]


async def _say(staff: Staff, message: "_Message", known_as: str, arrived: asyncio.Event) -> Answer:
    update_id.set(known_as)
    accepted, sentence, repeated = await _answer(message.send)
    if repeated and accepted is False and await message.is_recorded():
        accepted = True  # the first sending was taken, and its answer lost
    arrived.set()
    said = await message.said(accepted)
    staff.watched.said.append(said)
    return Answer(message.word, accepted, sentence)


async def _answer(send: Callable[[], Awaitable[None]]) -> tuple[bool | None, str, bool]:
    """Sent again while the engine takes none, as the client library does: True then."""
    repeated = False
    while True:
        try:
            await send()
        except WorkflowUpdateFailedError as refused:
            sentence = str(getattr(refused.cause, "message", refused.cause))
            dropped = getattr(refused.cause, "type", None) == _DROPPED
            return None if dropped else False, sentence, repeated
        except RPCError as error:
            if is_refused_for_now(error):
                repeated = True
                await asyncio.sleep(_PAUSE)
                continue
            if error.status is RPCStatusCode.NOT_FOUND:
                return False, error.message, repeated  # the run has ended
            return None, error.message, repeated
        return True, "", repeated


class _Message:
    def __init__(self, staff: Staff, word: Word, reference: str) -> None:
        self._staff = staff
        self.word = word
        self._reference = f"dp_{reference}" if word is Word.NO_PROOF else f"ACT-{reference}"
        self._joined = False

    async def send(self) -> None:
        staff, word = self._staff, self.word
        handle = staff.handle
        match word:
            case Word.CANCEL:
                await handle.cancel()
            case Word.OF_PARCEL:
                await staff.system.wake_by_carrier(handle)
            case Word.OF_REFUND:
                await staff.system.wake(handle)
            case Word.SAME | Word.ANOTHER | Word.WIDER:
                receipt = await handle.execute_update(CancellationWorkflow.submit, self._request(), id=update_id.get())
                self._joined = receipt.joined
            case _:
                await handle.execute_update(_STEERING[VERBS[word]], self._steering(), id=update_id.get())

    def _request(self) -> CancellationRequest:
        sample, scope = self._staff.sample, self._staff.course.scope
        if self.word is Word.WIDER:
            scope = () if scope else (LineScope(line_id="L1", quantity=1),)
        request_id = None if self.word is Word.SAME else f"r-{self._reference}"
        return request(sample, *scope, request_id=request_id, note=NOTE)

    def _steering(self) -> Steering:
        """No step is named: the one that waits is meant."""
        customer = customer_of(self._staff.sample)
        match self.word:
            case Word.APPROVE:
                return Approve(actor=SUPERVISOR)
            case Word.REJECT:
                return Reject(actor=SUPERVISOR)
            case Word.WITHDRAW:
                return Withdraw(actor=customer)
            case Word.RETRY:
                return RetryStep(actor=SUPERVISOR)
            case Word.STORE_CREDIT | Word.BANK_TRANSFER:
                return ChooseRefundMethod(actor=customer, target="T1", method=RefundMethod(self.word.value))
            case _:
                resolution = Resolution(VERBS[self.word].value)
                return ResolveStep(actor=SUPERVISOR, resolution=resolution, reference=self._reference)

    async def said(self, accepted: bool | None) -> Said:
        resolves = VERBS[self.word] in _RESOLUTIONS
        counts = resolves and accepted and self._reference not in self._staff.proofs
        self._staff.proofs.update([self._reference] if counts else [])
        moved, waived = (counts and VERBS[self.word] is verb for verb in (Verb.DONE_BY_HAND, Verb.NOTHING_DUE))
        step, target = await self._find_step() if accepted else (None, "")
        return Said(
            verb=VERBS[self.word],
            accepted=accepted,
            proof=self._reference if resolves and accepted else "",
            by=self._actor(),
            scope=self._request().lines if VERBS[self.word] is Verb.SUBMIT else (),
            step=step,
            target=target,
            amount=await self._staff.moved_by_hand(step, target) if moved else None,
            waived=await self._staff.read_waived(step, target) if waived else None,
            request_id=self._request().request_id if VERBS[self.word] is Verb.SUBMIT else "",
            joined=self._joined,
        )

    def _actor(self) -> Actor | None:
        return None if self.word in NO_ANSWER or VERBS[self.word] is Verb.SUBMIT else self._steering().actor

    async def is_recorded(self) -> bool:
        step, _ = await self._find_step()
        return step is not None

    async def _find_step(self) -> tuple[StepName | None, str]:
        """What the answer was about, where it was about a step that waited."""
        cases = await read_cases(self._staff.system, self._staff.watched.order.order_id)
        for entry in (entry for case in cases for entry in case.entries):
            fact = entry.fact
            if isinstance(fact, SettledByHand | NothingDue | RollBackOrdered) and fact.reference == self._reference:
                return fact.step, fact.target
        return None, ""
