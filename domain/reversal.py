"""The reversal of one tender: what has come back to the customer so far. What is done next: domain/next_reversal.py."""

from collections.abc import Iterable, Sequence

from domain.base import Value
from domain.earlier import EarlierReversal, RefundPart
from domain.keys import EffectKey
from domain.money import Money
from domain.order import TenderKind
from domain.payment import ChargeBack, Payment, Refund, RefundStatus
from domain.plan import PlannedTender
from domain.step import StepName


class ByHand(Value):
    """Money that a person gave back outside; `reference` is their proof, and `fact` the number of the fact that says so:
    one proof may stand for several payments."""

    reference: str
    amount: Money
    fact: int


class Reversal(Value):
    """What has come back to one tender, derived from the facts.

    `released`: what an authorisation no longer reserves; `released_when_credited`: what it was when the credit note was
    written. `covered`: what others had given back before. `refunds`: each as it was last seen, store credit in the tender's
    place included. `waived`: what a person declared not due. `paid_back`: what the customer has paid back of what was given
    twice, and `left_with_them` what a person has left with them of it. `charge_backs`: what the bank has given back;
    `open_disputes`: the numbers of those that it has not decided; `settled_later`: what of the disputes has settled later
    cancellations of the order. `named`: payments by hand that were refunds of a provider's own, whose number the person
    named, and are among the refunds, of this tender or of another one; or that the bank was to make by a dispute, and that
    were less than was owed, or nothing. `won`: the disputes by which that was nothing. `lapsed_charge_backs`:
    those by which the bank had given something back, and does not any more: it has taken it back, on appeal, or it has
    settled another cancellation. `asked_about`: the refunds of others at a payment that pays other orders too, which count
    once a person has named them.
    """

    planned: PlannedTender
    released: Money
    released_when_credited: Money | None = None
    covered: Money
    waived: Money
    paid_back: Money
    left_with_them: Money
    refunds: tuple[Refund, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    named: tuple[ByHand, ...] = ()
    won: tuple[str, ...] = ()
    lapsed_charge_backs: tuple[str, ...] = ()
    asked_about: tuple[str, ...] = ()
    disputed: bool = False
    charge_backs: tuple[ChargeBack, ...] = ()
    open_disputes: tuple[str, ...] = ()
    settled_later: Money | None = None
    detail: str = ""

    @classmethod
    def begin(cls, planned: PlannedTender) -> "Reversal":
        zero = Money.zero(planned.refund.currency)
        return cls(planned=planned, released=zero, covered=zero, waived=zero, paid_back=zero, left_with_them=zero)

    @property
    def tender_id(self) -> str:
        return self.planned.tender.tender_id

    def _total(self, *amounts: Money) -> Money:
        return Money.total(amounts, self.released.currency)

    @property
    def given_by_hand(self) -> Money:
        return self._total(*(hand.amount for hand in self.by_hand))

    @property
    def collected(self) -> Money:
        """What was given twice and is no matter any more."""
        return self.paid_back + self.left_with_them

    @property
    def live_refunds(self) -> tuple[Refund, ...]:
        """The refunds that have not failed."""
        return tuple(refund for refund in self.refunds if not refund.status.has_failed)

    @property
    def references(self) -> frozenset[str]:
        """The refunds that count, and the proofs of what was paid by hand, which may be a refund's number too."""
        return frozenset(refund.reference for refund in self.refunds) | {hand.reference for hand in self.by_hand}

    @property
    def refunded(self) -> Money:
        """What goes back or has gone back to the customer by money of ours, without what has failed."""
        return self._total(self.given_by_hand, *(refund.amount for refund in self.live_refunds))

    @property
    def to_collect(self) -> Money:
        """What the customer has to pay back when all of it is undone. Below zero: what they have paid back for a refund that
        has failed since, and get again."""
        return self.refunded + self.given_by_bank - self.collected

    @property
    def to_take_back(self) -> Money:
        """What of it has to be taken back for its own sake: not the refunds of others at a gateway, unless a person has paid
        by them."""
        theirs = self.planned.tender.kind is TenderKind.CARD
        ours = (refund.amount for refund in self.live_refunds if refund.key or not theirs or self.is_named(refund))
        return self._total(self.given_by_hand, self.given_by_bank, *ours)

    @property
    def may_fail(self) -> bool:
        """A card's refund is under way: who collects it now may collect what never arrives."""
        return self.planned.tender.kind is TenderKind.CARD and bool(self.pending)

    # Rule: What others had refunded before counts as given until it fails [and is owed then]
    @property
    def planned_total(self) -> Money:
        """What goes back to this tender: by the plan, and what others had refunded before it and has failed since."""
        return self.planned.refund + self.planned.release + self.lapsed

    @property
    def to_refund(self) -> Money:
        """What of it was captured, and others have not given back."""
        return self.planned_total - self.released - self.covered

    @property
    def lapsed(self) -> Money:
        """What others had refunded before the plan, and has failed since. It has no credit note of ours."""
        failed = {refund.reference for refund in self.refunds if self.has_lapsed(refund)}
        return self._total(*(part.amount for part in self.planned.by_others or () if part.reference in failed))

    def has_lapsed(self, refund: Refund) -> bool:
        """Whether others had made it before the plan, which counted on it, and it has failed."""
        return refund.status.has_failed and refund.reference in self.counted_on

    @property
    def counted_on(self) -> frozenset[str]:
        """The refunds of others because of which the plan gives back less."""
        return frozenset(part.reference for part in self.planned.by_others or ())

    @property
    def rests_on(self) -> frozenset[str]:
        """The refunds without which the customer lacks something: those that count, and others' of before the plan. And what
        a person has named as their proof, which may be an open dispute. And the disputes by which the bank has given
        something back: an appeal may undo that."""
        failed = {refund.reference for refund in self.refunds if refund.status.has_failed}
        of_bank = {part.reference for part in self.bank_parts if part.amount}
        return self.counted_on.union(self.references, of_bank) - failed

    @property
    def reservation_released(self) -> Money:
        """What the customer's bank held back for it, without what they had never paid."""
        return self.released - self.never_paid

    @property
    def never_paid(self) -> Money:
        """What of `released` the customer could still pay, or was being taken and has not come."""
        never_taken = max(self.released - self.planned.release, self._total())
        return never_taken + min(self.released, self.planned.never_paid)

    @property
    def left_open(self) -> Money:
        """The part of it that the customer can still pay."""
        closed = self.planned.takes_all and not self.planned.released_by_capture
        return self._total() if closed else self.never_paid

    @property
    def may_be_taken(self) -> bool:
        """Whether some of `released` is nothing that the gateway has released: it is not to be taken, and still may be."""
        return bool(self.released) and (self.planned.released_by_capture or bool(self.left_open))

    # Rule: What was not to be captured, and is all the same, is owed
    @property
    def taken_after_all(self) -> Money:
        """What counted as released when the credit note was written, and was taken since."""
        return max((self.released_when_credited or self.released) - self.released, self._total())

    # Rule: What is on its way counts as given, and what the customer has paid back does not
    @property
    def outstanding(self) -> Money:
        """What is still owed to the customer on this tender. What is on its way counts as given; what they have paid back
        does not."""
        given = self._total(self.released, self.covered, self.waived, self.refunded)
        return max(self.planned_total + self._paid_back_of_ours - given, self._total())

    @property
    def _paid_back_of_ours(self) -> Money:
        """What the customer has paid back, without what the bank had given them."""
        return max(self.paid_back - self.given_by_bank, self._total())

    # Rule: What a result says was refunded is what the customer still has of it
    @property
    def kept(self) -> Money:
        """What of `refunded` the customer has, or will have, less what they have paid back of it."""
        return max(self.refunded - self._paid_back_of_ours, self._total())

    @property
    def pending(self) -> Money:
        return self._total(*(refund.amount for refund in self.refunds if refund.status.under_way))

    @property
    def payable_by_hand(self) -> Money:
        """What a person may give back another way: what is owed, else what is on its way and may never arrive, less what was
        given for it by hand before."""
        arrived = (refund.amount for refund in self.live_refunds if not refund.status.under_way)
        given = self._total(self.released, self.covered, self.waived, self.given_by_hand, *arrived)
        return self.outstanding or max(self.planned_total + self._paid_back_of_ours - given, self._total())

    # Rule: What the customer has beyond what is due is collected by a person
    @property
    def overpaid(self) -> Money:
        """What the customer has got beyond what is due to them, from whomever, and nobody has collected."""
        return self._beyond(refund.amount for refund in self.refunds if refund.status is RefundStatus.SUCCEEDED)

    @property
    def excess(self) -> Money:
        """The same with what is on its way to them."""
        return self._beyond(refund.amount for refund in self.live_refunds)

    def _beyond(self, refunded: Iterable[Money]) -> Money:
        given = self._total(self.released, self.covered, self.waived, self.given_by_hand, *refunded)
        return max(given + self.given_by_bank - self.planned_total - self.collected, self._total())

    # Rule: What the bank gave back by a dispute counts
    @property
    def given_by_bank(self) -> Money:
        """What the bank has given back of this plan, by all disputes."""
        return self._total(*(part.amount for part in self.bank_parts))

    # Rule: What the bank has given back is posted by each cancellation, by its own part
    @property
    def bank_parts(self) -> tuple[ChargeBack, ...]:
        """Of each lost dispute, what the bank has given back of this plan, without what a person has declared not due or
        settled with the dispute's number. What stays in the order is given back first: the customer disputes what they have
        not got back. What has settled a later cancellation was for what stayed here.

        Of a payment of 50.00, 20.00 were refunded, so 30.00 stay in the order. Of a lost dispute of 40.00, 30.00 are for
        what stays, and 10.00 were given back twice."""
        later = self.settled_later or self._total()
        back = -max(self.planned.refundable - self.planned.refund - later, self._total())
        parts: list[ChargeBack] = []
        for lost in self.charge_backs:
            named = [hand for hand in self.named_disputes if hand.reference == lost.reference]
            mine = lost.model_copy(update={"amount": min(lost.amount, self.planned_total)}) if named else lost
            back += mine.less(named).amount
            given = max(min(back, self.planned_total) - self.waived, self._total())
            part = given - self._total(*(before.amount for before in parts))
            parts.append(ChargeBack(reference=lost.reference, amount=part))
        return tuple(parts)

    @property
    def open_to_bank(self) -> Money:
        """What of the plan the bank could still give back, by this dispute or another one."""
        named = (given.amount for given in self.named_disputes)
        return max(self.planned_total - self.given_by_bank - self.waived - self._total(*named), self._total())

    @property
    def dispute_numbers(self) -> tuple[str, ...]:
        """The disputes that a person may name: by them the bank has given something back, or still may."""
        return (*self.open_disputes, *(back.reference for back in self.charge_backs))

    @property
    def disputes_in_words(self) -> str:
        """The numbers of the open disputes in brackets, where they are known."""
        if not self.open_disputes:
            return ""
        return f" (dispute{'s' if self.open_disputes[1:] else ''} {', '.join(self.open_disputes)})"

    @property
    def named_disputes(self) -> tuple[ChargeBack, ...]:
        """What a person has settled with the number of a lost dispute."""
        lost = {back.reference for back in self.charge_backs}
        settled = (payment for payment in self.by_hand if payment.reference in lost)
        return tuple(ChargeBack(reference=payment.reference, amount=payment.amount) for payment in settled)

    def with_refunds(self, payment: Payment, counted: Sequence[Refund]) -> "Reversal":
        """The same as its provider has it now: of the refunds there, `counted` are the ones that count."""
        there = {refund.reference for refund in payment.refunds}
        of_other_providers = [refund for refund in self.refunds if refund.reference not in there]
        now = self.model_copy(update={"refunds": (*of_other_providers, *counted)})
        before = {refund.reference: refund.status.has_failed for refund in self.refunds}
        for refund in counted:
            if not (refund.status.has_failed and before.get(refund.reference)):
                now = now.without_proof(refund.reference)
        return now

    # Rule: A refund that a person names as their proof counts as it is at the gateway
    def without_proof(self, reference: str) -> "Reversal":
        """The same, where what a person has named as the proof that they paid by hand counts as what it is: how much a
        refund is, to which tender, and whether it arrives, is its provider's word, and what came of a dispute the bank's."""
        named = tuple(hand for hand in self.by_hand if hand.reference == reference)
        if not named:
            return self
        by_hand = tuple(hand for hand in self.by_hand if hand not in named)
        return self.model_copy(update={"by_hand": by_hand, "named": (*self.named, *named)})

    def as_counted(self, refund: Refund) -> Refund:
        """A refund as its provider has it now, with the part of it that counts."""
        known = next((known for known in self.refunds if known.reference == refund.reference), None)
        if known is None or known.part_for is None:
            return refund
        return refund.model_copy(update={"amount": known.amount, "part_for": known.part_for})

    def is_named(self, refund: Refund) -> bool:
        """Whether a person has named it as the proof of what they paid."""
        return any(hand.reference == refund.reference for hand in self.named)

    def is_store_credit(self, refund: Refund) -> bool:
        """Whether this one of its refunds went to the customer's store credit in the tender's place."""
        key = EffectKey.read(refund.key)
        return key is not None and key.step is StepName.GIVE_STORE_CREDIT

    @property
    def given_another_way(self) -> Money:
        """What went back another way than by the tender's own provider."""
        credits_ = (refund.amount for refund in self.live_refunds if self._went_elsewhere(refund))
        return self._total(self.given_by_hand, *credits_)

    @property
    def kept_another_way(self) -> Money:
        """What of that stays with the customer after a roll-back, in which the rest was collected."""
        return max(self.given_another_way - self.collected, self._total())

    @property
    def _paid_back_of_refunds(self) -> Money:
        """What the customer has paid back of its refunds: their provider does not have it."""
        return max(self._paid_back_of_ours - self.given_another_way, self._total())

    # Rule: What an earlier cancellation gives back, or need not, is left to it [from its facts]
    def as_earlier(self, cancellation_id: str, *, undone: bool) -> EarlierReversal:
        """What it means to another cancellation of the order. `undone`: its own was rolled back."""
        zero, paid_back = self._total(), self._paid_back_of_refunds or None
        at_provider = [refund for refund in self.refunds if not self._went_elsewhere(refund)]
        references = tuple(refund.reference for refund in at_provider)
        parts = tuple(RefundPart(reference=r.reference, amount=r.amount) for r in at_provider if r.part_for)
        if undone:
            return EarlierReversal(
                cancellation_id=cancellation_id,
                released=zero,
                due=self.kept_another_way,
                of_provider=zero,
                another_way=self.kept_another_way,
                refunds=references if paid_back else (),
                parts=parts,
                paid_back=paid_back,
                by_bank=self.bank_parts if self.collected else (),
            )
        due = max(self.to_refund, zero)
        return EarlierReversal(
            cancellation_id=cancellation_id,
            released=self.released,
            due=due,
            of_provider=max(due - self.given_another_way - self.waived, zero),
            another_way=self.given_another_way - self.collected,
            refunds=references,
            parts=parts,
            before=self.planned.earlier,
            paid_back=paid_back,
            by_bank=self.named_disputes,
        )

    # Rule: What was paid back of an earlier cancellation's refund is owed again [before the payment was replaced]
    def before_payment_was_replaced(self, cancellation_id: str, *, undone: bool) -> EarlierReversal:
        """The same where the order is paid by another payment since. The gateway counts nothing there of what was done to
        the one before, so the books do: what the customer has paid back goes back to them, less what has already."""
        earlier = self.as_earlier(cancellation_id, undone=undone)
        zero, paid_back = self._total(), earlier.paid_back or self._total()
        held = self._total(*(r.amount for r in self.live_refunds if r.reference in earlier.refunds))
        beyond = max(earlier.due - held, -paid_back)
        return EarlierReversal(
            cancellation_id=cancellation_id,
            released=zero,
            due=min(beyond, zero) if undone else beyond,
            of_provider=zero,
            another_way=zero,
            paid_back=earlier.paid_back,
        )

    def _went_elsewhere(self, refund: Refund) -> bool:
        return self.is_store_credit(refund) and not self.planned.tender.kind.is_stored_value
