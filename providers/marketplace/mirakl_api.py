"""Mirakl's seller API over HTTP, and its list of orders, which is read for many orders at a time.

Mirakl's description of OR11 limits how often it is called: once a minute, a hundred orders a call. So whoever reads an order
takes part in the next call. What a call has read is good enough to decide and to write by until the next one may be made, or
until we have written to that order; who looks for news is shown nothing older than their look.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
from pydantic import BaseModel, ValidationError

from domain.base import Value
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from providers.breaker import Breaker
from providers.marketplace.mirakl_order import Order

_Failure = Callable[[], StepError]
"""An error for each who asked: what the books have learnt is added to it on its way."""

AT_ONCE = 100
_GATHER = 0.02
"""Seconds that a call waits for others who want an order in the same moment."""
_PATIENCE = 10.0
"""Seconds within which who looks for news waits for the next list. Who would wait longer comes back in half of that before
it: later the list would be others'."""
_WORDS = 120


class _Problem(Value):
    message: str = ""


class _Listed(BaseModel):
    orders: list[dict[str, Any]]


@dataclass(frozen=True)
class _Read:
    """What the call that was sent `at` has read of an order; None: it is not there, or makes no sense."""

    at: float
    order: Order | None
    makes_sense: bool = True


class MiraklApi:
    """`orders_every` seconds lie between two calls of the list of orders; `timeout` is in seconds too."""

    def __init__(self, base_url: str, api_key: str, *, timeout: float, orders_every: float) -> None:
        self.breaker = Breaker(Counterpart.MARKETPLACE, "Mirakl")
        self._http = httpx2.AsyncClient(
            timeout=timeout, headers={"Authorization": api_key, "Accept": "application/json"}
        )
        self._base_url = base_url.rstrip("/")
        self._every = orders_every
        self._at_once = AT_ONCE
        self._last_call = float("-inf")
        self._call: asyncio.Task[dict[str, _Failure]] | None = None
        self._wanted: OrderedDict[str, None] = OrderedDict()
        """Who waits for the next call, the first one first."""
        self._known: OrderedDict[str, _Read] = OrderedDict()
        """What was read, the longest ago first."""
        self._written: dict[str, float] = {}

    async def aclose(self) -> None:
        if self._call is not None:
            self._call.cancel()
        await self._http.aclose()

    # Rule: A marketplace's orders are listed together, once in a while
    async def read_order(self, reference: str, *, fresh: bool) -> Order:
        """Not older than `orders_every` seconds, nor than what we have written to it; `fresh`: nor than this look. Raises
        Unavailable with the time to come back where the next list is far away. Refused: PAYMENT_NOT_FOUND."""
        if "," in reference:  # which would be two of them
            raise _not_found(reference)
        # A write follows what is read to write by, and an attempt's time is short: it waits for nothing.
        oldest, patience = (time.monotonic(), _PATIENCE) if fresh else (time.monotonic() - self._every, 0.0)
        while (read := self._known.get(reference)) is None or read.at < oldest:
            self._wanted[reference] = None
            if self._call is None:
                left = self._last_call + self._every - time.monotonic()
                if left > patience:
                    raise Unavailable(
                        f"Mirakl's list of orders may not be read again so soon; order {reference} is in the next one.",
                        left - patience / 2,
                    )
                self._call = asyncio.create_task(self._list_orders(max(left, _GATHER)))
            failures = await asyncio.shield(self._call)
            self.breaker.join_call()
            if failed := failures.get(reference):
                raise failed()
        if not read.makes_sense:
            raise Unavailable(f"Mirakl's answer makes no sense while reading order {reference}.")
        if read.order is None:
            raise _not_found(reference)
        return read.order

    async def _list_orders(self, wait: float) -> dict[str, _Failure]:
        """Read what is wanted by then; what went wrong, by the orders that were asked for."""
        try:
            await asyncio.sleep(wait)
            references = self._next_references()
            at = time.monotonic()
            found = await self._fetch_orders(references)
        finally:
            self._call = None
        if callable(found):
            return dict.fromkeys(references, found)
        for reference in references:
            if self._written.get(reference, at) <= at:
                self._known[reference] = _order_of(found, reference, at)
                self._known.move_to_end(reference)
        while len(self._known) > AT_ONCE:
            self._known.popitem(last=False)
        self._written = {reference: written for reference, written in self._written.items() if written > at}
        return {}

    def _next_references(self) -> list[str]:
        """Those that are wanted, and with what room there is those that were read last: they may be wanted again before the
        list after this one."""
        wanted = list(self._wanted)[: self._at_once]
        for reference in wanted:
            del self._wanted[reference]
        others = [reference for reference in reversed(self._known) if reference not in wanted] if self._every else []
        return wanted + others[: self._at_once - len(wanted)]

    async def _fetch_orders(self, references: Sequence[str]) -> list[dict[str, Any]] | _Failure:
        doing = "listing orders"
        url = httpx2.URL(
            f"{self._base_url}/api/orders", params={"order_ids": ",".join(references), "max": str(AT_ONCE)}
        )
        try:
            with self.breaker.call() as call:
                answer = await self._http.get(url)
                call.note_status(answer.status_code)
        except Unavailable as not_let_in:
            message, retry_after = not_let_in.message, not_let_in.retry_after
            return lambda: Unavailable(message, retry_after)
        except httpx2.TransportError as error:
            if not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):  # These it has not heard.
                self._last_call = time.monotonic()
            return lambda: Unavailable(f"Mirakl cannot be reached for {doing}.")
        self._last_call = time.monotonic()  # It may have got it just now.
        if answer.status_code in {400, 404} and len(references) > 1:
            # One of them is refused: nobody knows which, and the others have nothing to do with it.
            self._at_once = max(1, len(references) // 2)
            return lambda: Unavailable(f"Mirakl said no while {doing}; fewer are listed with the next call.")
        self._at_once = AT_ONCE
        if not answer.is_success:
            return lambda: _failure(answer, doing, writes=False)
        try:
            return _Listed.model_validate(json.loads(answer.content, parse_float=Decimal)).orders
        except ValueError:  # also what pydantic raises
            return lambda: Unavailable(f"Mirakl's answer makes no sense while {doing}.")

    async def write(self, reference: str, path: str, body: dict[str, Any]) -> None:
        """A call that changes an order. What was read of it before does not count any more."""
        doing = f"cancelling units of order {reference}"
        try:
            with self.breaker.call() as call:
                answer = await self._http.put(f"{self._base_url}{path}", json=body)
                call.note_status(answer.status_code)
        except httpx2.TransportError:
            raise OutcomeUnknown(f"Mirakl did not answer while {doing}; it may have happened.") from None
        finally:
            self._written[reference] = time.monotonic()
            self._known.pop(reference, None)
        if not answer.is_success:
            raise _failure(answer, doing, writes=True)


def _not_found(reference: str) -> Refused:
    return Refused(
        ErrorCode.PAYMENT_NOT_FOUND, f"Mirakl knows no order {reference} of this shop. Check the sale's reference."
    )


def _order_of(found: Sequence[dict[str, Any]], reference: str, at: float) -> _Read:
    """Each by itself: one that makes no sense keeps nobody from reading the others."""
    document = next((entry for entry in found if entry.get("order_id") == reference), None)
    if document is None:
        return _Read(at, None)
    try:
        return _Read(at, Order.model_validate(document))
    except ValueError:  # also what pydantic raises
        return _Read(at, None, makes_sense=False)


def _failure(answer: httpx2.Response, doing: str, *, writes: bool) -> StepError:
    """What an answer without success means."""
    status = answer.status_code
    if status in {401, 403}:
        return Refused(
            ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
            f"Mirakl rejected the API key while {doing}. Check it in the settings, then retry the step.",
        )
    if status == 429:
        return Unavailable(f"Mirakl is limiting our rate; {doing} did not happen.", _retry_after(answer))
    if not 400 <= status < 500:
        if writes:
            return OutcomeUnknown(f"Mirakl failed while {doing}; it may have happened.", _retry_after(answer))
        return Unavailable(f"Mirakl failed while {doing} ({status}).", _retry_after(answer))
    try:
        words = _Problem.model_validate_json(answer.content).message[:_WORDS]
    except ValidationError:
        words = ""
    return Refused(
        ErrorCode.REFUND_REFUSED if writes else ErrorCode.PAYMENT_NOT_FOUND,
        f"Mirakl said no while {doing} ({status}{f': {words}' if words else ''}). Check the marketplace's address and "
        "reason code in the settings, and the order in its back office.",
    )


def _retry_after(answer: httpx2.Response) -> float | None:
    """Only the form in seconds is used."""
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
