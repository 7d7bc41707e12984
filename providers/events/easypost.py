"""EasyPost's events: what the body of one means, and the list of them.

Neither the list (`GET /v2/events`) nor an event that is read by its id says what it is about: the object is in the body that
EasyPost sends to a webhook, and nowhere else. EasyPost keeps that body with every attempt to deliver it, so an event whose
webhook never came is read from there (`GET /v2/events/{id}/payloads`). Without a webhook at EasyPost there is no attempt,
and nothing to read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, TypeVar

from easypost.constant import API_BASE, API_VERSION
from easypost.easypost_client import EasyPostClient
from easypost.easypost_object import EasyPostObject
from easypost.errors.api.api_error import ApiError
from easypost.errors.general.easypost_error import EasyPostError
from pydantic import AwareDatetime, BaseModel, ValidationError
from requests.adapters import HTTPAdapter

from domain.errors import ErrorCode, Refused, Unavailable
from providers.events.port import Id, Known, Text
from providers.inbox.port import Provider, ProviderEvent

_PAGE = 100
_TRAVELLING = {"in_transit", "out_for_delivery", "available_for_pickup", "delivered"}
"""A parcel whose label was voided does none of these, nor does one that is coming back."""
_KINDS = ("tracker.", "refund.")
"""How the kinds begin that a cancellation waits for."""

Answer = TypeVar("Answer", bound=BaseModel)


class _Object(BaseModel):
    shipment_id: Text | None = None
    tracking_code: Text | None = None
    status: Text | None = None


# Rule: A provider's event is read as far as a cancellation waits for it [EasyPost's]
class EasyPostEvent(BaseModel):
    """The body of an event, as far as anybody reads it."""

    id: Id
    description: Text
    result: _Object

    def to_provider_event(self) -> ProviderEvent:
        event = ProviderEvent(provider=Provider.EASYPOST, event_id=self.id, kind=self.description)
        if not self.description.startswith(_KINDS):
            return event
        return event.model_copy(
            update={
                "shipment": self.result.shipment_id,
                "tracking_number": self.result.tracking_code,
                "may_undo_outcome": self.result.status in _TRAVELLING,
            }
        )


class _Listed(BaseModel):
    id: Id
    description: str
    created_at: AwareDatetime


class _Page(BaseModel):
    events: list[_Listed]
    has_more: bool


class _Payload(BaseModel):
    """An attempt to deliver an event. The body is the webhook's, as text."""

    request_body: str


class _Payloads(BaseModel):
    payloads: list[_Payload]


class EasyPostEvents:
    """`EventSource` at EasyPost. `base_url` includes the version; `timeout` is in seconds. Nothing is retried here: the next
    look is."""

    provider = Provider.EASYPOST

    def __init__(self, api_key: str, base_url: str | None = None, timeout: float = 10.0) -> None:
        api_base = base_url or f"{API_BASE}/{API_VERSION}"
        # Fractions of seconds, and no repetitions by the SDK: as in providers/carrier/easypost.py.
        self._client = EasyPostClient(api_key, api_base=api_base, timeout=timeout)  # type: ignore[arg-type]
        self._client._requests_session.mount(api_base, HTTPAdapter(max_retries=0))

    async def aclose(self) -> None:
        self._client._requests_session.close()

    async def since(self, at: datetime, known: Known) -> AsyncIterator[ProviderEvent]:
        """Newest first. The list is read until it is older than `at`: EasyPost documents no time filter that goes together
        with a place in the list."""
        place: dict[str, str] = {}
        while True:
            page = await self._fetch(_Page, lambda: self._client.event.all(page_size=_PAGE, **place))  # noqa: B023
            for listed in page.events:
                if listed.created_at < at:
                    return
                if listed.description.startswith(_KINDS) and not await known(listed.id):
                    event = await self._read(listed.id)
                    if event is not None:
                        yield event
            if not page.has_more or not page.events:
                return
            place = {"before_id": page.events[-1].id}

    async def _read(self, event_id: str) -> ProviderEvent | None:
        """The event out of an attempt to deliver it; None when there was none yet."""
        attempts = await self._fetch(_Payloads, lambda: self._client.event.retrieve_all_payloads(event_id))
        for attempt in attempts.payloads:
            try:
                event = EasyPostEvent.model_validate_json(attempt.request_body).to_provider_event()
            except ValidationError:
                continue
            if event.event_id == event_id:
                return event
        return None

    async def _fetch(self, kind: type[Answer], call: Callable[[], Any]) -> Answer:
        """An answer of EasyPost, by its SDK in a thread. The errors go without their cause: that has the answer's body."""

        def run() -> Answer:
            try:
                answer = call()
                return kind.model_validate(answer.to_dict() if isinstance(answer, EasyPostObject) else answer)
            except EasyPostError as error:
                if isinstance(error, ApiError) and error.http_status in {401, 403}:
                    raise Refused(
                        ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
                        "EasyPost rejected the API key while its events were listed. Check EASYPOST_API_KEY.",
                    ) from None
                raise Unavailable("EasyPost gave no usable answer while its events were listed.") from None
            except (ValidationError, TypeError):
                # TypeError: the SDK takes an answer that is JSON for an object.
                raise Unavailable("EasyPost's list of events is not in the form that it documents.") from None

        return await asyncio.to_thread(run)
