"""Taking a reversal back: first all that can be undone by itself, then whatever is under way, and a person last."""

from collections.abc import Sequence
from functools import partial

from activities.attempt import Attempt, EffectAnswer, check_done
from activities.tender_news import dispute_news, refund_news
from activities.tenders import Payments
from domain import key_parts
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import EffectEnded, EffectOutcome, RefundSeen
from domain.keys import EffectKey
from domain.money import Money
from domain.next_reversal import released_by_now
from domain.order import TenderKind
from domain.payment import Payment, Refund
from domain.plan import PlannedTender
from domain.reversal import Reversal
from domain.settlement import known_refunds
from domain.step import StepName
from providers.gateway.port import PaymentGateway
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue


class Restoring:
    def __init__(self, orders: Orders, stored_value: StoredValue, gateway: PaymentGateway, payments: Payments) -> None:
        self._orders = orders
        self._stored_value = stored_value
        self._gateway = gateway
        self._payments = payments

    async def restore(self, attempt: Attempt) -> None:
        """Refused with all that a person has to do at once: REFUND_NOT_CANCELLABLE, NO_MANDATE. Raises Unavailable
        while a refund is under way that is not cancelled: it may still fail. A roll-back that is opened again only gives
        back what was collected for what the customer does not have any more."""
        step_input, case = attempt.step_input, attempt.case
        if case.reopened:
            if (planned := case.reversal(step_input.target).planned).tender.kind is TenderKind.CARD:
                await self._look_at_card(attempt, planned)
            _check_collected(attempt, case.reversal(step_input.target))
            return
        undone = case.keys_noted(StepName.REVERSE_PAYMENT, StepName.GIVE_STORE_CREDIT, target=step_input.target)
        await attempt.wait_for_quiet(case.unknown_effects(step_input.target) or undone)
        planned = case.reversal(step_input.target).planned
        left = await self._take_back_balances(attempt, undone)
        match planned.tender.kind:
            case TenderKind.MARKETPLACE:
                left += await self._check_sale(attempt, planned)
            case TenderKind.CARD:
                left += await self._restore_card(attempt, planned, undone)
            case _:
                pass
        reversal = case.reversal(step_input.target)
        if reversal.to_take_back > reversal.collected:
            if reversal.may_fail:
                theirs = [refund for refund in reversal.live_refunds if refund.status.under_way]
                raise _under_way(attempt, theirs, "was made by somebody else")
            left.append(_to_collect(attempt, reversal))
        if left:
            code = next((no.code for no in left if no.code is not ErrorCode.NO_MANDATE), ErrorCode.NO_MANDATE)
            raise Refused(code, " ".join(no.message for no in left))

    async def _take_back_balances(self, attempt: Attempt, undone: Sequence[EffectKey]) -> list[Refused]:
        """What was spent meanwhile stays with the customer; the others are taken back all the same."""
        step_input, left = attempt.step_input, []
        for n, undoes in enumerate(undone, start=1):
            restored = await self._stored_value.find(undoes)
            if restored is None:
                continue
            part = step_input.key.part_of(key_parts.take_back_balance(n))
            try:
                answer = await attempt.make_effect(
                    part,
                    partial(self._stored_value.take_back, undoes=undoes, key=part),
                    lambda refund: EffectAnswer(
                        refund.reference, facts=(RefundSeen(target=step_input.target, refund=refund),)
                    ),
                    amount=restored.amount,
                )
                check_done(answer, ErrorCode.REFUND_NOT_CANCELLABLE)
            except Refused as spent:
                if spent.code is not ErrorCode.REFUND_NOT_CANCELLABLE:
                    raise
                left.append(spent)
        return left

    async def _check_sale(self, attempt: Attempt, planned: PlannedTender) -> list[Refused]:
        sale = await self._payments.read(attempt.step_input.order_id, planned.tender)
        reversal = attempt.case.reversal(attempt.step_input.target)
        made = [refund for refund in sale.refunds if refund.reference not in planned.earlier]
        await attempt.write(*refund_news(reversal, made))
        if sale.refundable >= planned.counted:
            return []
        return [
            Refused(
                ErrorCode.REFUND_NOT_CANCELLABLE,
                f"Order {attempt.step_input.order_id} is cancelled at the marketplace, which cannot take that back. Agree "
                "with the buyer on a new order there and resolve the step with its number.",
            )
        ]

    async def _look_at_card(self, attempt: Attempt, planned: PlannedTender) -> Payment:
        """The payment as it is now. What is new of its known refunds and its disputes is written."""
        payment = await self._gateway.read_payment(planned.tender.reference)
        reversal = attempt.case.reversal(attempt.step_input.target)
        order_id, cancellation_id = attempt.step_input.order_id, attempt.step_input.cancellation_id
        others = await self._payments.read_other_reversals(order_id, cancellation_id, planned.tender)
        refunds = refund_news(reversal, known_refunds(reversal, payment, attempt.step_input.key))
        await attempt.write(*refunds, *dispute_news(reversal, payment, others))
        return payment

    async def _restore_card(
        self, attempt: Attempt, planned: PlannedTender, undone: Sequence[EffectKey]
    ) -> list[Refused]:
        payment = await self._look_at_card(attempt, planned)
        reversal = attempt.case.reversal(attempt.step_input.target)
        # Numbered by the key that made it, so that one which is found later does not change the others' numbers.
        made = {n: refund for n, key in enumerate(undone, start=1) if (refund := payment.made_under(str(key)))}
        under_way = {n: refund for n, refund in made.items() if refund.status.under_way}
        waits = [refund for n, refund in under_way.items() if not await self._cancel(attempt, refund, n)]
        if waits:
            raise _under_way(attempt, waits, "cannot be cancelled any more")
        never_paid = planned.never_paid or planned.never_taken(payment)
        if never_paid and payment.released:
            return [_to_pay(attempt, never_paid)]
        if planned.release and not planned.released_by_capture and payment.released:
            now = await self._gateway.read_payment(planned.tender.reference) if under_way else payment
            released = released_by_now(reversal, now)
            if isinstance(released, Money) and released:
                return await self._reserve_again(attempt, planned, now, released)
        return []

    async def _cancel(self, attempt: Attempt, refund: Refund, n: int) -> bool:
        """False: the gateway does not cancel it any more. It is not asked again after it has said so."""
        step_input, part = attempt.step_input, key_parts.cancel_refund(n)
        if any(_outcome_of(attempt, key) is EffectOutcome.REFUSED for key in _keys_of_part(attempt, part)):
            return False
        key = step_input.key.part_of(part)
        try:
            answer = await attempt.make_effect(
                key,
                lambda: self._gateway.cancel_refund(refund.reference, key=str(key)),
                lambda after: EffectAnswer(
                    after.reference, facts=(RefundSeen(target=step_input.target, refund=after),)
                ),
                amount=refund.amount,
            )
        except Refused as no:
            if no.code is not ErrorCode.REFUND_NOT_CANCELLABLE:
                raise
            return False
        return not isinstance(answer, EffectEnded) or answer.outcome is EffectOutcome.DONE

    async def _reserve_again(
        self, attempt: Attempt, planned: PlannedTender, payment: Payment, amount: Money
    ) -> list[Refused]:
        """Reserve again what was released of a payment, as it is now; the order names the new payment from then on."""
        new = await self._authorise_again(attempt, planned, payment, amount)
        if isinstance(new, Refused):
            return [new]
        step_input, key = attempt.step_input, attempt.step_input.key.part_of(key_parts.PAYMENT)
        answer = await attempt.make_effect(
            key,
            lambda: self._orders.replace_payment(step_input.order_id, step_input.target, new, key=key),
            lambda _: EffectAnswer(new, "the order names the new payment"),
        )
        check_done(answer, ErrorCode.PAYMENT_NOT_FOUND)
        return []

    async def _authorise_again(
        self, attempt: Attempt, planned: PlannedTender, payment: Payment, amount: Money
    ) -> str | Refused:
        """The new payment, which is made once, whatever becomes of the rest. NO_MANDATE is returned, so that the rest is
        undone all the same. Raises Unavailable."""
        reference = planned.tender.reference
        noted = _keys_of_part(attempt, key_parts.AUTHORISE)
        not_refused = [key for key in noted if _outcome_of(attempt, key) is not EffectOutcome.REFUSED]
        key = not_refused[-1] if not_refused else attempt.step_input.key.part_of(key_parts.AUTHORISE)
        done = attempt.case.outcome_of(key)
        if done and done.outcome is EffectOutcome.DONE and done.reference is not None:
            return done.reference
        released = f"{amount} of {attempt.tender_in_words} is reserved no more"
        if payment.refundable:
            return Refused(
                ErrorCode.NO_MANDATE,
                f"{released}, and payment {reference} still holds {payment.refundable}: ask the customer for a new "
                f"payment of {amount}.",
            )
        try:
            made = await attempt.make_effect(
                key,
                lambda: self._gateway.authorise_again(reference, amount, key=str(key)),
                lambda after: EffectAnswer(after.reference, "reserved again"),
                amount=amount,
            )
        except Refused as no:
            if no.code is not ErrorCode.NO_MANDATE:
                raise
            return Refused(no.code, f"{released}. {no.message}")
        if made.reference is None:
            raise Unavailable(f"Another attempt has asked to reserve {amount} again; it is looked at again.")
        return made.reference


