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
from sandbox.gateway_admin import TestCard
from tests.faults.events import GatewayNews, find_repeated
from tests.faults.plan import Act, ActKind, PlannedOrder
from tests.faults.world import Watched, read_cases
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
    watched: Watched
    unheard: list[GatewayNews] = field(default_factory=list)
    """Refunds that have failed, and payments that were taken or given back, whose events have met no ended cancellation
    yet."""
    disputed: set[str] = field(default_factory=set)
    decided: set[str] = field(default_factory=set)
    """The debits that are not processed any more."""

    @property
    def payments(self) -> list[str]:
        return self.system.shop.payments.get(self.planned.order_id, [])

    def is_processed(self, payment: str) -> bool:
        """Whether it is a debit of which the bank has not decided."""
        cards = (tender.card for tender in self.planned.sample.tenders if tender.kind is TenderKind.CARD)
        debits = {paid for paid, card in zip(self.payments, cards, strict=False) if card is TestCard.DEBIT}
        return payment in debits - self.decided

    async def perform_act(self, act: Act) -> bool:
        """Whether it was possible."""
        gateway, payment = self.system.shop.gateway, self.payments[act.payment]
        match act.kind:
            case ActKind.REFUNDED_BY_OTHERS:
                assert act.amount is not None
                return await self._refund(payment, act.amount)
            case ActKind.CAPTURED_BY_OTHERS:
                return await self._capture(act)
            case ActKind.DEBIT_TAKEN:
                return await self._end_debit(payment, gateway.capture_ends(payment))
            case ActKind.DEBIT_FAILS:
                return await self._end_debit(payment, gateway.debit_fails(payment))
            case ActKind.REFUND_FAILS_LATE:
                return await self._fail_late()
            case ActKind.DISPUTE:
                opened = await is_possible(gateway.dispute(payment))
                self.disputed |= {payment} if opened else set()
                return opened
            case ActKind.DISPUTE_WON | ActKind.DISPUTE_LOST:
                return await self._decide(payment, won=act.kind is ActKind.DISPUTE_WON)
        raise AssertionError(f"{act.kind} is nothing that others do")

    async def _decide(self, payment: str, *, won: bool) -> bool:
        if payment not in self.disputed:
            return False  # the bank decides what it has opened
        numbers = (await self.system.gateway.read_payment(payment)).open_disputes
        decided = await is_possible(self.system.shop.gateway.dispute(payment, "won" if won else "lost"))
        if decided:
            news = [GatewayNews(number, won=True) for number in numbers] if won else [GatewayNews(payment)]
            self.unheard += news
        await self._wake()
        return decided

    async def _end_debit(self, payment: str, end: Awaitable[None]) -> bool:
        if not await is_possible(end):
            return False
        self.decided.add(payment)
        self.unheard.append(GatewayNews(payment, taken=True))
        await self._wake()
        return True

    async def _wake(self) -> None:
        await is_possible(self.system.wake(self.system.current(self.planned.order_id)))

    async def take_news(self) -> list[GatewayNews]:
        """What the gateway says now, and what the product has kept to be heard of once more. Of what was taken one piece of
        news at a time: the next is about what is left then."""
        order_id = self.planned.order_id
        self.unheard += await find_repeated(self.system, order_id)
        heard = [news for news in self.unheard if not news.taken] or self.unheard[:1]
        self.unheard = [news for news in self.unheard if news not in heard]
        return heard

    async def _refund(self, payment: str, amount: Money) -> bool:
        """For this order, whatever else the payment pays."""
        made: list[str] = []

        async def refund() -> None:
            made.append(await self.system.shop.gateway.refund_elsewhere(payment, amount))

        possible = await is_possible(refund())
        self.watched.refunds_of_others |= {*made}
        return possible

    async def _capture(self, act: Act) -> bool:
        """All that is left, or a part."""
        payment = self.payments[act.payment]
        taken = act.amount or await self._left_to_capture(act.payment, beyond=act.beyond)
        [tender] = [paid for paid in self.watched.order.tenders if paid.reference == payment]
        is_shared = tender.tender_id in self.watched.captured_for
        is_final = act.amount is None and not is_shared
        if not taken or not await is_possible(self.system.shop.gateway.capture(payment, taken, final=is_final)):
            return False
        if is_shared:
            self.watched.captured_for[tender.tender_id] += taken.amount
        self.unheard.append(GatewayNews(payment, taken=True))
        await self._wake()
        return True

    async def _left_to_capture(self, number: int, *, beyond: bool) -> Money:
        """What is reserved on the card. A shop captures what its order still costs: less what a cancellation gave up of
        that, once it has ended, unless it goes `beyond`."""
        tender = [sold for sold in self.planned.sample.tenders if sold.kind is TenderKind.CARD][number]
        left = tender.amount - (tender.amount if tender.captured is None else tender.captured)
        given_up = [
            reversal.released
            for case in await read_cases(self.system, self.planned.order_id)
            if case.ended and not beyond
            for reversal in case.reversals
            if reversal.planned.tender.reference == self.payments[number]
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
                    self.unheard.append(GatewayNews(effect.object_id))
                    await self._wake()
                    return True
        return False
