"""What may be true of an order once nothing moves any more: while its cancellation waits, and after the end. Pure. What
goods and answers promise is in files of their own.

What the product says of itself is compared with what its counterparts say and never believed. Each check names the
invariant that is broken, so that a planted bug has to be found by the right one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from domain.order import Tender, TenderKind
from domain.step import StepName
from tests.faults.answers import (
    a_suspects_money_was_seen,
    acknowledged_has_effect,
    covers_all,
    has_its_own_cancellation,
    joined_what_it_asked_for,
    seen_by_a_second_person,
    what_was_kept_is_decided,
)
from tests.faults.goods import (
    goods_and_money_agree,
    once_at_the_shop,
    once_per_parcel,
    only_ups_is_asked_to_stop,
    undone_at_most_once,
    undone_goods_move_again,
)
from tests.faults.model import (
    CAPTURED,
    CHARGED_BACK,
    FAILED,
    REFUNDED,
    RELEASED,
    RESERVED,
    SETTLED,
    AtGateway,
    Check,
    Invariant,
    Verb,
    Violation,
    World,
)
from tests.faults.papers import credit_notes_have_the_tax_of_what_was_cancelled
from tests.faults.payments import given_twice_to_others
from tests.faults.prices import after_discount, price_of
from tests.faults.runs import all_say_the_same, over_or_visible
from tests.faults.sequence import undone_last_first

_NO_THIRD_DECIMAL = frozenset({"KWD", "BHD", "JOD", "OMR", "TND"})


def violations(world: World, checks: "Iterable[Check] | None" = None) -> list[Violation]:
    return [
        Violation(invariant=invariant, order_id=world.order.order_id, sentence=sentence)
        for check in (CHECKS if checks is None else checks)
        for invariant, sentence in check(world)
    ]


# The money: I1 and I11


def never_more_than_captured(world: World) -> Iterator[tuple[Invariant, str]]:
    """At any instant, and by nobody: a gateway refuses it, so that whoever tries it loses nothing but the attempt. A payment
    may be of other orders too; of it the process gives this order what it has paid. A refund counts until it has failed.
    Store credit in place of a refund is not the gateway's; it counts with what is put back in the end."""
    in_turn = sorted((*world.money, *world.for_other_orders), key=lambda effect: effect.at)
    for tender in world.order.tenders:
        captured = 0 if tender.kind is TenderKind.CARD else tender.amount.amount
        alive: dict[str, AtGateway] = {}
        for effect in in_turn:
            in_its_place = tender.kind is TenderKind.CARD and effect.on_account
            if effect.tender_id != tender.tender_id or in_its_place:
                continue
            if effect.kind == CAPTURED:
                captured += effect.amount
            elif effect.kind == FAILED:
                alive.pop(effect.object_id, None)
            elif effect.kind == REFUNDED:
                alive[effect.object_id] = effect
                refunded = sum(refund.amount for refund in alive.values())
                if refunded > captured:
                    yield Invariant.MONEY, f"{refunded} of {captured} captured was refunded on {tender.tender_id}"
                ours = sum(refund.amount for refund in alive.values() if refund in world.money and not refund.by_others)
                if ours > tender.amount.amount:
                    yield Invariant.MONEY, f"{ours} was refunded on {tender.tender_id}, which paid {tender.amount}"
        ours = world.refunded(ours=True, tender_id=tender.tender_id)
        if ours > tender.amount.amount:
            yield Invariant.MONEY, f"{ours} was put back on {tender.tender_id}, which paid {tender.amount}"


def of_a_shared_payment_what_was_taken_for_it(world: World) -> Iterator[tuple[Invariant, str]]:
    """Whatever was captured of it for the others."""
    for tender_id, captured in world.captured_for:
        by_hand = sum(said.amount.amount for said in world.paid_by_hand if said.target == tender_id and said.amount)
        given = world.refunded(ours=True, tender_id=tender_id) + by_hand
        if given > captured:
            yield (
                Invariant.MONEY,
                f"{given} was given back on {tender_id}, of which {captured} was captured for this order",
            )


def nothing_of_what_was_never_taken(world: World) -> Iterator[tuple[Invariant, str]]:
    """Of a debit that fails nothing is given back: by no refund, no store credit, and by nobody who is asked to pay."""
    for tender_id in () if world.is_open else world.never_taken:
        by_hand = sum(said.amount.amount for said in world.paid_by_hand if said.target == tender_id and said.amount)
        given = world.refunded(ours=True, tender_id=tender_id) + by_hand
        if given > 0:
            yield Invariant.MONEY, f"{given} was given back on {tender_id}, of which nothing was ever taken"


