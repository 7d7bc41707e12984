"""The reversal of one tender: what has come back to the customer so far, and what is to be done next about it.

Deciding is apart from doing: `next_reversal` is a pure function of the plan, the provider's own count and the books' facts.
The activity asks it, acts once, notes what came of it, and asks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.base import Value
from domain.facts import (
    DisputeSeen,
    Entry,
    NothingDue,
    RefundSeen,
    ReversalSeen,
    SettledByHand,
)
from domain.keys import EffectKey
from domain.money import Money
from domain.order import EarlierReversal, TenderKind
from domain.payment import ChargeBack, Payment, Refund, RefundStatus
from domain.plan import PlannedTender
from domain.step import MONEY_STEPS, StepName

KEPT_HERE = frozenset({TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT})
"""Tenders whose money is on an account of the merchant's own."""


class ByHand(Value):
    """Money that a person gave back outside; `reference` is their proof, and `fact` the number of the fact that says so:
    one proof may stand for several payments."""

    reference: str
    amount: Money
    fact: int


class Reversal(Value):
    """What has come back to one tender, derived from the facts.

    `released`: what an authorisation no longer reserves. `covered`: what others had given back before. `refunds`: each as it
    was last seen, store credit in the tender's place included. `waived`: what a person declared not due. `paid_back`: what
    the customer has paid back of what was given twice, and `left_with_them` what a person has left with them of it.
    `charge_backs`: what the bank has given back. `named`: payments by hand that were refunds of the provider's own, whose
    number the person named: those are among the refunds.
    """

    planned: PlannedTender
    released: Money
    covered: Money
    waived: Money
    paid_back: Money
    left_with_them: Money
    refunds: tuple[Refund, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    named: tuple[ByHand, ...] = ()
    disputed: bool = False
    charge_backs: tuple[ChargeBack, ...] = ()
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
        return self.refunded - self.collected

    @property
    def given_by_us(self) -> Money:
        """The same without the refunds of others at a gateway, which are not undone for their own sake, unless a person has
        paid by them."""
        theirs = self.planned.tender.kind is TenderKind.CARD
        ours = (refund.amount for refund in self.live_refunds if refund.key or not theirs or self.is_named(refund))
        return self._total(self.given_by_hand, *ours)

    @property
    def may_fail(self) -> bool:
        """A card's refund is under way: who collects it now may collect what never arrives."""
        return self.planned.tender.kind is TenderKind.CARD and bool(self.pending)

    @property
    def planned_total(self) -> Money:
        """What the plan gives back to this tender."""
        return self.planned.refund + self.planned.release

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

    @property
    def overpaid(self) -> Money:
        """What the customer has got beyond what is due to them, from whomever, and nobody has collected."""
        arrived = (refund.amount for refund in self.refunds if refund.status is RefundStatus.SUCCEEDED)
        given = self._total(self.released, self.covered, self.waived, self.given_by_hand, *arrived)
        return max(given + self.given_by_bank - self.planned_total - self.collected, self._total())

    @property
    def given_by_bank(self) -> Money:
        """What the bank has given back of this plan, besides what a person has declared not due or settled with the
        dispute's number."""
        named = {hand.reference for hand in self.by_hand}
        back = self._total(*(back.amount for back in self.charge_backs if back.reference not in named))
        return max(min(back, self.planned_total) - self.waived, self._total())

    def with_refunds(self, payment: Payment, counted: Sequence[Refund]) -> "Reversal":
        """The same as its provider has it now: of the refunds there, `counted` are the ones that count."""
        there = {refund.reference for refund in payment.refunds}
        elsewhere = [refund for refund in self.refunds if refund.reference not in there]
        now = self.model_copy(update={"refunds": (*elsewhere, *counted)})
        before = {refund.reference: refund.status.has_failed for refund in self.refunds}
        for refund in counted:
            if not (refund.status.has_failed and before.get(refund.reference)):
                now = now._paid_by(refund)
        return now

    def _paid_by(self, refund: Refund) -> "Reversal":
        """The same, where a person who paid by hand has named this refund: how much it is, and whether it arrives, is its
        provider's word."""
        named = tuple(hand for hand in self.by_hand if hand.reference == refund.reference)
        if not named:
            return self
        by_hand = tuple(hand for hand in self.by_hand if hand not in named)
        return self.model_copy(update={"by_hand": by_hand, "named": (*self.named, *named)})

    def is_named(self, refund: Refund) -> bool:
        """Whether a person has named it as the proof of what they paid."""
        return any(hand.reference == refund.reference for hand in self.named)

    def is_store_credit(self, refund: Refund) -> bool:
        """Whether this one of its refunds went to the customer's store credit in the tender's place."""
        key = EffectKey.read(refund.key)
        return key is not None and key.step is StepName.GIVE_STORE_CREDIT

    @property
    def elsewhere(self) -> Money:
        """What went back another way than by the tender's own provider."""
        credits_ = (refund.amount for refund in self.live_refunds if self._went_elsewhere(refund))
        return self._total(self.given_by_hand, *credits_)

    @property
    def kept_elsewhere(self) -> Money:
        """What of that stays with the customer after a roll-back, in which the rest was collected."""
        return max(self.elsewhere - self.collected, self._total())

    @property
    def _paid_back_of_refunds(self) -> Money:
        """What the customer has paid back of a card's refunds: the gateway does not have it."""
        card = self.planned.tender.kind is TenderKind.CARD
        return max(self._paid_back_of_ours - self.elsewhere, self._total()) if card else self._total()

    @property
    def payable_by_hand_alone(self) -> Money:
        """What of the plan, and of what was paid back since, the gateway may not have."""
        paid_back = self._paid_back_of_ours + (self.planned.paid_back or self._total())
        return max(paid_back - self.elsewhere - self.waived, self._total())

    def as_earlier(self, *, undone: bool) -> EarlierReversal:
        """What it means to the next cancellation of the order. `undone`: its own was rolled back."""
        paid_back = self._paid_back_of_refunds or None
        references = tuple(refund.reference for refund in self.refunds if not self._went_elsewhere(refund))
        if undone:
            back = {"paid_back": paid_back, "refunds": references} if paid_back else {}
            return EarlierReversal(released=self._total(), due=self.kept_elsewhere).model_copy(update=back)
        return EarlierReversal(
            released=self.released,
            due=max(self.planned_total - self.released - self.covered, self._total()),
            refunds=references,
            paid_back=paid_back,
        )

    def _went_elsewhere(self, refund: Refund) -> bool:
        return self.is_store_credit(refund) and self.planned.tender.kind not in KEPT_HERE


def reversal_of(entries: Sequence[Entry], planned: PlannedTender) -> Reversal:
    """What has come back to one tender so far."""
    reversal = Reversal.begin(planned)
    tender_id = reversal.tender_id
    refunds: dict[str, Refund] = {}
    for entry in entries:
        reversal = reversal.model_copy(update={"refunds": tuple(refunds.values())})
        match entry.fact:
            case ReversalSeen(target=target, released=released, covered=covered, detail=detail) if target == tender_id:
                update = {"released": released, "covered": reversal.covered + covered, "detail": detail}
                reversal = reversal.model_copy(update=update)
            case RefundSeen(target=target, refund=refund) if target == tender_id:
                refunds[refund.reference] = refund
                reversal = reversal._paid_by(refund)
            case DisputeSeen(target=target, disputed=disputed, charge_backs=charge_backs) if target == tender_id:
                reversal = reversal.model_copy(update={"disputed": disputed, "charge_backs": charge_backs})
            case SettledByHand(step=step, target=target, reference=reference, amount=amount) if (
                target == tender_id and amount is not None
            ):
                reversal = _settled(reversal, step, ByHand(reference=reference, amount=amount, fact=entry.seq))
            case NothingDue(step=StepName.CHECK_REFUND, target=target) if target == tender_id:
                reversal = reversal.model_copy(update={"left_with_them": reversal.left_with_them + reversal.overpaid})
            case NothingDue(step=step, target=target) if target == tender_id and step in MONEY_STEPS:
                reversal = reversal.model_copy(update={"waived": reversal.waived + reversal.outstanding})
            case _:
                pass
    return reversal.model_copy(update={"refunds": tuple(refunds.values())})


def _settled(reversal: Reversal, step: StepName, hand: ByHand) -> Reversal:
    """Money that a person moved: to the customer, or back from them. Who names a refund that counts has paid by it."""
    if step in MONEY_STEPS and any(refund.reference == hand.reference for refund in reversal.live_refunds):
        return reversal.model_copy(update={"named": (*reversal.named, hand)})
    if step in MONEY_STEPS:
        return reversal.model_copy(update={"by_hand": (*reversal.by_hand, hand)})
    return reversal.model_copy(update={"paid_back": reversal.paid_back + hand.amount})


@dataclass(frozen=True)
class Void:
    """Release what the authorisation reserves."""

    amount: Money


@dataclass(frozen=True)
class MakeRefund:
    """`released` and `found` are what has come back already, whatever becomes of this refund."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


@dataclass(frozen=True)
class NotYet:
    """Nothing can be done at this moment; the provider is in the middle of something."""

    sentence: str


@dataclass(frozen=True)
class Disputed:
    """The bank has taken the money back, or may: to refund as well could pay twice. A person decides."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


@dataclass(frozen=True)
class ByHandAlone:
    """The gateway does not have it: the customer had paid back what it has given. A person gives it back."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


@dataclass(frozen=True)
class Settled:
    """Nothing is left to do. `refunds` are those that count, ours and others'; `covered` was given back before by others."""

    released: Money
    covered: Money
    refunds: tuple[Refund, ...]


NextReversal = Void | MakeRefund | NotYet | Disputed | ByHandAlone | Settled


def next_reversal(reversal: Reversal, payment: Payment, key: EffectKey) -> NextReversal:
    """What is to be done next about a card's payment, never more than planned and never more than the gateway still has.

    `key` is the effect's, a refund or store credit in its place: what was made under it counts, and so does every refund of
    ours, by an earlier attempt or a run that was lost.
    """
    planned = reversal.planned
    released = _released(reversal, payment)
    if isinstance(released, Void):
        return released
    if payment.capturing:
        return NotYet(
            f"The gateway is still taking {payment.capturing} of tender {planned.tender.tender_id}; it is refunded "
            "once taken."
        )
    counted = _counted(reversal, payment, key)
    now = reversal.with_refunds(payment, counted).model_copy(update={"released": released})
    owed = now.outstanding
    zero = owed - owed
    theirs = made_by_others(now, payment, owed)
    owed = max(owed - Money.total((refund.amount for refund in theirs), zero.currency), zero)
    amount = min(owed, payment.refundable)
    mine = payment.made_under(str(key)) or next((r for r in reversal.refunds if r.key == str(key)), None)
    if amount.amount <= 0 or mine is not None:
        # What is left beside a refund that holds is owed under the next key, once the failure that left it is known.
        failed = _failed_since(planned, payment, mine) if mine is not None else ()
        covered = zero if mine in failed else owed - amount if failed else owed
        by_hand = min(covered, now.payable_by_hand_alone)
        if by_hand and not failed:
            decided_by_person = Disputed if payment.disputed else ByHandAlone
            return decided_by_person(amount=by_hand, released=released, found=(*theirs, *counted))
        return Settled(released=released, covered=covered - by_hand, refunds=(*theirs, *counted, *failed))
    action = Disputed if payment.disputed else MakeRefund
    return action(amount=amount, released=released, found=(*theirs, *counted))


def _released(reversal: Reversal, payment: Payment) -> Money | Void:
    """What is released of the reservation, where the plan wants any of it released.

    A part of a reservation is not released at the gateway: the rest of it is simply captured later. What is neither
    reserved any more nor captured since was released with that capture.
    """
    planned = reversal.planned
    zero = Money.zero(planned.release.currency)
    if not planned.release:
        return zero
    captured_since = max(planned.captured_since(payment), zero)
    if planned.release < planned.capturable:
        return max(min(planned.release, planned.capturable - captured_since), reversal.released, zero)
    if payment.capturable:
        return Void(payment.capturable)
    # Released by us, by someone else, or by expiry: reserved no more. What was captured meanwhile is refunded instead.
    return planned.release - min(planned.release, captured_since)


def _counted(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """Refunds at the gateway that count for this tender and have not failed: ours, and others' that were taken over."""
    references = reversal.references
    return tuple(
        refund
        for refund in payment.refunds
        if not refund.status.has_failed and (refund.reference in references or is_ours(refund, key))
    )


def is_ours(refund: Refund, key: EffectKey) -> bool:
    """Whether a refund at the gateway was made for the cancellation and the tender of `key`, under whatever number."""
    made_under = EffectKey.read(refund.key)
    return made_under is not None and made_under.is_same_step(
        EffectKey(key.cancellation_id, StepName.REVERSE_PAYMENT, key.target)
    )


def _failed_since(planned: PlannedTender, payment: Payment, mine: Refund) -> tuple[Refund, ...]:
    """The refund of this key, where it failed; where it holds, those of others that were to give back what is owed."""
    if mine.status.has_failed:
        return (mine,)
    earlier = planned.earlier or ()
    others = (refund for refund in payment.refunds if refund.key is None and refund.reference not in earlier)
    return tuple(refund for refund in others if refund.status.has_failed)


def made_by_others(reversal: Reversal, payment: Payment, owed: Money) -> tuple[Refund, ...]:
    """Refunds that somebody made at the gateway since the plan was made, and that do not count yet: they give back what is
    planned here, and are credited under their own references. One that comes to more than is owed covers it where no smaller
    ones do: a person hears of the excess."""
    zero = owed - owed
    earlier = reversal.planned.earlier
    known = reversal.references
    theirs = [
        refund
        for refund in payment.refunds
        if earlier is not None
        and refund.reference not in earlier
        and refund.key is None
        and refund.reference not in known
        and not refund.status.has_failed
    ]
    found: list[Refund] = []
    for refund in theirs:
        if refund.amount <= owed:
            found.append(refund)
            owed -= refund.amount
    for refund in theirs:
        if refund not in found and owed > zero:
            found.append(refund)
            owed -= refund.amount
    return tuple(found)
