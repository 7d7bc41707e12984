"""The providers' webhooks.

They only wake a cancellation up. It reads gateway and carrier itself before it believes anything, and reads them from
time to time without being woken, so a lost, late, repeated or reordered event costs time and never correctness. An event is
acknowledged when it is in the inbox, once by its own id, and sent to the order's cancellation after that, again and
again until Temporal has taken it. What never came is found by web/reconciler.py.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe
import structlog
from easypost.errors.general.signature_verification_error import (
    SignatureVerificationError as EasyPostSignatureError,
)
from easypost.util import validate_webhook
from fastapi import APIRouter, Request
from pydantic import BaseModel, SecretStr, ValidationError
from temporalio.service import RPCError, RPCStatusCode

from client.errors import StarterError
from client.runs import Handle, handle_of, read_progress
from domain import contract
from domain.errors import Unavailable
from domain.messages import PutOff, RefundEvent, ShipmentEvent
from providers.events.easypost import EasyPostEvent
from providers.events.stripe import StripeEvent
from providers.inbox.port import DueEvent, EndedCancellation, EventStatus, Provider
from runtime.rests import Rests
from web.parts import TEMPORAL_WAIT, Parts, SharedParts
from web.problems import Code, HttpProblem, responses_of

STRIPE_TOLERANCE = 300
"""Seconds that a signature of Stripe is good for. EasyPost signs no time: an old event of theirs is known by its id."""


class EventReceipt(BaseModel):
    """What became of a provider's event."""

    event_id: str
    status: EventStatus


# Rule: A webhook is believed only if one of our secrets signed it
def _verify(signature: str, secrets: Sequence[SecretStr], verify: Callable[[str], object]) -> None:
    """One of the secrets must have made the signature. The SDKs choke on a body or a header that is no text."""
    for secret in secrets:
        with contextlib.suppress(stripe.SignatureVerificationError, EasyPostSignatureError, ValueError):
            if signature.isascii():
                verify(secret.get_secret_value())
                return
    raise HttpProblem(
        Code.SIGNATURE_INVALID,
        "The signature is missing, too old, or not made over this body with a secret that we know; compare the webhook's "
        "secret with our settings, and the clocks.",
    )


async def _receive(parts: Parts, model: type[StripeEvent] | type[EasyPostEvent], body: bytes) -> EventReceipt:
    try:
        event = model.model_validate_json(body).to_provider_event()
    except ValidationError:
        raise HttpProblem(
            Code.NOT_AN_EVENT, "The body has no id and kind of an event where this provider puts them."
        ) from None
    status = await parts.events.receive(event)
    structlog.get_logger().info(
        "event_received", provider=event.provider, event_id=event.event_id, kind=event.kind, status=status
    )
    if status is EventStatus.ACCEPTED:
        parts.arrived.set()
    return EventReceipt(event_id=event.event_id, status=status)


