"""The money of a cancellation: every tender is reversed (the pivot), credited, and waited for until it has settled."""

from collections.abc import Sequence
from functools import partial

from domain.carried import Obstacle
from domain.case import Case
from domain.elsewhere import tenders_taken_over
from domain.facts import RefundSeen, SettledByHand
from domain.fallback import is_taken_after_all, refuted_proof, unclear_since_reopening, won_dispute
from domain.money import Money
from domain.outcome import State
from domain.payment import Refund
from domain.terms import RefundMethod
from workflows import steps
from workflows.decisions import Answer
from workflows.step_runner import StepRunner
from workflows.waiting import Waiting
from workflows.waits import Watch


class MoneySteps:
    """The steps that gateway, marketplace and books carry out."""

    def __init__(self, order_id: str, runner: StepRunner, waiting: Waiting) -> None:
        self._order_id = order_id
        self._runner = runner
        self._waiting = waiting

    @property
    def _case(self) -> Case:
        return self._runner.case

    async def reverse_payments(self) -> None:
        """The pivot: from here on the process only goes forward. A payment by hand for one tender may turn out to be the
        refund of another one, also of one to which nothing was to go back."""
        await self._waiting.raise_if_rolling_back()
        tenders = [planned.tender.tender_id for planned in self._case.tenders]
        while tenders:
            await self._runner.run_all([self._reverse(tender_id) for tender_id in tenders])
            tenders = [reversal.tender_id for reversal in self._case.reversals if reversal.outstanding]

    # Rule: A refund that was refused or has failed waits for another way
    async def _reverse(self, tender_id: str) -> None:
        """Until nothing is owed on the tender: the provider has taken it, the customer has it another way, or a person has
        settled it. A person cannot know what others have refunded meanwhile, so that is looked up before they are asked for
        a transfer, and after they have paid: the process does not go on before the provider has answered, or a person says
        that nothing is due."""
        case, runner = self._case, self._runner
        while owed := case.outstanding(tender_id):
            failed, method = case.failed_refund(tender_id), case.chosen_method(tender_id)
            if case.reversal(tender_id).disputed and (failed or method):
                await self._ask_about_dispute(tender_id, owed)
                continue
            if refuted := refuted_proof(case.entries, tender_id):
                await self._wait_for_proof(tender_id, owed, refuted)
                continue
            if won := won_dispute(case.entries, tender_id):
                await self._ask_about_won_dispute(tender_id, owed, won)
                continue
            if is_taken_after_all(case.entries, tender_id):
                await self._ask_about_capture(tender_id, owed)
                continue
            match method:
                case RefundMethod.STORE_CREDIT:
                    await runner.run_step(steps.GIVE_STORE_CREDIT, tender_id)
                case RefundMethod.BANK_TRANSFER:
                    await runner.run_look(steps.CHECK_REFUND, tender_id)
                    if case.outstanding(tender_id) == owed and not case.reversal(tender_id).disputed:
                        await self._ask_for_transfer(tender_id, owed)
                case _ if failed is not None:
                    await self._ask_about_failure(tender_id, failed)
                case _:
                    await runner.run_step(steps.REVERSE_PAYMENT, tender_id)
        if case.reversal(tender_id).by_hand and not case.awaits_settlement(tender_id):
            await runner.run_step(steps.CHECK_REFUND, tender_id)
            if case.outstanding(tender_id):  # they named a refund that gave back less
                await self._reverse(tender_id)
        for other in sorted(tenders_taken_over(case.entries, tender_id)):
            await runner.run_step(steps.CHECK_REFUND, other)  # it may have failed meanwhile

    async def _ask_about_failure(self, tender_id: str, failed: Refund) -> None:
        """The customer chooses another way only where their own account refused the money, and where no refund of others may
        have paid them."""
        why = (
            f"Refund {failed.reference} of {failed.amount} to tender {tender_id} of order {self._order_id} failed: "
            f"{failed.reason or 'no reason given'}."
        )
        unclear = unclear_since_reopening(self._case.entries, tender_id)
        if unclear:
            why += _what_others_refunded(unclear)
        elif not failed.failed_at_customer:
            why += " The customer's card is not the cause: put it right at the gateway, then retry the step."
        else:
            why += " Ask the customer how they want the money and choose that, or pay it and resolve the step."
        choice = failed.failed_at_customer and not unclear
        obstacle = Obstacle(sentence=why, final=True, choice=choice)
        await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, obstacle)

    async def _ask_about_dispute(self, tender_id: str, owed: Money) -> None:
        """The bank may pay the customer itself: a second way would pay twice, so none is offered."""
        disputes = self._case.reversal(tender_id).disputes_in_words
        why = (
            f"The refund of {owed} on tender {tender_id} has failed, and the bank disputes the payment{disputes}: the bank "
            "may pay it back itself. Answer the dispute, then resolve the step with the dispute's number, or retry it once "
            "the dispute is won. What the bank has not given back is yours to transfer: resolve the step with its reference."
        )
        await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, Obstacle(sentence=why, final=True))

    async def _ask_about_won_dispute(self, tender_id: str, owed: Money, number: str) -> None:
        """Who has named it may have paid another way since: to refund at once could pay twice."""
        why = (
            f"Dispute {number} was named as the proof that the bank pays, and the bank has decided it for the merchant: "
            f"{owed} of tender {tender_id} of order {self._order_id} is still owed. Retry the step to refund it, or resolve "
            "the step with the proof of what was paid for it."
        )
        await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, Obstacle(sentence=why, final=True))

    async def _wait_for_proof(self, tender_id: str, owed: Money, refuted: RefundSeen) -> None:
        """Who has named it may have paid another way: to refund at once could pay twice."""
        why = (
            f"{refuted.refund.reference} was named as the proof of a payment for tender {tender_id}, and is the refund of "
            f"{refuted.target}: {owed} is still owed. Resolve the step with the proof of what was paid for it, or retry it."
        )
        await self._waiting.wait_for_person(
            steps.REVERSE_PAYMENT, tender_id, Obstacle(sentence=why, final=True, choice=True)
        )

    async def _ask_about_capture(self, tender_id: str, owed: Money) -> None:
        """To refund it at once could give back what the order has got something else for."""
        why = (
            f"{owed} of tender {tender_id} of order {self._order_id} was not to be captured because of this cancellation, "
            "and was captured all the same. Retry the step to refund it, or say that nothing is due where it was for "
            "something else."
        )
        await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, Obstacle(sentence=why, final=True))

    async def _ask_for_transfer(self, tender_id: str, owed: Money) -> None:
        """A bank transfer is made by a person, who names its reference."""
        why = f"The customer chose a bank transfer: transfer {owed} and resolve the step with its reference."
        await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, Obstacle(sentence=why, final=True))

    async def credit_refund(self) -> None:
        """Put the refund on paper, once; what settles later is posted when the cancellation is closed."""
        while self._case.credited is None:
            await self._runner.run_step(steps.CREDIT_REFUND, self._order_id)

    # Rule: The money is waited for until it has settled
    async def settle(self) -> None:
        """Wait until all money has settled. A refund can still fail days after the gateway took it, also one that had
        settled while another tender was waited for."""
        while not self._case.is_settled:
            await self._runner.run_all([self._settle(planned.tender.tender_id) for planned in self._case.tenders])
            for planned in self._case.tenders:
                await self._runner.run_look(steps.CHECK_REFUND, planned.tender.tender_id)

    async def _settle(self, tender_id: str) -> None:
        case = self._case
        while True:
            reversal = case.reversal(tender_id)
            if case.awaits_settlement(tender_id):
                if isinstance(await self._wait_for_settlement(tender_id), SettledByHand):
                    await self._runner.run_step(steps.CREDIT_REFUND, self._order_id)  # in the ledger at once
            elif reversal.outstanding:
                await self._reverse(tender_id)
            elif reversal.overpaid:
                await self._ask_to_collect(tender_id, reversal.overpaid)
            else:
                return

    async def _wait_for_settlement(self, tender_id: str) -> Answer | None:
        case, terms = self._case, self._case.terms
        payer = "gateway" if case.reversal(tender_id).planned.is_ours_to_give else "marketplace"

        def is_open() -> bool:
            return case.awaits_settlement(tender_id)

        def urgent() -> str:
            return (
                f"The bank disputes the payment{reversal.disputes_in_words} while its refund is under way: answer the "
                "dispute with the refund's reference, so that the money does not go back twice."
                if (reversal := case.reversal(tender_id)).disputed
                else ""
            )

        return await self._runner.wait_for_outcome(
            steps.REVERSE_PAYMENT,
            tender_id,
            Watch(
                look_up=partial(self._runner.run_look, steps.CHECK_REFUND, tender_id),
                look_until_news=partial(
                    self._runner.look_until_news, steps.CHECK_REFUND, tender_id, terms.settlement_poll
                ),
                is_open=is_open,
                state=State.WAITING_FOR_SETTLEMENT,
                why=f"The {payer} has taken the refund; the money has not settled yet.",
                patience=terms.settlement_due,
                poll=terms.settlement_poll,
                urgent=urgent,
            ),
        )

    # Rule: What the customer has beyond what is due is collected by a person [the wait]
    async def _ask_to_collect(self, tender_id: str, overpaid: Money) -> None:
        """The customer has more than is due to them: by the refund, and by what a person gave or declared not due, by what
        somebody else refunded, or by what the bank gave back."""
        why = (
            f"{overpaid} more than is due reached the customer on tender {tender_id}: by a refund that settled although it "
            "was paid another way or declared not due, by a refund of somebody else's, or by the bank, which decided a "
            "dispute for the customer. Collect it and resolve the step with the proof, or say that nothing is due."
        )
        await self._waiting.wait_for_person(steps.CHECK_REFUND, tender_id, Obstacle(sentence=why, final=True))


def _what_others_refunded(refunds: Sequence[Refund]) -> str:
    found = ", ".join(f"{refund.amount} by refund {refund.reference}" for refund in refunds)
    return (
        f" Others have refunded {found} at this payment, for this or for something else. If it was for this, resolve the "
        "step with the refund's number; otherwise retry the step, or choose another way."
    )
