"""What this worker works with is examined: each system by a call that changes nothing, all at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog
from temporalio import activity

from domain.errors import OURS_TO_PUT_RIGHT, Refused, StepError
from domain.examination import Answer, Counterpart, Examination, ExaminationRequest
from domain.findings import Finding
from providers.breaker import one_attempt
from providers.cancellations.port import Register
from providers.carrier.port import Intercepts, Labels
from providers.gateway.port import PaymentGateway
from providers.mail.port import Mailer
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue
from runtime.version import VERSION

T = TypeVar("T")

DEADLINE = 5.0
"""Seconds in which a system answers."""

_NOBODYS_ID = "order-cancellation-doctor"
"""No order, payment, label or parcel has this id. A system that says so has answered."""


@dataclass(frozen=True)
class Counterparts:
    """The systems that a worker is connected to."""

    register: Register
    orders: Orders
    stored_value: StoredValue
    gateway: PaymentGateway
    labels: Labels
    intercepts: Intercepts
    mailer: Mailer

    @property
    def calls(self) -> Mapping[Counterpart, Callable[[], Awaitable[object]]]:
        """The cheapest call of each that changes nothing; `_ask_orders` has those of the orders."""
        return {
            Counterpart.DATABASE: lambda: self.register.of_order(_NOBODYS_ID),
            Counterpart.STORED_VALUE: lambda: self.stored_value.gift_card_used(_NOBODYS_ID),
            Counterpart.GATEWAY: lambda: self.gateway.read_payment(_NOBODYS_ID),
            Counterpart.LABELS: lambda: self.labels.track(_NOBODYS_ID),
            Counterpart.CARRIER: lambda: self.intercepts.active(_NOBODYS_ID),
            Counterpart.MAIL: lambda: _open_connection(self.mailer),
        }


class ExaminingActivities:
    def __init__(self, counterparts: Counterparts, policy_version: str) -> None:
        self._counterparts = counterparts
        self._policy_version = policy_version

    # Rule: A worker says which of its systems answer, and what is not known of the orders
    @activity.defn
    async def examine_counterparts(self, request: ExaminationRequest) -> Examination:
        """It changes nothing anywhere, and is answered in time whatever the systems do."""
        calls = self._counterparts.calls.items()
        answers, (failure, findings) = await asyncio.gather(
            asyncio.gather(*(_answer_of(counterpart, call) for counterpart, call in calls)),
            _ask_orders(self._counterparts.orders),
        )
        return Examination(
            version=VERSION,
            policy_version=self._policy_version,
            answers=(*answers, Answer(counterpart=Counterpart.ORDERS, failure=failure)),
            findings=findings,
        )


# Rule: A worker says which of its systems answer, and what is not known of the orders [at its start]
async def log_findings(orders: Orders) -> None:
    """One line for each thing that is not known. The worker starts in any case."""
    log = structlog.get_logger()
    failure, findings = await _ask_orders(orders)
    if failure is not None:
        log.warning("orders_do_not_answer", why=failure)
        return
    for finding in findings:
        if not finding.known:
            log.info("not_known_of_orders", subject=finding.subject.value, why=finding.sentence)


async def _ask_orders(orders: Orders) -> tuple[str | None, tuple[Finding, ...]]:
    """Why the order management system does not answer, or None, and what it can tell and do. One that reads orders and does
    not say what it can do has not answered either."""
    (unread, _), (unlisted, findings) = await asyncio.gather(
        _call(Counterpart.ORDERS, lambda: orders.read(_NOBODYS_ID)),
        _call(Counterpart.ORDERS, orders.list_findings),
    )
    return unread or unlisted, findings or ()


async def _open_connection(mailer: Mailer) -> None:
    async with mailer.connection() as connection:
        await connection.open()


async def _answer_of(counterpart: Counterpart, call: Callable[[], Awaitable[object]]) -> Answer:
    failure, _ = await _call(counterpart, call)
    return Answer(counterpart=counterpart, failure=failure)


# Rule: One filter says how many runs wait for a system that is away [since when]
async def _call(counterpart: Counterpart, call: Callable[[], Awaitable[T]]) -> tuple[str | None, T | None]:
    """Why there is no answer, or None, and what the call returns. Of a system that has been away for a while it says since
    when."""
    with one_attempt() as asked:
        failure, found = await _answer_to(counterpart, call)
        return asked.away.sentence if failure is not None and asked.away else failure, found


async def _answer_to(counterpart: Counterpart, call: Callable[[], Awaitable[T]]) -> tuple[str | None, T | None]:
    """That the system does not know what was asked for is an answer."""
    try:
        async with asyncio.timeout(DEADLINE):
            return None, await call()
    except Refused as refused:
        return refused.message if refused.code in OURS_TO_PUT_RIGHT else None, None
    except StepError as error:
        return error.message, None
    except TimeoutError:
        return f"There was no answer within {DEADLINE:g} seconds.", None
    except Exception as bug:  # noqa: BLE001 (reported to whoever asks)
        structlog.get_logger().exception("examination_met_a_bug", counterpart=counterpart.value)
        sentence = (
            f"An unexpected error ({type(bug).__name__}) came instead of an answer; its place is in the worker's log."
        )
        return sentence, None
