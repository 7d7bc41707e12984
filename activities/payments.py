"""Activities on a tender: reverse it, look at its refund, restore it."""

from collections import Counter

from temporalio import activity

from activities.signatures import CheckRefund, GiveStoreCredit, RestorePayment, ReversePayment
from activities.tenders import Payments
from domain.errors import ErrorCode, Refused, Unavailable
from domain.money import Money
from domain.order import TenderKind
from domain.outcome import Refusal, Reversal
from domain.payment import Payment, Refund, RefundStatus
from domain.plan import PlannedTender
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import SaleLine
from providers.order_book.port import NewNotice, NoticeKind, OrderBook


class PaymentActivities:
    def __init__(self, book: OrderBook, gateway: PaymentGateway, payments: Payments) -> None:
        self._book = book
        self._gateway = gateway
        self._payments = payments

    @activity.defn
    async def reverse_payment(self, step: ReversePayment) -> Reversal:
        """Void what is reserved and refund what was captured, by what the provider says now, never more than planned.

        Looks up before it acts: the refund of this key may exist although no answer came. Refused: PAYMENT_DISPUTED,
        REFUND_REFUSED, PAYMENT_NOT_FOUND.
        """
        tender = step.planned.tender
        if tender.kind is TenderKind.MARKETPLACE:
            return await self._cancel_sale(step)
        if tender.kind is not TenderKind.CARD:
            return await self._put_back(step)
        payment, released = await self._release(step)
        if payment.capturing:
            raise Unavailable(
                f"The gateway is still taking {payment.capturing} of tender {tender.tender_id}; it is refunded once taken."
            )
        due = step.planned.refund + step.planned.release - released
        ours = _own_refunds(payment, step.key)
        due -= Money.total((refund.amount for refund in ours), due.currency)
        theirs = _made_by_others(payment, step.planned, due)
        due -= Money.total((refund.amount for refund in theirs), due.currency)
        refunds = (*theirs, *ours)
        amount = min(due, payment.refundable)
        mine = payment.made_under(step.key)
        if mine is None and amount.amount > 0:
            known = Refusal(
                reversal=Reversal(tender_id=tender.tender_id, released=released, refunds=refunds), owed=amount
            )
            if payment.disputed:
                raise Refused(
                    ErrorCode.PAYMENT_DISPUTED,
                    f"The payment of tender {tender.tender_id} of order {step.order_id} is disputed at the bank; refunding "
                    "now could pay twice. Answer the dispute, then resolve the step with the dispute's number.",
                    known,
                )
            mine = await self._refund(step, amount, known)
            refunds = (*refunds, mine)
        elif mine is not None and mine.status.dead and amount.amount > 0:
            refunds = (*refunds, mine)
        if any(refund.status.dead for refund in refunds):
            await self._tell_failed(step)
        says = [f"released {released}"] if released else []
        says += [f"refund {refund.status.replace('_', ' ')}" for refund in refunds]
        if due and not refunds:
            says.append("given back earlier by others")
        return Reversal(tender_id=tender.tender_id, released=released, refunds=refunds, detail="; ".join(says))

    async def _release(self, step: ReversePayment) -> tuple[Payment, Money]:
        """Release the reservation where the plan wants all of it gone; returns the payment after it and what was released.

        A part of a reservation is not released at the gateway: the rest of it is simply captured later.
        """
        planned = step.planned
        payment = await self._gateway.read_payment(planned.tender.reference)
        if not planned.release:
            return payment, planned.release
        if planned.release < planned.capturable:
            zero = Money.zero(planned.release.currency)
            left = max(payment.capturable - (planned.tender.released or zero), zero)
            return payment, min(planned.release, left)
        if payment.capturable:
            payment = await self._gateway.void(planned.tender.reference, key=f"{step.key}.void")
        if payment.capturable:
            raise Unavailable(
                f"Tender {planned.tender.tender_id} still reserves {payment.capturable}; voiding it again."
            )
        # Released by us, by someone else, or by expiry: reserved no more. What was captured meanwhile is refunded instead.
        captured_since = payment.captured - (planned.counted + (payment.refunded - _since(payment, step)))
        taken = min(planned.release, max(captured_since, Money.zero(payment.captured.currency)))
        return payment, planned.release - taken

    async def _refund(self, step: ReversePayment, amount: Money, known: Refusal) -> Refund:
        try:
            return await self._gateway.refund(step.planned.tender.reference, amount, key=step.key)
        except Refused as refused:
            if refused.code is ErrorCode.REFUND_REFUSED:
                await self._tell_failed(step)
            if refused.code in {ErrorCode.ALREADY_REFUNDED, ErrorCode.REFUND_EXCEEDS_CAPTURED}:
                # Somebody refunded between our look and our call: look again, with the new count.
                raise Unavailable(
                    f"The payment of tender {step.planned.tender.tender_id} changed meanwhile; it is read again."
                ) from None
            raise Refused(refused.code, refused.message, known) from None

    async def _tell_failed(self, step: ReversePayment | CheckRefund) -> None:
        """The customer may have the money another way, and is told once, however many refunds fail."""
        failed = NewNotice(kind=NoticeKind.REFUND_FAILED, methods=step.fallbacks)
        await self._book.tell(step.cancellation_id, step.order_id, [failed])

    async def _put_back(self, step: ReversePayment) -> Reversal:
        tender = step.planned.tender
        zero = Money.zero(step.planned.refund.currency)
        balance = await self._book.read_balance(step.order_id, tender.tender_id)
        refund = balance.made_under(step.key)
        amount = min(step.planned.refund, balance.refundable)
        if refund is None and amount:
            refund = await self._book.restore_balance(step.order_id, tender.tender_id, amount, key=step.key)
        if refund is None:
            return Reversal(tender_id=tender.tender_id, released=zero, detail="given back earlier by others")
        return Reversal(tender_id=tender.tender_id, released=zero, refunds=(refund,), detail="put back on its balance")

    async def _cancel_sale(self, step: ReversePayment) -> Reversal:
        """The marketplace took the money and gives it back: it is told, and what it does about our share is recorded."""
        tender = step.planned.tender
        units: Counter[str] = Counter()
        for line in step.lines:
            units[line.line_id] += line.quantity
        before = {line.line_id: line.cancelled_before for line in step.lines}
        refunds = await self._payments.sales(step.order_id).cancel(
            tender.reference,
            [
                SaleLine(line_id=line_id, quantity=quantity, cancelled_before=before[line_id])
                for line_id, quantity in units.items()
            ],
            step.reason,
            key=step.key,
        )
        return Reversal(
            tender_id=tender.tender_id,
            released=Money.zero(step.planned.refund.currency),
            refunds=refunds,
            detail="cancelled at the marketplace, which refunds the buyer",
        )

    @activity.defn
    async def give_store_credit(self, step: GiveStoreCredit) -> Refund:
        """Put what the tender cannot take back on the customer's store credit. Refused: REFUND_EXCEEDS_CAPTURED."""
        return await self._book.restore_balance(step.order_id, step.target, step.amount, key=step.key)

    @activity.defn
    async def check_refund(self, step: CheckRefund) -> Reversal:
        """Read the refunds of one tender again, and whether the bank disputes the payment meanwhile."""
        reversal = await self._payments.read_again(step.order_id, step.planned.tender, step.reversal)
        if reversal.dead:
            await self._tell_failed(step)
        return reversal

    @activity.defn
    async def restore_payment(self, step: RestorePayment) -> None:
        """Compensation of reverse_payment, whether that had its effect or not: cancel refunds that can still be cancelled
        and reserve again what was released. Refused: REFUND_NOT_CANCELLABLE, NO_MANDATE; a person goes on then."""
        tender = step.planned.tender
        for n, key in enumerate(step.undoes, start=1):
            await self._book.take_back_balance(step.order_id, tender.tender_id, key=f"{step.key}.{n}", undoes=key)
        if tender.kind is TenderKind.MARKETPLACE:
            sale = await self._payments.read(step.order_id, tender)
            if sale.refundable < step.planned.counted:
                raise Refused(
                    ErrorCode.REFUND_NOT_CANCELLABLE,
                    f"Order {step.order_id} is cancelled at the marketplace, which cannot take that back. Agree with the "
                    "buyer on a new order there and resolve the step with its number.",
                )
        if tender.kind is not TenderKind.CARD:
            return
        payment = await self._gateway.read_payment(tender.reference)
        for key in step.undoes:
            refund = payment.made_under(key)
            if refund is None or refund.status.dead:
                continue
            if refund.status is RefundStatus.SUCCEEDED:
                raise Refused(
                    ErrorCode.REFUND_NOT_CANCELLABLE,
                    f"{refund.amount} of tender {tender.tender_id} of order {step.order_id} went back to the customer; "
                    "collect it from the customer and resolve the step with the new payment's number.",
                )
            await self._gateway.cancel_refund(refund.reference, key=f"{step.key}.cancel")
        if step.planned.release and step.planned.release == step.planned.capturable and payment.released:
            await self._gateway.authorise_again(tender.reference, step.planned.release, key=f"{step.key}.authorise")


