"""Activities on a tender: reverse it, look at its refund, restore it."""

from temporalio import activity

from activities.signatures import CheckRefund, GiveStoreCredit, RestorePayment, ReversePayment, StepInput
from domain.errors import ErrorCode, Refused, Unavailable
from domain.money import Money
from domain.order import TenderKind
from domain.outcome import Reversal
from domain.payment import DisputeState, Payment, Refund, RefundStatus
from providers.gateway.port import PaymentGateway
from providers.order_book.port import NewNotice, NoticeKind, OrderBook


class PaymentActivities:
    def __init__(self, book: OrderBook, gateway: PaymentGateway) -> None:
        self._book = book
        self._gateway = gateway

    @activity.defn
    async def reverse_payment(self, step: ReversePayment) -> Reversal:
        """Void what is reserved and refund what was captured, by what the provider says now, never more than planned.

        Looks up before it acts: the refund of this key may exist although no answer came. Refused: PAYMENT_DISPUTED,
        REFUND_REFUSED, PAYMENT_NOT_FOUND.
        """
        tender = step.planned.tender
        if tender.kind is not TenderKind.CARD:
            return await self._put_back(step)
        payment, released = await self._release(step)
        due = step.planned.refund + step.planned.release - released
        refund = payment.made_under(step.key)
        if refund is None and due:
            amount = min(due, payment.refundable)
            if not amount:
                return Reversal(tender_id=tender.tender_id, released=released, detail="given back earlier by others")
            if payment.dispute in {DisputeState.OPEN, DisputeState.LOST}:
                raise Refused(
                    ErrorCode.PAYMENT_DISPUTED,
                    f"The payment of tender {tender.tender_id} of order {step.order_id} is disputed at the bank; refunding "
                    "now could pay twice. Answer the dispute, then resolve the step with the dispute's number.",
                )
            refund = await self._refund(step, amount)
        detail = f"released {released}" if released else ""
        if refund is None:
            return Reversal(tender_id=tender.tender_id, released=released, detail=detail)
        if refund.status.dead:
            await self._tell_failed(step)
        detail = f"{detail}; refund {refund.status.replace('_', ' ')}".removeprefix("; ")
        return Reversal(tender_id=tender.tender_id, released=released, refunds=(refund,), detail=detail)

    async def _release(self, step: ReversePayment) -> tuple[Payment, Money]:
        """Release the reservation where the plan wants all of it gone; returns the payment after it and what was released.

        A part of a reservation is not released at the gateway: the rest of it is simply captured later.
        """
        planned = step.planned
        payment = await self._gateway.read_payment(planned.tender.reference)
        if not planned.release:
            return payment, planned.release
        if planned.release < planned.capturable:
            return payment, min(planned.release, payment.capturable)
        if payment.capturable:
            payment = await self._gateway.void(planned.tender.reference, key=f"{step.key}.void")
        if payment.capturable:
            raise Unavailable(
                f"Tender {planned.tender.tender_id} still reserves {payment.capturable}; voiding it again."
            )
        # Released by us, by someone else, or by expiry: reserved no more. What was captured meanwhile is refunded instead.
        captured_since = payment.captured - (planned.refundable + (payment.refunded - _ours(payment, step)))
        taken = min(planned.release, max(captured_since, Money.zero(payment.captured.currency)))
        return payment, planned.release - taken

    async def _refund(self, step: ReversePayment, amount: Money) -> Refund:
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
            raise

    async def _tell_failed(self, step: StepInput) -> None:
        """The customer may have the money another way, and is told once, however many refunds fail."""
        failed = NewNotice(kind=NoticeKind.REFUND_FAILED)
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

    @activity.defn
    async def give_store_credit(self, step: GiveStoreCredit) -> Refund:
        """Put what the tender cannot take back on the customer's store credit. Refused: REFUND_EXCEEDS_CAPTURED."""
        return await self._book.restore_balance(step.order_id, step.target, step.amount, key=step.key)

    @activity.defn
    async def check_refund(self, step: CheckRefund) -> Reversal:
        """Read the refunds of one tender again."""
        if step.planned.tender.kind is not TenderKind.CARD:
            return step.reversal
        refunds = tuple([await self._gateway.read_refund(refund.reference) for refund in step.reversal.refunds])
        if any(refund.status.dead for refund in refunds):
            await self._tell_failed(step)
        detail = "; ".join(f"refund {refund.status.replace('_', ' ')}" for refund in refunds)
        return step.reversal.model_copy(update={"refunds": refunds, "detail": detail})

    @activity.defn
    async def restore_payment(self, step: RestorePayment) -> None:
        """Compensation of reverse_payment, whether that had its effect or not: cancel refunds that can still be cancelled
        and reserve again what was released. Refused: REFUND_NOT_CANCELLABLE, NO_MANDATE; a person goes on then."""
        tender = step.planned.tender
        for n, key in enumerate(step.undoes, start=1):
            await self._book.take_back_balance(step.order_id, tender.tender_id, key=f"{step.key}.{n}", undoes=key)
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


def _ours(payment: Payment, step: ReversePayment) -> Money:
    """What this step itself has refunded already, when it is tried again."""
    mine = payment.made_under(step.key)
    return mine.amount if mine else Money.zero(payment.captured.currency)
