"""M28: records that this version of the API cannot read, because a newer one has written them, or that its code fails at."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.outcome import Outcome, State
from providers.books.cancellations import SqlRegister
from providers.books.inbox import SqlInbox
from providers.database.engine import open_engine, writing
from providers.events.port import Known
from providers.events.stripe import StripeEventKind
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from runtime.api_keys import KeyFile
from runtime.api_settings import ApiSettings
from sandbox.gateway.messages import EffectKind
from sandbox.shop import request
from tests.fixtures.api import KEYS_FILE, ApiSystem, environment, running_api
from tests.processes.events import holding, kept, was_delivered
from tests.providers import merchant as samples
from tests.system import POLICY, eventually
from tests.workflows.samples import captured
from web.parts import Parts, Temporal
from web.reconciler import Reconciler


async def add_fact_of_tomorrow(engine: AsyncEngine, order_id: str) -> None:
    """To the order's cancellation."""
    async with writing(engine).begin() as connection:
        row = (
            await connection.execute(
                text(
                    "SELECT facts.* FROM facts JOIN cancellations USING (cancellation_id) WHERE order_id = :order "
                    "ORDER BY seq DESC LIMIT 1"
                ),
                {"order": order_id},
            )
        ).one()
        values = {**row._mapping, "seq": row.seq + 1, "content": row.content.replace('"ended"', '"of_tomorrow"')}
        await connection.execute(
            text(f"INSERT INTO facts ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})"), values
        )


async def test_an_event_about_a_cancellation_that_cannot_be_read_is_logged_and_delayed(api_system: ApiSystem) -> None:
    """M28: the others go on."""
    system, api = api_system.system, api_system.api
    unreadable, other = captured(parcels=()), captured(parcels=())
    for sample in (unreadable, other):
        await system.shop.place_order(sample)
        assert (await system.cancel(request(sample))).outcome is Outcome.CANCELLED
    await add_fact_of_tomorrow(system.engine, unreadable.order_id)
    for sample in (unreadable, other):
        payment = system.shop.payments[sample.order_id][0]
        [made] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
        await system.shop.gateway.fail(made.object_id)
    again = system.current(other.order_id)
    await system.wait_for_state(again, State.NEEDS_ATTENTION)

    async def delayed() -> bool:
        return any(
            line["event"] == "event_delayed" and line["level"] == "error" and line["order_id"] == unreadable.order_id
            for line in api.lines()
        )

    await eventually(delayed, "it is logged as an error")
    assert (await api.get("/health")).status_code == 200
    await again.terminate("the test is over")


async def test_an_event_that_this_version_does_not_know_is_left_to_the_one_that_does(
    api_system: ApiSystem, sqlite_url: str, tmp_path: Path
) -> None:
    """M28: of a provider of tomorrow, whose tables are there already."""
    engine = open_engine(sqlite_url)
    try:
        await holding(engine, samples.order())
        events = SqlInbox(engine)
        for event_id in ("evt_new", "evt_old"):
            await events.receive(
                ProviderEvent(
                    provider=Provider.STRIPE, event_id=event_id, kind=StripeEventKind.REFUND_UPDATED, payment="pi_1"
                )
            )
        async with engine.connect() as connection:
            await connection.execute(text("PRAGMA ignore_check_constraints = ON"))
            await connection.execute(text("UPDATE webhook_events SET provider = 'tomorrow' WHERE event_id = 'evt_new'"))
            await connection.commit()
        async with running_api(tmp_path / "api.log", environment(api_system.temporal, sqlite_url)) as api:
            await was_delivered(engine, "evt_old")
            await asyncio.sleep(1.5)
            assert (await api.get("/health")).status_code == 200
        async with engine.connect() as connection:
            row = (await connection.execute(text("SELECT * FROM webhook_events WHERE provider = 'tomorrow'"))).one()
        assert (row.delivered_at, row.given_up_why, row.attempts) == (None, None, 0)
    finally:
        await engine.dispose()


class List:
    """A provider's list whose first event the books fail at."""

    provider = Provider.STRIPE

    async def since(self, at: datetime, known: Known) -> AsyncIterator[ProviderEvent]:
        for event_id in ("evt_bad", "evt_good"):
            if not await known(event_id):
                yield ProviderEvent(
                    provider=Provider.STRIPE, event_id=event_id, kind=StripeEventKind.REFUND_UPDATED, payment="pi_1"
                )

    async def aclose(self) -> None:
        pass


class Failing(SqlInbox):
    async def receive(self, event: ProviderEvent) -> EventStatus:
        if event.event_id == "evt_bad" and self.fails:
            raise ValueError("a mistake of ours")
        return await super().receive(event)

    fails = True


async def test_an_event_in_a_list_that_the_books_fail_at_holds_up_no_other(sqlite_url: str) -> None:
    """M28: it is looked at again at the next turn, however late that is."""
    engine = open_engine(sqlite_url)
    try:
        await holding(engine, samples.order())
        events = Failing(engine)
        settings = ApiSettings(
            database_url=sqlite_url, api_keys_file=KEYS_FILE, reconcile_every=timedelta(seconds=0.05)
        )
        parts = Parts(
            settings, Temporal(), events, SqlRegister(engine), KeyFile(KEYS_FILE, sandbox=True), POLICY, asyncio.Event()
        )
        reconciler = asyncio.create_task(Reconciler(parts, List()).run())

        async def good() -> bool:
            return await kept(engine, "evt_good") is not None

        await eventually(good, "the other event is kept")
        assert await kept(engine, "evt_bad") is None
        assert not reconciler.done()
        events.fails = False

        async def bad() -> bool:
            return await kept(engine, "evt_bad") is not None

        await eventually(bad, "it is kept after the deploy")
        reconciler.cancel()
    finally:
        await engine.dispose()
