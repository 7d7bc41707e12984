"""Activities on a tender: reverse it, look at its refund, restore it."""

from collections.abc import Sequence
from functools import partial

from temporalio import activity

from activities.attempt import Attempt, EffectAnswer, begin_attempt
from activities.customer_notices import failure_notice
from activities.other_payments import must_ask_first, read_other_payments
from activities.payment_refusals import by_hand_alone, disputed, second_person, unclear
from activities.restoring import Restoring
from activities.signatures import Booked, Look, StepInput
from activities.tender_news import (
    capture_news,
    dispute_news,
    found_news,
    refund_news,
    settlement_facts,
    shared_news,
)
from activities.tenders import Payments
from domain import key_parts
from domain.case import Case
from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.facts import EffectEnded, EffectOutcome, Fact, RefundSeen, ReversalSeen
from domain.keys import EffectKey
from domain.money import Money
from domain.money_questions import awaits_second_person
from domain.next_reversal import (
    ByHandAlone,
    Disputed,
    MakeRefund,
    NotYet,
    Settled,
    Unclear,
    Void,
    next_reversal,
)
from domain.order import Tender, TenderKind
from domain.payment import Payment, Refund, Refunded
from domain.plan import PlannedTender
from domain.reversal import Reversal
from domain.settlement import refunds_found
from domain.units import units_by_line
from providers.cancellations.port import Register
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import SaleLine
from providers.orders.port import Orders
from providers.outbox.port import Outbox
from providers.stored_value.port import StoredValue


