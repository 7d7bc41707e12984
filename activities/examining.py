"""What this worker works with is examined: each system by a call that changes nothing, all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from temporalio import activity

from domain.errors import OURS_TO_PUT_RIGHT, Refused, StepError
from domain.examination import Answer, Counterpart, Examination, ExaminationRequest
from domain.findings import Finding
from providers.cancellations.port import Register
from providers.carrier.port import Intercepts, Labels
from providers.gateway.port import PaymentGateway
from providers.mail.port import Mailer
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue
from runtime.version import VERSION

DEADLINE = 5.0
"""Seconds in which a system answers."""

_UNKNOWN = "order-cancellation-doctor"
"""No order, payment, label or parcel has this name. Whoever says so has answered."""


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
        """The cheapest call of each that changes nothing."""
        return {
            Counterpart.DATABASE: lambda: self.register.of_order(_UNKNOWN),
            Counterpart.ORDERS: lambda: self.orders.read(_UNKNOWN),
            Counterpart.STORED_VALUE: lambda: self.stored_value.gift_card_used(_UNKNOWN),
            Counterpart.GATEWAY: lambda: self.gateway.read_payment(_UNKNOWN),
            Counterpart.LABELS: lambda: self.labels.track(_UNKNOWN),
            Counterpart.CARRIER: lambda: self.intercepts.active(_UNKNOWN),
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
        answers, about_orders = await asyncio.gather(
            asyncio.gather(*(_answer_of(counterpart, call) for counterpart, call in calls)),
            list_findings(self._counterparts.orders),
        )
        return Examination(
            version=VERSION,
            policy_version=self._policy_version,
            answers=tuple(_also_without_findings(answer, about_orders) for answer in answers),
            findings=() if isinstance(about_orders, str) else about_orders,
        )


async def list_findings(orders: Orders) -> tuple[Finding, ...] | str:
    """What the order management system can tell and do; a text: why that is not known."""
    found: list[tuple[Finding, ...]] = []

    async def read_findings() -> None:
        found.append(await orders.list_findings())

    failure = await _failure_of(Counterpart.ORDERS, read_findings)
    return found[0] if failure is None else failure


# Rule: A worker says which of its systems answer, and what is not known of the orders [at its start]
async def log_unknown(orders: Orders) -> None:
    """One line for each. A worker starts whatever comes of it."""
    log = structlog.get_logger()
    failure = await _failure_of(Counterpart.ORDERS, lambda: orders.read(_UNKNOWN))
    findings = failure or await list_findings(orders)
    if isinstance(findings, str):
        log.warning("orders_do_not_answer", why=findings)
        return
    for finding in findings:
        if not finding.known:
            log.info("not_known_of_orders", subject=finding.subject.value, why=finding.sentence)


def _also_without_findings(answer: Answer, about_orders: tuple[Finding, ...] | str) -> Answer:
    """An order management system that reads orders and does not say what it can do has not answered either."""
    if answer.counterpart is Counterpart.ORDERS and answer.failure is None and isinstance(about_orders, str):
        return Answer(counterpart=answer.counterpart, failure=about_orders)
    return answer


async def _open_connection(mailer: Mailer) -> None:
    async with mailer.connection() as connection:
        await connection.open()


async def _answer_of(counterpart: Counterpart, call: Callable[[], Awaitable[object]]) -> Answer:
    return Answer(counterpart=counterpart, failure=await _failure_of(counterpart, call))


async def _failure_of(counterpart: Counterpart, call: Callable[[], Awaitable[object]]) -> str | None:
    """Why there is no answer; None: there is one. That it does not know what was asked for is an answer."""
    try:
        async with asyncio.timeout(DEADLINE):
            await call()
    except Refused as refused:
        return refused.message if refused.code in OURS_TO_PUT_RIGHT else None
    except StepError as error:
        return error.message
    except TimeoutError:
        return f"There was no answer within {DEADLINE:g} seconds."
    except Exception as bug:  # noqa: BLE001 (reported here to whoever can put it right)
        structlog.get_logger().exception("examination_met_a_bug", counterpart=counterpart.value)
        return (
            f"An unexpected error ({type(bug).__name__}) came instead of an answer; its place is in the worker's log."
        )
    return None
