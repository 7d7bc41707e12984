"""What a look at a tender's payment adds to the books: nothing that is known already."""

from collections.abc import Sequence

from domain.earlier import EarlierReversal, left_of_disputes, settled_later
from domain.facts import DisputeSeen, Fact, RefundElsewhereSeen, RefundSeen, ReversalSeen
from domain.keys import EffectKey
from domain.money import Money
from domain.next_reversal import Settled, Void, refunds_to_ask_about, released_by_now
from domain.order import TenderKind
from domain.payment import Payment, Refund
from domain.reversal import Reversal


def refund_news(reversal: Reversal, refunds: Sequence[Refund]) -> list[Fact]:
    """The refunds of a tender that are not known as they are now."""
    before = {refund.reference: refund for refund in reversal.refunds}
    return [
        RefundSeen(target=reversal.tender_id, refund=refund)
        for refund in refunds
        if refund.reference not in before or before[refund.reference].status is not refund.status
    ]


def dispute_news(reversal: Reversal, payment: Payment, other_reversals: Sequence[EarlierReversal]) -> list[Fact]:
    """Whether the bank disputes the payment, and what it has given back that counts for no other cancellation of the order,
    where that is news."""
    charge_backs = left_of_disputes(payment, other_reversals)
    seen = DisputeSeen(
        target=reversal.tender_id,
        disputed=payment.disputed,
        charge_backs=charge_backs,
        open_disputes=payment.open_disputes,
        settled_later=settled_later(payment, other_reversals, reversal.planned.tender.earlier_reversals),
    )
    known = (reversal.disputed, reversal.charge_backs, reversal.open_disputes, reversal.settled_later)
    return [] if (seen.disputed, seen.charge_backs, seen.open_disputes, seen.settled_later) == known else [seen]


def shared_news(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal]
) -> list[Fact]:
    """The refunds of others that may be this order's or another one's of the payment, and are not known yet."""
    tender_id = reversal.tender_id
    found = refunds_to_ask_about(reversal, payment, key, other_reversals)
    return [RefundElsewhereSeen(target=tender_id, tender=tender_id, refund=refund) for refund in found]


def capture_news(reversal: Reversal, payment: Payment, *, ended: bool = False) -> list[Fact]:
    """That less is released than before, because it was captured or paid all the same. After the end (`ended`) that is no
    more than the gateway has: what the order's next cancellation has given back of it is given back."""
    if reversal.planned.tender.kind is not TenderKind.CARD:
        return []
    released = released_by_now(reversal, payment)
    if isinstance(released, Void):
        return []
    if ended:
        released = max(released, reversal.released - payment.refundable)
    return found_news(reversal, released, ()) if released < reversal.released else []


def settlement_facts(reversal: Reversal, settled: Settled) -> list[Fact]:
    detail = [_release_in_words(reversal, settled.released)] if settled.released else []
    detail += [f"refund {refund.status.replace('_', ' ')}" for refund in settled.refunds]
    seen = ReversalSeen(
        target=reversal.tender_id,
        released=settled.released,
        covered=Money.zero(settled.released.currency),
        detail="; ".join(detail),
    )
    return [*refund_news(reversal, settled.refunds), seen]


def found_news(reversal: Reversal, released: Money, refunds: Sequence[Refund]) -> list[Fact]:
    """What has come back already, where that is news: it counts, whatever becomes of the rest."""
    facts = refund_news(reversal, refunds)
    if released != reversal.released:
        zero = Money.zero(released.currency)
        facts.append(
            ReversalSeen(
                target=reversal.tender_id,
                released=released,
                covered=zero,
                detail=_release_in_words(reversal, released),
            )
        )
    return facts


def _release_in_words(reversal: Reversal, released: Money) -> str:
    if reversal.planned.released_by_capture:
        return f"not captured: {released}"
    if released > reversal.planned.release:
        return f"never taken: {released}"
    return f"{'closed the payment of' if reversal.planned.unpaid else 'released'} {released}"
