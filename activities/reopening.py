"""Whether what an ended cancellation has achieved still holds; where it does not, it is opened again under its own id."""

from activities.tender_news import dispute_news, refund_news
from activities.tenders import Payments
from domain.case import Case
from domain.facts import Fact, ParcelReceived, RefundSeen, Reopened, Run, StopSeen
from domain.keys import EffectKey
from domain.order import Order
from domain.payment import Payment
from domain.reversal import Reversal
from domain.settlement import known_refunds, refunds_found_after_end, unclear_refunds
from domain.shipment import GoodsGroup, StopStatus
from domain.step import StepName
from domain.stopping import lost, moves_again
from providers.cancellations.port import Register
from providers.carrier.port import Labels
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice, NoticeKind


class Reopening:
    def __init__(self, register: Register, payments: Payments, labels: Labels) -> None:
        self._register = register
        self._payments = payments
        self._labels = labels

    async def reopen_from(self, ended: Case, order: Order, run: Run) -> bool:
        """Look at every parcel and every refund again; False: the outcome holds, and nothing is written. After a roll-back
        only a refund that has failed matters, because the order goes on and others may refund it."""
        carried_out = ended.ever_closed
        facts: list[Fact] = (
            [*await self._read_moving(ended, order), *await self._read_expected(ended)] if carried_out else []
        )
        has_arrived = any(isinstance(fact, ParcelReceived) for fact in facts)
        is_lost = any(isinstance(fact, StopSeen) and fact.stop.status is StopStatus.LOST for fact in facts)
        failed: list[CreditedTender] = []
        refunds_of_others: list[str] = []
        unclear: list[RefundSeen] = []
        for reversal in ended.reversals:
            if reversal.planned.tender.kind.is_stored_value or not (carried_out or reversal.refunds):
                continue
            payment = await self._payments.read(order.order_id, reversal.planned.tender)
            key = EffectKey(ended.cancellation_id, StepName.REVERSE_PAYMENT, reversal.tender_id)
            other_reversals = await self._payments.read_other_reversals(
                order.order_id, ended.cancellation_id, reversal.planned.tender
            )
            found = (
                refunds_found_after_end(reversal, payment, key, other_reversals)
                if carried_out
                else known_refunds(reversal, payment, key)
            )
            facts += [*refund_news(reversal, found), *dispute_news(reversal, payment)]
            failed += _failed_since_end(reversal, payment)
            counted = {refund.reference for refund in (*reversal.refunds, *found)}
            refunds_of_others += [refund.reference for refund in payment.refunds if refund.reference not in counted]
            if carried_out and reversal.with_refunds(payment, found).outstanding:
                not_counted = unclear_refunds(reversal, payment, found, other_reversals)
                unclear += [RefundSeen(target=reversal.tender_id, refund=refund) for refund in not_counted]
        now = ended.with_facts(facts)
        moving = any(stop.status is StopStatus.MOVING for stop in now.stops if stop not in ended.stops)
        owed = carried_out and any(reversal.outstanding for reversal in now.reversals)
        overpaid = carried_out and any(reversal.overpaid for reversal in now.reversals)
        if not (moving or has_arrived or is_lost or failed or owed or overpaid):
            return False
        why = _why(failed=bool(failed), has_arrived=has_arrived, is_lost=is_lost, moving=moving)
        return await self._register.reopen(
            ended.cancellation_id,
            [Reopened(why=why, others=tuple(refunds_of_others), unclear=tuple(unclear)), *facts],
            failed,
            _failure_notices(now, may_choose=not unclear) if failed and owed else [],
            seen=ended.last_seq,
            run=run,
        )

    async def _read_expected(self, ended: Case) -> list[ParcelReceived | StopSeen]:
        """What became of parcels that were expected back: they have arrived, or are lost."""
        plan, found = ended.plan, list[ParcelReceived | StopSeen]()
        for planned in plan.shipments if plan else ():
            shipment = planned.shipment
            stop = ended.stop_of(shipment.shipment_id)
            if stop and shipment.label_reference and shipment.shipment_id in ended.expected_back:
                tracking = await self._labels.track(shipment.label_reference)
                if tracking.group is GoodsGroup.RETURNED:
                    found.append(ParcelReceived(shipment_id=shipment.shipment_id))
                elif tracking.group is GoodsGroup.LOST:
                    found.append(StopSeen(stop=lost(stop)))
        return found

    async def _read_moving(self, ended: Case, order: Order) -> list[StopSeen]:
        """Parcels that counted as stopped, and are on their way to the customer all the same."""
        planned = [planned.shipment for planned in ended.plan.shipments] if ended.plan else []
        # The OMS may have let the parcel go, or its label; that may be used all the same.
        labels = {s.shipment_id: s.label_reference for s in (*planned, *order.shipments) if s.label_reference}
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
    return [NewNotice(kind=NoticeKind.REFUND_FAILED, methods=case.terms.fallbacks if may_choose else ())]


def _failed_since_end(reversal: Reversal, payment: Payment) -> list[CreditedTender]:
    """Refunds that counted when the cancellation ended, and have failed since."""
    failed = {refund.reference: refund.status for refund in payment.refunds if refund.status.has_failed}
    return [
        CreditedTender.of_refund(reversal, refund.model_copy(update={"status": failed[refund.reference]}))
        for refund in reversal.live_refunds
        if refund.reference in failed
    ]


def _why(*, failed: bool, has_arrived: bool, is_lost: bool, moving: bool) -> str:
    if failed:
        return "A refund has failed."
    if has_arrived:
        return "A parcel that was expected back has arrived: its lines leave the order now."
    if is_lost:
        return "A parcel that was expected back is lost."
    if moving:
        return "A parcel that had been stopped is on its way to the customer."
    return "What the customer has got is not what was planned."
