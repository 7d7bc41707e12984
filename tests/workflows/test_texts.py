"""Texts of people at a run, on PostgreSQL, which takes less than SQLite does."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox import books
from sandbox.shop import request
from tests.fixtures.databases import Databases
from tests.fixtures.system import Parts, on_database
from tests.system import SUPERVISOR, System, resolve
from tests.workflows.samples import captured


@pytest.fixture
async def pg_system(databases: Databases, parts: Parts, time_skipping: WorkflowEnvironment) -> AsyncIterator[System]:
    url = await databases.postgresql()
    async with (
        on_database(time_skipping, url.render_as_string(hide_password=False), parts) as system,
        system.worker(),
    ):
        yield system
    await databases.drop(url)


@pytest.mark.xfail(strict=True, reason="taken; the step after the pivot is stuck, or the proof in the ledger is blank")
@pytest.mark.parametrize("reference", ["BANK\x00 0042", "   ", "\u202e", "BANK\n0042"], ids=repr)
async def test_a_proof_that_the_books_cannot_keep_is_refused_where_it_is_typed(
    pg_system: System, reference: str
) -> None:
    """F17, E12: by a caller of any SDK, whom no library of ours checks."""
    sample = captured(parcels=())
    await pg_system.shop.place(sample)
    await pg_system.shop.gateway.dispute(pg_system.shop.payments[sample.order_id][0])
    _, handle = await pg_system.submit(request(sample))
    await pg_system.waits_for(handle, State.NEEDS_ATTENTION)
    typed = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK 0042").model_dump(mode="json")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("resolve_step", {**typed, "reference": reference})
    said = str(refused.value.cause)
    assert "reference: it " in said
    for foreign in ("pydantic", "Traceback", "\n", reference):
        assert foreign not in said
    await pg_system.waits_for(handle, State.NEEDS_ATTENTION)
    await pg_system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", " BANK 0042 "))
    result = await pg_system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert "BANK 0042" in {entry.reference for entry in await books.ledger(pg_system.engine)}
    assert all(entry.reference.strip() for entry in await books.ledger(pg_system.engine))
    assert SUPERVISOR in {entry.actor for entry in result.actions}
