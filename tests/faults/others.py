"""Others who do something to an order's money besides its cancellation: the shop, its staff in the gateway's dashboard, and
the customer's bank."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

import httpx2
import stripe
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from client.errors import StarterError
from domain.money import Money
from domain.order import TenderKind
from providers.inbox.port import EventStatus
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway_admin import TestCard
from tests import loss
from tests.faults.events import GatewayNews, receive_news
from tests.faults.plan import Act, ActKind, PlannedOrder
from tests.faults.world import Watched, read_cases
from tests.system import System

_SLOW = 3.0
"""Seconds. The first look of a verification is given up after two."""


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
    hits: list[str]
    """What reached something."""
    disputed: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    """The payments whose dispute is decided."""
    lost: dict[str, list[str]] = field(default_factory=dict)
    """By payment, the disputes by which the bank has given it back."""
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
                return payment not in self.disputed and await self._dispute(payment, act.amount)
            case ActKind.DISPUTE_WON | ActKind.DISPUTE_LOST:
                return await self._decide(payment, won=act.kind is ActKind.DISPUTE_WON)
            case ActKind.DISPUTE_WON_ON_APPEAL:
                return await self._appeal(payment)
            case ActKind.GATEWAY_SLOW:
                look, slow = "payment_intent.retrieve", FaultKind.SLOW
                return await is_possible(gateway.add_fault(look, slow, payment=payment, seconds=_SLOW))
        raise AssertionError(f"{act.kind} is nothing that others do")

    async def _dispute(self, payment: str, amount: Money | None) -> bool:
        opened = await is_possible(self.system.shop.gateway.dispute(payment, amount=amount))
        self.disputed |= {payment} if opened else set()
        return opened

    async def _decide(self, payment: str, *, won: bool) -> bool:
        if payment not in self.disputed or payment in self.closed:
            return False  # the bank decides what it has opened, once
        gateway = self.system.shop.gateway
        if not await is_possible(gateway.dispute(payment, "won" if won else "lost")):
            return False
        numbers = [effect.object_id for effect in await gateway.effects(payment, EffectKind.DISPUTE_CREATED)]
        self.closed.add(payment)
        if not won:
            self.lost[payment] = numbers
        for news in (GatewayNews(payment, won=number) for number in numbers) if won else (GatewayNews(payment),):
            await self._send(news)
        return True

    async def _appeal(self, payment: str) -> bool:
        numbers = self.lost.pop(payment, [])
        if not numbers or not await is_possible(self.system.shop.gateway.dispute(payment, "won")):
            return False
        for number in numbers:
            await self._send(GatewayNews(payment, won=number))
        return True

    async def _end_debit(self, payment: str, end: Awaitable[None]) -> bool:
        if not await is_possible(end):
            return False
        self.decided.add(payment)
        await self._send(GatewayNews(payment, taken=True))
        return True

    async def _send(self, news: GatewayNews) -> None:
        """As an event; or the run alone hears of it, where the order has no cancellation that waits for such."""
        order_id = self.planned.order_id
        run = self.system.current(order_id)
        ended = await self.system.find_reopened(order_id, news.subject, taken=news.taken, won=news.won is not None)
        if ended and await loss.status(self.system.client, run) is WorkflowExecutionStatus.RUNNING:
            self.hits.append("an event about an ended cancellation that meets another run")
        if await receive_news(self.system, news) is EventStatus.UNMATCHED:
            await is_possible(self.system.wake(run))

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
        await self._send(GatewayNews(payment, taken=True))
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
                    await self._send(GatewayNews(payment, refund=effect.object_id))
                    return True
        return False
