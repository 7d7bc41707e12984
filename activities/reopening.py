"""Whether what an ended cancellation has achieved still holds; where it does not, it is opened again under its own id."""

from dataclasses import dataclass, field

from activities.customer_notices import failure_notice
from activities.tender_news import capture_news, dispute_news, refund_news
from activities.tenders import Payments
from domain.case import Case
from domain.closing import news_of_expected
from domain.departures import is_of_others
from domain.facts import Fact, ParcelReceived, RefundSeen, Reopened, Run, StopSeen
from domain.keys import EffectKey
from domain.order import Order
from domain.payment import Payment
from domain.reversal import Reversal
from domain.settlement import known_refunds, refunds_found_after_end, unclear_refunds
from domain.shipment import StopStatus
from domain.step import StepName
from domain.stopping import moves_again
from providers.cancellations.port import Register
from providers.carrier.port import Labels
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice


@dataclass
class _Found:
    """What a look at an ended cancellation has found. `failed`: refunds that counted at the end, and have failed since.
    `of_others`: refunds at the provider that count for nothing here. `unclear`: those of them that may make up for what is
    missing now."""

    facts: list[Fact]
    failed: list[CreditedTender] = field(default_factory=list)
    of_others: list[str] = field(default_factory=list)
    unclear: list[RefundSeen] = field(default_factory=list)


class Reopening:
    def __init__(self, register: Register, payments: Payments, labels: Labels) -> None:
        self._register = register
        self._payments = payments
        self._labels = labels

    # Rule: An ended cancellation is opened again when its outcome no longer holds
    async def reopen_from(self, ended: Case, order: Order, run: Run) -> bool:
        """Look at every parcel and every refund again; while the outcome holds nothing is written. After a roll-back
        only a refund that has failed matters, and a dispute that had to do with what was collected, because the order goes
        on and others may refund it. False: the books knew more by then than `ended`, and nothing was written."""
        found = _Found([])
        if ended.ever_closed:
            found.facts += [*await self._read_moving(ended, order), *await self._read_expected(ended)]
        for reversal in ended.reversals:
            may_change = ended.ever_closed or reversal.refunds or reversal.collected
            if may_change and not reversal.planned.tender.kind.is_stored_value:
                await self._read_refunds(ended, order, reversal, found)
        now = ended.with_facts(found.facts)
        why = _why(ended, now, found)
        if why is None:
            return True
        owed = ended.ever_closed and any(reversal.outstanding for reversal in now.reversals)
        return await self._register.reopen(
            ended.cancellation_id,
            [Reopened(why=why, others=tuple(found.of_others), unclear=tuple(found.unclear)), *found.facts],
            found.failed,
            _failure_notices(now, may_choose=not found.unclear) if found.failed and owed else [],
            seen=ended.last_seq,
            run=run,
        )

    async def _read_refunds(self, ended: Case, order: Order, reversal: Reversal, found: _Found) -> None:
        tender = reversal.planned.tender
        payment = await self._payments.read(order.order_id, tender)
        key = EffectKey(ended.cancellation_id, StepName.REVERSE_PAYMENT, reversal.tender_id)
        other_reversals = await self._payments.read_other_reversals(order.order_id, ended.cancellation_id, tender)
        captured = capture_news(reversal, payment, ended=True) if ended.ever_closed else []
        reversal = ended.with_facts(captured).reversal(reversal.tender_id)
        counted = (
            refunds_found_after_end(reversal, payment, key, other_reversals)
            if ended.ever_closed
            else known_refunds(reversal, payment, key)
        )
        found.facts += [*captured, *refund_news(reversal, counted), *dispute_news(reversal, payment, other_reversals)]
        found.failed += _failed_since_end(reversal, payment, counts_on_others=ended.ever_closed)
        known = {refund.reference for refund in (*reversal.refunds, *counted)}
        found.of_others += [refund.reference for refund in payment.refunds if refund.reference not in known]
        if ended.ever_closed and reversal.with_refunds(payment, counted).outstanding:
            unclear = unclear_refunds(reversal, payment, counted, other_reversals)
            found.unclear += [RefundSeen(target=reversal.tender_id, refund=refund) for refund in unclear]

    async def _read_expected(self, ended: Case) -> list[ParcelReceived | StopSeen]:
        """What became of parcels that were expected back: they have arrived, or are lost."""
        plan, found = ended.plan, list[ParcelReceived | StopSeen]()
        for planned in plan.shipments if plan else ():
            shipment = planned.shipment
            stop = ended.stop_of(shipment.shipment_id)
            if stop and shipment.label_reference and shipment.shipment_id in ended.expected_back:
                tracking = await self._labels.track(shipment.label_reference)
                if news := news_of_expected(ended, stop, tracking):
                    found.append(news)
        return found

    async def _read_moving(self, ended: Case, order: Order) -> list[StopSeen]:
        """Parcels that counted as stopped, and are on their way to the customer all the same."""
        planned = [planned.shipment for planned in ended.plan.shipments] if ended.plan else []
        # The OMS may have let the parcel go, or its label; that may be used all the same.
        shown = (shipment for shipment in order.shipments if not is_of_others(ended, shipment, order))
        labelled = (shipment for shipment in (*planned, *shown) if shipment.label_reference)
        labels = {shipment.shipment_id: shipment.label_reference for shipment in labelled}
        found = []
        for stop in ended.stops:
            label = labels.get(stop.shipment_id)
            if label and moves_again(stop, await self._labels.track(label)):
                found.append(StopSeen(stop=stop.model_copy(update={"status": StopStatus.MOVING})))
        return found