def _signed(header: str) -> dict[str, Any]:
    """The description of a body that is read as it came."""
    return {
        "parameters": [{"name": header, "in": "header", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    }


_WEBHOOK = responses_of(
    Code.SIGNATURE_INVALID, Code.NOT_AN_EVENT, Code.BODY_TOO_LARGE, Code.UNAVAILABLE, Code.INTERNAL_ERROR
)

webhooks = APIRouter(tags=["webhooks"])


@webhooks.post(
    "/webhooks/stripe",
    summary="Events of Stripe",
    responses=_WEBHOOK,
    openapi_extra=_signed("Stripe-Signature"),
)
async def receive_stripe_event(request: Request, parts: SharedParts) -> EventReceipt:
    body = await request.body()
    signature = request.headers.get("Stripe-Signature", "")

    def verify(secret: str) -> object:
        return stripe.WebhookSignature.verify_header(body, signature, secret, STRIPE_TOLERANCE)

    _verify(signature, parts.settings.stripe_webhook_secrets, verify)
    return await _receive(parts, StripeEvent, body)


@webhooks.post(
    "/webhooks/easypost",
    summary="Events of EasyPost",
    responses=_WEBHOOK,
    openapi_extra=_signed("X-Hmac-Signature"),
)
async def receive_easypost_event(request: Request, parts: SharedParts) -> EventReceipt:
    body = await request.body()
    signature = request.headers.get("X-Hmac-Signature", "")

    def verify(secret: str) -> object:
        return validate_webhook(body, {"X-Hmac-Signature": signature}, secret)

    _verify(signature, parts.settings.easypost_webhook_secrets, verify)
    return await _receive(parts, EasyPostEvent, body)


# Rule: An event wakes up its order's run
class EventDispatcher:
    """Sends the events that have arrived to their cancellations, in every process of the API: an event is claimed
    first, so two of them do not send it twice. A run that has ended has nothing left to wait for: its events count as
    delivered. Only an event that may undo the outcome, or that an ended cancellation waits for, starts a run, which
    checks it; it is delivered when that cancellation was looked at, whatever run it has met. While the cancellation is
    under way, such an event wakes its run up once and is kept until the end: the run may have looked for the last time
    before. While another cancellation of the order is, its run shows that the event waits for its end. No event is given
    up but by a person."""

    BATCH = 50
    LONGEST_DELAY = timedelta(minutes=5)
    LONGEST_REST = timedelta(hours=6)
    KEEP = timedelta(days=30)
    """Longer than any provider repeats an event."""

    def __init__(self, parts: Parts) -> None:
        self._events = parts.events
        self._temporal = parts.temporal
        self._arrived = parts.arrived

    async def run(self) -> None:
        """Until cancelled."""
        tidied = datetime.min.replace(tzinfo=UTC)
        rests = Rests(1)
        while True:
            self._arrived.clear()
            now = datetime.now(UTC)
            found, rest = False, 0.0
            try:
                if now - tidied > timedelta(hours=1):
                    await self._events.forget_before(now - self.KEEP)
                    tidied = now
                due = await self._events.claim_due(now, self.BATCH)
                await asyncio.gather(*(self._dispatch(event) for event in due))
                found, rest = bool(due), rests.after_success()
            except Unavailable as error:
                structlog.get_logger().warning("events_unavailable", error=error.message)
                rest = rests.after_failure()
            except Exception:  # noqa: BLE001 (a programming error: seen, and the API lives on)
                structlog.get_logger().exception("events_failed")
                rest = rests.after_failure()
            if not found:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), rest)

    async def _dispatch(self, event: DueEvent) -> None:
        """One event that this version cannot deliver holds up no other."""
        try:
            await self._deliver(event)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 (whatever it is: it is logged and tried again)
            structlog.get_logger().exception(
                "event_delayed", provider=event.provider, event_id=event.event_id, order_id=event.order_id
            )
            await self._events.delay(event, datetime.now(UTC) + self.LONGEST_DELAY)

    async def _deliver(self, event: DueEvent) -> None:
        log = structlog.get_logger().bind(provider=event.provider, event_id=event.event_id, order_id=event.order_id)
        # In this sequence: a cancellation that ends in between is found by the second question.
        under_way = event.may_undo_outcome and await self._events.is_under_way(event.order_id)
        ended = await self._events.find_ended(event)
        if under_way and not ended and event.attempts > 1:
            await self._put_off(event)
            return
        if ended and not ended.busy:
            await self._events.record_sending(event, ended.cancellation_id, self._sent_again_at(event, ended))
        try:
            await self._signal(event, ended)
        except (RPCError, StarterError) as error:
            if not _no_run(error):
                why = error.status.name.lower() if isinstance(error, RPCError) else error.sentence
                await self._events.delay(event, self._next_attempt(event))
                log.warning("event_delayed", error=why)
                return
            log.info("event_without_run")
        else:
            if not (ended and ended.busy):
                log.info("event_sent" if ended else "event_delivered")
        if ended.busy if ended else under_way:
            await self._put_off(event)
            return
        if ended is None:  # otherwise a look delivers it
            await self._events.mark_delivered(event, datetime.now(UTC))

    # Rule: An event about an ended cancellation is delivered by a look at that one [sent until then]
    def _sent_again_at(self, event: DueEvent, ended: EndedCancellation) -> datetime:
        """When it is due once more, unless it is delivered by then. The run that it has met may be of another request, or be
        lost before it looks. An event that no run can look for is sent more and more rarely."""
        now = datetime.now(UTC)
        rest = self.LONGEST_DELAY
        if event.sent_to == ended.cancellation_id:
            rest = max(rest, min((now - event.received_at) / 4, self.LONGEST_REST))
        return now + rest

    def _next_attempt(self, event: DueEvent) -> datetime:
        return datetime.now(UTC) + min(timedelta(seconds=2 ** min(event.attempts, 12)), self.LONGEST_DELAY)

    async def _put_off(self, event: DueEvent) -> None:
        await self._events.delay(event, datetime.now(UTC) + self.LONGEST_DELAY)
        why = "a cancellation of the order is under way"
        structlog.get_logger().info(
            "event_delayed", provider=event.provider, event_id=event.event_id, order_id=event.order_id, error=why
        )

    async def _signal(self, event: DueEvent, ended: EndedCancellation | None) -> None:
        put_off = None
        if ended and ended.busy:
            put_off = PutOff(cancellation_id=ended.cancellation_id, due_at=ended.due_at)
        refund = RefundEvent(event_id=event.event_id, subject=event.subject, put_off=put_off)
        parcel = ShipmentEvent(event_id=event.event_id, tracking_number=event.subject, put_off=put_off)
        of_gateway = event.provider is Provider.STRIPE
        if ended and not put_off:
            library = await self._temporal.cancellations()
            await library.look_again(ended.request, refund if of_gateway else parcel)
            return
        client = await self._temporal.client()
        run = handle_of(client, event.order_id)
        if put_off and (not event.may_undo_outcome or await _is_shown(run, event)):
            return
        if of_gateway:
            await run.signal(contract.REFUND_EVENT.name, refund, rpc_timeout=TEMPORAL_WAIT)
        else:
            await run.signal(contract.SHIPMENT_EVENT.name, parcel, rpc_timeout=TEMPORAL_WAIT)


async def _is_shown(run: Handle, event: DueEvent) -> bool:
    """Whether the run shows already that the event waits for its end, or cannot say now. A run that has taken over from the
    one that was sent the event does not."""
    progress = await read_progress(run)
    return progress is None or any(wait.target == event.subject for wait in progress.waits if wait.step is None)


def _no_run(error: RPCError | StarterError) -> bool:
    """A namespace that is missing is a fault of the settings, and not the end of a run."""
    return isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message
