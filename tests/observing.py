"""What a test sees of a run and of the books beside its result; and messages that reach a run together."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowTaskFailedCause
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from domain.money import Money
from domain.order import Order
from domain.outcome import Outcome, Progress, State, Wait
from domain.request import CancellationRequest
from domain.step import Owner, StepName
from providers.books.inbox import SqlInbox
from providers.inbox.port import DueEvent, Provider
from sandbox import books, built_in
from tests import loss
from workflows.cancellation import CancellationWorkflow

Run = WorkflowHandle[Any, Any]
Message = Callable[[], Awaitable[None]]

update_id: ContextVar[str | None] = ContextVar("update_id", default=None)
"""The id of the next message that this task sends; None lets the client make one up."""


@dataclass
class Observing:
    """The server and the database of a system under test."""

    server: WorkflowEnvironment
    engine: AsyncEngine

    async def send_unheard(self, run: Run, *messages: Message) -> list[asyncio.Task[None]]:
        """Send messages while no worker polls, one after the other: the next worker meets all of them in one task."""
        sent = []
        for message in messages:
            known_as = uuid4().hex
            sent.append(asyncio.create_task(_send(message, known_as)))

            async def arrived(known_as: str = known_as) -> bool:
                return await self.has_arrived(run, known_as)

            await eventually(arrived, "the server has the message")
        return sent

    async def has_arrived(self, run: Run, known_as: str) -> bool:
        """Whether the server keeps an update for the run, taken by a worker or not."""
        client = self.server.client
        ref = UpdateRef(workflow_execution=WorkflowExecution(workflow_id=run.id), update_id=known_as)
        polling = PollWorkflowExecutionUpdateRequest(namespace=client.namespace, update_ref=ref)
        try:
            await client.workflow_service.poll_workflow_execution_update(polling)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def wait_for_attempt(self, run: Run) -> None:
        """Look until a worker is at work on an activity of the run."""

        async def started() -> bool:
            pending = (await run.describe()).raw_description.pending_activities
            return any(found.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED for found in pending)

        await eventually(started, "an activity of the run is under way")

    async def progress(self, run: Run) -> Progress:
        return await run.query(CancellationWorkflow.progress)

    async def _has_status(self, run: Run, status: WorkflowExecutionStatus | None) -> bool:
        return await loss.status(self.server.client, run) is status

    async def wait_for_state(self, run: Run, *states: State, within: float = 20) -> Progress:
        """Look until the run is in one of `states`; fails after `within` seconds."""
        seen: list[Progress] = []

        async def there() -> bool:
            seen.append(await run.query(CancellationWorkflow.progress))
            return seen[-1].state in states

        await eventually(there, f"the run is {' or '.join(states)}", within)
        return seen[-1]

    async def wait_for_wait(self, run: Run, wanted: Callable[[Wait], bool], what: str) -> Wait | None:
        """The first wait of the run that is as `wanted`; None when the run ends without one."""
        found: list[Wait] = []

        async def there() -> bool:
            running = await self._has_status(run, WorkflowExecutionStatus.RUNNING)
            found.extend(wait for wait in (await self.progress(run)).waits if wanted(wait))
            return bool(found) or not running

        await eventually(there, f"{what}, or the run ends")
        return found[0] if found else None

    async def wait_for_step(self, run: Run, step: StepName, target: str | None = None) -> Wait | None:
        """The wait for a person at `step`; None when the run ends without it."""
        return await self.wait_for_wait(
            run,
            lambda wait: wait.state is State.NEEDS_ATTENTION and wait.step is step and target in {None, wait.target},
            f"a person is needed at {step} {target or ''}",
        )

    async def wait_for_collection(self, run: Run, *, after: Wait | None = None) -> Wait | None:
        """The refund department's wait, other than the one `after` which it comes; None when the run ends without it."""
        return await self.wait_for_wait(
            run,
            lambda wait: (
                wait.state is State.NEEDS_ATTENTION
                and wait.owner is Owner.REFUND_DEPARTMENT
                and (after is None or wait.reason != after.reason)
            ),
            "the refund department is asked",
        )

    async def has_failed_task(self, run: Run) -> bool:
        """Whether the run's own code has met an error that it cannot go on from: operations see it, a deploy heals it."""
        causes = [
            event.workflow_task_failed_event_attributes.cause
            for event in (await run.fetch_history()).events
            if event.HasField("workflow_task_failed_event_attributes")
        ]
        return WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE in causes

    async def began_at(self, run: Run) -> datetime:
        """When the run started, by the server's clock."""
        return (await run.fetch_history()).events[0].event_time.ToDatetime(UTC)

    async def read_order(self, order_id: str) -> Order:
        """As it is now; `held_by` is whoever has frozen it in the order management system."""
        return await books.order(self.engine, order_id)

    async def store_credit(self, customer_id: str, currency: str = "USD") -> Money:
        """What is on the customer's store credit; zero where there is none."""
        with contextlib.suppress(NoResultFound):
            return await built_in.balance(self.engine, f"store-credit-{customer_id}-{currency}")
        return Money.zero(currency)

    async def outcomes(self, order_id: str) -> list[Outcome | None]:
        """How the order's cancellations stand in the books, oldest first; None is one that is open."""
        return [found.outcome for found in await books.cancellations(self.engine) if found.order_id == order_id]

    async def find_reopened(
        self, order_id: str, subject: str, *, taken: bool = False, won: bool = False
    ) -> CancellationRequest | None:
        """The request of the ended cancellation that the gateway's event about this refund, payment or dispute opens again.
        None: it is matched to none. `taken`: it says that a payment was taken, `won`: that a dispute was won."""
        event = DueEvent(
            provider=Provider.STRIPE,
            event_id=f"evt_{subject}",
            order_id=order_id,
            subject=subject,
            may_undo_outcome=True,
            attempts=1,
            received_at=datetime.now(UTC),
            payment_taken=taken,
            dispute_won=won,
        )
        ended = await SqlInbox(self.engine).find_ended(event)
        return ended.request if ended else None

    async def notices(self, order_id: str) -> list[books.OutboxNotice]:
        """What was written to the customer or to staff."""
        return [notice for notice in await books.notices(self.engine) if notice.order_id == order_id]

    async def paid_by_hand(self, reference: str, currency: str = "USD") -> Money:
        """What the ledger has under the reference that a person named."""
        return Money.total((t.amount for t in await books.ledger(self.engine) if t.reference == reference), currency)

    async def payable(self, currency: str = "USD") -> int:
        """What the ledger says that customers are owed; below zero, somebody was given more than was credited."""
        transfers = [t for t in await books.ledger(self.engine) if t.amount.currency == currency]
        account = "refunds_payable"
        return sum(t.amount.amount * ((t.credit == account) - (t.debit == account)) for t in transfers)

    async def references(self) -> set[str]:
        """What the transfers of the ledger name as their proof."""
        return {transfer.reference for transfer in await books.ledger(self.engine)}

    async def assert_books_balance(self) -> None:
        """I4: what was credited was settled, and every transfer names one reference."""
        transfers = await books.ledger(self.engine)
        assert all(transfer.reference and transfer.amount.amount > 0 for transfer in transfers)
        for currency in {transfer.amount.currency for transfer in transfers}:
            payable = await self.payable(currency)
            assert payable == 0, f"{payable} {currency} credited and not settled"


async def _send(message: Message, known_as: str) -> None:
    update_id.set(known_as)  # in this task alone
    await message()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, within: float = 20) -> None:
    """Poll a condition until it holds; fails with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, f"not in {within} s: {what}"
        await asyncio.sleep(0.02)
