"""A gateway as far as reversals see it, and the reversal of a tender as the activity drives it: look, decide, act, note."""

from dataclasses import dataclass, field

from domain.case import Case
from domain.facts import EffectEnded, EffectNoted, EffectOutcome, Fact, RefundSeen, ReversalSeen
from domain.keys import EffectKey
from domain.money import Money
from domain.next_reversal import Disputed, MakeRefund, NotYet, Settled, Void, next_reversal
from domain.payment import DisputeState, Payment, Refund, RefundStatus
from domain.settlement import refunds_found
from domain.step import StepName
from tests.domain.cases import entries, usd


@dataclass
class Gateway:
    """It refuses what it has not got, as every gateway does; the amounts are in minor units."""

    captured: int = 0
    reserved: int = 0
    capturing: int = 0
    released: bool = False
    dispute: DisputeState = DisputeState.NONE
    refunds: list[Refund] = field(default_factory=list)
    step: int = 1

    @property
    def refunded(self) -> int:
        return sum(refund.amount.amount for refund in self.refunds if not refund.status.has_failed)

    @property
    def left(self) -> int:
        return self.captured - self.refunded

    def read(self) -> Payment:
        return Payment(
            reference="ref-T1",
            captured=usd(self.captured),
            capturable=usd(self.reserved),
            refunded=usd(self.refunded),
            capturing=usd(self.capturing) if self.capturing else None,
            released=self.released,
            dispute=self.dispute,
            refunds=tuple(self.refunds),
            step=self.step,
        )

    def refund(self, amount: Money, key: EffectKey | None, status: RefundStatus = RefundStatus.PENDING) -> Refund:
        """The same key is the same refund, however often it is sent."""
        made_under = str(key) if key else None
        found = next((refund for refund in self.refunds if key and refund.key == made_under), None)
        if found is not None:
            return found
        assert 0 < amount.amount <= self.left, f"a gateway refuses {amount} when {self.left} is left"
        refund = Refund(reference=f"re-{len(self.refunds) + 1}", amount=amount, status=status, key=made_under)
        self.refunds.append(refund)
        return refund

    def change(self, reference: str, status: RefundStatus) -> None:
        self.refunds = [
            refund.model_copy(update={"status": status}) if refund.reference == reference else refund
            for refund in self.refunds
        ]

    def void(self) -> None:
        self.reserved, self.released = 0, True

    def capture(self, amount: int) -> None:
        """What is captured is taken of the reservation; the rest of it stays reserved."""
        self.captured += amount
        self.reserved -= amount


class Books:
    """Appends facts to a case, as the register does."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def write(self, *facts: Fact) -> None:
        self.case.add(*entries(facts, after=self.case.last_seq))


def reverse(books: Books, gateway: Gateway, *, loses_answer: bool = False) -> NotYet | Disputed | Settled | None:
    """One round of `reverse_payment` for T1; None: the answer of its first effect was lost on the way."""
    key = books.case.key_of(StepName.REVERSE_PAYMENT, "T1")
    for _ in range(5):
        known = books.case.reversal("T1")
        match next_reversal(known, gateway.read(), key):
            case Void(amount=amount):
                assert amount.amount == gateway.reserved
                books.write(EffectNoted(key=key.part_of("void"), amount=amount))
                gateway.void()
                if loses_answer:
                    return None
                books.write(EffectEnded(key=key.part_of("void"), outcome=EffectOutcome.DONE))
            case MakeRefund(amount=amount, released=released, found=found):
                see_refunds(books, found)
                books.write(ReversalSeen(target="T1", released=released, covered=usd(0)))
                if key not in books.case.all_keys_noted(key.step, target="T1"):
                    books.write(EffectNoted(key=key, amount=amount))
                refund = gateway.refund(amount, key)
                if loses_answer:
                    return None
                books.write(
                    RefundSeen(target="T1", refund=refund),
                    EffectEnded(key=key, outcome=EffectOutcome.DONE, reference=refund.reference),
                )
            case Settled() as settled:
                see_refunds(books, settled.refunds)
                books.write(ReversalSeen(target="T1", released=settled.released, covered=usd(0)))
                return settled
            case NotYet() | Disputed() as stopped:
                return stopped
    raise AssertionError("a reversal that goes on for ever")


def see_refunds(books: Books, refunds: tuple[Refund, ...]) -> None:
    """The news of them."""
    before = {refund.reference: refund for refund in books.case.reversal("T1").refunds}
    books.write(*(RefundSeen(target="T1", refund=r) for r in refunds if before.get(r.reference) != r))


def check(books: Books, gateway: Gateway) -> None:
    """One round of `check_refund` for T1."""
    step = books.case.key_of(StepName.REVERSE_PAYMENT, "T1")
    see_refunds(books, refunds_found(books.case.reversal("T1"), gateway.read(), step))
