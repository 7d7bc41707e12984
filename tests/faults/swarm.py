"""The swarm: random orders, people, policies and faults, side by side, while worker processes are killed and started again.

python -m tests.faults.swarm --seed 1 --orders 2000 --database postgresql --results DIR

The orders are run in plans of some dozens, each on processes and a database of its own, so that a plan that fails can be run
again. With --shrink it is cut down to the shortest plan that still fails, which becomes a test. What was run stands in DIR,
a line for each plan, and is not run again on the same code. Ends with 1 when anything is violated.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from domain.request import workflow_id
from runtime import logs
from sandbox.carrier.model import Operation
from tests.faults.confidential import shown_in_logs
from tests.faults.crowd import Crowd
from tests.faults.disturbing import Disturber
from tests.faults.drawing import draw_plan
from tests.faults.events import dispatching_events
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Violation, World
from tests.faults.plan import ActKind, Plan, PlannedOrder
from tests.faults.rest import NotAtRest
from tests.faults.results import Results, report
from tests.faults.sharing import make_payments
from tests.faults.shrinking import shrink
from tests.faults.site import Site, standing
from tests.faults.stage import Database
from tests.faults.swarm_results import PlanResult, name_of
from tests.faults.world import read_worlds
from tests.fixtures.databases import Databases
from tests.replaying import list_handles

FOUND = Path(__file__).with_name("found")
ORDERS_OF_A_PLAN = 50
AT_ONCE = 30
_PLACED_AT_ONCE = 6
_TRIES = 3
"""Moments are not exact: a plan that fails may pass once."""
_LOOKS = frozenset({Operation.SHIPMENT_READ, Operation.TRACKER_READ})


async def run_plan(plan: Plan, folder: Path, databases: Databases, database: Database) -> PlanResult:
    """Run a plan and check everything in the end."""
    began = time.monotonic()
    async with standing(folder, plan, databases, database) as site:
        disturber = Disturber(site, plan.disturbances)
        crowds = await _place_orders(site, plan, disturber)
        found = await _see_through(crowds, disturber)
        found += [violation for crowd in crowds for violation in crowd.seen]
        faults = Counter(_describe_hit(crowd, hit) for crowd in crowds for hit in crowd.hits) + disturber.hits
        faults += await _faults_met(crowds)
        for crowd, world in zip(
            crowds, await read_worlds(site.system, [crowd.watched for crowd in crowds]), strict=True
        ):
            broken = violations(world)
            if broken:
                await _keep(crowd, world, folder)
            found += broken
        found += shown_in_logs(process.log for process in site.workers.started)
    return PlanResult(
        case=name_of(plan.seed, database),
        seed=plan.seed,
        database=database,
        orders=len(crowds),
        faults=dict(sorted(faults.items())),
        violations=tuple(found),
        seconds=round(time.monotonic() - began, 1),
        hit=bool(faults),
        survived=not found,
    )


def _describe_hit(crowd: Crowd, hit: str) -> str:
    is_shared = bool(crowd.watched.captured_for) and hit in {ActKind.REFUNDED_BY_OTHERS, ActKind.CAPTURED_BY_OTHERS}
    return f"act {hit}{' of a shared payment' if is_shared else ''}"


async def _place_orders(site: Site, plan: Plan, disturber: Disturber) -> list[Crowd]:
    some = asyncio.Semaphore(_PLACED_AT_ONCE)

    async def place_planned_order(planned: PlannedOrder) -> Crowd:
        async with some:
            return await Crowd.place_order(site.system, planned, disturber.count_look, site.archive)

    orders = await make_payments(site.system.shop.gateway, plan)
    return list(await asyncio.gather(*(place_planned_order(planned) for planned in orders)))


async def _see_through(crowds: Sequence[Crowd], disturber: Disturber) -> list[Violation]:
    """Some dozens at a time, and the processes disturbed beside them. Then the carrier's events of what happened since."""
    system = crowds[0].system
    async with dispatching_events(system):
        disturbing = asyncio.create_task(disturber.run())
        try:
            ends = await _bring_to_rest(crowds, Crowd.see_through)
        finally:
            await disturber.end(disturbing)
        await system.shop.carrier.clear_faults()
        return ends + await _bring_to_rest(crowds, Crowd.hear_of_parcels)


async def _bring_to_rest(crowds: Sequence[Crowd], come_to_rest: Callable[[Crowd], Awaitable[None]]) -> list[Violation]:
    some = asyncio.Semaphore(AT_ONCE)

    async def seen(crowd: Crowd) -> Violation | None:
        async with some:
            try:
                await come_to_rest(crowd)
            except NotAtRest as moves:
                return Violation(
                    invariant=Invariant.TERMINAL,
                    order_id=crowd.planned.order_id,
                    sentence=f"does not come to rest: {moves}",
                )
        return None

    ends = await asyncio.gather(*(seen(crowd) for crowd in crowds))
    return [violation for violation in ends if violation]


