"""Others who move a payment's money, and time that passes, exactly at one call that the process makes to the gateway.

The process knows of the gateway what it is answered. So whatever happens between two of its calls is the same to it, and a
moment before each call, and one after the last, are all the moments that there are.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import stripe
from temporalio import activity

from domain.base import Value
from domain.money import Money
from domain.request import workflow_id
from providers.breaker import Breaker
from providers.gateway.stripe import StripeGateway, _Transport
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin
from tests.faults.others import is_possible
from tests.faults.stories import Story

Answer = tuple[bytes, int, Mapping[str, str]]


class Act(StrEnum):
    """What somebody does in the gateway's dashboard, or the customer's bank."""

    REFUND_A_PART = "refund_a_part"
    REFUND_ALL = "refund_all"
    CAPTURE = "capture"
    VOID = "void"
    DISPUTE = "dispute"
    DISPUTE_AND_WIN = "dispute_and_win"
    DISPUTE_AND_LOSE = "dispute_and_lose"
    """The merchant loses: the customer has the money."""
    INQUIRE = "inquire"
    PREVENT = "prevent"
    EARLIER_REFUND_FAILS = "earlier_refund_fails"
    """A part had been refunded before the cancellation, and that refund fails now."""
    REFUND_FAILS_IN_THE_END = "refund_fails_in_the_end"
    """A part is refunded now, and that refund fails when the cancellation is over."""


class ActCase(Value):
    """Before the `number`th call about the order; after its end where it makes fewer."""

    story: Story
    act: Act
    number: int

    def __str__(self) -> str:
        return f"{self.story}/{self.act}/before-call-{self.number}"


class Dashboard:
    """A person who is logged in at the gateway, with a key of the merchant's own."""

    def __init__(self, admin: GatewayAdmin) -> None:
        self._admin = admin
        self._refunds: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        """By payment, the refund of theirs that has failed."""
        self._transport = stripe.AIOHTTPClient()
        self._stripe = stripe.StripeClient(
            SANDBOX_KEY, base_addresses={"api": admin.url}, http_client=self._transport, max_network_retries=0
        )

    async def aclose(self) -> None:
        await self._transport.close_async()  # type: ignore[no-untyped-call]

    async def act(self, act: Act, payment: str, total: Money) -> bool:
        """Whether the gateway has let them."""
        return await is_possible(self._act(act, payment, total))

    async def act_before(self, act: Act, payment: str, total: Money) -> None:
        """Before the cancellation is asked for."""
        if act is Act.EARLIER_REFUND_FAILS:
            await is_possible(self._refund_a_part(payment, total))

    async def act_afterwards(self, act: Act, payment: str) -> None:
        """When the cancellation is over."""
        if act is Act.REFUND_FAILS_IN_THE_END:
            await is_possible(self._fail(payment))

    async def _act(self, act: Act, payment: str, total: Money) -> None:
        admin = self._admin
        match act:
            case Act.REFUND_A_PART | Act.REFUND_FAILS_IN_THE_END:
                await self._refund_a_part(payment, total)
            case Act.EARLIER_REFUND_FAILS:
                await self._fail(payment)
            case Act.REFUND_ALL:
                await self._stripe.v1.refunds.create_async({"payment_intent": payment}, admin.new_key())
            case Act.CAPTURE:
                await self._stripe.v1.payment_intents.capture_async(payment, None, admin.new_key())
            case Act.VOID:
                await self._stripe.v1.payment_intents.cancel_async(payment, None, admin.new_key())
            case Act.DISPUTE:
                await admin.dispute(payment)
            case Act.DISPUTE_AND_WIN:
                await admin.dispute(payment)
                await admin.dispute(payment, "won")
            case Act.DISPUTE_AND_LOSE:
                await admin.dispute(payment)
                await admin.dispute(payment, "lost")
            case Act.INQUIRE:
                await admin.dispute(payment, "warning_needs_response")
            case Act.PREVENT:
                await admin.dispute(payment)
                await admin.dispute(payment, "prevented")

    async def _refund_a_part(self, payment: str, total: Money) -> None:
        part = Money(amount=total.amount // 4, currency=total.currency)
        self._refunds[payment] = await self._admin.refund_elsewhere(payment, part)

    async def _fail(self, payment: str) -> None:
        if payment not in self._refunds:
            raise stripe.InvalidRequestError("there is no such refund", "refund")  # type: ignore[no-untyped-call]
        await self._admin.fail(self._refunds[payment])
        self.failed[payment] = self._refunds[payment]


@dataclass
class Listener:
    """Hears of the calls about one order. `before` is called with the number of each; `lost` when a write was not answered,
    before the process hears of that."""

    before: Callable[[int], Awaitable[None]] | None = None
    lost: Callable[[], Awaitable[None]] | None = None
    calls: int = 0


@dataclass
class HeardCalls:
    """Of all orders. A call that no step makes is nobody's."""

    listeners: dict[str, Listener] = field(default_factory=dict)

    def listen(self, order_id: str, listener: Listener) -> Listener:
        self.listeners[workflow_id(order_id)] = listener
        return listener

    def current(self) -> Listener | None:
        return self.listeners.get(activity.info().workflow_id or "") if activity.in_activity() else None


class _HeardTransport(_Transport):
    def __init__(self, calls: HeardCalls, breaker: Breaker, timeout: float) -> None:
        super().__init__(breaker, timeout)
        self._calls = calls

    async def request_async(self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None) -> Answer:
        listener = self._calls.current()
        if listener is None:
            return await super().request_async(method, url, headers, post_data)
        listener.calls += 1
        if listener.before is not None:
            await listener.before(listener.calls)
        try:
            answer = await super().request_async(method, url, headers, post_data)
        except stripe.APIConnectionError:
            await _report_lost(listener, method)
            raise
        if answer[1] >= 500:
            await _report_lost(listener, method)
        return answer


async def _report_lost(listener: Listener, method: str) -> None:
    if method.lower() == "post" and listener.lost is not None:
        await listener.lost()


class HeardGateway(StripeGateway):
    """The product's adapter, whose calls are heard."""

    def __init__(self, url: str, calls: HeardCalls, timeout: float = 10.0) -> None:
        super().__init__(SANDBOX_KEY, url, timeout)
        self._transport = _HeardTransport(calls, self.breaker, timeout)
        self._stripe = stripe.StripeClient(
            SANDBOX_KEY, base_addresses={"api": url}, http_client=self._transport, max_network_retries=0
        ).v1
