"""The gateway port on Stripe's official SDK.

The key of an effect goes two ways: as Stripe's idempotency key, which Stripe forgets after a day, and into the metadata
of what it makes, where `read_payment` finds it for ever. The SDK's own retries are off: the process retries.

Stripe keeps an answer of 500 under the idempotency key and repeats it for as long as it keeps the key. Asking again
would never end, so a *repeated* 500 is answered by looking the effect up: when it is there, it is returned; when it is
not, the request has ended without one, and it is made again under the next key of a fixed row (`key`, `key~1`, …). Every
attempt of every worker walks the same row. A *first* 500 stays an unknown outcome. The same holds when our own balance was
too low, which may have been topped up since: the first is the answer, and a repeated one is asked for under the next key.

Reading, voiding, refunding and authorising again ask for the payment with its charge and refunds, so that the answer is the
state after the call. A *repeated* answer is the state then: it is read again, as is what an answer does not show in full.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp
import stripe

from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from domain.money import Money
from domain.payment import Payment, Refund, Refunded, RefundStatus
from providers.breaker import Breaker
from providers.gateway.stripe_errors import (
    FAILURES,
    REPLAYED,
    STATE_CHANGED,
    Doing,
    is_repeated,
    is_server_error,
    to_step_error,
)
from providers.gateway.stripe_objects import (
    KEY,
    REPLACES,
    charge_of,
    is_dispute_number,
    key_of,
    mandate_of,
    refunds_shown,
    to_payment,
    to_refund,
    units_of,
)

_KEYS_IN_A_ROW = 20
_PAGE = 100

_WITH_REFUNDS = "latest_charge.refunds"
"""What a call asks to see of a payment besides itself."""

Answer = TypeVar("Answer")


class _Transport(stripe.AIOHTTPClient):
    """What every call of the SDK goes through."""

    def __init__(self, breaker: Breaker, timeout: float) -> None:
        super().__init__(timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout / 2))
        self._breaker = breaker

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        with self._breaker.call() as call:
            body, status, answered = await super().request_async(method, url, headers, post_data)
            # A failure that is repeated from its record comes from a gateway that works.
            call.note_status(200 if REPLAYED in answered else status)
            return body, status, answered


class StripeGateway:
    """`timeout` is in seconds, for a whole call. Without `base_url` it speaks to Stripe; the key says whether in test mode.
    Belongs to one event loop."""

    def __init__(self, api_key: str, base_url: str | None = None, timeout: float = 10.0) -> None:
        self.breaker = Breaker(Counterpart.GATEWAY, "The gateway")
        self._transport = _Transport(self.breaker, timeout)
        self._stripe = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url} if base_url else None,
            http_client=self._transport,
            max_network_retries=0,
        ).v1

    async def aclose(self) -> None:
        await self._transport.close_async()  # type: ignore[no-untyped-call]

    def is_dispute_number(self, text: str) -> bool:
        return is_dispute_number(text)

    async def read_payment(self, reference: str) -> Payment:
        return await self._complete(await self._intent(reference))

    async def void(self, payment: Payment, *, key: str) -> Payment:
        """A payment that nothing was captured of is cancelled, also one that was never completed; what is left of one that
        was captured in part is released by a last capture of nothing, which is another call and has a key of its own."""
        reference = payment.reference
        if not payment.revocable:
            return payment

        async def release(options: stripe.RequestOptions) -> Payment | None:
            try:
                if payment.captured:
                    intent = await self._stripe.payment_intents.capture_async(
                        reference, {"amount_to_capture": 0, "final_capture": True, "expand": [_WITH_REFUNDS]}, options
                    )
                else:
                    intent = await self._stripe.payment_intents.cancel_async(
                        reference, {"expand": [_WITH_REFUNDS]}, options
                    )
            except stripe.InvalidRequestError as error:
                if error.code != STATE_CHANGED:
                    raise
                return await self._voided_meanwhile(reference)
            return await self._payment_after(intent)

        async def released() -> Payment | None:
            now = await self.read_payment(reference)
            return None if now.revocable else now

        doing = Doing(f"voiding payment {reference}", ErrorCode.REFUND_UNCLEAR)
        return await self._write_once(doing, f"{key}~rest" if payment.captured else key, release, released)

    async def _voided_meanwhile(self, reference: str) -> Payment:
        now = await _read_after_write(self.read_payment(reference))
        if now.revocable:
            raise Unavailable(f"Payment {reference} is changing at the gateway and could not be voided yet.")
        return now

    async def refund(self, reference: str, amount: Money, *, key: str) -> Refunded:
        """The gateway forgets keys after a day: look for the refund by `read_payment` before an attempt that may be
        older."""
        params: stripe.params.RefundCreateParams = {
            "payment_intent": reference,
            "amount": units_of(amount),
            "metadata": {KEY: key},
            "expand": [f"payment_intent.{_WITH_REFUNDS}"],
        }

        def made(payment: Payment) -> Refunded | None:
            refund = payment.made_under(key)
            return Refunded(refund=refund, payment=payment) if refund else None

        async def create(options: stripe.RequestOptions) -> Refunded | None:
            after = await self._payment_after(await self._stripe.refunds.create_async(params, options))
            return made(after) if after else None

        async def existing() -> Refunded | None:
            return made(await self.read_payment(reference))

        doing = Doing(f"refunding {amount} of payment {reference}", ErrorCode.REFUND_UNCLEAR, refunds=True)
        return await self._write_once(doing, key, create, existing)

    async def read_refund(self, reference: str) -> Refund:
        return to_refund(
            await _translate_errors(
                Doing(f"reading refund {reference}"), lambda: self._stripe.refunds.retrieve_async(reference)
            )
        )

    async def cancel_refund(self, reference: str, *, key: str) -> Refund:
        async def cancel(options: stripe.RequestOptions) -> Refund | None:
            refund = await self._stripe.refunds.cancel_async(reference, {}, options)
            return None if _is_replayed(refund) else to_refund(refund)

        async def canceled() -> Refund | None:
            refund = await self.read_refund(reference)
            return refund if refund.status is RefundStatus.CANCELED else None

        doing = Doing(f"cancelling refund {reference}", ErrorCode.REFUND_NOT_CANCELLABLE)
        return await self._write_once(doing, key, cancel, canceled)

    async def authorise_again(self, reference: str, amount: Money, *, key: str) -> Payment:
        mandate = mandate_of(await self._intent(reference))
        if mandate is None:
            raise Refused(
                ErrorCode.NO_MANDATE,
                f"Payment {reference} carries no mandate to use the card again: ask the customer for a new payment.",
            )
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": units_of(amount),
            "currency": amount.currency.lower(),
            "customer": mandate.customer,
            "payment_method": mandate.payment_method,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "off_session": True,
            "confirm": True,
            "capture_method": "manual",
            "metadata": {KEY: key, REPLACES: reference},
            "expand": [_WITH_REFUNDS],
        }

        async def authorise(options: stripe.RequestOptions) -> Payment | None:
            return await self._payment_after(await self._stripe.payment_intents.create_async(params, options))

        async def existing() -> Payment | None:
            doing = Doing(f"looking for what replaces payment {reference}")
            made = await _translate_errors(doing, lambda: self._intents(mandate.customer))
            ours = (
                intent.id for intent in made if key_of(intent) == key and intent.status != "requires_payment_method"
            )
            replacement = next(ours, None)
            return await _read_after_write(self.read_payment(replacement)) if replacement else None

        doing = Doing(f"authorising {amount} again in place of payment {reference}", ErrorCode.NO_MANDATE)
        if replacement := await existing():
            return replacement
        return await self._write_once(doing, key, authorise, existing)

    async def _payment_after(self, answer: stripe.PaymentIntent | stripe.Refund) -> Payment | None:
        """The payment as the answer of a write shows it. None: the answer is a repeated one, and shows it as it was then."""
        intent = answer.payment_intent if isinstance(answer, stripe.Refund) else answer
        if _is_replayed(answer) or not isinstance(intent, stripe.PaymentIntent):
            return None
        return await _read_after_write(self._complete(intent))

    async def _complete(self, intent: stripe.PaymentIntent) -> Payment:
        """The payment of an answer, with what the answer does not show of it. Refunds are never read before the payment:
        what happens in between makes `refundable` too small, never too large."""
        doing = Doing(f"reading payment {intent.id}")
        refunds, charge = refunds_shown(intent), charge_of(intent)
        if refunds is None:
            refunds = await _translate_errors(doing, lambda: self._refunds(intent.id))
        disputes = (
            await _translate_errors(doing, lambda: self._disputes(intent.id)) if charge and charge.disputed else []
        )
        return to_payment(intent, refunds, disputes)

    async def _intent(self, reference: str) -> stripe.PaymentIntent:
        return await _translate_errors(
            Doing(f"reading payment {reference}"),
            lambda: self._stripe.payment_intents.retrieve_async(reference, {"expand": [_WITH_REFUNDS]}),
        )

    async def _refunds(self, payment: str) -> list[stripe.Refund]:
        page = await self._stripe.refunds.list_async({"payment_intent": payment, "limit": _PAGE})
        return [refund async for refund in page.auto_paging_iter()]

    async def _disputes(self, payment: str) -> list[stripe.Dispute]:
        page = await self._stripe.disputes.list_async({"payment_intent": payment, "limit": _PAGE})
        return [dispute async for dispute in page.auto_paging_iter()]

    async def _intents(self, customer: str) -> list[stripe.PaymentIntent]:
        page = await self._stripe.payment_intents.list_async({"customer": customer, "limit": _PAGE})
        return [intent async for intent in page.auto_paging_iter()]

    async def _write_once(
        self,
        doing: Doing,
        key: str,
        write: Callable[[stripe.RequestOptions], Awaitable[Answer | None]],
        look_up: Callable[[], Awaitable[Answer | None]],
    ) -> Answer:
        """Write under the key and return the state after it; past a repeated answer of 500 or for want of balance under the
        next key of its row, as the module's text says. Where `write` returns None, its answer does not say what is so now,
        and that is looked up."""
        empty: StepError | None = None
        for number in range(_KEYS_IN_A_ROW):
            try:
                answer = await write({"idempotency_key": f"{key}~{number}" if number else key})
            except FAILURES as error:
                failed = to_step_error(error, doing)
                if not is_repeated(error):
                    raise failed from None
                if failed.code is ErrorCode.BALANCE_EMPTY:
                    empty = failed
                    continue
                if not is_server_error(error):
                    raise failed from None
                found = await _read_after_write(look_up())
            else:
                found = answer or await _read_after_write(look_up())
                if not found:
                    raise OutcomeUnknown(f"It does not show yet what came of {doing.what}: it must be looked up.")
            if found:
                return found
        raise empty or OutcomeUnknown(
            f"The gateway keeps failing while {doing.what}: whether it happened must be looked up."
        )


async def _translate_errors(doing: Doing, read: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await read()
    except FAILURES as error:
        raise to_step_error(error, doing) from None


async def _read_after_write(reading: Awaitable[Answer]) -> Answer:
    """A read after a write: where it fails or is refused, it is no longer true that nothing happened."""
    try:
        return await reading
    except Unavailable as error:
        raise OutcomeUnknown(error.message, error.retry_after) from None
    except Refused as error:
        raise OutcomeUnknown(error.message) from None


def _is_replayed(answer: stripe.StripeObject) -> bool:
    return answer.last_response is not None and REPLAYED in answer.last_response.headers
