"""The ledger port, always ours: credit notes and debit notes with gapless numbers, and the transfers of a ledger that only
grows.

Each writing method is one transaction; does nothing the second time, raises `NotTheHolder` for any run but the holder, and
notes and ends its effect in the register in the same transaction. All raise `Unavailable` when the database cannot be
reached. What was to be written may be there all the same: the same call under the same key returns it.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from domain.base import Value
from domain.facts import Entry, Run
from domain.keys import EffectKey
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Refund, RefundStatus
from domain.reversal import Reversal
from providers.outbox.port import NewNotice


class CreditedTender(Value):
    """What one tender got back, for the books. `reference` is the provider's refund, or a person's own. `failed`: a refund
    that the provider had taken, and settled perhaps, and that failed later; it is no part of the credit. `by_hand`: a person
    gave it, and this is the number of the fact that says so; with `failed`, by a refund that is counted itself. `by_bank`:
    this cancellation's part of a lost dispute, as it is now. `taken`: what was captured since of what was not to be, as far
    as it goes back; the customer is owed it. `part_for`: the amount is only the part of the refund that counts for this
    cancellation. `lapsed`: others had made it before the plan, so the ledger has no settlement of it, and it
    has failed."""

    tender_id: str
    kind: TenderKind
    amount: Money
    reference: str
    settled: bool
    by_hand: int | None = None
    by_bank: bool = False
    taken: bool = False
    failed: bool = False
    part_for: str | None = None
    lapsed: bool = False

    @classmethod
    def of(cls, reversal: Reversal, refunds: Iterable[Refund]) -> "tuple[CreditedTender, ...]":
        """One for each of these refunds and for each payment by hand. What failed comes first, so that its contra transfer
        is posted before what was given in its place."""
        parts = [cls.of_refund(reversal, refund) for refund in refunds]
        by_hand = [
            cls(
                tender_id=reversal.tender_id,
                kind=reversal.planned.tender.kind,
                amount=hand.amount,
                reference=hand.reference,
                settled=True,
                by_hand=hand.fact,
                failed=hand in reversal.named,
            )
            for hand in (*reversal.named, *reversal.by_hand)
            if hand.amount
        ]
        return (*(p for p in parts if p.failed), *by_hand, *(p for p in parts if not p.failed))

    @classmethod
    def of_refund(cls, reversal: Reversal, refund: Refund) -> "CreditedTender":
        parts = (part.amount for part in reversal.planned.by_others or () if part.reference == refund.reference)
        return cls(
            tender_id=reversal.tender_id,
            kind=TenderKind.STORE_CREDIT if reversal.is_store_credit(refund) else reversal.planned.tender.kind,
            amount=next(parts, refund.amount) if reversal.has_lapsed(refund) else refund.amount,
            reference=refund.reference,
            settled=refund.status is RefundStatus.SUCCEEDED,
            failed=refund.status.has_failed,
            part_for=refund.part_for,
            lapsed=reversal.has_lapsed(refund),
        )

    @classmethod
    def of_bank(cls, reversal: Reversal) -> "tuple[CreditedTender, ...]":
        """What the bank has given back besides, each part under its dispute's number. Nothing, where it counts as something
        else by now, or the bank does not give it any more."""
        given = {part.reference: part.amount for part in reversal.bank_parts}
        nothing = Money.zero(reversal.planned.refund.currency)
        return tuple(
            cls(
                tender_id=reversal.tender_id,
                kind=reversal.planned.tender.kind,
                amount=given.get(number, nothing),
                reference=number,
                settled=True,
                by_bank=True,
            )
            for number in (*given, *reversal.lapsed_charge_backs)
        )

    @classmethod
    def taken_after_all(cls, reversal: Reversal, credited: Money) -> "tuple[CreditedTender, ...]":
        """What was captured of it since, as far as more goes back than was `credited` for."""
        beyond = max(reversal.refunded - credited - reversal.lapsed, Money.zero(credited.currency))
        part = cls(
            tender_id=reversal.tender_id,
            kind=reversal.planned.tender.kind,
            amount=min(reversal.taken_after_all, beyond),
            reference=reversal.planned.tender.reference,
            settled=False,
            taken=True,
            failed=True,
        )
        return (part,) if part.amount else ()


class Credit(Value):
    """What to put on paper: the credit note for `total` (the sum of the tenders that have not failed, without what the
    customer has got twice), its tax part, for each settled tender the ledger transfer, and for each failed one the contra
    transfer."""

    cancellation_id: str
    order_id: str
    total: Money
    tax: Money
    tenders: tuple[CreditedTender, ...]


class Ledger(Protocol):
    async def credit(
        self, credit: Credit, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        """Issue the credit note with the next number (gapless) and post its ledger transfers and the settlement of each
        tender that has settled. Writes `Credited` with it. Returns all entries."""
        ...

    async def skip_credit(self, currency: str, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        """No money was taken, so there is nothing to credit: writes `Credited` without a number. Returns all entries."""
        ...

    async def revoke_credit(self, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        """A debit note for the whole credit note and its contra transfers; writes `CreditRevoked`. Without a credit note
        there is nothing to take back. What has been paid out already is owed by the customer from then on
        (`customer_receivable`); what has not is no longer payable. Returns all entries."""
        ...
