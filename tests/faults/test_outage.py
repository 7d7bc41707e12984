"""The gateway is away while many runs need it: it is left alone, everybody is seen to wait, and its return is no storm.

Small, and with rounds of seconds; `python -m tests.faults.outage` is the same at its size and with the product's own clocks.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.outcome import State
from providers.breaker import OPENS_AFTER
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import FaultKind
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin
from sandbox.shop import request
from tests.faults.outage import Front, Outage
from tests.fixtures.gateway import GatewaySandbox, gateway_process
from tests.fixtures.system import Parts, on_database
from tests.fixtures.temporal import start_dev_server
from tests.observing import eventually
from tests.system import System
from tests.workflows.samples import captured

pytestmark = pytest.mark.long

RUNS = 60
DURING = RUNS - RUNS // 10


@pytest.fixture
async def outage(sqlite_url: str, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outage]:
    """On a server and a gateway of its own: everything there is counted."""
    process = gateway_process(tmp_path_factory).start()
    async with await start_dev_server() as server, GatewayAdmin(process.url) as admin, Front(process.url) as front:
        gateway = StripeGateway(SANDBOX_KEY, front.url)
        own = replace(parts, gateway=gateway, gateway_sandbox=GatewaySandbox(process, admin))
        async with on_database(server, sqlite_url, own) as system:
            async with system.worker():
                yield Outage(system.client, system.shop, front, system.task_queue)
            await gateway.aclose()
    process.stop()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("short_rounds")
async def test_a_gateway_that_is_away_is_left_alone_and_all_go_on_when_it_is_back(outage: Outage) -> None:
    """M11, I1, I3, I6, rule 14"""

    async def all_wait() -> bool:
        return await outage.count_waiting() == DURING

    async def wait_for_all(_: Outage) -> None:
        await eventually(all_wait, "everybody is seen to wait for the gateway", within=200)

    figures = await outage.measure(RUNS, wait_for_all, seconds=5)
    assert figures.problems == ()
    assert figures.refunds == RUNS
    # Each run has tried several times. What has come to the gateway are the calls that opened the breaker, those that were
    # under way then, and now and then one more.
    assert figures.attempts > 3 * RUNS
    assert OPENS_AFTER <= figures.calls_away < RUNS
    assert figures.calls_after <= DURING * figures.undisturbed_calls, (
        "nobody has asked more often than on any other day"
    )


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("short_rounds")
async def test_a_wait_says_what_the_last_attempt_has_met(real_time_system: System) -> None:
    """Rule 14: also where the round ends in the middle of an attempt, as a time-out whose own words say nothing."""
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.DROP_BEFORE_COMMIT, times=6)
    await system.disturb_look(sample.order_id, FaultKind.SLOW, seconds=30, times=1_000)
    async with system.worker():
        handle = await system.start(request(sample))
        [wait] = (await system.wait_for_state(handle, State.NEEDS_ATTENTION)).waits
    assert wait.reason.startswith("The gateway")
