"""The money of a cancellation: every tender is reversed (the pivot), credited, and waited for until it has settled."""

from functools import partial

from domain.carried import Obstacle
from domain.case import Case
from domain.elsewhere import tenders_taken_over
from domain.facts import RetryOrdered, SettledByHand
from domain.money import Money
from domain.money_questions import why_person_decides
from domain.outcome import State
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
            if obstacle := why_person_decides(case, self._order_id, tender_id):
                await self._waiting.wait_for_person(steps.REVERSE_PAYMENT, tender_id, obstacle)
                continue
            match case.chosen_method(tender_id):
                case RefundMethod.STORE_CREDIT:
                    await runner.run_step(steps.GIVE_STORE_CREDIT, tender_id)
                case RefundMethod.BANK_TRANSFER:
                    await runner.run_look(steps.CHECK_REFUND, tender_id)
                    asked = why_person_decides(case, self._order_id, tender_id)
                    if asked is None and case.outstanding(tender_id) == owed:
                        await self._ask_for_transfer(tender_id, owed)
                case _:
                    await runner.run_step(steps.REVERSE_PAYMENT, tender_id)
        if case.reversal(tender_id).by_hand and not case.awaits_settlement(tender_id):
            await runner.run_step(steps.CHECK_REFUND, tender_id)
            if case.outstanding(tender_id):  # they named a refund that gave back less
                await self._reverse(tender_id)
        for other in sorted(tenders_taken_over(case.entries, tender_id)):
            await runner.run_step(steps.CHECK_REFUND, other)  # it may have failed meanwhile

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
                if isinstance(await self._ask_to_collect(tender_id, reversal.overpaid), RetryOrdered):
                    await self._runner.run_look(steps.CHECK_REFUND, tender_id)
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
    async def _ask_to_collect(self, tender_id: str, overpaid: Money) -> Answer | None:
        """The customer has more than is due to them: by the refund, and by what a person gave or declared not due, by what
        somebody else refunded, or by what the bank gave back."""
        why = (
            f"{overpaid} more than is due reached the customer on tender {tender_id}: by a refund that settled although it "
            "was paid another way or declared not due, by a refund of somebody else's, or by the bank, which decided a "
            "dispute for the customer. Collect it and resolve the step with the proof, or say that nothing is due."
        )
        return await self._waiting.wait_for_person(steps.CHECK_REFUND, tender_id, Obstacle(sentence=why, final=True))
