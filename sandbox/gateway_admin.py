"""Client of the gateway stand-in: makes sample payments and controls what Stripe's API has no call for.

Payments are made by Stripe's own API with Stripe's test payment methods: the same calls work in Stripe's test mode.
"""

from collections.abc import Container
from enum import StrEnum
from types import TracebackType
from typing import Self
from uuid import uuid4

import aiohttp
import httpx2
import stripe

from domain.money import Money
from providers.gateway.stripe_objects import units_of
from sandbox.gateway.messages import Advance, DisputeChange, Effect, EffectKind, Failure, Fault, FaultKind

SANDBOX_KEY = "sk_test_sandbox"


class TestCard(StrEnum):
    """Stripe's names for its test payment methods."""

    __test__ = False

    VISA = "pm_card_visa"
    PENDING_REFUND = "pm_card_pendingRefund"
    REFUND_FAILS = "pm_card_refundFail"
    DISPUTED = "pm_card_createDispute"
    DECLINED = "pm_card_chargeDeclined"
    ASKS_HOLDER = "pm_card_authenticationRequired"
    DEBIT = "pm_usBankAccount_processing"


class OpenPayment(StrEnum):
    """What a payment still wants of the customer, in Stripe's words."""

    METHOD = "requires_payment_method"
    CONFIRMATION = "requires_confirmation"
    ACTION = "requires_action"


