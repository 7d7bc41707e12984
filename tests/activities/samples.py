"""A cancellation that has come to its money, and attempts of its steps one at a time, as a worker makes them."""

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.signatures import StepInput
from domain.case import Case
from domain.facts import Run
from domain.money import money
from domain.order import Tender, TenderKind
from domain.plan import PlannedTender
from domain.step import StepName
from providers.order_book.book import SqlOrderBook
from providers.register.sql import SqlRegister
from sandbox import books
from tests.providers.order_book_samples import RUN, Cancellation, cancellation, hold, line, order
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
    book: SqlOrderBook
    register: SqlRegister

    @property
    def cancellation_id(self) -> str:
        return self.cancellation.cancellation_id

    async def case(self) -> Case:
        """What the books know."""
        return Case(await self.register.read(self.cancellation_id))

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


async def begin(book: SqlOrderBook, register: SqlRegister, database: AsyncEngine, tender: PlannedTender) -> Begun:
    paid = tender.tender
    placed = order(an_id(), lines=(line(str(paid.amount)),), tenders=(paid,))
    await books.add_order(database, placed, email="customer@example.test")
    asked = cancellation(placed)
    plan = asked.plan.model_copy(update={"tenders": (tender,)})
    begun = dataclasses.replace(asked, decided=asked.decided.model_copy(update={"plan": plan}))
    await hold(book, begun)
    return Begun(begun, book, register)


def environment(run: Run = RUN, *, begun: datetime | None = None) -> ActivityEnvironment:
    """Where an attempt of this run is made; `begun`: not just now."""
    made = ActivityEnvironment()
    made.info = dataclasses.replace(
        made.info,
        workflow_namespace=run.namespace,
        namespace=run.namespace,
        workflow_run_id=run.run_id,
        started_time=begun or datetime.now(UTC),
        start_to_close_timeout=ATTEMPT,
    )
    return made


async def attempt(
    activity: Callable[[In], Awaitable[T]], step: In, run: Run = RUN, *, begun: datetime | None = None
) -> T:
    """One attempt of a step."""
    return await environment(run, begun=begun).run(activity, step)