def _keys_of_part(attempt: Attempt, part: str) -> list[EffectKey]:
    """The keys under which this further call of the step was noted, in earlier rounds too."""
    noted = attempt.case.all_keys_noted(StepName.RESTORE_PAYMENT, target=attempt.step_input.target)
    return [key for key in noted if key.part == part]


def _outcome_of(attempt: Attempt, key: EffectKey) -> EffectOutcome | None:
    ended: EffectEnded | None = attempt.case.outcome_of(key)
    return ended.outcome if ended else None


def _under_way(attempt: Attempt, refunds: Sequence[Refund], why: str) -> Unavailable:
    """`why` it is not cancelled."""
    return Unavailable(
        f"{', '.join(f'{refund.amount} (refund {refund.reference})' for refund in refunds)} of tender "
        f"{attempt.step_input.target} of order {attempt.step_input.order_id} is under way to the customer and {why}. "
        "Collect nothing yet: it may still fail, and is looked at again.",
        retry_after=attempt.case.terms.next_round.total_seconds(),
    )


def _to_pay(attempt: Attempt, unpaid: Money) -> Refused:
    return Refused(
        ErrorCode.NO_MANDATE,
        f"The payment of {attempt.tender_in_words} was never completed and is closed: ask the customer for a new payment of "
        f"{unpaid}.",
    )