def _own_refunds(payment: Payment, key: str) -> tuple[Refund, ...]:
    """What this step has made already and did not fail: under this key, under an earlier one where only a part failed, or,
    where a lost run had come further, under a later one."""
    of_this_step = key.rpartition("/")[0]
    return tuple(
        refund
        for refund in payment.refunds
        if refund.key and refund.key.rpartition("/")[0] == of_this_step and not refund.status.dead
    )


def _made_by_others(payment: Payment, planned: PlannedTender, due: Money) -> tuple[Refund, ...]:
    """Refunds that somebody made at the gateway since the plan was made: they give back what is planned here, and are
    credited under their own references. Those that came to more than is due are somebody else's business."""
    found: list[Refund] = []
    for refund in payment.refunds:
        since = planned.earlier is not None and refund.reference not in planned.earlier
        if since and refund.key is None and not refund.status.dead and refund.amount <= due:
            found.append(refund)
            due -= refund.amount
    return tuple(found)


def _since(payment: Payment, step: ReversePayment) -> Money:
    """What has been refunded since the plan was made, by this step and by others."""
    known = step.planned.earlier
    made = [
        refund.amount
        for refund in payment.refunds
        if not refund.status.dead and (refund.key == step.key if known is None else refund.reference not in known)
    ]
    return Money.total(made, payment.captured.currency)