def never_more_than_the_price(world: World) -> Iterator[tuple[Invariant, str]]:
    """By all ways together, less what a person has left to the customer. What a person has paid besides is seen while the
    run waits. Where others gave something back besides, a person is asked, and collects the difference or leaves it; what
    they give alone, of an order of which nothing is cancelled, or twice on a payment of which nothing is given back, is no
    matter of the process. Nor is what they give of a payment that pays other orders too, as long as it has enough."""
    paid = sum(tender.amount.amount for tender in world.order.tenders)
    by_others = world.by_others - sum(_given_twice_by_others(world, tender) for tender in world.order.tenders)
    by_others -= sum(world.refunded(ours=False, tender_id=shared) for shared, _ in world.captured_for)
    ours = world.given_back + world.by_hand - world.left_to_customer()
    is_asked = world.run is not None and bool(world.run.waits)
    if ours > paid and not (world.by_hand > 0 and world.is_open and is_asked):
        yield Invariant.PAID_ONCE, f"the customer has {ours} of {paid} by the process and by hand"
    elif (ours or world.carried_out) and ours + by_others > paid and not is_asked:
        yield (
            Invariant.PAID_ONCE,
            f"the customer has {ours + by_others} of {paid} by the process and by others, and nobody was asked about it",
        )


def _given_twice_by_others(world: World, tender: Tender) -> int:
    """As where somebody had refunded a payment and the bank gives it back, too."""
    name = tender.tender_id
    if world.refunded(ours=True, tender_id=name) or world.total(RELEASED, ours=True, tender_id=name):
        return 0
    refunded = world.refunded(ours=False, tender_id=name) + world.total(RELEASED, ours=False, tender_id=name)
    return max(refunded + world.total(CHARGED_BACK, tender_id=name) - tender.amount.amount, 0)


def carried_out_gives_what_its_goods_cost(world: World) -> Iterator[tuple[Invariant, str]]:
    """The units that left the order are those whose money went back, less what a person declared not due. What is only
    reserved goes back by not being captured: no counterpart has done anything then. What others give counts where too little
    went back; that the process gives no more than is due, whatever they do, is seen without it."""
    if world.is_open or not world.carried_out:
        return
    ours, due = world.given_back + world.by_hand, price_of(world, dict(world.cancelled))
    left_by_hand = world.has_said(Verb.DONE_BY_HAND, Verb.NOTHING_DUE, step=StepName.CLOSE_ORDER)
    most = due + _may_go_besides(world) + world.lapsed + world.left_to_customer()
    most += sum(change.more for change in world.known_changes)
    if ours > most and not left_by_hand:
        yield Invariant.MONEY, f"{ours} went back for units worth {due}"
    least = due - world.waived - world.paid_anew - sum(change.less for change in world.known_changes)
    by_others = world.by_others + given_twice_to_others(world)
    given = ours + by_others - sum(change.given_for_it for change in world.changes)
    if given + world.reserved < least:
        yield Invariant.MONEY, f"only {given} went back for units worth {due}"
    recorded = sum(found.refunded.amount for found in world.carried_out if found.refunded) + sum(
        found.released.amount for found in world.carried_out if found.released
    )
    if not ours <= recorded <= ours + world.reserved + by_others + _given_up_and_back(world):
        yield Invariant.MONEY, f"the books say {recorded}, counterparts and people {ours}"


def _given_up_and_back(world: World) -> int:
    """What a cancellation had given up of a reservation when it ended, and was captured all the same before the end of a
    later one, which gave it back: the results of both say so."""
    total, last = 0, max((found.ended_at or 0 for found in world.carried_out), default=0)
    captures = [effect for effect in world.money if effect.kind == CAPTURED and effect.by_others]
    for found in world.carried_out:
        taken = sum(effect.amount for effect in captures if (found.ended_at or last) < effect.at < last)
        total += min(found.released.amount if found.released else 0, taken)
    return total


def _may_go_besides(world: World) -> int:
    """A part of the shipping charge, where the whole order or the charge was asked for and some units stay in the order; and
    what the gateway's steps round up, which takes no third decimal."""
    order = world.order
    costs = after_discount(order)
    asked = [said for said in world.said if said.verb is Verb.SUBMIT and said.accepted is not False]
    everything = all(dict(world.cancelled).get(line.line_id, 0) == line.quantity for line in order.lines)
    shipping = 0
    if not everything and any(said.shipping for said in asked):
        shipping = costs.shipping
    elif not everything and any(covers_all(world, said.scope) for said in asked):
        gone = dict(world.cancelled)
        goods = price_of(world, gone)
        shipping = costs.shipping * goods // max(sum(costs.lines.values()), 1) + len(order.lines)
    steps = 10 * len(world.cancellations) * len(order.tenders) if world.currency in _NO_THIRD_DECIMAL else 0
    return shipping + steps


