"""What people asked and said, and what came of it: I3 and I10."""

import tomllib
from collections import Counter
from collections.abc import Iterator

from domain.order import OrderFlag, TenderKind
from domain.outcome import Outcome
from domain.request import LineScope
from domain.step import StepName
from sandbox.serving import ROOT
from tests.faults.model import FAILED, REFUNDED, RELEASED, AtGateway, Invariant, Said, Verb, World
from tests.faults.prices import price_of

_LIMITS = {
    limit["currency"]: limit["amount"] for limit in tomllib.loads((ROOT / "policy.toml").read_text())["approval_limits"]
}


def acknowledged_has_effect(world: World) -> Iterator[tuple[Invariant, str]]:
    """An order to try again is kept by no book where there is no cancellation: its effect is that it was tried again."""
    if world.run is None or world.is_open:
        return
    taken = [said for said in world.said if said.accepted]
    verbs = {said.verb for said in taken}
    outcomes = {found.outcome for found in world.cancellations}
    facts = {fact for found in world.cancellations for fact in found.facts}
    undone = {Outcome.WITHDRAWN, Outcome.ROLLED_BACK, Outcome.REJECTED}
    for verb, fact in (
        (Verb.APPROVE, "approved"),
        (Verb.REJECT, "approval_refused"),
        (Verb.WITHDRAW, "withdrawal_asked"),
        (Verb.RETRY, "retry_ordered"),
        (Verb.CHOOSE, "chosen"),
        (Verb.NOTHING_DUE, "nothing_due"),
        (Verb.DONE_BY_HAND, "settled_by_hand"),
        (Verb.ROLL_BACK, "roll_back_ordered"),
    ):
        if verb in verbs and fact not in facts and (verb is not Verb.RETRY or world.cancellations):
            yield Invariant.ANSWERED, f"{verb} was acknowledged, and the books have no {fact}"
    proofs = {proof for found in world.cancellations for proof in found.proofs}
    for said in taken:
        if said.proof and said.proof not in proofs:
            yield Invariant.ANSWERED, f"{said.verb} by {said.proof} was acknowledged, and the books do not have it"
    if verbs & {Verb.WITHDRAW, Verb.REJECT, Verb.ROLL_BACK} and not outcomes & undone:
        yield Invariant.ANSWERED, f"{sorted(verbs)} were acknowledged, and it ended {sorted(map(str, outcomes))}"


def seen_by_a_second_person(world: World) -> Iterator[tuple[Invariant, str]]:
    """What goes out of an order without the approval of anybody else is not above the limit, in however many parts it is
    asked for: by what people said, and by what counterparts and people gave. The register says only which cancellations
    there were. What others had refunded and has failed goes out besides; a right is no favour."""
    if any(said.by_right for said in world.said):
        return
    alone = _carried_out_alone(world)
    out = sum(effect.amount for effect in _given(world) if effect.cancellation in alone)
    out += sum(said.amount.amount for said in world.paid_by_hand if said.cancellation in {*alone, ""} and said.amount)
    if len(alone) == len(world.carried_out):
        out += _given_under_no_key(world)
    limit = _LIMITS.get(world.currency, 0)
    if alone and out - world.lapsed > limit:
        yield Invariant.ANSWERED, f"{out} went out without a second person, who has to see what is above {limit}"


def _carried_out_alone(world: World) -> set[str]:
    """The cancellations that nobody approved; an approval that names none may have been of any. Of an order under fraud
    review, whoever orders a refund has seen it, which is looked at more closely below."""
    suspect = OrderFlag.FRAUD_REVIEW in world.order.flags
    approvals = [
        said
        for said in world.said
        if said.accepted is not False
        and (
            said.verb is Verb.APPROVE or (suspect and said.verb is Verb.RETRY and said.step is StepName.REVERSE_PAYMENT)
        )
    ]
    if any(not said.cancellation for said in approvals):
        return set()
    return {found.cancellation_id for found in world.carried_out} - {said.cancellation for said in approvals}


def _given(world: World) -> list[AtGateway]:
    """Of an order under fraud review what was only reserved needs nobody: its parcel must not leave meanwhile."""
    suspect = OrderFlag.FRAUD_REVIEW in world.order.flags
    failed = {effect.object_id for effect in world.money if effect.kind == FAILED}
    return [
        effect
        for effect in world.money
        if effect.kind in ({REFUNDED} if suspect else {REFUNDED, RELEASED})
        and not effect.by_others
        and effect.object_id not in failed
    ]