def _failure_notices(case: Case, *, may_choose: bool) -> list[NewNotice]:
    """No other way is offered where others may have paid the customer. The customer is not written to where the bank may pay
    them, or where their card did not cause the failure."""
    owed = [reversal for reversal in case.reversals if reversal.outstanding and not reversal.disputed]
    if not any(refund.failed_at_customer for reversal in owed for refund in reversal.refunds):
        return []
    return [failure_notice(case, may_choose=may_choose)]


def _failed_since_end(reversal: Reversal, payment: Payment, *, counts_on_others: bool) -> list[CreditedTender]:
    """Refunds that counted when the cancellation ended, and have failed since. `counts_on_others`: also those of before the
    plan, where it gives back less because of them."""
    failed = {refund.reference: refund.status for refund in payment.refunds if refund.status.has_failed}
    known = {refund.reference for refund in reversal.refunds}
    lapsed = [r for r in payment.refunds if reversal.has_lapsed(r) and r.reference not in known]
    return [
        CreditedTender.of_refund(reversal, refund.model_copy(update={"status": failed[refund.reference]}))
        for refund in (*reversal.live_refunds, *(lapsed if counts_on_others else ()))
        if refund.reference in failed
    ]


def _why(ended: Case, now: Case, found: _Found) -> str | None:
    """Why the outcome does not hold; None: it does. `now` is the case with what was found."""
    if found.failed:
        return "A refund has failed."
    if any(isinstance(fact, ParcelReceived) for fact in found.facts):
        return "A parcel that was expected back has arrived: its lines leave the order now."
    if any(isinstance(fact, StopSeen) and fact.stop.status is StopStatus.LOST for fact in found.facts):
        return "A parcel that was expected back is lost."
    if any(stop.status is StopStatus.MOVING for stop in now.stops if stop not in ended.stops):
        return "A parcel that had been stopped is on its way to the customer."
    if ended.ever_closed and any(reversal.outstanding or reversal.overpaid for reversal in now.reversals):
        return "What the customer has got is not what was planned."
    if ended.ever_closed and _named_and_lost(now) - _named_and_lost(ended):
        return "The bank has decided a dispute for the customer that was named as the proof."
    if _given_no_more(now) - _given_no_more(ended):
        return "The bank has decided a dispute that counted as given for the merchant."
    return None


# Rule: A dispute that is named as the proof counts until it is won [and for no more than the bank gives back by it]
# Rule: A dispute that is named as the proof counts until it is won [lost, it is looked at for each that named it]
def _named_and_lost(case: Case) -> set[str]:
    """The lost disputes that were named as the proof. That they are lost is kept also where the bank gave back enough: what
    is left is for the order's other cancellations that were settled with the same dispute, and these are looked at then."""
    return {lost.reference for reversal in case.reversals for lost in reversal.named_disputes}


# Rule: A lost dispute that is won on appeal is looked at for each cancellation that counted it
def _given_no_more(case: Case) -> set[str]:
    """The disputes that counted as given, and do not any more. That is kept also where nothing is owed because of it: the
    event is for the order's other cancellations as well, and these are looked at then."""
    return {number for reversal in case.reversals for number in (*reversal.lapsed_charge_backs, *reversal.won)}
