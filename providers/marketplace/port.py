"""The marketplace port: orders that were sold on a marketplace, which took the buyer's money and refunds it itself.

Only the seller's share (price less the marketplace's commission) is money of ours, so a sale is read as a payment of that
share.
"""

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from domain.base import Value
from domain.payment import Payment, Refund
from domain.request import ReasonCode


class SaleLine(Value):
    """Units of one order line that are to be cancelled at the marketplace. `line_id` is the line's id at the marketplace,
    which the OMS uses as its own. `cancelled_before` is how many units of the line were cancelled before this cancellation:
    afterwards `cancelled_before + quantity` units are cancelled there, never more, however often the call is made."""

    line_id: str
    quantity: Annotated[int, Field(ge=1)]
    cancelled_before: Annotated[int, Field(ge=0)] = 0


class Marketplace(Protocol):
    """Both methods raise `Unavailable` (nothing happened, ask again), `OutcomeUnknown` (an effect may have happened) or
    `Refused`. `reference` is the order's id at the marketplace. Amounts are in the sale's currency."""

    async def read_sale(self, reference: str, *, fresh: bool = True) -> Payment:
        """The live truth; not `fresh`: what was read a moment ago will do, where the marketplace limits how often.

        `captured` is the seller's share of the whole sale, `refunded` the seller's share of what is cancelled, `capturable`
        nothing. Each cancelation is a refund: `reference` is its id there, `amount` the seller's share, `status` PENDING
        until the marketplace has nothing left to pay back to the buyer and SUCCEEDED then, `key` None. Refused:
        PAYMENT_NOT_FOUND."""
        ...

    async def cancel(
        self, reference: str, lines: Sequence[SaleLine], reason: ReasonCode, *, key: str
    ) -> tuple[Refund, ...]:
        """Cancel units at the marketplace. Looks first: what is cancelled there already, by an earlier attempt whose answer
        was lost, by the marketplace or by the buyer, is not cancelled again. Returns the cancelations that cover the units
        asked for, whoever made them. Refused: REFUND_REFUSED when the marketplace will not cancel (shipped, unknown line,
        more units than were sold), PAYMENT_NOT_FOUND."""
        ...
