"""Stripe's events: what the body of one means, and the list of them (`GET /v1/events`), which goes back 30 days."""

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Any

import aiohttp
import stripe
from pydantic import BaseModel, ValidationError

from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey
from providers.events.port import Id, Known, Text
from providers.inbox.port import Provider, ProviderEvent


class StripeEventKind(StrEnum):
    """What a cancellation waits for."""

    REFUND_CREATED = "refund.created"
    REFUND_UPDATED = "refund.updated"
    REFUND_FAILED = "refund.failed"
    CHARGE_REFUNDED = "charge.refunded"
    CHARGE_REFUND_UPDATED = "charge.refund.updated"
    DISPUTE_CREATED = "charge.dispute.created"
    DISPUTE_UPDATED = "charge.dispute.updated"
    DISPUTE_CLOSED = "charge.dispute.closed"
    DISPUTE_FUNDS_WITHDRAWN = "charge.dispute.funds_withdrawn"
    DISPUTE_FUNDS_REINSTATED = "charge.dispute.funds_reinstated"
    PAYMENT_CANCELED = "payment_intent.canceled"
    PAYMENT_FAILED = "payment_intent.payment_failed"
    PAYMENT_SUCCEEDED = "payment_intent.succeeded"


_KINDS = [kind.value for kind in StripeEventKind]
"""Stripe filters its list by up to 20 names, in full."""
_PAGE = 100
_UNDONE = {"failed", "canceled"}
"""A refund can fail days after it had succeeded."""
_GIVEN_BACK = {"lost", "prevented"}
"""A dispute that ends like this has paid the customer (docs.stripe.com/api/disputes/object)."""
_WON = "won"
"""And one that ends like this has not."""


class _Object(BaseModel):
    id: Text = ""
    object: Text = ""
    payment_intent: Text | None = None
    status: Text | None = None
    metadata: Any = None

    @property
    def is_taken(self) -> bool:
        """A payment was taken."""
        return self.object == "payment_intent" and self.status == "succeeded"

    @property
    def may_undo_outcome(self) -> bool:
        """A refund that has failed, or that somebody else made: a refund of ours carries the key that it was made under. A
        dispute by which the bank gives the money back, or does not although that was counted on. And a payment that was
        taken: perhaps with what was not to be."""
        if self.object == "dispute":
            return self.status in _GIVEN_BACK or self.is_won
        return self.is_taken or (self.object == "refund" and (self.status in _UNDONE or self._is_made_by_others()))

    @property
    def is_won(self) -> bool:
        """A dispute that was decided for the merchant."""
        return self.object == "dispute" and self.status == _WON

    def _is_made_by_others(self) -> bool:
        """Stripe may leave the metadata out where there is none."""
        metadata = self.metadata if isinstance(self.metadata, dict) else {}
        return not any(isinstance(value, str) and EffectKey.read(value) for value in metadata.values())


class _Data(BaseModel):
    object: _Object


# Rule: A provider's event is read as far as a cancellation waits for it
class StripeEvent(BaseModel):
    """The body of an event, as far as anybody reads it."""

    id: Id
    type: Text
    data: _Data

    def to_provider_event(self) -> ProviderEvent:
        about = self.data.object
        event = ProviderEvent(provider=Provider.STRIPE, event_id=self.id, kind=self.type)
        if self.type not in _KINDS:
            return event
        payment = about.id if about.object == "payment_intent" else about.payment_intent
        return event.model_copy(
            update={
                "payment": payment,
                "refund": about.id if about.object == "refund" else None,
                "won_dispute": about.id if about.is_won else None,
                "may_undo_outcome": about.may_undo_outcome,
                "payment_taken": about.is_taken,
            },
        )


class StripeEvents:
    """`EventSource` at Stripe. `timeout` is in seconds, for a whole call. Nothing is retried here: the next look is. Belongs
    to one event loop."""

    provider = Provider.STRIPE

    def __init__(self, api_key: str, base_url: str | None = None, timeout: float = 10.0) -> None:
        self._transport = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout / 2))
        self._stripe = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url} if base_url else None,
            http_client=self._transport,
            max_network_retries=0,
        ).v1

    async def aclose(self) -> None:
        await self._transport.close_async()  # type: ignore[no-untyped-call]

    async def since(self, at: datetime, known: Known) -> AsyncIterator[ProviderEvent]:
        """Newest first."""
        listed = self._listed(at)
        while (body := await _next(listed)) is not None:
            try:
                event = StripeEvent.model_validate(body).to_provider_event()
            except ValidationError:
                continue  # its webhook is refused too
            if not await known(event.event_id):
                yield event

    async def _listed(self, at: datetime) -> AsyncIterator[dict[str, Any]]:
        page = await self._stripe.events.list_async(
            {"created": {"gte": int(at.timestamp())}, "types": _KINDS, "limit": _PAGE}
        )
        async for event in page.auto_paging_iter():
            yield event.to_dict()


async def _next(listed: AsyncIterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next body, or None after the last. Only the provider's failures are worded here, not those of whoever takes the
    events."""
    try:
        return await anext(listed, None)
    except (stripe.AuthenticationError, stripe.PermissionError):
        raise Refused(
            ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
            "Stripe rejected the API key while its events were listed. Check STRIPE_API_KEY and its permissions.",
        ) from None
    except (stripe.StripeError, aiohttp.ClientError, TimeoutError, AttributeError):
        # AttributeError: the answer is JSON, but no list.
        raise Unavailable("Stripe gave no usable answer while its events were listed.") from None
