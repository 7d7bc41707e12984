"""Others who do something to an order's money besides its cancellation: the shop, its staff in the gateway's dashboard, and
the customer's bank."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

import httpx2
import stripe
from temporalio.service import RPCError

from client.errors import StarterError
from domain.money import Money
from domain.order import TenderKind
from sandbox.gateway.messages import EffectKind
from tests.faults.plan import Act, ActKind, PlannedOrder
from tests.faults.world import read_cases
from tests.system import System


async def is_possible(call: Awaitable[object]) -> bool:
    """Whether it was: the run may be over, the payment in another state."""
    try:
        await call
    except (RPCError, StarterError, stripe.StripeError, httpx2.HTTPStatusError):
        return False
    return True


@dataclass
class Others:
    system: System
    planned: PlannedOrder
    unheard: list[str] = field(default_factory=list)
    """Refunds that have failed, and payments that the bank gave back, whose events have met no ended cancellation yet."""
    is_disputed: bool = False

    @property
    def payments(self) -> list[str]:
        return self.system.shop.payments.get(self.planned.order_id, [])

    async def do(self, act: Act) -> bool:
        """Whether it was possible."""
        gateway = self.system.shop.gateway
        match act.kind:
            case ActKind.REFUNDED_BY_OTHERS:
                assert act.amount is not None
                return await is_possible(gateway.refund_elsewhere(self.payments[0], act.amount))
            case ActKind.CAPTURED_BY_OTHERS:
                left = await self._left_to_capture()
                return bool(left) and await is_possible(gateway.capture(self.payments[0], left, final=True))
            case ActKind.REFUND_FAILS_LATE:
                return await self._fail_late()
            case ActKind.DISPUTE:
                opened = await is_possible(gateway.dispute(self.payments[0]))
                self.is_disputed |= opened
                return opened
            case ActKind.DISPUTE_WON | ActKind.DISPUTE_LOST:
                return await self._decide(won=act.kind is ActKind.DISPUTE_WON)
        raise AssertionError(f"{act.kind} is nothing that others do")

    async def _decide(self, *, won: bool) -> bool:
        if not self.is_disputed:
            return False  # the bank decides what it has opened
        decided = await is_possible(self.system.shop.gateway.dispute(self.payments[0], "won" if won else "lost"))
        if decided and not won:
            self.unheard.append(self.payments[0])
        await self._wake()
        return decided

    async def _wake(self) -> None:
        await is_possible(self.system.wake(self.system.current(self.planned.order_id)))

    async def _left_to_capture(self) -> Money:
        """What is reserved on the card, less what a cancellation that has ended gave up of it: a shop captures what its
        order still costs."""
        tender = next(sold for sold in self.planned.sample.tenders if sold.kind is TenderKind.CARD)
        left = tender.amount - (tender.amount if tender.captured is None else tender.captured)
        given_up = [
            reversal.released
            for case in await read_cases(self.system, self.planned.order_id)
            if case.ended
            for reversal in case.reversals
            if reversal.planned.tender.kind is TenderKind.CARD
        ]
        return max(left - Money.total(given_up, left.currency), Money.zero(left.currency))

    async def _fail_late(self) -> bool:
        gateway = self.system.shop.gateway
        for payment in self.payments:
            effects = await gateway.effects(payment)
            lost = {effect.object_id for effect in effects if effect.kind is EffectKind.REFUND_FAILED}
            for effect in effects:
                settled = effect.kind is EffectKind.REFUND_SETTLED and effect.object_id not in lost
                if settled and await is_possible(gateway.fail(effect.object_id)):
                    self.unheard.append(effect.object_id)
                    await self._wake()
                    return True
        return False
