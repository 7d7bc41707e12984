"""The money of a cancellation: every tender is reversed (the pivot), credited, and waited for until it has settled."""

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
from domain.outcome import ByHand, MoneyStatus, Owner, PaperStatus, Reversal, State, StepStatus, money_status
from domain.plan import Plan, PlannedLine, PlannedTender, RefundMethod
from workflows import steps
from workflows.goods import GoodsSteps
from workflows.steering import AnotherWay


class MoneySteps(GoodsSteps):
    """The steps of `CancellationWorkflow` that gateway, marketplace and books carry out."""

    async def reverse_payments(self, plan: Plan) -> None:
        """The pivot: from here on the process only goes forward."""
        self.journal.pivot_passed = True
        tenders = [tender for tender in plan.tenders if tender.refund or tender.release]
        if tenders:
            self.journal.money = MoneyStatus.WAITING
        await self.each([self.reverse_payment(tender, of=len(tenders)) for tender in tenders])
        self.journal.money = money_status(self.reversals, len(tenders))

    async def reverse_payment(self, planned: PlannedTender, *, of: int) -> None:
        self.saga.register(lambda: self.restore_payment(planned))
        known = self.known_reversal(planned)
        if known is None:
            await self.void_or_refund(planned, of=of)
        elif known.dead:
            self.journal.began(*self.place(steps.REVERSE_PAYMENT, planned.tender.tender_id))
            await self.replace_failed_refund(planned, of=of)

    async def void_or_refund(self, planned: PlannedTender, *, of: int) -> None:
        """Until the gateway has taken it, the customer has it another way, or a person has settled it."""
        tender_id = planned.tender.tender_id
        known = self.known_reversal(planned)
        elsewhere = known.elsewhere(planned.tender.kind) if known else None
        due = planned.model_copy(update={"refund": planned.refund - elsewhere}) if elsewhere else planned
        try:
            reversal = await self.carry_out(
                steps.REVERSE_PAYMENT,
                tender_id,
                lambda key: ReversePayment(
                    **self.about(tender_id, key),
                    planned=due,
                    fallbacks=self.terms.fallbacks,
                    lines=self.lines,
                    reason=self.request.reason,
                ),
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        self.note(planned, reversal, of=of)
        if self.reversal_of(planned).dead:
            await self.replace_failed_refund(planned, of=of)

    async def replace_failed_refund(self, planned: PlannedTender, *, of: int) -> None:
        """A refund that failed is made again, or goes back another way; the customer is owed it all the same."""
        tender_id = planned.tender.tender_id
        failed = next(refund for refund in reversed(self.reversal_of(planned).refunds) if refund.status.dead)
        self.renew(steps.REVERSE_PAYMENT, tender_id, after=failed.key)
        try:
            answer = await self.ask(
                steps.REVERSE_PAYMENT,
                tender_id,
                f"The refund {failed.reference} over {failed.amount} failed: {failed.reason or 'no reason given'}.",
                due=self.terms.attention_due,
                again=None,
                choice=True,
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        if isinstance(answer, ResolveStep):
            self.note(planned, answer, of=of)
        else:
            await self.void_or_refund(planned, of=of)

    async def give_back_by(self, method: RefundMethod, planned: PlannedTender, *, of: int) -> None:
        """The other way that the customer chose. A bank transfer is made by a person, who names its reference."""
        tender_id, amount = planned.tender.tender_id, self.owed(planned)
        if method is RefundMethod.BANK_TRANSFER:
            answer = None
            while not isinstance(answer, ResolveStep):
                answer = await self.ask(
                    steps.REVERSE_PAYMENT,
                    tender_id,
                    f"The customer chose a bank transfer: transfer {amount} and resolve the step with its reference.",
                    due=self.terms.attention_due,
                    again=None,
                )
            self.note(planned, answer, of=of)
            return
        known = self.known_before(planned)
        for key in known.store_credit_keys if known else ():
            self.renew(steps.GIVE_STORE_CREDIT, tender_id, after=key)  # for another part that failed; this is one more
        given = await self.carry_out(
            steps.GIVE_STORE_CREDIT,
            tender_id,
            lambda key: GiveStoreCredit(**self.about(tender_id, key), amount=amount),
        )
        if isinstance(given, ResolveStep):
            self.note(planned, given, of=of)
            return
        credit = Reversal(
            tender_id=tender_id,
            released=self.released(planned),
            refunds=(given,),
            as_store_credit=True,
            detail="given as store credit",
        )
        self.note(planned, credit, of=of)

    async def credit_refund(self, plan: Plan) -> None:
        """Put the refund on paper, wait until the money has settled, and post the settlement."""
        self.saga.register(self.revoke_refund)
        await self.post_credit(plan)
        pending = {reversal.tender_id for reversal in self.reversals if reversal.pending}
        if pending:
            await self.each([self.settlement(tender) for tender in plan.tenders if tender.tender.tender_id in pending])
            if workflow.patched("settled-refunds-are-looked-at-again"):
                await self.each([self.settled_still(tender) for tender in plan.tenders])
            await self.post_credit(plan)
        self.journal.money = money_status(self.reversals, len(self.reversals))

    async def post_credit(self, plan: Plan) -> None:
        credited = await self.carry_out(
            steps.CREDIT_REFUND,
            plan.order_id,
            lambda key: CreditRefund(**self.about(plan.order_id, key), plan=plan, reversals=tuple(self.reversals)),
        )
        number = credited.reference if isinstance(credited, ResolveStep) else credited.credit_note
        self.journal.credit_note = number
        self.journal.paper = PaperStatus.CREDITED if number else PaperStatus.NONE_NEEDED
        self.journal.ended(*self.place(steps.CREDIT_REFUND, plan.order_id), StepStatus.DONE, reference=number)

    async def settlement(self, planned: PlannedTender) -> None:
        """Until the money of one tender has settled. A refund can still fail days after the gateway took it."""
        tender_id = planned.tender.tender_id
        of = len(self.reversals)
        while self.reversal_of(planned).pending:
            watched = await self.watch(
                steps.REVERSE_PAYMENT,
                tender_id,
                self.reversal_of(planned),
                state=State.WAITING_FOR_SETTLEMENT,
                owner=Owner.GATEWAY,
                why="The gateway has taken the refund; the money has not settled yet.",
                patience=self.terms.settlement_due,
                poll=self.terms.settlement_poll,
                look=lambda now: self.look_at_refund(planned, now),
                open_=lambda now: now.pending,
                urgent=lambda now: (
                    now.disputed
                    and "The bank disputes the payment while its refund is under way: answer the "
                    "dispute with the refund's reference, so that the money does not go back twice."
                ),
            )
            self.note(planned, watched, of=of, in_place_of_pending=isinstance(watched, ResolveStep))
            if self.reversal_of(planned).dead:
                await self.replace_failed_refund(planned, of=of)

    async def look_at_refund(self, planned: PlannedTender, known: Reversal) -> Reversal | None:
        tender_id = planned.tender.tender_id
        return await self.look(
            steps.CHECK_REFUND,
            tender_id,
            lambda key: CheckRefund(
                **self.about(tender_id, key), planned=planned, reversal=known, fallbacks=self.terms.fallbacks
            ),
        )

    async def settled_still(self, planned: PlannedTender) -> None:
        """While one tender was waited for, the refund of another that had settled may have failed."""
        before = self.known_reversal(planned)
        if before is None or before.by_hand or before.as_store_credit or not before.refunds:
            return
        now = await self.look_at_refund(planned, before)
        if now is not None and now.dead:
            self.note(planned, now, of=len(self.reversals))
            await self.replace_failed_refund(planned, of=len(self.reversals))
            await self.settlement(planned)

    # Roll-back

    async def restore_payment(self, planned: PlannedTender) -> None:
        tender_id = planned.tender.tender_id
        undoes = self.keys_of(steps.REVERSE_PAYMENT, tender_id) + self.keys_of(steps.GIVE_STORE_CREDIT, tender_id)
        await self.carry_out(
            steps.RESTORE_PAYMENT,
            tender_id,
            lambda key: RestorePayment(**self.about(tender_id, key), planned=planned, undoes=undoes),
        )
        moved = any(reversal.refunded or reversal.released for reversal in self.reversals)
        self.journal.money = MoneyStatus.RESTORED if moved else MoneyStatus.UNTOUCHED

    async def revoke_refund(self) -> None:
        order_id = self.request.order_id
        await self.carry_out(steps.REVOKE_REFUND, order_id, lambda key: RevokeRefund(**self.about(order_id, key)))
        self.journal.paper = PaperStatus.REVOKED if self.journal.credit_note else PaperStatus.UNTOUCHED

    # What is known

    @property
    def lines(self) -> tuple[PlannedLine, ...]:
        return self.current_plan.lines if self.current_plan else ()

    def known_reversal(self, planned: PlannedTender) -> Reversal | None:
        return next((known for known in self.reversals if known.tender_id == planned.tender.tender_id), None)

    def reversal_of(self, planned: PlannedTender) -> Reversal:
        known = self.known_reversal(planned)
        assert known is not None
        return known

    def owed(self, planned: PlannedTender) -> Money:
        """What the customer is owed on a tender whose refund was refused or failed."""
        if refusal := self.refusals.get(planned.tender.tender_id):
            return refusal.owed
        before = self.known_reversal(planned)
        return before.owed if before else planned.refund

    def released(self, planned: PlannedTender) -> Money:
        """What its authorisation no longer reserves; what was captured meanwhile was not released."""
        before = self.known_before(planned)
        return before.released if before else planned.release

    def known_before(self, planned: PlannedTender) -> Reversal | None:
        """What was known of a tender before its latest outcome: also what a refusal told."""
        before, refusal = self.known_reversal(planned), self.refusals.get(planned.tender.tender_id)
        if refusal is None:
            return before
        return refusal.reversal.following(before) if before else refusal.reversal

    def note(
        self, planned: PlannedTender, outcome: Reversal | ResolveStep, *, of: int, in_place_of_pending: bool = False
    ) -> None:
        """Keep what became of one of `of` tenders, in the place of what was known of it before."""
        tender_id = planned.tender.tender_id
        before = self.known_before(planned)
        if isinstance(outcome, ResolveStep):
            nothing = outcome.resolution is Resolution.NOTHING_DUE
            outcome = Reversal(
                tender_id=tender_id,
                released=Money.zero(planned.refund.currency) if nothing and not before else self.released(planned),
                by_hand=None if nothing else ByHand(reference=outcome.reference, amount=self.owed(planned)),
                detail=outcome.note,
            )
        else:
            reference = outcome.refunds[-1].reference if outcome.refunds else None
            place = self.place(steps.REVERSE_PAYMENT, tender_id)
            self.journal.ended(*place, StepStatus.DONE, outcome.detail, reference)
        self.refusals.pop(tender_id, None)
        if before is not None:
            outcome = outcome.following(before, in_place_of_pending=in_place_of_pending)
        self.reversals = [known for known in self.reversals if known.tender_id != tender_id] + [outcome]
        self.journal.money = money_status(self.reversals, of)
        self.journal.show()