class PaymentActivities:
    def __init__(
        self,
        *,
        register: Register,
        outbox: Outbox,
        orders: Orders,
        stored_value: StoredValue,
        gateway: PaymentGateway,
        payments: Payments,
    ) -> None:
        self._register = register
        self._outbox = outbox
        self._stored_value = stored_value
        self._gateway = gateway
        self._payments = payments
        self._restoring = Restoring(orders, stored_value, gateway, payments)

    @activity.defn
    async def reverse_payment(self, step_input: StepInput) -> Booked:
        """Void what is reserved and refund what was captured, by what the provider says now, never more than planned.

        Looks before it acts: the refund of this key may exist although no answer came. Refused: PAYMENT_DISPUTED,
        REFUND_REFUSED, REFUND_UNCLEAR, AMOUNT_REFUSED, REFUND_EXCEEDS_CAPTURED, PAYMENT_NOT_FOUND.
        """
        async with begin_attempt(self._register, step_input) as attempt:
            planned = attempt.case.planned(step_input.target)
            assert planned is not None
            match planned.tender.kind:
                case TenderKind.MARKETPLACE:
                    await self._cancel_sale(attempt, planned)
                case TenderKind.CARD:
                    await self._void_or_refund(attempt, planned)
                case _:
                    await self._put_back(attempt, planned)
            return await attempt.answer()

    async def _void_or_refund(self, attempt: Attempt, planned: PlannedTender) -> None:
        """Look, decide, act once, and decide by what the act's answer shows, until nothing is left to do."""
        payment = await self._read_payment(attempt, planned.tender)
        other_reversals = await self._read_other_reversals(attempt.step_input, planned.tender)
        while to_do := await self._next_reversal(attempt, payment, other_reversals):
            match to_do:
                case Void(amount=amount):
                    payment = await self._void(attempt, planned, payment, amount)
                case MakeRefund(amount=amount):
                    after = await self._refund(attempt, planned, amount, other_reversals)
                    if after is None:
                        return
                    payment = after
                case Disputed():
                    raise disputed(attempt, payment)

    async def _next_reversal(
        self, attempt: Attempt, payment: Payment, other_reversals: Sequence[EarlierReversal]
    ) -> Void | MakeRefund | Disputed | None:
        """What is to be done next, and None once nothing is, or a person is asked first; what has come back so far is
        written. Raises Unavailable. Refused: REFUND_EXCEEDS_CAPTURED."""
        reversal, key = attempt.case.reversal(attempt.step_input.target), attempt.step_input.key
        await attempt.write(
            *dispute_news(reversal, payment, other_reversals), *shared_news(reversal, payment, key, other_reversals)
        )
        to_do = next_reversal(reversal, payment, key, other_reversals)
        match to_do:
            case Void():
                pass
            case NotYet(sentence=sentence):
                raise Unavailable(sentence)
            case Settled():
                await self._write_settlement(attempt, reversal, to_do)
                return None
            case MakeRefund() | Disputed() | ByHandAlone() | Unclear():
                await attempt.write(*found_news(reversal, to_do.released, to_do.found))
        if await must_ask_first(attempt, self._payments):
            return None
        if isinstance(to_do, ByHandAlone):
            raise by_hand_alone(attempt, payment, to_do.amount)
        if isinstance(to_do, Unclear):
            raise unclear(attempt, payment, to_do.amount)
        if isinstance(to_do, MakeRefund) and awaits_second_person(attempt.case, attempt.step_input.target):
            raise second_person(attempt, to_do.amount)
        return to_do

    async def _read_payment(self, attempt: Attempt, tender: Tender) -> Payment:
        """The provider's own count. While it does not answer, what was done by an attempt whose answer was lost is
        unknown, and that is said."""
        try:
            return await self._payments.read(attempt.step_input.order_id, tender)
        except Unavailable as busy:
            unknown = attempt.case.unknown_effects(attempt.step_input.target)
            if not unknown:
                raise
            raise OutcomeUnknown(
                f"It is unknown whether the refund of tender {attempt.step_input.target} was made: its answer was lost, and "
                f"the gateway cannot be read ({busy.message}). Do not pay it another way before it was looked up.",
                retry_after=busy.retry_after,
            ) from None

    async def _read_other_reversals(self, step_input: StepInput, tender: Tender) -> tuple[EarlierReversal, ...]:
        return await self._payments.read_other_reversals(step_input.order_id, step_input.cancellation_id, tender)

    async def _void(self, attempt: Attempt, planned: PlannedTender, payment: Payment, amount: Money) -> Payment:
        """Returns the payment after it."""
        key = attempt.step_input.key.part_of(key_parts.VOID)
        after = await attempt.make_effect(
            key,
            lambda: self._gateway.void(payment, key=str(key)),
            lambda voided: EffectAnswer(voided.reference, "closed" if payment.unpaid else "released"),
            amount=amount,
        )
        return await self._read_payment(attempt, planned.tender) if isinstance(after, EffectEnded) else after

    async def _refund(
        self, attempt: Attempt, planned: PlannedTender, amount: Money, other_reversals: Sequence[EarlierReversal]
    ) -> Payment | None:
        """Returns the payment after it. None: somebody else's refund came first, and the gateway has said no to this key.
        What is left goes back under the next one."""
        key, target = attempt.step_input.key, attempt.step_input.target

        def describe(answer: Refunded) -> EffectAnswer:
            return EffectAnswer(
                answer.refund.reference,
                facts=(RefundSeen(target=target, refund=answer.refund),),
                outcome=_outcome_of(answer.refund),
                following=lambda case: _facts_when_settled(case.reversal(target), answer.payment, key, other_reversals),
            )

        refund = partial(self._gateway.refund, planned.tender.reference, amount, key=str(key))
        try:
            made = await attempt.make_effect(key, refund, describe, amount=amount)
        except Refused as refused:
            if refused.code is ErrorCode.REFUND_REFUSED:
                await self._add_failure_notice(attempt, attempt.case, refused=True)
            if refused.code not in {ErrorCode.ALREADY_REFUNDED, ErrorCode.REFUND_EXCEEDS_CAPTURED}:
                raise
            await self._check_race(attempt, planned, amount)
            return None
        if not isinstance(made, EffectEnded):
            return made.payment
        return None if made.outcome is EffectOutcome.REFUSED else await self._read_payment(attempt, planned.tender)

    async def _check_race(self, attempt: Attempt, planned: PlannedTender, amount: Money) -> None:
        """Whether somebody refunded between our look and our call. Refused: AMOUNT_REFUSED, where nothing has changed."""
        left = (await self._read_payment(attempt, planned.tender)).refundable
        if left >= amount:
            raise Refused(
                ErrorCode.AMOUNT_REFUSED,
                f"The gateway refused to give {amount} of {attempt.tender_in_words} back, although {left} "
                "is left by its own count. Look at the payment there, then retry the step, or give it back another way and "
                "resolve the step with its reference.",
            )

    async def _write_settlement(self, attempt: Attempt, reversal: Reversal, settled: Settled) -> None:
        facts = settlement_facts(reversal, settled)
        if any(refund.failed_at_customer for refund in settled.refunds):
            # Before the failure is kept: the next attempt finds nothing new in it.
            await self._add_failure_notice(attempt, attempt.case.with_facts(facts))
        await attempt.write(*facts)

    async def _add_failure_notice(self, attempt: Attempt, case: Case, *, refused: bool = False) -> None:
        """The customer may have the money another way, and is written to; but not while the bank may pay it."""
        if case.reversal(attempt.step_input.target).disputed:
            return
        failed = failure_notice(case, refused=refused)
        await self._outbox.add_notices(attempt.step_input.cancellation_id, attempt.step_input.order_id, [failed])

    async def _put_back(self, attempt: Attempt, planned: PlannedTender) -> None:
        step_input = attempt.step_input
        reversal = attempt.case.reversal(step_input.target)
        balance = await self._read_payment(attempt, planned.tender)
        made = balance.made_under(str(step_input.key))  # by an earlier attempt, which may not have noted it
        if not made and await must_ask_first(attempt, self._payments):
            return
        amount = made.amount if made else min(reversal.outstanding, balance.refundable)
        if amount:
            await self._put_on_balance(attempt, planned.tender, amount)
            reversal = attempt.case.reversal(step_input.target)
        zero = Money.zero(reversal.planned_total.currency)
        detail = "put back on its balance" if reversal.refunds else "given back earlier by others"
        await attempt.write(
            ReversalSeen(target=step_input.target, released=zero, covered=reversal.outstanding, detail=detail)
        )

    async def _put_on_balance(self, attempt: Attempt, tender: Tender, amount: Money) -> None:
        step_input, customer = attempt.step_input, attempt.case.customer_id
        await attempt.make_effect(
            step_input.key,
            lambda: self._stored_value.restore(
                step_input.order_id, tender, amount, customer_id=customer, key=step_input.key
            ),
            lambda refund: EffectAnswer(refund.reference, facts=(RefundSeen(target=step_input.target, refund=refund),)),
            amount=amount,
        )

    # Rule: A marketplace's order is cancelled there, and the marketplace gives the money back
    async def _cancel_sale(self, attempt: Attempt, planned: PlannedTender) -> None:
        """The marketplace took the money and gives it back: what it does about our share is recorded."""
        if await must_ask_first(attempt, self._payments):
            return
        step_input = attempt.step_input
        plan, request = attempt.case.plan, attempt.case.request
        assert plan is not None
        assert request is not None
        before = {line.line_id: line.cancelled_before for line in plan.lines}
        sold = [
            SaleLine(line_id=line_id, quantity=quantity, cancelled_before=before[line_id])
            for line_id, quantity in units_by_line(plan.lines).items()
        ]
        reversal = attempt.case.reversal(step_input.target)

        def describe(refunds: tuple[Refund, ...]) -> EffectAnswer:
            zero = Money.zero(reversal.planned_total.currency)
            given = Money.total((refund.amount for refund in refunds if not refund.status.has_failed), zero.currency)
            detail = "cancelled at the marketplace, which refunds the buyer"
            seen = ReversalSeen(
                target=step_input.target,
                released=zero,
                covered=max(reversal.planned_total - given, zero),
                detail=detail,
            )
            return EffectAnswer(None, detail, (*refund_news(reversal, refunds), seen))

        await attempt.make_effect(
            step_input.key,
            lambda: self._payments.sales(step_input.order_id).cancel(
                planned.tender.reference, sold, request.reason, key=str(step_input.key)
            ),
            describe,
            amount=reversal.outstanding,
        )

    # Rule: Store credit is given in place of a refund that cannot be made
    @activity.defn
    async def give_store_credit(self, step_input: StepInput) -> Booked:
        """Put what the tender cannot take back, and nobody has given back meanwhile, on the customer's store credit. Nothing
        is given while the bank disputes the payment. Refused: REFUND_EXCEEDS_CAPTURED."""
        async with begin_attempt(self._register, step_input) as attempt:
            case, target = attempt.case, step_input.target
            if case.chosen_method(target) is None and not case.unknown_effects(target):
                return await attempt.answer()  # the order's risk has been seen meanwhile
            reversal = case.reversal(target)
            if not reversal.planned.tender.kind.is_stored_value:
                await self._give_instead(attempt, reversal.planned)
            elif (owed := reversal.outstanding) and not await must_ask_first(attempt, self._payments):
                await self._put_on_balance(attempt, reversal.planned.tender, owed)
            return await attempt.answer()

    async def _give_instead(self, attempt: Attempt, planned: PlannedTender) -> None:
        """As with a refund: look, decide, give once, and decide again. What is given here changes nothing at the gateway."""
        target = attempt.step_input.target
        if not attempt.case.reversal(target).outstanding:
            return
        payment = await self._read_payment(attempt, planned.tender)
        other_reversals = await self._read_other_reversals(attempt.step_input, planned.tender)
        while attempt.case.reversal(target).outstanding and (
            to_do := await self._next_reversal(attempt, payment, other_reversals)
        ):
            match to_do:
                case Void(amount=amount):
                    raise Refused(
                        ErrorCode.REFUND_EXCEEDS_CAPTURED,
                        f"{amount} of tender {target} of order {attempt.step_input.order_id} is reserved and was never "
                        "taken, so no store credit is given for it. Release it at the gateway, then retry the step.",
                    )
                case MakeRefund(amount=amount):
                    await self._put_on_balance(attempt, planned.tender, amount)
                case Disputed():
                    return

    @activity.defn
    async def check_refund(self, step_input: Look) -> Booked:
        """Read the refunds of one tender again, and whether the bank disputes the payment meanwhile. An effect whose
        outcome is unknown is looked up by its key. Where money is owed, or a person has paid by hand, refunds of others on
        the order's other payments are looked for."""
        async with begin_attempt(self._register, step_input) as attempt:
            reversal = attempt.case.reversal(step_input.target)
            tender = reversal.planned.tender
            if not tender.kind.is_stored_value:
                unknown = attempt.case.unknown_effects(step_input.target)
                if unknown:  # an attempt that may still act would make what is read here out of date
                    await attempt.wait_for_quiet(unknown)
                payment = await self._payments.read(step_input.order_id, tender)
                captured = capture_news(reversal, payment)
                reversal = attempt.case.with_facts(captured).reversal(step_input.target)
                made = _made_without_key(reversal.planned, payment) if unknown else ()
                other_reversals = await self._read_other_reversals(step_input, tender)
                refunds = (*refunds_found(reversal, payment, step_input.key, other_reversals), *made)
                found = {refund.reference: refund for refund in refunds}
                facts = [
                    *captured,
                    *refund_news(reversal, [*found.values()]),
                    *dispute_news(reversal, payment, other_reversals),
                    *shared_news(reversal, payment, step_input.key, other_reversals),
                ]
                facts += [_looked_up(key, payment, made) for key in unknown]
                await attempt.write(*facts)
                if any(refund.failed_at_customer for refund in attempt.case.reversal(step_input.target).refunds):
                    await self._add_failure_notice(attempt, attempt.case)
            await read_other_payments(attempt, self._payments)
            return await attempt.answer_look(step_input)

    # Rule: In a roll-back money that went back is restored, or asked of a person
    @activity.defn
    async def restore_payment(self, step_input: StepInput) -> Booked:
        """Compensation of reverse_payment and give_store_credit, whether they had their effect or not: first all that
        can be undone by itself. What a person has to collect is refused: REFUND_NOT_CANCELLABLE, NO_MANDATE; a person
        goes on then."""
        async with begin_attempt(self._register, step_input) as attempt:
            await self._restoring.restore(attempt)
            await attempt.end()
            return await attempt.answer()


