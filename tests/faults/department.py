"""The refund department of the swarm: what it pays, collects or gives up, and what it names as the proof."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import stripe
from temporalio.service import RPCError

from domain.money import Money
from domain.money import money as to_money
from domain.order import Tender, TenderKind
from domain.outcome import Wait
from domain.step import MONEY_STEPS, StepName
from providers.gateway.stripe_objects import step_of
from sandbox.gateway.messages import EffectKind
from tests.faults.answer import Answer
from tests.faults.model import CAPTURED, FAILED, REFUNDED, AtGateway, Invariant, Verb, Violation
from tests.faults.others import Others
from tests.faults.owed import Owed
from tests.faults.payments import at_marketplace
from tests.faults.plan import PlannedOrder, Proof
from tests.faults.sentences import find_wrong_amounts, read_excess, read_refunds_to_name
from tests.faults.staff import Staff
from tests.faults.world import read_money
from workflows.cancellation import CancellationWorkflow

_DISPUTE = re.compile(r"\bdp_\w+")
_ASKED_FOR = re.compile(r"^([\d.]+ [A-Z]{3}) (?:of tender|more than is due)")
_WHOSE_IT_IS = ("Find out", "nobody can tell", "for something else")
_TAKEN_WITHIN = 60.0
_WITH_PROOF = frozenset({Verb.DONE_BY_HAND, Verb.NOTHING_DUE})


@dataclass
class RefundDepartment(Staff):
    """`hits`: what reached something. `named`: the disputes, by cancellation, and the refunds that were named already: what
    was refused is not named again."""

    planned: PlannedOrder = field(kw_only=True)
    hits: list[str] = field(default_factory=list)
    named: set[tuple[str, str]] = field(default_factory=set)
    others: Others = field(init=False)

    def __post_init__(self) -> None:
        self.others = Others(self.system, self.planned, self.watched, self.hits)
        self._finds_out = False
        self._excess: Money | None = None

    async def fill_in(self, verb: Verb, wait: Wait) -> Answer:
        """Whoever is asked whose the money of a shared payment is finds that out; otherwise they do as they are told."""
        self._finds_out = self._is_of_shared_payment(wait) and any(words in wait.reason for words in _WHOSE_IT_IS)
        self._excess = read_excess(wait) if wait.target in self.watched.captured_for else None
        if verb in {Verb.RETRY, Verb.DONE_BY_HAND} and (found := read_refunds_to_name(wait)):
            return self._say_for_which_order(found)
        if self._finds_out and verb in {Verb.RETRY, Verb.DONE_BY_HAND}:
            owed = await self.moved_by_hand(wait.step, wait.target)
            verb = Verb.NOTHING_DUE if owed is not None and not owed else verb
        answer = await self._find_proof(verb, wait) or await super().fill_in(verb, wait)
        nothing = answer.amount is not None and not answer.amount
        if answer.verb is Verb.DONE_BY_HAND and wait.step is StepName.CHECK_REFUND and nothing:
            answer = Answer(
                Verb.NOTHING_DUE, waived=answer.amount
            )  # the bank has taken it back since it was asked about
        if self.planned.proof is Proof.SAME and answer.proof is None and answer.verb in _WITH_PROOF:
            return self._prove_alike(answer)
        return answer

    async def say(self, verb: Verb, wait: Wait) -> bool:
        """Whoever has named something looks what has come of it before they do anything else."""
        taken = await super().say(verb, wait)
        said = self.watched.said[-1]
        if taken and said.proof:
            await self._see_taken(wait)
        if taken and said.verb is Verb.DONE_BY_HAND and self._is_of_shared_payment(wait):
            await self._check_paid_besides(wait.target)
        return taken

    def _say_for_which_order(self, refunds: Sequence[str]) -> Answer:
        """Whoever names what others have given for this order has moved nothing."""
        ours = next((refund for refund in refunds if refund in self.watched.refunds_of_others), None)
        if ours is None:
            return Answer(Verb.RETRY)
        nothing = Money.zero(self.watched.order.currency)
        return Answer(Verb.DONE_BY_HAND, proof=ours, named=True, amount=nothing)

    def _is_of_shared_payment(self, wait: Wait) -> bool:
        return wait.target in self.watched.captured_for and wait.step in MONEY_STEPS

    async def _check_paid_besides(self, target: str | None) -> None:
        owed = await self._read_owed(target)
        if owed and (besides := owed.paid_besides(self.watched.refunds_of_others)):
            sentence = f"a person was told to pay {besides} on {target}, which others had given"
            self.report(Invariant.PAID_ONCE, sentence)

    async def check_amounts(self, wait: Wait) -> None:
        """What a person is told to do with money."""
        effects = await self._read_money()
        for sentence in find_wrong_amounts(wait, await self.find_cancellation(), effects):
            self.report(Invariant.MONEY, sentence)

    def report(self, invariant: Invariant, sentence: str) -> None:
        self.seen.append(Violation(invariant=invariant, order_id=self.planned.order_id, sentence=sentence))

    async def _see_taken(self, wait: Wait) -> None:
        deadline = time.monotonic() + _TAKEN_WITHIN
        while time.monotonic() < deadline:
            progress = await self._progress()
            if progress is not None and wait not in progress.waits:
                return
            await asyncio.sleep(self.pause)

    def _prove_alike(self, answer: Answer) -> Answer:
        proof = f"TICKET-{self.planned.order_id}"
        if any(said.proof == proof for said in self.watched.said):
            self.hits.append("the same proof again")
        return replace(answer, proof=proof, named=True)

    async def _find_proof(self, verb: Verb, wait: Wait) -> Answer | None:
        """Where the person has a proof that is no payment of their own."""
        if self.planned.proof is Proof.DISPUTE and verb in _WITH_PROOF:
            return await self._name_dispute(verb, wait)
        if self.planned.proof is Proof.OTHER_CARD and verb is Verb.DONE_BY_HAND:
            return await self._name_refund(wait)
        return None

    async def _name_dispute(self, verb: Verb, wait: Wait) -> Answer | None:
        """That by which the bank pays, or will; it is asked about once. Which part of it is for which cancellation is not
        known to them: what they pay or collect besides is what they are asked for, and the sum is checked."""
        step, nothing = wait.step, Money.zero(self.watched.order.currency)
        if step is StepName.REVERSE_PAYMENT and verb is Verb.DONE_BY_HAND and (found := _DISPUTE.search(wait.reason)):
            name = (await self.find_cancellation(), found.group())
            if name not in self.named:
                self.hits.append(
                    "a dispute named" + " again" * any(found.group() == number for _, number in self.named)
                )
                self.named.add(name)
                return Answer(verb, proof=found.group(), named=True, amount=nothing)
        asked = _ASKED_FOR.match(wait.reason)
        if not asked or not self.named or step not in {StepName.REVERSE_PAYMENT, StepName.CHECK_REFUND}:
            return None
        amount = to_money(asked.group(1))
        amount = amount if step is StepName.REVERSE_PAYMENT else nothing - amount
        return Answer(verb, amount=amount) if verb is Verb.DONE_BY_HAND else Answer(verb, waived=amount)

    async def _name_refund(self, wait: Wait) -> Answer | None:
        """A refund on another card of the order, for what is owed on this one."""
        target = next((tender for tender in self.watched.order.tenders if tender.tender_id == wait.target), None)
        if wait.step is not StepName.REVERSE_PAYMENT or target is None or target.kind is not TenderKind.CARD:
            return None
        owed = await self.moved_by_hand(wait.step, wait.target)
        if not owed:
            return None
        for other in self.watched.order.tenders:
            if other.kind is not TenderKind.CARD or other.reference == target.reference:
                continue
            found = await self._refund_of_others(other) or await self._refund(other, owed)
            if found is not None:
                reference, amount = found
                self.named.add(("", reference))
                self.hits.append("a refund on another card named")
                nothing = Money.zero(owed.currency)
                return Answer(
                    Verb.DONE_BY_HAND, proof=reference, named=True, amount=nothing, stands_for=min(amount, owed)
                )
        return None

    async def _refund_of_others(self, other: Tender) -> tuple[str, Money] | None:
        """One that nobody has named."""
        gateway = self.system.shop.gateway
        effects = await gateway.effects(other.reference)
        over = {e.object_id for e in effects if e.kind in {EffectKind.REFUND_FAILED, EffectKind.REFUND_CANCELED}}
        for effect in effects:
            theirs = effect.kind is EffectKind.REFUND_CREATED and effect.key in gateway.keys
            if theirs and effect.object_id not in over and ("", effect.object_id) not in self.named:
                return effect.object_id, Money(amount=effect.amount, currency=other.amount.currency)
        return None

    async def _refund(self, other: Tender, owed: Money) -> tuple[str, Money] | None:
        """In the gateway's dashboard, as much of it as the payment has."""
        money = [found for found in await read_money(self.system, self.watched.order) if not found.on_account]
        failed = {found.object_id for found in money if found.kind == FAILED}
        left = sum(
            found.amount * ((found.kind == CAPTURED) - (found.kind == REFUNDED))
            for found in money
            if found.tender_id == other.tender_id and found.object_id not in failed
        )
        amount = min(owed, Money(amount=max(left, 0), currency=owed.currency)).in_steps(step_of(owed.currency))
        if amount.amount <= 0:
            return None
        try:
            return await self.system.shop.gateway.refund_elsewhere(other.reference, amount), amount
        except stripe.StripeError:
            return None  # it is disputed

    async def moved_by_hand(self, step: StepName | None, target: str | None) -> Money | None:
        """What the cancellation owes on the tender; in a roll-back, what it has given back on it; or what the customer has
        too much: these are taken back, so they are below zero."""
        owed = await self._read_owed(target)
        if self._excess is not None:
            return self._excess
        if owed is not None and step in MONEY_STEPS and self._finds_out:
            return owed.of_shared_payment(self.watched.captured_for[target or ""], self.watched.refunds_of_others)
        if owed is not None and self.others.is_processed(owed.planned.tender.reference):
            return Money.zero(owed.planned.refund.currency)  # whoever reads that it is still being taken waits
        return owed.moved_by_hand(step) if owed else None

    async def read_waived(self, step: StepName | None, target: str | None) -> Money | None:
        owed = await self._read_owed(target)
        return self._excess or (owed.waived(step) if owed else None)

    async def _read_money(self) -> list[AtGateway]:
        order = self.watched.order
        return [*await read_money(self.system, order), *await at_marketplace(self.system, order)]

    async def _read_owed(self, target: str | None) -> Owed | None:
        progress = await self._progress()
        try:
            plan = await self.handle.query(CancellationWorkflow.plan)
        except RPCError:
            plan = None
        planned = next((part for part in plan.tenders if part.tender.tender_id == target), None) if plan else None
        if planned is None or progress is None:
            return None
        money = await self._read_money()
        return Owed(planned, progress.cancellation_id, money, self.watched.said)