async def _faults_met(crowds: Sequence[Crowd]) -> Counter[str]:
    """As the gateway counts what is left of its faults, and the carrier the calls that they were for. Looks at parcels are
    not counted: they may have been those of the harness."""
    met = Counter[str]()
    for crowd in crowds:
        shop, planned = crowd.system.shop, Counter[str]()
        for fault in crowd.planned.gateway_faults:
            planned[crowd.payments[fault.payment]] += fault.times
        for payment, times in planned.items():
            met["gateway fault"] += times - await shop.gateway.faults_left(payment)
        asked = Counter[tuple[str, Operation]]()
        for found in crowd.planned.carrier_faults:
            if found.operation not in _LOOKS:
                asked[crowd.labels[found.label], found.operation] += found.times
        for (label, operation), times in asked.items():
            met["carrier fault"] += min(times, (await shop.carrier.calls(label)).get(operation.value, 0))
    return +met


async def _keep(crowd: Crowd, world: World, folder: Path) -> None:
    """What is broken is looked into: the order as it was planned and as it was seen, and the histories of its runs."""
    order_id = crowd.planned.order_id
    seen = f"{crowd.planned.model_dump_json()}\n{world.model_dump_json()}\n"
    (folder / f"{order_id}.json").write_text(seen, encoding="utf-8")
    for handle in await list_handles(crowd.system, workflow_id(order_id)):
        history = await handle.fetch_history()
        (folder / f"{history.run_id}.history.json").write_text(history.to_json(), encoding="utf-8")


# The command


def seeds_of(seed: int, orders: int) -> list[tuple[int, int]]:
    """The plans that so many orders are divided into: the seed and the number of orders of each."""
    whole, rest = divmod(orders, ORDERS_OF_A_PLAN)
    sizes = [ORDERS_OF_A_PLAN] * whole + ([rest] if rest else [])
    return [(seed * 1_000 + number, size) for number, size in enumerate(sizes)]


async def _shortest(plan: Plan, case: PlanResult, folder: Path, databases: Databases, database: Database) -> Plan:
    """The shortest plan that breaks one of the same invariants."""
    broken = {violation.invariant for violation in case.violations}
    tried = 0

    async def fails(cut: Plan) -> bool:
        nonlocal tried
        for _ in range(_TRIES):
            tried += 1
            again = await run_plan(cut, folder / f"try-{plan.seed}-{tried}", databases, database)
            same = broken & {violation.invariant for violation in again.violations}
            report(f"  try {tried}: {cut.size} parts, {'still fails' if same else 'passes'}")
            if same:
                return True
        return False

    orders = {violation.order_id for violation in case.violations}
    suspects = plan.model_copy(update={"orders": tuple(order for order in plan.orders if order.order_id in orders)})
    return await shrink(suspects if suspects.orders and await fails(suspects) else plan, fails)


def _keep_as_test(plan: Plan) -> Path:
    """test_swarm.py runs every plan of this folder."""
    FOUND.mkdir(exist_ok=True)
    file = FOUND / f"seed_{plan.seed}.json"
    file.write_text(plan.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
    return file


async def _run(arguments: argparse.Namespace, folder: Path) -> int:
    database = Database(arguments.database)
    results = Results(PlanResult, arguments.results, f"swarm-{database}")
    databases = Databases(folder)
    plans = seeds_of(arguments.seed, arguments.orders)
    found: list[PlanResult] = []
    try:
        for number, (seed, size) in enumerate(plans, start=1):
            name = name_of(seed, database)
            known = results.found.get(name)
            if known and known.orders == size:
                found.append(known)
                continue
            plan = draw_plan(seed, size)
            case = await run_plan(plan, folder / f"plan-{seed}", databases, database)
            results.add(case)
            found.append(case)
            report(
                f"{number} of {len(plans)}: {name}, {case.orders} orders, {sum(case.faults.values())} faults, "
                f"{len(case.violations)} violations, {case.seconds:.0f} s"
            )
            for violation in case.violations:
                report(f"  {violation}")
            if case.violations and arguments.shrink:
                shortest = await _shortest(plan, case, folder, databases, database)
                file = _keep_as_test(shortest)
                print(f"{file.read_text(encoding='utf-8')}It is a test now: {file}", flush=True)
    finally:
        await databases.stop()
    orders, seconds = sum(case.orders for case in found), sum(case.seconds for case in found)
    violated = sum(len(case.violations) for case in found)
    print(
        f"{orders} orders on {database}, {sum(sum(case.faults.values()) for case in found)} faults that reached something, "
        f"{violated} violations; {orders / max(seconds, 1) * 60:.0f} orders a minute"
    )
    return 1 if violated else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--database", choices=[*Database], default=Database.SQLITE)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--shrink", action="store_true", help="cut a plan that fails down to the shortest that does")
    arguments = parser.parse_args()
    logs.configure(logs.LogFormat.JSON, logs.LogLevel.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="swarm-"))
    code = asyncio.run(_run(arguments, folder))
    if code:
        report(f"The logs are in {folder}.")
    else:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
