"""A small swarm; and each plan that once broke something, cut down, breaks nothing any more."""

from pathlib import Path

import pytest

from domain.money import Money
from tests.faults.drawing import draw_plan
from tests.faults.plan import Plan
from tests.faults.stage import Database
from tests.faults.swarm import FOUND, run_plan
from tests.fixtures.databases import Databases

PLANS = {file.stem: Plan.model_validate_json(file.read_text(encoding="utf-8")) for file in sorted(FOUND.glob("*.json"))}

pytestmark = pytest.mark.timeout(600)


async def test_a_small_swarm_breaks_nothing(tmp_path: Path, databases: Databases) -> None:
    case = await run_plan(draw_plan(13, 15), tmp_path / "site", databases, Database.SQLITE)
    assert case.violations == ()
    assert sum(case.faults.values()) > 10


def test_some_orders_of_a_plan_share_a_payment() -> None:
    plan = draw_plan(12, 200)
    paid = {
        shared.name: [
            tender.amount for order in plan.orders for tender in order.sample.tenders if tender.payment == shared.name
        ]
        for shared in plan.shared_payments
    }
    assert len(paid) > 1
    for shared in plan.shared_payments:
        assert len(paid[shared.name]) == 2
        assert Money.total(paid[shared.name], shared.amount.currency) == shared.amount


@pytest.mark.parametrize("name", PLANS)
async def test_a_plan_that_was_found_breaks_nothing(name: str, tmp_path: Path, databases: Databases) -> None:
    case = await run_plan(PLANS[name], tmp_path / "site", databases, Database.SQLITE)
    assert case.violations == ()
