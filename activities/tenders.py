"""Tenders of every kind in the terms of a payment, whoever keeps their money: gateway, order book or marketplace."""

from domain.errors import ErrorCode, Refused
from domain.order import Tender, TenderKind
from domain.outcome import CarriedOut, Reversal
from domain.payment import Payment
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import Marketplace
from providers.order_book.port import CreditedTender, OrderBook


class Payments:
    """Reads only. `marketplace` None: the merchant sells on none."""

    def __init__(self, book: OrderBook, gateway: PaymentGateway, marketplace: Marketplace | None) -> None:
        self._book = book
        self._gateway = gateway
        self._marketplace = marketplace

    def sales(self, order_id: str) -> Marketplace:
        """The marketplace. Refused: PAYMENT_NOT_FOUND."""
        if self._marketplace is None:
            raise Refused(
                ErrorCode.PAYMENT_NOT_FOUND,
                f"A marketplace settles order {order_id}, and none is configured: set MARKETPLACE_BASE_URL and "
                "MARKETPLACE_API_KEY for the worker.",
            )
        return self._marketplace

    async def read(self, order_id: str, tender: Tender) -> Payment:
        """The live truth about one tender. Refused: PAYMENT_NOT_FOUND."""
        match tender.kind:
            case TenderKind.CARD:
                return await self._gateway.read_payment(tender.reference)
            case TenderKind.MARKETPLACE:
                return await self.sales(order_id).read_sale(tender.reference)
            case _:
                return await self._book.read_balance(order_id, tender.tender_id)

    async def read_again(self, order_id: str, tender: Tender, reversal: Reversal) -> Reversal:
        """What was given back to a tender, with its refunds as they are now. What went another way than the tender's own is
        not the provider's to tell."""
        own_way = tender.kind in {TenderKind.CARD, TenderKind.MARKETPLACE}
        if not own_way or all(reversal.is_store_credit(refund) for refund in reversal.refunds):
            return reversal
        payment = await self.read(order_id, tender)
        now = {refund.reference: refund for refund in payment.refunds}
        refunds = tuple(now.get(refund.reference, refund) for refund in reversal.refunds)
        return reversal.model_copy(
            update={
                "refunds": refunds,
                "disputed": payment.disputed,
                "detail": "; ".join(f"refund {refund.status.replace('_', ' ')}" for refund in refunds),
            }
        )


def failed_since(before: CarriedOut, now: CarriedOut) -> tuple[CreditedTender, ...]:
    """The refunds that counted when the cancellation was closed, and have failed since."""
    tenders = {planned.tender.tender_id: planned.tender for planned in before.plan.tenders}
    counted = {refund.reference for one in before.reversals for refund in one.refunds if not refund.status.dead}
    return tuple(
        CreditedTender(
            tender_id=reversal.tender_id,
            kind=tenders[reversal.tender_id].kind,
            amount=refund.amount,
            reference=refund.reference,
            settled=False,
            failed=True,
        )
        for reversal in now.reversals
        for refund in reversal.refunds
        if refund.status.dead and refund.reference in counted
    )