def _to_collect(attempt: Attempt, reversal: Reversal) -> Refused:
    """The very amount that is booked when a person says that they have collected it."""
    gave = [f"{refund.amount} by refund {refund.reference}" for refund in reversal.live_refunds]
    gave += [f"{hand.amount} by hand ({hand.reference})" for hand in reversal.by_hand]
    gave += [f"{back.amount} by the bank (dispute {back.reference})" for back in reversal.bank_parts if back.amount]
    gone = f"{reversal.to_collect} of {attempt.tender_in_words} went back to the customer"
    how = "collect it from the customer and resolve the step with the proof, such as the new payment's number"
    if reversal.planned.tender.kind is TenderKind.MARKETPLACE and not reversal.by_hand:
        how = "the new order has to make up for it"
    return Refused(ErrorCode.REFUND_NOT_CANCELLABLE, f"{gone} ({', '.join(gave)}); {how}.")


# Rule: What was collected and the customer does not have is given back by a person
def _check_collected(attempt: Attempt, reversal: Reversal) -> None:
    """Whether the customer has paid back what they do not have. Refused: REFUND_NOT_CANCELLABLE."""
    zero = Money.zero(reversal.to_collect.currency)
    if reversal.to_collect >= zero:
        return
    why = [f"refund {refund.reference} has failed" for refund in reversal.refunds if refund.status.has_failed]
    why += [f"dispute {number} gives them nothing" for number in (*reversal.lapsed_charge_backs, *reversal.won)]
    raise Refused(
        ErrorCode.REFUND_NOT_CANCELLABLE,
        f"{-reversal.to_collect} of {attempt.tender_in_words} was collected from the customer for what they do not "
        f"have: {', '.join(why)}. Give it back and resolve the step with the reference.",
    )
