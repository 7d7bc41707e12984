"""Tenders of every kind in the terms of a payment, whoever keeps their money: gateway, stored value or marketplace."""

from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, Refused
from domain.order import Tender, TenderKind
from domain.payment import Payment
from providers.cancellations.port import Register
from providers.gateway.port import PaymentGateway
from providers.marketplace.port import Marketplace
from providers.stored_value.port import StoredValue


# Rule: A tender of any kind is read as a payment
class Payments:
    """Reads only. `marketplace` None: the merchant sells on none."""

    def __init__(
        self, register: Register, stored_value: StoredValue, gateway: PaymentGateway, marketplace: Marketplace | None
    ) -> None:
        self._register = register
        self._stored_value = stored_value
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
                return await self._stored_value.read(order_id, tender)

    async def read_other_reversals(
        self, order_id: str, cancellation_id: str, tender: Tender
    ) -> tuple[EarlierReversal, ...]:
        """What the order's other cancellations did to the payment of this tender, by the books of now. It stays as it is
        while this one is under way: an order has one at a time."""
        known = await self._register.of_order(order_id)
        return known.earlier_reversals(tender, but=cancellation_id)
