"""One cancellation: all that is known of it, as a list of facts.

The books keep the facts, a run carries them, and everything else is derived: where the pivot is, what is outstanding, which
key comes next, what is still to be undone. Nothing is assigned. Which run may add to it is in domain/holder.py, and who may
say what in domain/permissions.py.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from domain import closed, effects
from domain.decision import Decision
from domain.elsewhere import tenders_of, with_moved
from domain.fact_list import FactList
from domain.facts import (
    Approved,
    Credited,
    CreditRevoked,
    Decided,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Ended,
    Entry,
    Fact,
    HolderSet,
    Joined,
    OrderClosed,
    ParcelFound,
    RefundElsewhereSeen,
    Reminded,
    Reopened,
    Requested,
    RollBackOrdered,
    Run,
    StepOrdered,
)
from domain.fallback import chosen_method, unanswered_failure
from domain.keys import EffectKey, id_of
from domain.money import Money
from domain.payment import Refund
from domain.pivot import pivot_of
from domain.plan import Plan, PlannedTender
from domain.request import CancellationRequest
from domain.reversal import Reversal
from domain.roll_back import RollBackCause, cause_of
from domain.shipment import Stop, StopStatus
from domain.step import UNDOING, StepName
from domain.stopping import is_watched
from domain.stops import given_up, stops_of
from domain.tender_facts import reversal_of
from domain.terms import RefundMethod, Terms, terms_for
from domain.unfrozen import with_parcel
from domain.units import units_by_line


# Rule: All that is known of a cancellation follows from its facts
class Case(FactList):
    """What the books wrote is added as they wrote it. `add_unrecorded` and `order_step` add what only this run knows (number
    0)."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        super().__init__()
        self._plan: Plan | None = None  # None: to be derived anew
        self.add(*entries)

    @classmethod
    def opened_by(cls, requested: Requested) -> "Case":
        """A cancellation of which nothing is known but its request."""
        return cls([Entry(seq=0, at=requested.at, fact=requested)])

    def _append(self, entry: Entry) -> None:
        self._plan = None
        super()._append(entry)

    def _restart(self, entries: Iterable[Entry]) -> None:
        self._plan = None
        super()._restart(entries)

    def add_unrecorded(self, fact: Requested | Decided | RollBackOrdered | Ended, at: datetime) -> None:
        """What the run knows of itself, and no book keeps."""
        self._append(Entry(seq=0, at=at, fact=fact))

    def with_facts(self, facts: Iterable[Fact]) -> "Case":
        """This case as it would be with these facts, unrecorded."""
        at = self._entries[-1].at
        return Case((*self._entries, *(Entry(seq=0, at=at, fact=fact) for fact in facts)))

    def order_step(self, step: StepName, target: str, at: datetime) -> None:
        """The run orders a step: from here on it may have had its effect. A further round says nothing new."""
        if not effects.is_ordered(self._entries, step, target):
            self._append(Entry(seq=0, at=at, fact=StepOrdered(step=step, target=target)))

    # Who asked, and what was decided

    @property
    def request(self) -> CancellationRequest | None:
        """The request that opened the cancellation."""
        opened = next(self._all(Requested), None)
        return opened.request if opened else None

    @property
    def requests(self) -> tuple[CancellationRequest, ...]:
        """Every request that opened or joined the cancellation."""
        opened = [fact.request for fact in self._all(Requested)]
        return (*opened, *(fact.request for fact in self._all(Joined)))

    def conflicts_with(self, request: CancellationRequest) -> bool:
        """Whether its id was used before, with other content."""
        return any(
            request.request_id == earlier.request_id and request.content != earlier.content for earlier in self.requests
        )

    def has(self, request: CancellationRequest) -> bool:
        """Whether the request opened or joined it, however it is signed."""
        return any(request.content == earlier.content for earlier in self.requests)

    @property
    def requested_at(self) -> datetime | None:
        opened = next(self._all(Requested), None)
        return opened.at if opened else None

    @property
    def cancellation_id(self) -> str:
        request = self.request
        return id_of(request) if request else ""

    @property
    def decided(self) -> Decided | None:
        return self._last(Decided)

    @property
    def decision(self) -> Decision | None:
        decided = self.decided
        return decided.decision if decided else None

    @property
    def decided_at(self) -> datetime | None:
        at = self._position(Decided)
        return self._entries[at].at if at >= 0 else None

    @property
    def customer_id(self) -> str | None:
        decided = self.decided
        return decided.customer_id if decided else None

    # Rule: A request that joins may ask for more
    @property
    def terms(self) -> Terms:
        """Those of the decision, as far as everybody's reason allows, whenever they asked."""
        decided = self.decided
        terms = decided.plan.terms if decided and decided.plan else Terms()
        for request in self.requests:
            terms = terms_for(terms, request.reason)
        return terms

    # Rule: A declined stop takes its lines out of the plan [for the rest of the process]
    @property
    def plan(self) -> Plan | None:
        """The plan without the lines of shipments that were not stopped, and with what others refunded for it elsewhere."""
        if self._plan is None and (plan := self._plan_with_every_parcel) is not None:
            plan = with_moved(plan.without(self.declined_shipments), self._entries)
            self._plan = plan.model_copy(update={"terms": self.terms})
        return self._plan

    @property
    def _plan_with_every_parcel(self) -> Plan | None:
        decided = self.decided
        plan = decided.plan if decided else None
        for found in self._all(ParcelFound) if plan else ():
            plan = with_parcel(plan, found.parcel, found.packed_before) if plan else None
        return plan

    def units_in(self, shipment_id: str) -> Mapping[str, int]:
        """By line, the units that were to be cancelled with this parcel, whether it was stopped or not."""
        plan = self._plan_with_every_parcel
        return units_by_line(line for line in (plan.lines if plan else ()) if line.shipment_id == shipment_id)

    @property
    def holder(self) -> Run | None:
        held = self._last(HolderSet)
        return held.run if held else None

    @property
    def approved(self) -> bool:
        return self._last(Approved) is not None

    def was_reminded(self, *, escalated: bool) -> bool:
        return any(reminded.escalated is escalated for reminded in self._all(Reminded))

    @property
    def roll_back_cause(self) -> RollBackCause | None:
        """The first order to undo everything since the cancellation was opened, or opened again after it was carried out.
        One that was rolled back and is opened again stays so: its money alone is put right."""
        since = self._position(Reopened) + 1 if self.ever_closed else 0
        return cause_of(self._entries[since:])

    # The pivot and the end

    @property
    def past_pivot(self) -> bool:
        """There is no going back: an effect on money, or the end on paper, is ordered or noted, or a person has paid."""
        return pivot_of(self._entries) is not None

    @property
    def order_closed(self) -> bool:
        """The order was closed, and since then nothing has changed that it has to be closed for once more."""
        return closed.is_closed(self._entries)

    @property
    def ever_closed(self) -> bool:
        """The order was closed once: nothing is rolled back any more."""
        return self.times_closed > 0

    @property
    def times_closed(self) -> int:
        return len(self._positions.get(OrderClosed, ()))

    @property
    def closed_by_hand(self) -> bool:
        """A person has taken the lines out of the order, or says that nothing is to be taken out, since it was closed
        last."""
        return closed.is_closed_by_hand(self._entries)

    @property
    def expected_back(self) -> tuple[str, ...]:
        """Parcels whose lines are still in the order, because they are on their way back."""
        return closed.expected_back(self._entries)

    @property
    def stays_frozen(self) -> bool:
        """The order is frozen until the cancellation ends, and nobody else can let it go on before."""
        decided = self.decided
        return decided is None or decided.frozen

    @property
    def reopened(self) -> bool:
        """It had ended once."""
        return self._position(Reopened) >= 0

    @property
    def ended(self) -> Ended | None:
        """How the cancellation ended, unless it was opened again since."""
        return self._last(Ended) if self._position(Ended) > self._position(Reopened) else None

    # Effects

    def key_of(self, step: StepName, target: str) -> EffectKey:
        """The idempotency key under which the step acts next for this target."""
        return effects.next_key(self._entries, EffectKey(self.cancellation_id, step, target))

    def keys_noted(self, *steps: StepName, target: str) -> tuple[EffectKey, ...]:
        """Every key under which these steps have acted for this target, oldest first, without further calls."""
        return tuple(key for key in self.all_keys_noted(*steps, target=target) if not key.part)

    def all_keys_noted(self, *steps: StepName, target: str) -> tuple[EffectKey, ...]:
        """Every key under which these steps have acted for this target, those of further calls included."""
        noted = (fact.key for fact in self._all(EffectNoted))
        return tuple(key for key in noted if key.step in steps and key.target == target)

    def is_noted(self, key: EffectKey) -> bool:
        """Whether the effect was about to be made, by whichever attempt."""
        return any(fact.key == key for fact in self._all(EffectNoted))

    def outcome_of(self, key: EffectKey) -> EffectEnded | None:
        """How the effect ended, by the last fact about it; None: it was noted at most."""
        return next((fact for fact in reversed([*self._all(EffectEnded)]) if fact.key == key), None)

    def is_outcome_known(self, key: EffectKey) -> bool:
        """What became of it is known. A lost answer is not: the provider may still be at work."""
        ended = self.outcome_of(key)
        return ended is not None and ended.outcome is not EffectOutcome.UNKNOWN

    def is_done(self, step: StepName, target: str) -> bool:
        """Whether the step has been carried out for this target, or a person has settled it."""
        return effects.is_done(self._entries, step, target)

    def unknown_effects(self, target: str) -> tuple[EffectKey, ...]:
        """Effects on the money of a tender that may have happened: noted, and their outcome is in no book."""
        return effects.unknown(self._entries, target)

    def last_change(self, step: StepName, target: str) -> datetime | None:
        """When the books last learnt something of a step's effect: its wait is due some time after it."""
        return effects.last_change(self._entries, step, target)

    def steps_to_undo(self) -> tuple[tuple[StepName, str], ...]:
        """Steps that have, or may have, had an effect, the last first: what was ordered or noted counts, whoever did it."""
        return effects.steps_to_undo(self._entries)

    # Rule: What is being undone is not done once more meanwhile
    def may_make(self, key: EffectKey) -> bool:
        """Whether an effect may still be made. Once the roll-back is ordered, and for a parcel that was let go on, nothing
        but its undoing: an attempt that was held up would do again what is being undone."""
        let_go = key.step is StepName.STOP_SHIPMENT and self.is_done(StepName.RESUME_SHIPMENT, key.target)
        return key.step in UNDOING or not (let_go or self.roll_back_cause)

    def never_stopped(self, step: StepName, target: str) -> bool:
        """A shipment that the carrier declined to stop goes on by itself."""
        declined = step is StepName.STOP_SHIPMENT and target in self.declined_shipments
        return declined and target not in self.given_up_stops

    # Goods

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Each shipment as it was last seen, or as a person has said."""
        return stops_of(self._entries, pivot_of(self._entries))

    @property
    def declined_shipments(self) -> frozenset[str]:
        """Those that were not stopped before the pivot: they go to the customer, and their lines are not cancelled."""
        return frozenset(stop.shipment_id for stop in self.stops if stop.status is StopStatus.DECLINED)

    @property
    def watched_parcels(self) -> tuple[str, ...]:
        """Shipments that count as stopped, and may reach the customer all the same."""
        return tuple(stop.shipment_id for stop in self.stops if is_watched(stop))

    @property
    def given_up_stops(self) -> tuple[str, ...]:
        """Shipments that a person lets go on to the customer, and whose stop, if it has begun, is still to be taken back."""
        declined = self.declined_shipments
        return tuple(
            shipment_id
            for shipment_id in given_up(self._entries)
            if shipment_id in declined and not self.is_done(StepName.RESUME_SHIPMENT, shipment_id)
        )

    def stop_of(self, shipment_id: str) -> Stop | None:
        return next((stop for stop in self.stops if stop.shipment_id == shipment_id), None)

    # Money

    def planned(self, tender_id: str) -> PlannedTender | None:
        """What the plan gives back to a tender. Refunds that others made before the cancellation was opened again are
        earlier ones: they do not make up for what has failed since."""
        plan = self.plan
        tenders = plan.tenders if plan else ()
        found = next((planned for planned in tenders if planned.tender.tender_id == tender_id), None)
        reopened = self._last(Reopened)
        if found is None or reopened is None or not reopened.others:
            return found
        return found.model_copy(update={"earlier": (*found.earlier, *reopened.others)})

    def reversal(self, tender_id: str) -> Reversal:
        """What has come back to one tender so far."""
        planned = self.planned(tender_id)
        assert planned is not None, f"the plan has no tender {tender_id}"
        return reversal_of(self._entries, planned)

    @property
    def tenders(self) -> tuple[PlannedTender, ...]:
        """The tenders that get something back, or whose money others had refunded before, or have elsewhere."""
        return tenders_of(self.plan, self._all(RefundElsewhereSeen)) if self.plan else ()

    @property
    def reversals(self) -> tuple[Reversal, ...]:
        """One for each of these tenders."""
        return tuple(self.reversal(planned.tender.tender_id) for planned in self.tenders)

    def awaits_settlement(self, tender_id: str) -> bool:
        """Money of the tender is on its way, or may be."""
        return bool(self.reversal(tender_id).pending or self.unknown_effects(tender_id))

    @property
    def is_settled(self) -> bool:
        """Nothing is on its way, owed, given twice or unknown any more."""
        return not any(
            reversal.outstanding or reversal.overpaid or self.awaits_settlement(reversal.tender_id)
            for reversal in self.reversals
        )

    def outstanding(self, tender_id: str) -> Money:
        """What the customer is still owed on a tender: planned, less all that has not failed, by every way."""
        return self.reversal(tender_id).outstanding

    def failed_refund(self, tender_id: str) -> Refund | None:
        """The last refund of a tender, when it failed and nobody has said since what to do about it."""
        return unanswered_failure(self._entries, tender_id)

    def chosen_method(self, tender_id: str) -> RefundMethod | None:
        """How the customer wants what is outstanding, unless staff has ordered another try since, or it is not offered any
        more: a suspect's money goes back the way that it came."""
        method = chosen_method(self._entries, tender_id)
        return method if method in self.terms.fallbacks else None

    # Paper

    @property
    def credited(self) -> Credited | None:
        return self._last(Credited)

    @property
    def credit_note(self) -> str | None:
        credited = self.credited
        return credited.number if credited else None

    @property
    def credit_revoked(self) -> bool:
        return self._last(CreditRevoked) is not None