def a_suspects_money_was_seen(world: World) -> Iterator[tuple[Invariant, str]]:
    """Of an order under fraud review nothing is refunded by a card unless somebody who has not asked for it has approved
    it, or has ordered that very refund."""
    cards = {tender.tender_id for tender in world.order.tenders if tender.kind is TenderKind.CARD}
    if OrderFlag.FRAUD_REVIEW not in world.order.flags:
        return
    asked_by = {said.request_id: said.by.id for said in world.said if said.verb is Verb.SUBMIT and said.by}
    requested = {found.cancellation_id: found.requests for found in world.cancellations}
    for effect in _given(world):
        by_card = effect.kind == REFUNDED and effect.tender_id in cards and not effect.on_account
        if not by_card or effect.cancellation not in requested:
            continue
        asked = {asked_by.get(request_id) for request_id in requested[effect.cancellation]}
        if not any(_is_yes(said, effect) and said.by and said.by.id not in asked for said in world.said):
            yield Invariant.ANSWERED, f"{effect.amount} was refunded to a suspect, and no second person has seen it"


def _is_yes(said: Said, effect: AtGateway) -> bool:
    ordered = said.verb is Verb.RETRY and said.step is StepName.REVERSE_PAYMENT and said.target == effect.tender_id
    taken = said.accepted is not False and said.cancellation in {"", effect.cancellation}
    return taken and (said.verb is Verb.APPROVE or ordered)


def _given_under_no_key(world: World) -> int:
    """At a marketplace, and by not being captured: nobody can say by which of several cancellations. A debit that was never
    taken was nothing to capture."""
    at_marketplace = sum(effect.amount for effect in _given(world) if effect.key is None)
    left = price_of(world, dict(world.cancelled)) - world.given_back - world.by_hand - world.by_others - world.waived
    never_taken = (t.amount.amount for t in world.order.tenders if t.tender_id in world.never_taken)
    not_captured = 0 if OrderFlag.FRAUD_REVIEW in world.order.flags else max(world.reserved - sum(never_taken), 0)
    return at_marketplace + min(not_captured, max(left, 0))


def joined_what_it_asked_for(world: World) -> Iterator[tuple[Invariant, str]]:
    """A request is carried out by the cancellation of another one only where that is for the same."""
    submitted = [said for said in world.said if said.verb is Verb.SUBMIT and said.accepted]
    opened = [_asked_for(world, said) for said in submitted if not said.joined]
    for said in submitted:
        if said.joined and _asked_for(world, said) not in opened:
            yield Invariant.ANSWERED, f"request {said.request_id} joined a cancellation of something else"


def has_its_own_cancellation(world: World) -> Iterator[tuple[Invariant, str]]:
    """A request that has opened a cancellation is answered by that one for ever, and takes part in no later one."""
    opened: list[str] = []
    for recorded in world.cancellations:
        for request_id in {*recorded.requests[1:]} & {*opened}:
            yield (
                Invariant.ANSWERED,
                f"request {request_id} has a cancellation of its own, and joined {recorded.cancellation_id}",
            )
        opened += recorded.requests[:1]


def what_was_kept_is_decided(world: World) -> Iterator[tuple[Invariant, str]]:
    """A request that is kept for the end of another cancellation is decided then: the register knows it, unless all that it
    asks for has left the order before."""
    if world.is_open or world.run is None or world.run.status == "running":
        return
    known = {request_id for recorded in world.cancellations for request_id in recorded.requests}
    gone = dict(world.cancelled)
    for said in world.said:
        kept = said.verb is Verb.SUBMIT and said.accepted and said.deferred and said.request_id not in known
        if kept and any(gone.get(line_id, 0) < units for line_id, units in _asked_for(world, said)[0]):
            yield Invariant.TERMINAL, f"request {said.request_id} was kept, and nobody has decided it"


def _asked_for(world: World, said: Said) -> tuple[frozenset[tuple[str, int]], bool]:
    if covers_all(world, said.scope):
        return frozenset((line.line_id, line.quantity) for line in world.order.lines), False
    return frozenset((part.line_id, part.quantity) for part in said.scope), said.shipping


def covers_all(world: World, scope: tuple[LineScope, ...]) -> bool:
    """Whether all that there was is asked for."""
    units = Counter({part.line_id: part.quantity for part in scope})
    return not scope or all(units[line.line_id] == line.quantity for line in world.order.lines)
