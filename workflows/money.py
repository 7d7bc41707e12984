"""The money of a cancellation: every tender is reversed (the pivot), credited, and waited for until it has settled."""

from functools import partial

from temporalio import workflow

from activities.signatures import (
    CheckRefund,
    CreditRefund,
    GiveStoreCredit,
    RestorePayment,
    ReversePayment,
    RevokeRefund,
)
from domain.messages import Resolution, ResolveStep
from domain.money import Money
from domain.outcome import (
    ByHand,
    MoneyStatus,
    Owner,
    PaperStatus,
    Refusal,
    Reversal,
    State,
    StepStatus,
    money_status,
)
from domain.plan import Plan, PlannedTender, RefundMethod
from workflows import steps
from workflows.case import Case
from workflows.saga import Saga
from workflows.step_runner import AnotherWay, StepRunner, run_all


class Payments:
    """The steps that gateway, marketplace and books carry out. `of` is how many tenders are reversed, all together."""

    def __init__(self, case: Case, runner: StepRunner, saga: Saga) -> None:
        self._case = case
        self._runner = runner
        self._saga = saga
        self._refusals: dict[str, Refusal] = {}

    async def reverse_payments(self, plan: Plan) -> None:
        """The pivot: from here on the process only goes forward."""
        self._case.record_pivot()
        tenders = [tender for tender in plan.tenders if tender.refund or tender.release]
        if tenders:
            self._case.money = MoneyStatus.WAITING
        await run_all([self.reverse_payment(tender, of=len(tenders)) for tender in tenders])
        self._case.money = money_status(self._case.reversals, len(tenders))

    async def reverse_payment(self, planned: PlannedTender, *, of: int) -> None:
        self._saga.register_compensation(partial(self.restore_payment, planned))
        known = self._find_reversal(planned)
        if known is None:
            await self.void_or_refund(planned, of=of)
        elif known.dead:
            self._runner.begin_step(steps.REVERSE_PAYMENT, planned.tender.tender_id)
            await self.replace_failed_refund(planned, of=of)

    async def void_or_refund(self, planned: PlannedTender, *, of: int) -> None:
        """Until the gateway has taken it, the customer has it another way, or a person has settled it."""
        tender_id = planned.tender.tender_id
        known = self._find_reversal(planned)
        elsewhere = known.elsewhere(planned.tender.kind) if known else None
        due = planned.model_copy(update={"refund": planned.refund - elsewhere}) if elsewhere else planned
        try:
            reversal = await self._runner.run_step(
                steps.REVERSE_PAYMENT,
                tender_id,
                lambda ids: ReversePayment(
                    **ids,
                    planned=due,
                    fallbacks=self._case.terms.fallbacks,
                    lines=self._case.plan.lines if self._case.plan else (),
                    reason=self._case.request.reason,
                ),
                on_refusal=partial(self._keep_refusal, tender_id),
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        self.record_reversal(planned, reversal, of=of)
        if self._reversal_of(planned).dead:
            await self.replace_failed_refund(planned, of=of)

    async def replace_failed_refund(self, planned: PlannedTender, *, of: int) -> None:
        """A refund that failed is made again, or goes back another way; the customer is owed it all the same."""
        tender_id = planned.tender.tender_id
        failed = next(refund for refund in reversed(self._reversal_of(planned).refunds) if refund.status.dead)
        self._runner.use_next_key(steps.REVERSE_PAYMENT, tender_id, after=failed.key)
        try:
            answer = await self._runner.wait_for_person(
                steps.REVERSE_PAYMENT,
                tender_id,
                f"The refund {failed.reference} over {failed.amount} failed: {failed.reason or 'no reason given'}.",
                offer_choice=True,
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        if isinstance(answer, ResolveStep):
            self.record_reversal(planned, answer, of=of)
        else:
            await self.void_or_refund(planned, of=of)

    async def give_back_by(self, method: RefundMethod, planned: PlannedTender, *, of: int) -> None:
        """The other way that the customer chose."""
        if method is RefundMethod.BANK_TRANSFER:
            outcome: Reversal | ResolveStep = await self._ask_for_bank_transfer(planned)
        else:
            outcome = await self._give_store_credit(planned)
        self.record_reversal(planned, outcome, of=of)

    async def _ask_for_bank_transfer(self, planned: PlannedTender) -> ResolveStep:
        """It is made by a person, who names its reference."""
        amount = self._owed_on(planned)
        answer = None
        while not isinstance(answer, ResolveStep):
            answer = await self._runner.wait_for_person(
                steps.REVERSE_PAYMENT,
                planned.tender.tender_id,
                f"The customer chose a bank transfer: transfer {amount} and resolve the step with its reference.",
            )
        return answer

    async def _give_store_credit(self, planned: PlannedTender) -> Reversal | ResolveStep:
        tender_id, amount = planned.tender.tender_id, self._owed_on(planned)
        known = self._known_before(planned)
        for key in known.store_credit_keys if known else ():
            # for another part that failed; this is one more
            self._runner.use_next_key(steps.GIVE_STORE_CREDIT, tender_id, after=key)
        given = await self._runner.run_step(
            steps.GIVE_STORE_CREDIT, tender_id, lambda ids: GiveStoreCredit(**ids, amount=amount)
        )
        if isinstance(given, ResolveStep):
            return given
        return Reversal(
            tender_id=tender_id,
            released=self._released_of(planned),
            refunds=(given,),
            as_store_credit=True,
            detail="given as store credit",
        )

    async def credit_refund(self, plan: Plan) -> None:
        """Put the refund on paper, wait until the money has settled, and post the settlement."""
        self._saga.register_compensation(self.revoke_refund)
        await self._post_credit(plan)
        pending = {reversal.tender_id for reversal in self._case.reversals if reversal.pending}
        if pending:
            waiting = [tender for tender in plan.tenders if tender.tender.tender_id in pending]
            await run_all([self.wait_for_settlement(tender) for tender in waiting])
            if workflow.patched("settled-refunds-are-looked-at-again"):
                await run_all([self.recheck_settled_refund(tender) for tender in plan.tenders])
            await self._post_credit(plan)
        self._case.money = money_status(self._case.reversals, len(self._case.reversals))

    async def _post_credit(self, plan: Plan) -> None:
        credited = await self._runner.run_step(
            steps.CREDIT_REFUND,
            plan.order_id,
            lambda ids: CreditRefund(**ids, plan=plan, reversals=self._case.reversals),
        )
        number = credited.reference if isinstance(credited, ResolveStep) else credited.credit_note
        self._case.record_credit_note(number)
        self._runner.end_step(steps.CREDIT_REFUND, plan.order_id, StepStatus.DONE, reference=number)

    async def wait_for_settlement(self, planned: PlannedTender) -> None:
        """Until the money of one tender has settled. A refund can still fail days after the gateway took it."""
        tender_id, terms = planned.tender.tender_id, self._case.terms
        of = len(self._case.reversals)
        while self._reversal_of(planned).pending:
            watched = await self._runner.watch_outcome(
                steps.REVERSE_PAYMENT,
                tender_id,
                self._reversal_of(planned),
                state=State.WAITING_FOR_SETTLEMENT,
                owner=Owner.GATEWAY,
                why="The gateway has taken the refund; the money has not settled yet.",
                patience=terms.settlement_due,
                poll=terms.settlement_poll,
                look=partial(self._look_at_refund, planned),
                is_open=lambda known: known.pending,
                find_urgency=lambda known: (
                    known.disputed
                    and "The bank disputes the payment while its refund is under way: answer the "
                    "dispute with the refund's reference, so that the money does not go back twice."
                ),
            )
            self.record_reversal(planned, watched, of=of, in_place_of_pending=isinstance(watched, ResolveStep))
            if self._reversal_of(planned).dead:
                await self.replace_failed_refund(planned, of=of)

    async def recheck_settled_refund(self, planned: PlannedTender) -> None:
        """While one tender was waited for, the refund of another that had settled may have failed."""
        before = self._find_reversal(planned)
        if before is None or before.by_hand or before.as_store_credit or not before.refunds:
            return
        now = await self._look_at_refund(planned, before)
        if now is not None and now.dead:
            self.record_reversal(planned, now, of=len(self._case.reversals))
            await self.replace_failed_refund(planned, of=len(self._case.reversals))
            await self.wait_for_settlement(planned)

    async def _look_at_refund(self, planned: PlannedTender, known: Reversal) -> Reversal | None:
        fallbacks = self._case.terms.fallbacks
        return await self._runner.run_look(
            steps.CHECK_REFUND,
            planned.tender.tender_id,
            lambda ids: CheckRefund(**ids, planned=planned, reversal=known, fallbacks=fallbacks),
        )

    # Roll-back

    async def restore_payment(self, planned: PlannedTender) -> None:
        tender_id = planned.tender.tender_id
        reversed_by = self._runner.list_keys(steps.REVERSE_PAYMENT, tender_id)
        undoes = reversed_by + self._runner.list_keys(steps.GIVE_STORE_CREDIT, tender_id)
        await self._runner.run_step(
            steps.RESTORE_PAYMENT, tender_id, lambda ids: RestorePayment(**ids, planned=planned, undoes=undoes)
        )
        moved = any(reversal.refunded or reversal.released for reversal in self._case.reversals)
        self._case.money = MoneyStatus.RESTORED if moved else MoneyStatus.UNTOUCHED

    async def revoke_refund(self) -> None:
        await self._runner.run_step(steps.REVOKE_REFUND, self._case.order_id, lambda ids: RevokeRefund(**ids))
        self._case.paper = PaperStatus.REVOKED if self._case.credit_note else PaperStatus.UNTOUCHED

    # What is known

    def _find_reversal(self, planned: PlannedTender) -> Reversal | None:
        return next((known for known in self._case.reversals if known.tender_id == planned.tender.tender_id), None)

    def _reversal_of(self, planned: PlannedTender) -> Reversal:
        known = self._find_reversal(planned)
        assert known is not None
        return known

    def _owed_on(self, planned: PlannedTender) -> Money:
        """What the customer is owed on a tender whose refund was refused or failed."""
        if refusal := self._refusals.get(planned.tender.tender_id):
            return refusal.owed
        before = self._find_reversal(planned)
        return before.owed if before else planned.refund

    def _released_of(self, planned: PlannedTender) -> Money:
        """What its authorisation no longer reserves; what was captured meanwhile was not released."""
        before = self._known_before(planned)
        return before.released if before else planned.release

    def _known_before(self, planned: PlannedTender) -> Reversal | None:
        """What was known of a tender before its latest outcome: also what came with a refusal."""
        before, refusal = self._find_reversal(planned), self._refusals.get(planned.tender.tender_id)
        if refusal is None:
            return before
        return refusal.reversal.following(before) if before else refusal.reversal

    def _keep_refusal(self, tender_id: str, detail: object) -> None:
        self._refusals[tender_id] = Refusal.model_validate(detail)

    def record_reversal(
        self, planned: PlannedTender, outcome: Reversal | ResolveStep, *, of: int, in_place_of_pending: bool = False
    ) -> None:
        """Keep what became of one tender, in the place of what was known of it before."""
        tender_id = planned.tender.tender_id
        before = self._known_before(planned)
        if isinstance(outcome, ResolveStep):
            nothing = outcome.resolution is Resolution.NOTHING_DUE
            outcome = Reversal(
                tender_id=tender_id,
                released=Money.zero(planned.refund.currency) if nothing and not before else self._released_of(planned),
                by_hand=None if nothing else ByHand(reference=outcome.reference, amount=self._owed_on(planned)),
                detail=outcome.note,
            )
        else:
            reference = outcome.refunds[-1].reference if outcome.refunds else None
            self._runner.end_step(steps.REVERSE_PAYMENT, tender_id, StepStatus.DONE, outcome.detail, reference)
        self._refusals.pop(tender_id, None)
        if before is not None:
            outcome = outcome.following(before, in_place_of_pending=in_place_of_pending)
        self._case.record_reversal(outcome, tenders=of)
