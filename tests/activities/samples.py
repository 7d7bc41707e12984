"""A cancellation that has come to its money, and attempts of its steps one at a time, as a worker makes them."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.payments import PaymentActivities
from activities.signatures import StepInput
from activities.tenders import Payments
from domain.case import Case
from domain.facts import Run
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.plan import PlannedTender
from domain.shipment import Shipment
from domain.step import StepName
from providers.books.books import SqlBooks
from providers.gateway.stripe import StripeGateway
from sandbox import built_in
from tests.providers.merchant import RUN, Cancellation, Merchant, cancellation, line, order
from tests.workflows.samples import an_id

T = TypeVar("T")
In = TypeVar("In", bound=StepInput)

ATTEMPT = timedelta(seconds=30)
"""How long an attempt may last."""


def planned(
    reference: str, *, refund: str = "0.00 USD", release: str = "0.00 USD", capturable: str | None = None
) -> PlannedTender:
    """Card T1 gets back what was captured and what is only reserved; `capturable`: more than `release` is reserved."""
    back, free = money(refund), money(release)
    return PlannedTender(
        tender=Tender(tender_id="T1", kind=TenderKind.CARD, amount=back + free, reference=reference),
        refund=back,
        release=free,
        refundable=back,
        capturable=money(capturable) if capturable else free,
        captured=back,
        refunded=back - back,
    )


@dataclass(frozen=True)
class Begun:
    """An order of one card, decided, planned and held, and nothing given back yet."""

    cancellation: Cancellation
    merchant: Merchant

    @property
    def books(self) -> SqlBooks:
        return self.merchant.books

    @property
    def cancellation_id(self) -> str:
        return self.cancellation.cancellation_id

    async def case(self) -> Case:
        """What the books know."""
        return await self.merchant.case(self.cancellation)

    async def step(self, name: StepName, target: str = "T1") -> StepInput:
        """What the run orders next, when it knows all that the books know."""
        case = await self.case()
        return StepInput(
            cancellation_id=self.cancellation_id,
            order_id=self.cancellation.order_id,
            target=target,
            key=case.key_of(name, target),
            last_seq=case.last_seq,
        )


async def begin(
    database: AsyncEngine, tender: PlannedTender, *shipments: Shipment, balances: Mapping[str, Money] | None = None
) -> Begun:
    """`balances` of gift cards, as `built_in.add_order` takes them."""
    paid = tender.tender
    placed = order(an_id(), lines=(line(str(paid.amount)),), tenders=(paid,), shipments=shipments)
    await built_in.add_order(database, placed, email="customer@example.test", balances=balances)
    asked = cancellation(placed)
    plan = asked.plan.model_copy(update={"tenders": (tender,)})
    begun = dataclasses.replace(asked, decided=asked.decided.model_copy(update={"plan": plan}))
    merchant = Merchant.at(database)
    await merchant.hold(begun)
    return Begun(begun, merchant)


def environment(run: Run = RUN, *, begun: datetime | None = None, may_last: timedelta = ATTEMPT) -> ActivityEnvironment:
    """Where an attempt of this run is made; `begun`: not just now."""
    made = ActivityEnvironment()
    made.info = dataclasses.replace(
        made.info,
        workflow_namespace=run.namespace,
        namespace=run.namespace,
        workflow_run_id=run.run_id,
        started_time=begun or datetime.now(UTC),
        start_to_close_timeout=may_last,
    )
    return made


async def attempt(
    activity: Callable[[In], Awaitable[T]], step: In, run: Run = RUN, *, begun: datetime | None = None
) -> T:
    """One attempt of a step."""
    return await environment(run, begun=begun).run(activity, step)


def payments_at(database: AsyncEngine, gateway: StripeGateway) -> PaymentActivities:
    """As a worker hosts them, without a marketplace."""
    merchant = Merchant.at(database)
    return PaymentActivities(
        register=merchant.books,
        outbox=merchant.books,
        orders=merchant.orders,
        stored_value=merchant.stored_value,
        gateway=gateway,
        payments=Payments(merchant.books, merchant.stored_value, gateway, None),
    )
