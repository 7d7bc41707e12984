"""Tenders of every kind in the terms of a payment, whoever keeps their money: gateway, order book or marketplace."""

from collections.abc import Sequence

from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, Refused
from domain.facts import DisputeSeen, Fact, RefundSeen
from domain.order import Tender, TenderKind
from domain.payment import Payment, Refund
from domain.reversal import Reversal
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import Marketplace
from providers.order_book.port import OrderBook


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

    async def read(self, order_id: str, tender: Tender, *, fresh: bool = True) -> Payment:
        """The live truth about one tender; not `fresh`: what a marketplace that may not be read so often has said a moment
        ago will do. Refused: PAYMENT_NOT_FOUND."""
        match tender.kind:
            case TenderKind.CARD:
                return await self._gateway.read_payment(tender.reference)
            case TenderKind.MARKETPLACE:
                return await self.sales(order_id).read_sale(tender.reference, fresh=fresh)
            case _:
                return await self._book.read_balance(order_id, tender.tender_id)

    async def reversals_besides(
        self, order_id: str, cancellation_id: str, reference: str
    ) -> tuple[EarlierReversal, ...]:
        """What the order's other cancellations did to the payment of this reference, by the books of now. It stays as it is
        while this one is under way: an order has one at a time."""
        return await self._book.earlier_reversals(order_id, reference, but=cancellation_id)


def refund_news(reversal: Reversal, refunds: Sequence[Refund]) -> list[Fact]:
    """The refunds of a tender that are not known as they are now."""
    before = {refund.reference: refund for refund in reversal.refunds}
    return [
        RefundSeen(target=reversal.tender_id, refund=refund)
        for refund in refunds
        if refund.reference not in before or before[refund.reference].status is not refund.status
    ]


def dispute_news(reversal: Reversal, payment: Payment) -> list[Fact]:
    """Whether the bank disputes the payment, and what it has given back, where that is news."""
    if (payment.disputed, payment.charge_backs) == (reversal.disputed, reversal.charge_backs):
        return []
    return [DisputeSeen(target=reversal.tender_id, disputed=payment.disputed, charge_backs=payment.charge_backs)]