def _facts_when_settled(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal]
) -> Sequence[Fact]:
    """What is written with a refund's own answer, where nothing is left to do after it."""
    settled = next_reversal(reversal, payment, key, other_reversals)
    return settlement_facts(reversal, settled) if isinstance(settled, Settled) else ()


def _made_without_key(planned: PlannedTender, payment: Payment) -> tuple[Refund, ...]:
    """What effects of unknown outcome may have made where the provider knows no keys: a marketplace's refunds since the
    plan."""
    if planned.tender.kind is not TenderKind.MARKETPLACE:
        return ()
    return tuple(refund for refund in payment.refunds if refund.reference not in planned.earlier)


# Rule: The outcome of a lost call is looked up [afterwards]
def _looked_up(key: EffectKey, payment: Payment, made_without_key: Sequence[Refund]) -> EffectEnded:
    """What became of an effect whose outcome nobody knows: found at the provider, or never made."""
    found = payment.made_under(str(key)) or next(iter(made_without_key), None)
    is_voided = found is None and key.part == key_parts.VOID and not payment.revocable
    outcome = EffectOutcome.DONE if is_voided else _outcome_of(found)
    reference = found.reference if found else None
    return EffectEnded(key=key, outcome=outcome, reference=reference, detail="looked up afterwards")


def _outcome_of(refund: Refund | None) -> EffectOutcome:
    """A refund that was never made, or that failed at once, has had no effect."""
    failed = refund is None or refund.status.has_failed
    return EffectOutcome.FAILED if failed else EffectOutcome.DONE