class GatewayAdmin:
    def __init__(self, url: str, api_key: str = SANDBOX_KEY) -> None:
        self.url = url
        self._keys: set[str] = set()
        self._http = httpx2.AsyncClient(base_url=url, timeout=10)
        self._transport = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=10))
        self._stripe = stripe.StripeClient(
            api_key, base_addresses={"api": url}, http_client=self._transport, max_network_retries=0
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._transport.close_async()  # type: ignore[no-untyped-call]

    @property
    def keys(self) -> Container[str]:
        """The idempotency keys of the calls that were made here, whether or not they were answered: whoever did something at
        the gateway under another one is somebody else."""
        return self._keys

    def new_key(self) -> stripe.RequestOptions:
        """Of the next call that is made here."""
        key = str(uuid4())
        self._keys.add(key)
        return {"idempotency_key": key}

    async def create_payment(
        self,
        amount: Money,
        card: TestCard = TestCard.VISA,
        *,
        capture: Money | None = None,
        mandate: bool = False,
        multicapture: bool = False,
        sandbox_fault: str = "",
    ) -> str:
        """Authorise `amount`, capture `capture` of it (nothing when None) and keep the rest capturable; returns the
        payment's id. `mandate`: the customer let the card be used again later. `multicapture`: it may be captured in
        parts, as what is captured in part here always may. Raises stripe.CardError when declined."""
        customer = (await self._stripe.v1.customers.create_async({}, self.new_key())).id if mandate else None
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": units_of(amount),
            "currency": amount.currency.lower(),
            "payment_method": card.value,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "confirm": True,
            "capture_method": "manual",
            "metadata": {"sandbox_fault": sandbox_fault} if sandbox_fault else {},
        }
        if multicapture or (capture is not None and capture < amount):
            params["payment_method_options"] = {"card": {"request_multicapture": "if_available"}}
        if customer:
            params["customer"] = customer
            params["setup_future_usage"] = "off_session"
        payment = await self._stripe.v1.payment_intents.create_async(params, self.new_key())
        if capture is not None:
            await self.capture(payment.id, capture, final=capture == amount)
        return payment.id

    async def create_open_payment(self, amount: Money, wants: OpenPayment, *, sandbox_fault: str = "") -> str:
        """One that the customer has not completed. Once they do, it is captured at once."""
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": units_of(amount),
            "currency": amount.currency.lower(),
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"sandbox_fault": sandbox_fault} if sandbox_fault else {},
        }
        if wants is not OpenPayment.METHOD:
            params["payment_method"] = TestCard.ASKS_HOLDER.value
        if wants is OpenPayment.ACTION:
            params["confirm"] = True
        payment = await self._stripe.v1.payment_intents.create_async(params, self.new_key())
        assert payment.status == wants.value
        return payment.id

    async def create_debit(self, amount: Money) -> str:
        """A bank debit, which is processed until `capture_ends` or `debit_fails`."""
        payment = await self._stripe.v1.payment_intents.create_async(
            {
                "amount": units_of(amount),
                "currency": amount.currency.lower(),
                "payment_method": TestCard.DEBIT.value,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                "confirm": True,
            },
            self.new_key(),
        )
        assert payment.status == "processing"
        return payment.id

    async def complete(self, payment: str) -> None:
        """The customer pays what is open. Raises httpx2.HTTPStatusError when it cannot be paid any more."""
        await self._post(f"/sandbox/payments/{payment}/complete", "")

    async def capture(self, payment: str, amount: Money, *, final: bool) -> None:
        """`final` releases what is left of the authorisation; otherwise it stays capturable."""
        await self._stripe.v1.payment_intents.capture_async(
            payment,
            {"amount_to_capture": units_of(amount), **({} if final else {"final_capture": False})},
            self.new_key(),
        )

    async def refund_elsewhere(self, payment: str, amount: Money) -> str:
        """A refund that somebody made in the gateway's dashboard; returns its id."""
        refund = await self._stripe.v1.refunds.create_async(
            {"payment_intent": payment, "amount": units_of(amount)}, self.new_key()
        )
        return refund.id

    async def effects(self, payment: str | None = None, kind: EffectKind | None = None) -> list[Effect]:
        """What was committed, oldest first: of one payment or of all."""
        answer = await self._http.get("/sandbox/effects", params={"payment_intent": payment} if payment else {})
        answer.raise_for_status()
        effects = [Effect.model_validate(item) for item in answer.json()]
        return [effect for effect in effects if kind in {None, effect.kind}]

    async def calls(self, payment: str | None = None) -> dict[str, int]:
        """How often each of Stripe's operations was called: about one payment or in all. A call that makes a payment
        counts in all only."""
        answer = await self._http.get("/sandbox/calls", params={"payment_intent": payment} if payment else {})
        return {str(operation): int(count) for operation, count in answer.raise_for_status().json().items()}

    async def add_fault(
        self,
        operation: str,
        fault: FaultKind,
        *,
        payment: str | None = None,
        times: int = 1,
        after: int = 0,
        retry_after: float = 1,
        seconds: float = 5,
        code: str | None = None,
    ) -> None:
        asked = Fault(
            operation=operation,
            fault=fault,
            times=times,
            after=after,
            payment_intent=payment,
            retry_after=retry_after,
            seconds=seconds,
            code=code,
        )
        await self._post("/sandbox/faults", asked.model_dump_json())

    async def faults_left(self, payment: str) -> int:
        """How many times faults will still meet calls about this payment: zero once the last of them has begun."""
        answer = await self._http.get(f"/sandbox/payments/{payment}/faults")
        return int(answer.raise_for_status().json())

    async def advance(self, seconds: float) -> None:
        """Let time pass: what is due happens now."""
        await self._post("/sandbox/clock/advance", Advance(seconds=seconds).model_dump_json())

    async def capture_begins(self, payment: str) -> None:
        """Let a capture of all that is reserved get under way, until `capture_ends`."""
        await self._post(f"/sandbox/payments/{payment}/capture_begins", "")

    async def capture_ends(self, payment: str) -> None:
        await self._post(f"/sandbox/payments/{payment}/capture_ends", "")

    async def debit_fails(self, payment: str) -> None:
        """The bank returns it: nothing was taken, and the customer can pay another way."""
        await self._post(f"/sandbox/payments/{payment}/debit_fails", "")

    async def settle(self, refund: str) -> None:
        await self._post(f"/sandbox/refunds/{refund}/settle", "")

    async def fail(self, refund: str, reason: str = "expired_or_canceled_card") -> None:
        """`reason` is one of Stripe's reasons for which a refund fails."""
        await self._post(f"/sandbox/refunds/{refund}/fail", Failure(reason=reason).model_dump_json())

    async def dispute(self, payment: str, status: str = "needs_response", amount: Money | None = None) -> None:
        """Open a dispute, about `amount` or all that was captured, or an inquiry (`warning_needs_response`); called again,
        with `won` for instance, end it, also one that was lost."""
        change = DisputeChange(status=status, amount=units_of(amount) if amount else None)
        await self._post(f"/sandbox/payments/{payment}/dispute", change.model_dump_json())

    async def _post(self, path: str, body: str) -> None:
        answer = await self._http.post(path, content=body, headers={"Content-Type": "application/json"})
        answer.raise_for_status()
