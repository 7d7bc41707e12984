"""Requests that had to wait for another cancellation of their order: they are sent again by the product.

The books keep a statutory withdrawal, and acknowledge it, when a cancellation of another scope is under way. Here it is sent
until it is decided. The sending starts a run where none is open, so a first run that was lost is taken up as well.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from client.errors import ExitCode, RunPaused, RunSuperseded, StarterError, UnderWay
from domain.errors import Unavailable
from domain.messages import Submission
from domain.request import CancellationRequest
from runtime.rests import Rests

_BATCH = 10
_DECISION_WAIT = timedelta(seconds=30)  # shorter than the minute for which a request is claimed
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=1)


class Deferred(Protocol):
    @property
    def request(self) -> CancellationRequest: ...
    @property
    def attempts(self) -> int: ...


class DeferredRequests(Protocol):
    """The books' own; see providers/outbox/port.py."""

    async def due_requests(self, now: datetime, limit: int) -> Sequence[Deferred]: ...
    async def request_sent(self, request: CancellationRequest, now: datetime) -> None: ...
    async def request_delayed(self, request: CancellationRequest, until: datetime) -> None: ...


class Starter(Protocol):
    async def start(self, request: CancellationRequest, wait: timedelta) -> Submission: ...


# Rule: A request that the law does not let wait is kept and sent again [sent again]
class DeferredRequestDispatcher:
    """Runs in every worker: a request is claimed before it is sent. Nothing that goes wrong with one request stops the
    others, and nothing ends the dispatcher but its cancellation."""

    def __init__(self, requests: DeferredRequests, cancellations: Starter) -> None:
        self._requests = requests
        self._cancellations = cancellations

    async def run(self, every: timedelta = timedelta(seconds=2)) -> None:
        """Until cancelled."""
        rests = Rests(every.total_seconds())
        while True:
            try:
                await self.send_due(datetime.now(UTC))
            except Unavailable as error:
                structlog.get_logger().warning("deferred_requests_unavailable", error=error.message)
                await asyncio.sleep(rests.after_failure())
            except Exception as error:  # noqa: BLE001 (a programming error: seen, and the worker lives on)
                structlog.get_logger().error("deferred_requests_failed", error=type(error).__name__)
                await asyncio.sleep(rests.after_failure())
            else:
                await asyncio.sleep(rests.after_success())

    async def send_due(self, now: datetime) -> None:
        """Send what is due, once. Raises Unavailable when the books cannot be reached."""
        due = await self._requests.due_requests(now, _BATCH)
        await asyncio.gather(*(self._send(deferred, now) for deferred in due))

    async def _send(self, deferred: Deferred, now: datetime) -> None:
        request = deferred.request
        log = structlog.get_logger().bind(order_id=request.order_id, request_id=request.request_id)
        try:
            submission = await self._cancellations.start(request, _DECISION_WAIT)
        except StarterError as error:
            if not _is_final(error):
                await self._delay(deferred, now)
                log.info("deferred_request_delayed", error=error.sentence)
                return
            log.warning("deferred_request_refused", error=error.sentence)
        except Exception as error:  # noqa: BLE001 (a programming error: seen, and the others are not to wait for it)
            await self._delay(deferred, now)
            log.error("deferred_request_failed", error=type(error).__name__)
            return
        else:
            if submission.decision is None:
                await self._delay(deferred, now)
                log.info("deferred_request_delayed", error="another cancellation of the order is under way")
                return
            log.info("deferred_request_sent", verdict=submission.decision.verdict)
        await self._requests.request_sent(request, now)

    async def _delay(self, deferred: Deferred, now: datetime) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(deferred.attempts - 1, 12), _LONGEST_PAUSE)
        await self._requests.request_delayed(deferred.request, now + pause)


def _is_final(error: StarterError) -> bool:
    """Whether sending it again would change nothing: it was rolled back, or its id was used for another request."""
    final = error.code in {ExitCode.NOT_CANCELLED, ExitCode.REFUSED}
    return final and not isinstance(error, UnderWay | RunPaused | RunSuperseded)
