"""Texts of people at a run, on PostgreSQL, which takes less than SQLite does."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from domain.case import Case
from domain.decision import Decision, Rule, Verdict
from domain.facts import Approved, Ended, Entry, Fact, RollBackOrdered
from domain.outcome import ActionRow, GoodsStatus, MoneyStatus, Outcome, PaperStatus, Progress, State, Wait
from domain.step import Owner, StepName, StepRow, StepStatus
from domain.terms import RefundMethod
from sandbox import books
from sandbox.shop import request
from tests.fixtures.databases import Databases
from tests.fixtures.system import Parts, on_database
from tests.system import SUPERVISOR, Handle, System, resolve
from tests.workflows.samples import captured
from workflows.run_page import describe


@pytest.fixture
async def pg_system(databases: Databases, parts: Parts, time_skipping: WorkflowEnvironment) -> AsyncIterator[System]:
    url = await databases.postgresql()
    async with (
        on_database(time_skipping, url.render_as_string(hide_password=False), parts) as system,
        system.worker(),
    ):
        yield system
    await databases.drop(url)


@pytest.mark.parametrize("reference", ["BANK\x00 0042", "   ", "\u202e", "BANK\n0042"], ids=repr)
async def test_a_proof_that_the_books_cannot_keep_is_refused_where_it_is_typed(
    pg_system: System, reference: str
) -> None:
    """F17, E12: by a caller of any SDK, whom no library of ours checks."""
    sample = captured(parcels=())
    await pg_system.shop.place_order(sample)
    await pg_system.shop.gateway.dispute(pg_system.shop.payments[sample.order_id][0])
    _, handle = await pg_system.submit(request(sample))
    await pg_system.wait_for_state(handle, State.NEEDS_ATTENTION)
    typed = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK 0042").model_dump(mode="json")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("resolve_step", {**typed, "reference": reference})
    said = str(refused.value.cause)
    assert "reference: it " in said
    for foreign in ("pydantic", "Traceback", "\n", reference):
        assert foreign not in said
    await pg_system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await pg_system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", " BANK 0042 "))
    result = await pg_system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert "BANK 0042" in {entry.reference for entry in await books.ledger(pg_system.engine)}
    assert all(entry.reference.strip() for entry in await books.ledger(pg_system.engine))
    assert SUPERVISOR in {entry.actor for entry in result.actions}


async def read_page(handle: Handle) -> str:
    page: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return page.current_details


async def test_the_page_offers_what_is_taken_and_a_refusal_is_a_sentence(pg_system: System) -> None:
    """P2, P3: each line of the page is refused as it stands, in words and without a place in the code, and taken once
    it is filled in; the number of the dispute is. After the end there is none."""
    sample = captured(parcels=())
    await pg_system.shop.place_order(sample)
    await pg_system.shop.gateway.dispute(pg_system.shop.payments[sample.order_id][0])
    _, handle = await pg_system.submit(request(sample))
    await pg_system.wait_for_state(handle, State.NEEDS_ATTENTION)
    offered = re.findall(r"^- \*\*(\w+)\*\*: .*\n  `(.*)`$", await read_page(handle), re.MULTILINE)
    assert [update for update, _ in offered] == ["retry_step", *["resolve_step"] * 4]
    for update, line in offered:
        for arguments in ((), (json.loads(line),)):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update(update, args=arguments)
            cause = refused.value.cause
            assert isinstance(cause, ApplicationError)
            assert cause.message.startswith(
                "The message " if arguments else f"The update {update} takes one JSON object"
            )
            assert cause.failure is not None
            assert not cause.failure.stack_trace
    by_hand = json.loads(next(line for _, line in offered if "done_by_hand" in line))
    await handle.execute_update("resolve_step", {**by_hand, "actor": "refund_department:R-1"})
    assert (await pg_system.end(handle)).outcome is Outcome.CANCELLED
    assert "{" not in await read_page(handle)


def test_no_text_becomes_a_link_or_a_picture_on_the_runs_page() -> None:
    """E12: the Temporal UI shows it as Markdown. Ids and references are of those who send them."""
    evil, at = "![x](https://a.example/x.png)<img src=//a.example>[y](//a.example)`", datetime(2026, 3, 1, tzinfo=UTC)
    row = StepRow(
        step=StepName.REVERSE_PAYMENT,
        target=evil,
        status=StepStatus.RESOLVED,
        detail=evil,
        reference=evil,
        started_at=at,
        ended_at=at,
    )
    wait = Wait(state=State.NEEDS_ATTENTION, owner=Owner.OPERATIONS, reason=f"{evil}\n# {evil}", due_at=at)
    cause = RollBackOrdered(sentence=evil)
    case = Case(
        [
            Entry(seq=seq, at=at, fact=fact)
            for seq, fact in enumerate((cause, Ended(outcome=Outcome.ROLLED_BACK, sentence=f"{evil}.")), 1)
        ]
    )
    page = describe(
        Progress(
            cancellation_id="can-1",
            order_id="O-1",
            state=State.NEEDS_ATTENTION,
            goods=GoodsStatus.UNTOUCHED,
            money=MoneyStatus.UNTOUCHED,
            paper=PaperStatus.UNTOUCHED,
            waits=(wait.model_copy(update={"step": StepName.REVERSE_PAYMENT, "target": evil}), wait),
            steps=(row,),
            actions=(ActionRow(action=evil, actor=SUPERVISOR, note=evil, at=at),),
        ),
        case,
    )
    page = re.sub(r"`[^`]*`", "", page)  # what stands between back quotes is shown as it is
    assert evil[:-1] not in page
    assert "<" not in page
    assert page.count("[") == page.count("\\[") > 0
    assert "\n# " not in page


@pytest.mark.parametrize("tender_id", ["T\u200b1", " T1", "T" * 300, "", "T\n1", "T`1"], ids=ascii)
def test_a_wait_has_its_page_whatever_the_shop_calls_its_tenders(tender_id: str) -> None:
    """E12: the ids of lines, parcels and tenders are the shop's. What no message can name is not offered."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    wait = Wait(
        state=State.NEEDS_ATTENTION,
        owner=Owner.REFUND_DEPARTMENT,
        reason="The card is closed.",
        due_at=at,
        step=StepName.REVERSE_PAYMENT,
        target=tender_id,
        choices=(RefundMethod.STORE_CREDIT,),
    )
    page = describe(
        Progress(
            cancellation_id="can-1",
            order_id="O-1",
            state=State.NEEDS_ATTENTION,
            goods=GoodsStatus.UNTOUCHED,
            money=MoneyStatus.UNTOUCHED,
            paper=PaperStatus.UNTOUCHED,
            waits=(wait, wait.model_copy(update={"target": "T2"})),
        ),
        Case(),
    )
    assert "Waits for **refund department**" in page
    lines = [json.loads(line) for line in re.findall(r"^  `(\{.*)`$", page, re.MULTILINE)]
    assert {line["target"] for line in lines if "target" in line} == {
        "T2",
        *({tender_id} if tender_id == "T`1" else ()),
    }


@pytest.mark.parametrize(
    ("fact", "asked"),
    [
        (None, True),
        (Approved(by=SUPERVISOR), False),
        (RollBackOrdered(sentence="The customer keeps the order."), False),
    ],
    ids=["not answered", "approved", "rolled back"],
)
def test_the_page_asks_for_an_approval_until_somebody_has_answered(fact: Fact | None, asked: bool) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    decision = Decision(
        verdict=Verdict.NEEDS_APPROVAL,
        rule=Rule.ABOVE_LIMIT,
        policy_version="2026-12",
        sentence="A second person has to approve.",
    )
    progress = Progress(
        cancellation_id="can-O-1-0",
        order_id="O-1",
        state=State.RUNNING,
        goods=GoodsStatus.UNTOUCHED,
        money=MoneyStatus.UNTOUCHED,
        paper=PaperStatus.UNTOUCHED,
        decision=decision,
    )
    page = describe(progress, Case([Entry(seq=1, at=at, fact=fact)] if fact else []))
    assert (decision.sentence in page) is asked