def undone_gives_nothing(world: World) -> Iterator[tuple[Invariant, str]]:
    """What could not be taken back is recorded, and a person was asked about it."""
    if world.is_open or world.carried_out:
        return
    kept = (
        world.given_back + world.by_hand - sum(found.refunded.amount for found in world.cancellations if found.refunded)
    )
    kept -= sum(found.released.amount for found in world.cancellations if found.released)
    if kept > world.left_to_customer():
        yield Invariant.MONEY, f"{kept} went back although nothing was cancelled"
    left = world.refunded(ours=True) + world.by_hand
    if left > world.left_to_customer(StepName.RESTORE_PAYMENT):
        yield Invariant.MONEY, f"{left} went back, nothing was cancelled, and nobody was asked to collect it"


def undone_takes_nothing(world: World) -> Iterator[tuple[Invariant, str]]:
    """Whoever keeps their order has paid back no more than they had, but for what a person declared not due."""
    if world.is_open or world.carried_out:
        return
    has = world.given_back + world.by_hand + world.by_others + world.waived
    if has < 0:
        yield Invariant.MONEY, f"the customer has paid back {-has} more than they had, and nothing was cancelled"


def what_the_bank_gave_is_collected(world: World) -> Iterator[tuple[Invariant, str]]:
    """Where a person orders the roll-back of a refund, and the bank has given the money back by then, the goods go on to
    somebody who has it: a person is asked to collect it."""
    for found in () if world.is_open or world.carried_out else world.cancellations:
        for back in world.money:
            late = found.taken_back_at is None or back.at >= found.taken_back_at
            if back.kind != CHARGED_BACK or late or back.tender_id not in found.refunds:
                continue
            if not world.total(CHARGED_BACK, tender_id=back.tender_id):
                continue  # it was taken back on appeal
            asked = world.has_said(
                Verb.DONE_BY_HAND, Verb.NOTHING_DUE, step=StepName.RESTORE_PAYMENT, target=back.tender_id
            )
            if not asked:
                yield (
                    Invariant.PAID_ONCE,
                    f"the bank gave {back.amount} back on {back.tender_id}, and nobody was asked to collect it",
                )


def order_names_a_payment_that_holds(world: World) -> Iterator[tuple[Invariant, str]]:
    """What was released and is reserved again is another payment. Where that was not possible a person has seen to it."""
    if world.is_open or world.carried_out:
        return
    now = dict(world.paid_with)
    for tender in world.order.tenders:
        released = world.total(RELEASED, ours=True, tender_id=tender.tender_id)
        seen_to = world.has_said(
            Verb.DONE_BY_HAND, Verb.NOTHING_DUE, step=StepName.RESTORE_PAYMENT, target=tender.tender_id
        )
        if released and now.get(tender.tender_id) == tender.reference and not seen_to:
            yield Invariant.MONEY, f"the order goes on, and names payment {tender.reference}, which was released"


def reserved_again_is_what_was_released(world: World) -> Iterator[tuple[Invariant, str]]:
    """What others had captured of it by then has gone back another way, or stays the merchant's."""
    for tender in world.order.tenders:
        again, released = (world.total(kind, tender_id=tender.tender_id) for kind in (RESERVED, RELEASED))
        if again > released:
            yield Invariant.MONEY, f"{again} was reserved again on {tender.tender_id}, and {released} was released"


def over_once_it_has_arrived(world: World) -> Iterator[tuple[Invariant, str]]:
    """No cancellation is over while a refund of ours can still fail for the first time."""
    cards = {tender.tender_id for tender in world.order.tenders if tender.kind is TenderKind.CARD}
    over = {effect.object_id for effect in world.money if effect.kind in {SETTLED, FAILED}}
    for effect in world.money if world.carried_out and not world.is_open else ():
        ours = effect.tender_id in cards and not effect.on_account and not effect.by_others
        if effect.kind == REFUNDED and ours and effect.object_id not in over:
            yield Invariant.MONEY, f"it is over, and refund {effect.object_id} has neither arrived nor failed"


# The ledger: I4


_GATEWAY = "gateway_clearing"


def ledger_is_right(world: World) -> Iterator[tuple[Invariant, str]]:
    """Debits equal credits by their form: each transfer has both. What is payable is never negative, and nothing at the
    end; each names one reference, and one that the gateway knows where it says so."""
    payable = Counter[str]()
    for transfer in world.ledger:
        if transfer.amount <= 0 or not transfer.reference:
            yield Invariant.LEDGER, f"a transfer of {transfer.amount} with the reference {transfer.reference!r}"
        sign = (transfer.credit == "refunds_payable") - (transfer.debit == "refunds_payable")
        payable[transfer.cancellation_id] += sign * transfer.amount
        if payable[transfer.cancellation_id] < 0:
            yield Invariant.LEDGER, f"{payable[transfer.cancellation_id]} is payable in {transfer.cancellation_id}"
    for recorded in world.cancellations:
        left = payable[recorded.cancellation_id]
        if recorded.outcome is not None and left:
            yield Invariant.LEDGER, f"{left} is still payable in {recorded.cancellation_id}, which has ended"
    cards = {tender.tender_id for tender in world.order.tenders if tender.kind is TenderKind.CARD}
    known = {effect.object_id for effect in (*world.money, *world.for_other_orders) if effect.tender_id in cards}
    for transfer in world.ledger:
        if transfer.credit == _GATEWAY and known and transfer.reference not in known:
            yield Invariant.LEDGER, f"the gateway does not know {transfer.reference}"
    yield from _never_posted_twice(world)


