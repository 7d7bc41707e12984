"""Events that never came: each provider's own list of them is read now and then, and what is not known is kept and delivered
like a webhook.

It only saves time, like the webhooks: a cancellation finds everything by itself, hours later.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from domain.errors import Refused, Unavailable
from providers.events.easypost import EasyPostEvents
from providers.events.port import EventSource
from providers.events.stripe import StripeEvents
from providers.inbox.port import EventStatus, Provider
from runtime.api_settings import ApiSettings
from web.parts import Parts


# Rule: An event that never came is found in the provider's list
class Reconciler:
    """Looks through the list of one provider, in every process of the API: the inbox keeps each event once."""

    AT_START = timedelta(days=3)
    """How long a provider itself repeats an event. Shorter than the inbox remembers it: what it has forgotten must not
    come back."""
    OVERLAP = timedelta(hours=1)
    """How much of what was looked through is looked through again: for events that come late into the list or cannot be read
    at once, and for clocks that differ."""

    def __init__(self, parts: Parts, source: EventSource) -> None:
        self._events = parts.events
        self._arrived = parts.arrived
        self._every = parts.settings.reconcile_every
        self._source = source

    async def run(self) -> None:
        """Until cancelled. A provider that does not answer, and a key that it does not take, are tried again at the next
        turn."""
        since = datetime.now(UTC) - self.AT_START
        while True:
            began = datetime.now(UTC)
            try:
                found, failed = await self._look_through_list(since)
                if not failed:
                    since = began - self.OVERLAP
                structlog.get_logger().info("events_reconciled", provider=self._source.provider, found=found)
            except (Unavailable, Refused) as error:
                structlog.get_logger().warning(
                    "events_not_listed", provider=self._source.provider, code=error.code, error=error.message
                )
            except Exception:  # noqa: BLE001 (a programming error: seen, and the API lives on)
                structlog.get_logger().exception("events_failed", provider=self._source.provider)
            await asyncio.sleep(self._every.total_seconds())

    async def _look_through_list(self, since: datetime) -> tuple[int, int]:
        """How many events were found that had not come as a webhook, and how many of them could not be kept: those are
        looked for again, and hold up no other."""
        provider, found, failed = self._source.provider, 0, 0
        async for event in self._source.since(since, partial(self._events.is_known, provider)):
            try:
                status = await self._events.receive(event)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 (whatever it is: it is logged, and the event looked for again)
                failed += 1
                structlog.get_logger().exception("event_not_kept", provider=provider, event_id=event.event_id)
                continue
            if status is EventStatus.REPEATED:
                continue  # its webhook came meanwhile
            found += 1
            structlog.get_logger().info(
                "event_found", provider=provider, event_id=event.event_id, kind=event.kind, status=status
            )
            if status is EventStatus.ACCEPTED:
                self._arrived.set()
        return found, failed


def sources(settings: ApiSettings) -> list[EventSource]:
    """The lists that can be read; why another one cannot is logged."""
    found: list[EventSource] = []
    if settings.stripe_api_key:
        found.append(StripeEvents(settings.stripe_api_key.get_secret_value(), settings.stripe_base_url))
    else:
        _not_reconciled(Provider.STRIPE, "STRIPE_API_KEY is not set")
    if not settings.easypost_api_key:
        _not_reconciled(Provider.EASYPOST, "EASYPOST_API_KEY is not set")
    elif not settings.easypost_webhook_secrets:
        _not_reconciled(
            Provider.EASYPOST,
            "EASYPOST_WEBHOOK_SECRETS is not set, and without a webhook EasyPost does not say what an event is about",
        )
    else:
        found.append(EasyPostEvents(settings.easypost_api_key.get_secret_value(), settings.easypost_base_url))
    return found


def _not_reconciled(provider: Provider, why: str) -> None:
    structlog.get_logger().info("events_not_reconciled", provider=provider, reason=why)
