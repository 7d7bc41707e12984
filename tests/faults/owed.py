"""What a cancellation owes on one tender, by its plan and by what counterparts and people say."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from domain.money import Money
from domain.plan import PlannedTender
from domain.step import MONEY_STEPS, StepName
from tests.faults.model import CHARGED_BACK, FAILED, REFUNDED, RELEASED, AtGateway, Said


@dataclass(frozen=True)
class Owed:
    """Amounts are in minor units."""

    planned: PlannedTender
    cancellation: str
    money: Sequence[AtGateway]
    said: Sequence[Said]

    def moved_by_hand(self, step: StepName | None) -> Money:
        """What is due; in a roll-back, what was given back; or what the customer has too much: these are taken back, so they
        are below zero."""
        match step:
            case StepName.RESTORE_PAYMENT:
                moved = -self._given - self._by_bank
            case StepName.CHECK_REFUND:
                moved = min(self._due - self._given - self._by_others - self._by_bank, 0)
            case _:
                moved = max(self._due - self._given, 0)
        return Money(amount=moved, currency=self.planned.refund.currency)

    def of_shared_payment(self, captured: int, refunds: Container[str]) -> Money:
        """What is due of a payment that pays other orders too, by whoever knows what was captured of it for this one, and
        which `refunds` of others were."""
        moved = max(min(self._due, captured) - self._given - self._made_by_others(refunds), 0)
        return Money(amount=moved, currency=self.planned.refund.currency)

    def paid_besides(self, refunds: Container[str]) -> int:
        """What the customer has too much by these refunds of others, and by hand."""
        by_hand = sum(said.amount.amount for said in self._taken if said.amount)
        too_much = self._given + self._made_by_others(refunds) - self.planned.tender.amount.amount
        return min(max(too_much, 0), max(by_hand, 0))

    def _made_by_others(self, refunds: Container[str]) -> int:
        return sum(found.amount for found in self._on_tender if found.kind == REFUNDED and found.object_id in refunds)

    def waived(self, step: StepName | None) -> Money:
        """What a person gives up who says that nothing is due: what is still owed, or, below zero, what the customer has too
        much; in a roll-back, all that they have."""
        if step is StepName.RESTORE_PAYMENT:
            waived = -self._given - self._by_bank - self._waived_before(StepName.RESTORE_PAYMENT)
        else:
            left = self._due - self._given - self._by_others - self._by_bank
            left -= self._waived_before(*MONEY_STEPS, StepName.CHECK_REFUND)
            waived = min(left, 0) if step is StepName.CHECK_REFUND else max(left, 0)
        return Money(amount=waived, currency=self.planned.refund.currency)

    def _waived_before(self, *steps: StepName) -> int:
        return sum(said.waived.amount for said in self._taken if said.waived and said.step in steps)

    @property
    def _taken(self) -> list[Said]:
        """What was said about the tender, and was not refused: who is refused has moved nothing, and waived nothing."""
        tender_id = self.planned.tender.tender_id
        return [
            said
            for said in self.said
            if said.target == tender_id and said.cancellation == self.cancellation and said.accepted is not False
        ]

    @property
    def _due(self) -> int:
        """By the plan, and what others had refunded before it and has failed since."""
        lapsed = sum(part.amount.amount for part in self.planned.by_others or () if part.reference in self._failed)
        return (self.planned.refund + self.planned.release).amount + lapsed

    @property
    def _failed(self) -> set[str]:
        return {found.object_id for found in self.money if found.kind == FAILED}

    @property
    def _on_tender(self) -> list[AtGateway]:
        return [
            found
            for found in self.money
            if found.tender_id == self.planned.tender.tender_id and found.object_id not in self._failed
        ]

    @property
    def _given(self) -> int:
        """By the cancellation and by hand."""
        by_process = sum(
            found.amount
            for found in self._on_tender
            if found.kind in {REFUNDED, RELEASED} and self._is_of_this_cancellation(found)
        )
        return by_process + sum(said.amount.amount for said in self._taken if said.amount) + self._named

    def _is_of_this_cancellation(self, found: AtGateway) -> bool:
        """A marketplace has no place for a key: there it is what the plan does not know yet."""
        at_marketplace = found.key is None and not found.by_others
        return (
            found.object_id not in self.planned.earlier if at_marketplace else found.cancellation == self.cancellation
        )

    @property
    def _named(self) -> int:
        """By refunds of others that a person has named for this cancellation, whichever tender it was to go to."""
        return sum(
            self._named_of(found, self.cancellation)
            for found in self._on_tender
            if found.kind == REFUNDED and found.by_others
        )

    def _named_of(self, refund: AtGateway, cancellation: str | None = None) -> int:
        """What of it a person has named, for this cancellation or any."""
        return sum(
            said.stands_for.amount
            for said in self.said
            if said.stands_for
            and said.proof == refund.object_id
            and said.accepted is not False
            and cancellation in {None, said.cancellation}
        )

    @property
    def _by_others(self) -> int:
        """Since the plan, and named by nobody."""
        return sum(
            found.amount - self._named_of(found)
            for found in self._on_tender
            if found.kind == REFUNDED and found.by_others and found.object_id not in self.planned.earlier
        )

    @property
    def _by_bank(self) -> int:
        """What stays in the order is given back first."""
        back = sum(found.amount for found in self._on_tender if found.kind == CHARGED_BACK)
        return min(max(back - (self.planned.refundable - self.planned.refund).amount, 0), self._due)