def _never_posted_twice(world: World) -> Iterator[tuple[Invariant, str]]:
    moved = Counter[str]()
    for effect in world.money:
        moved[effect.object_id] += max(effect.amount, 0) if effect.kind in {REFUNDED, CHARGED_BACK} else 0
    for reference, amount in _posted_by_gateway(world).items():
        if reference in moved and amount > moved[reference]:
            yield Invariant.LEDGER, f"{amount} is posted for {reference}, which has moved {moved[reference]}"


def _posted_by_gateway(world: World) -> Counter[str]:
    """By reference."""
    posted = Counter[str]()
    for transfer in world.ledger:
        posted[transfer.reference] += transfer.amount * ((transfer.credit == _GATEWAY) - (transfer.debit == _GATEWAY))
    return posted


def what_the_bank_took_back_is_not_posted(world: World) -> Iterator[tuple[Invariant, str]]:
    """Once the process has heard of it."""
    posted = _posted_by_gateway(world)
    back = Counter[str]()
    for effect in (effect for effect in world.money if effect.kind == CHARGED_BACK):
        back[effect.object_id] += effect.amount
    for number, amount in back.items():
        if posted[number] > amount and not world.is_open:
            yield Invariant.LEDGER, f"{posted[number]} is posted for {number}, by which the bank has given {amount}"


# The keys: I5


def once_per_key(world: World) -> Iterator[tuple[Invariant, str]]:
    made = Counter(
        (effect.kind, effect.key)
        for effect in world.money
        if effect.kind in {REFUNDED, RELEASED} and effect.key and not effect.by_others
    )
    for (kind, key), times in made.items():
        if times > 1:
            yield Invariant.ONCE, f"{times} × {kind} under {key}"
    for tender_id, times in Counter(effect.tender_id for effect in world.money if effect.kind == RESERVED).items():
        if times > 1:
            yield Invariant.ONCE, f"the money of {tender_id} was reserved again {times} times"


def every_effect_is_noted(world: World) -> Iterator[tuple[Invariant, str]]:
    """Under its key, in our own books: whatever was done with the order's money, and not by others. A marketplace has no
    place for a key."""
    sold = {tender.tender_id for tender in world.order.tenders if tender.kind is TenderKind.MARKETPLACE}
    noted = {key for recorded in world.cancellations for key in recorded.noted}
    for effect in world.money:
        ours = effect.kind in {REFUNDED, RELEASED} and effect.tender_id not in sold and not effect.by_others
        if ours and effect.noted_key not in noted:
            yield Invariant.ONCE, f"{effect.kind} {effect.object_id} under {effect.key}, which no book knows"


# The histories: I7 and I8


def every_history_replays(world: World) -> Iterator[tuple[Invariant, str]]:
    for sentence in world.failed_replays:
        yield Invariant.REPLAY, sentence


def shows_nothing_confidential(world: World) -> Iterator[tuple[Invariant, str]]:
    for sentence in world.leaks:
        yield Invariant.CONFIDENTIAL, sentence


CHECKS: tuple[Check, ...] = (
    never_more_than_captured,
    nothing_of_what_was_never_taken,
    of_a_shared_payment_what_was_taken_for_it,
    never_more_than_the_price,
    carried_out_gives_what_its_goods_cost,
    undone_gives_nothing,
    undone_takes_nothing,
    what_the_bank_gave_is_collected,
    order_names_a_payment_that_holds,
    reserved_again_is_what_was_released,
    over_once_it_has_arrived,
    goods_and_money_agree,
    only_ups_is_asked_to_stop,
    undone_goods_move_again,
    undone_at_most_once,
    undone_last_first,
    over_or_visible,
    all_say_the_same,
    ledger_is_right,
    what_the_bank_took_back_is_not_posted,
    credit_notes_have_the_tax_of_what_was_cancelled,
    once_per_key,
    once_per_parcel,
    once_at_the_shop,
    every_history_replays,
    shows_nothing_confidential,
    every_effect_is_noted,
    acknowledged_has_effect,
    has_its_own_cancellation,
    joined_what_it_asked_for,
    seen_by_a_second_person,
    a_suspects_money_was_seen,
    what_was_kept_is_decided,
)
