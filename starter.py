"""Start, watch and steer cancellations: `Cancellations` for Python, and the same on the command line.

    python starter.py start O-1 --actor customer:C-1 --reason no_longer_needed
    python starter.py watch O-1

Every command answers with an exit code, and with `--json` in the models of `domain/`:

    0  done, or accepted and under way
    1  the order was not cancelled: rejected, withdrawn, rolled back, or the run was lost
    2  wrong input
    3  Temporal cannot be reached, or does not let us in
    4  there is no such order, or no cancellation of it
    5  refused: the cancellation does not allow that now, or the request conflicts with an earlier one
    6  not decided, or still running, when the time to wait was over; it goes on

How to reach Temporal comes from the environment (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, …). A one-line sentence on
standard error says what went wrong and what to do next.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from hashlib import sha256
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import uuid4

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from domain.base import Value
from domain.errors import ErrorCode
from domain.messages import (
    Acknowledgement,
    Approve,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    Submission,
    Withdraw,
)
from domain.outcome import (
    CancellationResult,
    GoodsStatus,
    MoneyStatus,
    Outcome,
    Owner,
    PaperStatus,
    Progress,
    State,
    StepName,
    StepStatus,
    Wait,
)
from domain.plan import Plan
from domain.policy import Rule, Verdict
from domain.request import (
    Actor,
    ActorKind,
    BusinessId,
    CancellationRequest,
    Channel,
    LineScope,
    ReasonCode,
    cancellation_id,
    workflow_id,
)
from runtime import search_attributes as attributes
from runtime.plugin import TASK_QUEUE, plugin
from runtime.settings import connection
from workflows.cancellation import CancellationWorkflow

T = TypeVar("T")
Message = TypeVar("Message", bound=Value)
Word = TypeVar("Word", bound=StrEnum)

DECISION_WAIT = timedelta(seconds=30)
STEERING_WAIT = timedelta(seconds=30)
QUERY_WAIT = timedelta(seconds=5)
POLL = timedelta(seconds=1)

# A request that arrives while the order's last run is closing is sent again; it then meets a new run.
_SENDINGS = 3
_RUN_CLOSED_FIRST = "AcceptedUpdateCompletedWorkflow"  # the server's name for an update that its run did not answer


class ExitCode(IntEnum):
    """How a call ended; documented at the top of this module."""

    DONE = 0
    NOT_CANCELLED = 1
    WRONG_INPUT = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNDECIDED = 6


class StarterError(Exception):
    """What a caller has to know, in one sentence that says what to do next."""

    def __init__(self, code: ExitCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Source(StrEnum):
    """Where a status comes from: the run itself, its result, or what it last published for the list of runs."""

    RUN = "run"
    RESULT = "result"
    LAST_PUBLISHED = "last_published"


class Status(Progress):
    """Progress with its source. `sentence` says how the cancellation ended, or why this is not live."""

    source: Source
    sentence: str = ""


class Execution(StrEnum):
    """What the engine says of the run. All but `running`, `completed` and `failed` mean that the run was lost: nothing was
    rolled back, and the order may still be on hold."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"
    CONTINUED_AS_NEW = "continued_as_new"
    PAUSED = "paused"


class Summary(Value):
    """One cancellation in a list. What the run has not published yet is `untouched` or None."""

    order_id: str
    cancellation_id: str | None
    execution: Execution
    state: State
    reason: ReasonCode | None
    goods: GoodsStatus
    money: MoneyStatus
    paper: PaperStatus
    owner: Owner | None
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None


class Cancellations:
    """Cancellations on one Temporal namespace. Every method raises `StarterError` and nothing else of its own."""

    def __init__(self, client: Client, *, task_queue: str = TASK_QUEUE) -> None:
        self._client = client
        self._task_queue = task_queue

    @classmethod
    async def connect(cls) -> "Cancellations":
        """Connect as the environment says."""
        try:
            config = connection()
        except (RuntimeError, ValueError):
            raise StarterError(
                ExitCode.WRONG_INPUT,
                "Temporal's connection settings cannot be read; look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ "
                "variables.",
            ) from None
        try:
            return cls(await Client.connect(**config, plugins=[plugin()]))
        except (RPCError, RuntimeError, ValueError):
            raise _unreachable(config["target_host"]) from None

    # Starting

    async def start(self, request: CancellationRequest, wait: timedelta = DECISION_WAIT) -> Submission:
        """Ask for a cancellation and wait for the decision, with the amounts. Safe to repeat after a lost answer: nothing
        is done twice. The same request gets the same decision while its cancellation is under way, and the result once it
        is over. Another request for the same order joins the one that is under way.

        StarterError: REFUSED when the request id was used with other content, NOT_CANCELLED when verification failed and
        was rolled back, UNDECIDED when the decision takes longer than `wait`.
        """
        order_id = request.order_id
        try:
            return await self._told(order_id, _within(wait, self._submit(request)))
        except TimeoutError:
            pass
        waited = f"{wait.total_seconds():g} seconds"
        if await self._runs(order_id):
            raise StarterError(
                ExitCode.UNDECIDED,
                f"The cancellation of order {order_id} has begun and is not decided after {waited}; it goes on. Look with: "
                f"starter.py status {order_id}",
            )
        raise StarterError(
            ExitCode.UNDECIDED,
            f"The request for order {order_id} was not answered within {waited}; send the same one again, that is safe.",
        )

    async def _runs(self, order_id: str) -> bool:
        try:
            run = await self._told(order_id, self._handle(order_id).describe())
        except StarterError as error:
            if error.code is not ExitCode.NOT_FOUND:
                raise
            return False
        return run.status is WorkflowExecutionStatus.RUNNING

    async def _submit(self, request: CancellationRequest) -> Submission:
        # New for every call: Temporal would answer a known id out of the ended run, although the request was withdrawn
        # since, or has other content. Run and order book know a repeated request by its request id.
        update_id = f"{request.request_id}/{uuid4().hex[:8]}"
        sent = 0
        while True:
            start = self._start_operation(request)
            sent += 1
            try:
                return await self._client.execute_update_with_start_workflow(
                    CancellationWorkflow.submit, request, start_workflow_operation=start, id=update_id
                )
            except (RPCError, WorkflowUpdateFailedError, RPCTimeoutOrCancelledError) as error:
                # The operation holds the same error, and would complain that nobody looked at it.
                await asyncio.gather(start.workflow_handle(), return_exceptions=True)
                if sent == _SENDINGS or not _run_was_closing(error):
                    raise

    def _start_operation(
        self, request: CancellationRequest
    ) -> WithStartWorkflowOperation[CancellationWorkflow, CancellationResult]:
        scope = "whole order" if request.whole_order else f"{len(request.lines)} lines"
        return WithStartWorkflowOperation(
            CancellationWorkflow.run,
            request,
            id=workflow_id(request.order_id),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            memo={"cancellation_id": cancellation_id(request.order_id, request.request_id)},
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(attributes.ORDER_ID, request.order_id),
                    SearchAttributePair(attributes.STATE, State.RUNNING),
                    SearchAttributePair(attributes.REASON, request.reason),
                ]
            ),
            static_summary=f"Cancel order {request.order_id}: {scope}, {request.reason}",
            static_details=_HOW_TO_STEER.format(order_id=request.order_id),
        )

    # Looking

    async def status(self, order_id: str) -> Status:
        """Where the order's latest cancellation stands. When no worker answers, what it last published."""
        handle = self._handle(order_id)
        run = await self._told(order_id, handle.describe())
        if run.status is not WorkflowExecutionStatus.RUNNING:
            try:
                return _status_of(await self._told(order_id, _ended(order_id, handle)))
            except StarterError as lost:
                if lost.code is not ExitCode.NOT_CANCELLED:
                    raise
                return await _last_published(order_id, run, lost.sentence)
        try:
            progress = await handle.query(CancellationWorkflow.progress, rpc_timeout=QUERY_WAIT)
        except WorkflowQueryFailedError:
            pass
        except RPCError as error:
            if error.status not in _NO_WORKER:
                raise await self._explained(order_id, error) from None
        else:
            return Status(**dict(progress), source=Source.RUN)
        return await _last_published(
            order_id,
            run,
            "No worker answers at the moment, so this is what the run published when it last began or ceased to wait. "
            "Nothing is lost: it goes on as soon as a worker runs.",
        )

    async def watch(self, order_id: str, every: timedelta = POLL) -> AsyncIterator[Status | CancellationResult]:
        """Each new status, then the result. The end is awaited beside the looks, so it is told at once; what happened
        between two looks stands in the step table of the next."""
        now = await self.status(order_id)
        end = asyncio.create_task(self.result(order_id))
        seen: Status | None = None
        try:
            while now.source is not Source.RESULT:
                if now != seen:
                    seen = now
                    yield now
                await asyncio.wait({end}, timeout=every.total_seconds())
                if end.done():
                    break
                now = await self.status(order_id)
            yield await end
        finally:
            end.cancel()
            await asyncio.gather(end, return_exceptions=True)

    async def result(self, order_id: str, wait: timedelta | None = None) -> CancellationResult:
        """Wait for the end of the order's latest cancellation, for ever or for `wait`. A roll-back is a result as well.

        StarterError: UNDECIDED when it has not ended in time, NOT_CANCELLED when the run was lost.
        """
        try:
            return await self._told(order_id, _within(wait, _ended(order_id, self._handle(order_id))))
        except TimeoutError:
            assert wait is not None
            raise StarterError(
                ExitCode.UNDECIDED,
                f"The cancellation of order {order_id} has not ended within {wait.total_seconds():g} seconds; it goes on. "
                f"Look with: starter.py status {order_id}",
            ) from None

    # Steering

    async def approve(self, order_id: str, message: Approve) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.approve, message)

    async def reject(self, order_id: str, message: Reject) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.reject, message)

    async def withdraw(self, order_id: str, message: Withdraw) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.withdraw, message)

    async def retry_step(self, order_id: str, message: RetryStep) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.retry_step, message)

    async def resolve_step(self, order_id: str, message: ResolveStep) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.resolve_step, message)

    async def _steer(
        self,
        order_id: str,
        update: UpdateMethodMultiParam[[Any, Message], Acknowledgement],
        message: Message,
    ) -> Acknowledgement:
        """StarterError: REFUSED with the run's own reason, or because it is over; UNDECIDED when no worker took it."""
        handle = self._handle(order_id)
        try:
            return await self._told(order_id, _within(STEERING_WAIT, handle.execute_update(update, message)))
        except TimeoutError:
            raise StarterError(
                ExitCode.UNDECIDED,
                f"No worker answered for order {order_id} within {STEERING_WAIT.total_seconds():g} seconds; the message may "
                f"still be taken. Look before you repeat it: starter.py status {order_id}",
            ) from None
        except StarterError as error:
            if error.code is not ExitCode.NOT_FOUND:
                raise
        over = await self.status(order_id)  # or the sentence that there is no cancellation at all
        raise StarterError(
            ExitCode.REFUSED,
            f"The cancellation of order {order_id} is over ({_words(over.state)}); nothing can be changed any more.",
        )

    # Listing

    async def list(
        self, *, state: State | None = None, owner: Owner | None = None, limit: int = 50
    ) -> Sequence[Summary]:
        """The latest cancellations, running ones first; those in one state, or those that wait for one owner. The list
        lags a moment behind the runs."""
        # The values are enums of ours, so there is nothing to escape.
        wanted = ["WorkflowType = 'CancellationWorkflow'"]
        wanted += [f"{attributes.STATE.name} = '{state.value}'"] if state else []
        wanted += [f"{attributes.OWNER.name} = '{owner.value}'"] if owner else []

        async def found() -> Sequence[Summary]:
            runs = self._client.list_workflows(" AND ".join(wanted), limit=limit)
            return [await _summary(run) async for run in runs]

        return await self._told(None, found())

    # Failures

    def _handle(self, order_id: str) -> WorkflowHandle[CancellationWorkflow, CancellationResult]:
        return self._client.get_workflow_handle_for(CancellationWorkflow.run, workflow_id(order_id))

    async def _told(self, order_id: str | None, call: Awaitable[T]) -> T:
        """The call's answer; its failures as sentences. Only TimeoutError is left to the caller."""
        try:
            return await call
        except RPCError as error:
            raise await self._explained(order_id, error) from None
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from None
        except RPCTimeoutOrCancelledError:
            raise TimeoutError from None

    async def _explained(self, order_id: str | None, error: RPCError) -> StarterError:
        address = self._client.service_client.config.target_host
        namespace = self._client.namespace
        if error.status is RPCStatusCode.NOT_FOUND and "amespace" in error.message:
            return StarterError(
                ExitCode.UNREACHABLE,
                f"Temporal at {address} has no namespace {namespace}; create it, or set TEMPORAL_NAMESPACE.",
            )
        if error.status is RPCStatusCode.NOT_FOUND:
            return StarterError(
                ExitCode.NOT_FOUND,
                f"There is no cancellation of order {order_id}; start one with: starter.py start {order_id}",
            )
        if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
            return StarterError(
                ExitCode.UNREACHABLE,
                f"Temporal at {address} refuses our credentials for namespace {namespace}; check TEMPORAL_API_KEY and the "
                "certificates.",
            )
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            missing = await attributes.missing(self._client)
            if missing:
                return StarterError(
                    ExitCode.UNREACHABLE,
                    f"Namespace {namespace} lacks search attributes; create them with: "
                    + attributes.creating_command(missing, namespace),
                )
        if error.status is RPCStatusCode.UNAVAILABLE:
            return _unreachable(address)
        return StarterError(
            ExitCode.UNREACHABLE,
            f"Temporal at {address} could not answer ({error.status.name.lower()}); repeat the call, it is safe.",
        )


_HOW_TO_STEER = """\
**Request Cancellation** in the menu of this page cancels *the cancellation*: everything done so far is rolled back, last
step first, as long as the money has not begun to move. After that it has no effect.

**Terminate** rolls nothing back: the order stays on hold and its parcels stay stopped. Do not use it.

To act, use the updates `approve`, `reject`, `withdraw`, `retry_step` and `resolve_step`, or the command line:

    starter.py status {order_id}
    starter.py approve|reject|withdraw {order_id} --actor customer_service:YOUR-ID
    starter.py retry|resolve {order_id} --actor refund_department:YOUR-ID
"""

# The answers to a query when no worker polls, or none in time, or the one that does cannot go on with the run.
_NO_WORKER = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}


def derived_request_id(request: CancellationRequest) -> str:
    """A request id for a caller that has none, from the content: asking twice for the same is one request."""
    content = request.model_copy(update={"request_id": ""}).model_dump_json()
    return f"req-{sha256(content.encode()).hexdigest()[:12]}"


async def _within(wait: timedelta | None, call: Coroutine[Any, Any, T]) -> T:
    """The call's answer, or TimeoutError after `wait`. It runs in a task of its own because Temporal's client turns a
    cancelled update call into an error: so the caller's own cancel stays a cancel."""
    task = asyncio.create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=wait.total_seconds() if wait else None)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ended(order_id: str, handle: WorkflowHandle[CancellationWorkflow, CancellationResult]) -> CancellationResult:
    """The result of a run, also out of the failure that a roll-back ends with."""
    try:
        return await handle.result()
    except WorkflowFailureError as failure:
        cause = failure.cause
    if isinstance(cause, ApplicationError):
        if cause.type == ErrorCode.ROLLED_BACK and cause.details:
            return CancellationResult.model_validate(cause.details[0])
        raise StarterError(
            ExitCode.NOT_CANCELLED,
            f"The run for order {order_id} failed without an outcome ({cause.type}); what it did stands in the history of "
            f"workflow {workflow_id(order_id)} in the Temporal UI.",
        )
    raise StarterError(
        ExitCode.NOT_CANCELLED,
        f"The run for order {order_id} was ended from outside (terminated or timed out) and rolled nothing back, so the "
        "order may still be on hold. Send the request again: it is taken up where the order book left it.",
    )


def _run_was_closing(error: Exception) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        return isinstance(error.cause, ApplicationError) and error.cause.type == _RUN_CLOSED_FIRST
    return isinstance(error, RPCError) and error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.ABORTED}


def _unreachable(address: str) -> StarterError:
    return StarterError(
        ExitCode.UNREACHABLE,
        f"Temporal does not answer at {address}. Start it, or set TEMPORAL_ADDRESS to where it is.",
    )


def _refusal(error: WorkflowUpdateFailedError) -> StarterError:
    """The sentence of a validator, or the cause of a roll-back that came before the decision."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return StarterError(ExitCode.NOT_CANCELLED, "The run ended before it could answer; look at its result.")
    code = ExitCode.NOT_CANCELLED if cause.type == ErrorCode.ROLLED_BACK else ExitCode.REFUSED
    return StarterError(code, cause.message)


def _status_of(result: CancellationResult) -> Status:
    return Status(
        **{
            name: getattr(result, name)
            for name in Progress.model_fields.keys() & CancellationResult.model_fields.keys()
        },
        state=State(result.outcome.value),
        source=Source.RESULT,
        sentence=result.sentence,
    )


async def _last_published(order_id: str, run: WorkflowExecution, sentence: str) -> Status:
    return Status(
        cancellation_id=await run.memo_value("cancellation_id", "", type_hint=str),
        order_id=order_id,
        state=_published(run, attributes.STATE, State) or State.RUNNING,
        goods=_published(run, attributes.GOODS, GoodsStatus) or GoodsStatus.UNTOUCHED,
        money=_published(run, attributes.MONEY, MoneyStatus) or MoneyStatus.UNTOUCHED,
        paper=_published(run, attributes.PAPER, PaperStatus) or PaperStatus.UNTOUCHED,
        source=Source.LAST_PUBLISHED,
        sentence=sentence,
    )


async def _summary(run: WorkflowExecution) -> Summary:
    status = run.status or WorkflowExecutionStatus.RUNNING
    return Summary(
        order_id=run.id.removeprefix(workflow_id("")),
        cancellation_id=await run.memo_value("cancellation_id", None, type_hint=str),
        execution=Execution(status.name.lower()),
        state=_published(run, attributes.STATE, State) or State.RUNNING,
        reason=_published(run, attributes.REASON, ReasonCode),
        goods=_published(run, attributes.GOODS, GoodsStatus) or GoodsStatus.UNTOUCHED,
        money=_published(run, attributes.MONEY, MoneyStatus) or MoneyStatus.UNTOUCHED,
        paper=_published(run, attributes.PAPER, PaperStatus) or PaperStatus.UNTOUCHED,
        owner=_published(run, attributes.OWNER, Owner),
        due_at=run.typed_search_attributes.get(attributes.DUE_AT),
        started_at=run.start_time,
        ended_at=run.close_time,
    )


def _published(run: WorkflowExecution, key: SearchAttributeKey[str], words: type[Word]) -> Word | None:
    """A search attribute of a run, None when it is absent or a word that this version does not know."""
    value = run.typed_search_attributes.get(key)
    return words(value) if value in set(words) else None


# The command line


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Start, watch and steer order cancellations.",
    epilog="\b\n" + dedent((__doc__ or "").partition("`domain/`:\n\n")[2].partition("\n\nHow")[0]),
)


def _business_id(text: str) -> str:
    try:
        return TypeAdapter(BusinessId).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(_BAD_ID) from None


def _actor(text: str) -> Actor:
    kind, _, name = text.partition(":")
    if kind not in set(ActorKind):
        raise typer.BadParameter(f"write it as KIND:ID, where KIND is one of {', '.join(ActorKind)}.")
    return Actor(kind=ActorKind(kind), id=_business_id(name))


def _line(text: str) -> LineScope:
    line_id, _, quantity = text.rpartition("=")
    if not quantity.isdecimal() or int(quantity) < 1:
        raise typer.BadParameter("write it as LINE=QUANTITY, for example L1=2.")
    return LineScope(line_id=_business_id(line_id), quantity=int(quantity))


_BAD_ID = "an id is 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or digit."

OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", parser=_business_id, show_default=False)]
WhoActs = Annotated[
    Actor,
    typer.Option("--actor", metavar="KIND:ID", parser=_actor, show_default=False, help="Who acts, e.g. risk:R-7."),
]
Note = Annotated[str, typer.Option(help="For the record, at most 500 characters; no personal data.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
StepOption = Annotated[StepName | None, typer.Option(show_default=False, help="The step; needed when several wait.")]
TargetOption = Annotated[
    str | None, typer.Option(show_default=False, help="Its order, shipment or tender; needed when several wait.")
]


@app.command()
def start(
    order_id: Annotated[str | None, typer.Argument(metavar="ORDER_ID", parser=_business_id, show_default=False)] = None,
    *,
    actor: Annotated[
        Actor | None,
        typer.Option(metavar="KIND:ID", parser=_actor, show_default=False, help="Who asks, e.g. customer:C-1."),
    ] = None,
    reason: Annotated[ReasonCode | None, typer.Option(show_default=False)] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            parser=_business_id,
            show_default=False,
            help="Who must own the order; the actor, when a customer asks.",
        ),
    ] = None,
    channel: Annotated[Channel, typer.Option()] = Channel.BACK_OFFICE,
    note: Note = "",
    line: Annotated[
        list[LineScope] | None,
        typer.Option(
            metavar="LINE=QUANTITY",
            parser=_line,
            show_default=False,
            help="Cancel units of a line only; may be repeated. Without it: the whole order.",
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            parser=_business_id,
            show_default=False,
            help="Makes a repeated request the same one. Without it: derived from the content, so that asking twice for the "
            "same is one request; give a new id to ask once more on purpose.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", show_default=False, help="The whole request as JSON instead; - is standard input."
        ),
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for the decision.")] = 30,
    json: Json = False,
) -> None:
    """Ask for a cancellation. Answers with the decision and the amounts."""
    if file is not None:
        if any(given is not None for given in (order_id, actor, reason, customer, line, request_id)) or note:
            raise StarterError(
                ExitCode.WRONG_INPUT, "--file holds the whole request; give nothing else but --wait and --json."
            )
        request = _read_request(file)
    elif order_id is None or actor is None or reason is None:
        raise StarterError(ExitCode.WRONG_INPUT, "ORDER_ID, --actor and --reason are needed, or --file.")
    else:
        with _checked("The request"):
            request = CancellationRequest(
                request_id=request_id or "derived",
                order_id=order_id,
                customer_id=customer or (actor.id if actor.kind is ActorKind.CUSTOMER else None),
                actor=actor,
                channel=channel,
                reason=reason,
                note=note,
                lines=tuple(line or ()),
            )
        if request_id is None:
            request = request.model_copy(update={"request_id": derived_request_id(request)})

    async def work(cancellations: Cancellations) -> int:
        submission = await cancellations.start(request, timedelta(seconds=wait))
        unknown = submission.decision.rule is Rule.ORDER_NOT_FOUND
        if json:
            _print_json(submission)
        elif not unknown:
            _print(_submission_view(submission))
        if unknown:
            raise StarterError(ExitCode.NOT_FOUND, submission.decision.sentence)
        rejected = submission.decision.verdict is Verdict.REJECTED
        return ExitCode.NOT_CANCELLED if rejected else ExitCode.DONE

    _work(work)


@app.command()
def status(order_id: OrderId, json: Json = False) -> None:
    """Show where a cancellation stands. It is the order's latest one."""

    async def work(cancellations: Cancellations) -> int:
        now = await cancellations.status(order_id)
        _print_json(now) if json else _print(_progress_view(now))
        return ExitCode.DONE

    _work(work)


@app.command()
def watch(order_id: OrderId, json: Json = False) -> None:
    """Follow a cancellation to its end. With --json one document a line, the last one the result."""

    async def work(cancellations: Cancellations) -> int:
        following = cancellations.watch(order_id)
        if json:
            return await _follow(following, _print_json)
        if not _out.is_terminal:
            return await _follow(following, _PlainLines())
        with Live(console=_out, auto_refresh=False) as live:
            return await _follow(following, lambda news: live.update(_view(news), refresh=True))

    _work(work)


async def _follow(
    following: AsyncIterator[Status | CancellationResult], show: Callable[[Status | CancellationResult], None]
) -> int:
    code = ExitCode.UNDECIDED
    async for news in following:
        show(news)
        if isinstance(news, CancellationResult):
            code = _code_of(news)
    return code


@app.command()
def result(
    order_id: OrderId,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.1, show_default=False, help="How long to wait for the end; else for ever."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Wait for the end of a cancellation."""

    async def work(cancellations: Cancellations) -> int:
        ended = await cancellations.result(order_id, timedelta(seconds=wait) if wait else None)
        _print_json(ended) if json else _print(_result_view(ended))
        return _code_of(ended)

    _work(work)


@app.command(name="list")
def list_(
    state: Annotated[State | None, typer.Option(show_default=False, help="Those in this state only.")] = None,
    owner: Annotated[
        Owner | None, typer.Option(show_default=False, help="Those that wait for this owner only.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    json: Json = False,
) -> None:
    """List cancellations, the latest first."""

    async def work(cancellations: Cancellations) -> int:
        found = await cancellations.list(state=state, owner=owner, limit=limit)
        if json:
            print(TypeAdapter(list[Summary]).dump_json([*found]).decode())
        else:
            _print(_list_view(found))
        return ExitCode.DONE

    _work(work)


@app.command()
def approve(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Approve as the second person; the requester cannot."""
    with _checked("The approval"):
        message = Approve(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.approve(order_id, message), json)


@app.command()
def reject(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Refuse the approval; what was done is rolled back."""
    with _checked("The refusal"):
        message = Reject(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.reject(order_id, message), json)


@app.command()
def withdraw(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Take the request back. Possible as long as the money has not begun to move."""
    with _checked("The withdrawal"):
        message = Withdraw(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.withdraw(order_id, message), json)


@app.command()
def retry(
    order_id: OrderId,
    *,
    actor: WhoActs,
    step: StepOption = None,
    target: TargetOption = None,
    note: Note = "",
    json: Json = False,
) -> None:
    """Try a step that waits again, now."""

    async def send(cancellations: Cancellations) -> Acknowledgement:
        place = await _place(cancellations, order_id, step, target)
        with _checked("The message"):
            message = RetryStep(actor=actor, step=place[0], target=place[1], note=note)
        return await cancellations.retry_step(order_id, message)

    _steer(send, json)


@app.command()
def resolve(
    order_id: OrderId,
    *,
    actor: WhoActs,
    resolution: Annotated[Resolution, typer.Option(show_default=False)],
    reference: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="The proof, e.g. the number of the bank transfer.")
    ],
    step: StepOption = None,
    target: TargetOption = None,
    note: Note = "",
    json: Json = False,
) -> None:
    """Decide about a step that waits. Done by hand, nothing due, or roll everything back."""

    async def send(cancellations: Cancellations) -> Acknowledgement:
        place = await _place(cancellations, order_id, step, target)
        with _checked("The message"):
            message = ResolveStep(
                actor=actor, step=place[0], target=place[1], resolution=resolution, reference=reference, note=note
            )
        return await cancellations.resolve_step(order_id, message)

    _steer(send, json)


async def _place(
    cancellations: Cancellations, order_id: str, step: StepName | None, target: str | None
) -> tuple[StepName, str]:
    """The step that is meant: as named, else the only one that waits."""
    if step and target:
        return step, target
    waits = (await cancellations.status(order_id)).waits
    waiting = [(wait.step, wait.target) for wait in waits if wait.step and wait.target]
    meant = [(s, t) for s, t in waiting if step in {None, s} and target in {None, t}]
    if len(meant) == 1:
        return meant[0]
    all_of_them = ", ".join(f"{s} {t}" for s, t in waiting) or "none"
    raise StarterError(
        ExitCode.WRONG_INPUT if len(meant) > 1 else ExitCode.REFUSED,
        f"Name one step with --step and --target; of order {order_id} these wait: {all_of_them}.",
    )


def _steer(send: Callable[[Cancellations], Awaitable[Acknowledgement]], json: bool) -> None:
    async def work(cancellations: Cancellations) -> int:
        answer = await send(cancellations)
        _print_json(answer) if json else _print(Text(answer.sentence))
        return ExitCode.DONE

    _work(work)


def _work(work: Callable[[Cancellations], Awaitable[int]]) -> NoReturn:
    async def connected() -> int:
        return await work(await Cancellations.connect())

    raise typer.Exit(asyncio.run(connected()))


def _code_of(result: CancellationResult) -> ExitCode:
    cancelled = result.outcome in {Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED}
    return ExitCode.DONE if cancelled else ExitCode.NOT_CANCELLED


def _read_request(file: str) -> CancellationRequest:
    try:
        content = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StarterError(ExitCode.WRONG_INPUT, f"The request file {file} cannot be read: {why}.") from None
    with _checked("The request file"):
        return CancellationRequest.model_validate_json(content)


@contextlib.contextmanager
def _checked(what: str) -> Iterator[None]:
    """A model that does not validate, as a sentence: field and reason, never the value."""
    try:
        yield
    except ValidationError as error:
        problems = "; ".join(
            _problem(".".join(map(str, one["loc"])), one["type"], one["msg"]) for one in error.errors()
        )
        raise StarterError(ExitCode.WRONG_INPUT, f"{what} is not valid: {problems}.") from None


def _problem(place: str, kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch":
        message = _BAD_ID.removesuffix(".")
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


# What people see. All text is plain: nothing in a note or an answer is taken for markup or for terminal control.

_out = Console(markup=False, emoji=False, highlight=False)
if not _out.is_terminal:
    _out.width = 160

_MARKS = {
    StepStatus.RUNNING: ("▶", "cyan"),
    StepStatus.WAITING: ("…", "yellow"),
    StepStatus.DONE: ("✓", "green"),
    StepStatus.DECLINED: ("↩", "yellow"),
    StepStatus.NEEDS_ATTENTION: ("!", "bold red"),
    StepStatus.RESOLVED: ("✓", "magenta"),
    StepStatus.FAILED: ("✗", "red"),
}
_GOOD = {State.CANCELLED, State.PARTIALLY_CANCELLED}
_BAD = {State.NEEDS_ATTENTION, State.REJECTED, State.ROLLED_BACK, State.WITHDRAWN, State.ROLLING_BACK}


def _print(view: RenderableType) -> None:
    _out.print(view)


def _print_json(document: Value) -> None:
    print(document.model_dump_json(), flush=True)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _words(code: StrEnum) -> str:
    return code.value.replace("_", " ")


def _colour(state: State) -> str:
    return "bold green" if state in _GOOD else "bold red" if state in _BAD else "bold yellow"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _axes(about: Progress | CancellationResult) -> str:
    return f"goods {_words(about.goods)} · money {_words(about.money)} · paper {_words(about.paper)}"


def _submission_view(submission: Submission) -> RenderableType:
    decision = submission.decision
    colour = {Verdict.APPROVED: "bold green", Verdict.NEEDS_APPROVAL: "bold yellow", Verdict.REJECTED: "bold red"}
    parts: list[RenderableType] = [
        Text.assemble((_words(decision.verdict), colour[decision.verdict]), "  ", _plain(decision.sentence)),
        Text(
            f"cancellation {submission.cancellation_id} · request {submission.request_id} · policy "
            f"{decision.policy_version}, rule {_words(decision.rule)}",
            style="dim",
        ),
    ]
    if submission.joined:
        parts.append(Text("Another request opened this cancellation; this one joins it and causes nothing new."))
    if submission.plan:
        parts += ["", _plan_view(submission.plan)]
    if submission.result:
        parts += ["", _result_view(submission.result)]
        if _code_of(submission.result):
            parts += ["", Text("To ask anew, give another --request-id.", style="dim")]
    elif decision.verdict is not Verdict.REJECTED:
        parts += ["", Text(f"Follow it: starter.py watch {submission.order_id}", style="dim")]
    return Group(*parts)


def _plan_view(plan: Plan) -> Table:
    table = _table("plan", "of", "how")
    table.add_column("amount", justify="right")
    for line in plan.lines:
        table.add_row("cancel", f"{line.quantity} × {line.line_id}", line.sku, str(line.amount))
    if plan.shipping:
        table.add_row("cancel", "shipping charge", "", str(plan.shipping))
    for planned in plan.shipments:
        table.add_row("stop", planned.shipment.shipment_id, f"{_words(planned.action)} ({_words(planned.group)})")
    for tender in plan.tenders:
        kind = f"{tender.tender.tender_id} ({_words(tender.tender.kind)})"
        for action, amount in (("refund", tender.refund), ("release", tender.release)):
            if amount:
                table.add_row(action, kind, "", str(amount))
    for left in plan.left_out:
        table.add_row("keep", f"{left.quantity} × {left.line_id}", f"{_words(left.reason)}: offer a return")
    return table


def _timeline(about: Progress | CancellationResult) -> Table:
    """Steps and people's actions, the earliest first."""
    rows: list[tuple[datetime, Text, str, str, str, str]] = []
    for step in about.steps:
        mark, colour = _MARKS[step.status]
        detail = step.detail or _words(step.status)
        at = step.ended_at or step.started_at
        rows.append((at, Text(mark, style=colour), _words(step.step), step.target, detail, step.reference or ""))
    for entry in about.actions:
        rows.append((entry.at, Text("•"), entry.action, str(entry.actor), entry.note, ""))
    table = _table("UTC", "", "step", "target", "detail", "reference")
    for at, sign, *words in sorted(rows, key=lambda row: row[0]):
        table.add_row(_at(at), sign, *(_plain(word) for word in words))
    return table


def _progress_view(now: Status) -> RenderableType:
    parts: list[RenderableType] = [
        Text.assemble(f"order {now.order_id}  ", (_words(now.state), _colour(now.state)), f"  {_axes(now)}"),
        Text(f"cancellation {now.cancellation_id}", style="dim"),
    ]
    explained = now.sentence or (now.decision.sentence if now.decision else "")
    if explained not in {"", *(wait.reason for wait in now.waits)}:
        parts.append(Text(_plain(explained)))
    for wait in now.waits:
        place = f" ({_words(wait.step)} {wait.target})" if wait.step else ""
        waits = f"{_words(wait.owner)}{place}, due {_at(wait.due_at)} UTC: {wait.reason}"
        parts += [Text.assemble(("waits for ", "yellow"), _plain(waits)), _way_on(now, wait)]
    return Group(*parts, "", _timeline(now))


def _way_on(now: Status, wait: Wait) -> Text:
    """The commands that end a wait."""
    if wait.step is None:
        return Text(f"  starter.py approve|reject {now.order_id} --actor KIND:ID", style="dim")
    step = f"--actor KIND:ID --step {wait.step} --target {wait.target}"
    return Text(f"  starter.py retry|resolve {now.order_id} {step}", style="dim")


def _result_view(ended: CancellationResult) -> RenderableType:
    state = State(ended.outcome.value)
    parts: list[RenderableType] = [
        Text.assemble(f"order {ended.order_id}  ", (_words(state), _colour(state)), f"  {_axes(ended)}"),
        Text(f"cancellation {ended.cancellation_id}", style="dim"),
        Text(_plain(ended.sentence)),
    ]
    money = [
        f"{name} {amount}" for name, amount in (("refunded", ended.refunded), ("released", ended.released)) if amount
    ]
    if ended.credit_note:
        money.append(f"credit note {ended.credit_note}")
    if money:
        parts.append(Text(", ".join(money)))
    if ended.left_out:
        kept = ", ".join(f"{left.quantity} × {left.line_id} ({_words(left.reason)})" for left in ended.left_out)
        parts.append(Text(f"not cancelled, offer a return: {kept}"))
    return Group(*parts, "", _timeline(ended)) if ended.steps or ended.actions else Group(*parts)


def _view(news: Status | CancellationResult) -> RenderableType:
    return _result_view(news) if isinstance(news, CancellationResult) else _progress_view(news)


def _list_view(found: Sequence[Summary]) -> RenderableType:
    if not found:
        return Text("No cancellations.")
    table = _table("started (UTC)", "order", "state", "goods", "money", "paper", "waits for", "due")
    for one in found:
        lost = one.execution not in {Execution.RUNNING, Execution.COMPLETED, Execution.FAILED}
        state = Text(_words(one.state), style=_colour(one.state))
        table.add_row(
            _at(one.started_at),
            one.order_id,
            Text.assemble(state, (f" ({_words(one.execution)})", "bold red")) if lost else state,
            _words(one.goods),
            _words(one.money),
            _words(one.paper),
            _words(one.owner) if one.owner else "",
            _at(one.due_at) if one.due_at else "",
        )
    return table


class _PlainLines:
    """Each change as a line, for a log or a pipe."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, news: Status | CancellationResult) -> None:
        for row in news.steps:
            what = " ".join(filter(None, (_words(row.step), row.target, _words(row.status), row.detail)))
            self._say(row.ended_at or row.started_at, what)
        for entry in news.actions:
            self._say(entry.at, f"{entry.actor}: {entry.action}")
        if isinstance(news, CancellationResult):
            _print(_result_view(news.model_copy(update={"steps": (), "actions": ()})))
            return
        for wait in news.waits:
            self._say(None, f"waits for {_words(wait.owner)}, due {_at(wait.due_at)}: {wait.reason}")
        if news.sentence:
            self._say(None, news.sentence)

    def _say(self, at: datetime | None, what: str) -> None:
        line = _plain(what)
        if line not in self._seen:
            self._seen.add(line)
            print(f"{_at(at)}  {line}" if at else f"{'':19}  {line}", flush=True)


def main() -> int:
    """Run the command line; every known failure is one sentence on standard error."""
    # Temporal's client would report its retries on standard output, among the answers.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    try:
        return int(app(standalone_mode=False) or 0)
    except StarterError as error:
        code, sentence = error.code, error.sentence
    except BrokenPipeError:
        return ExitCode.DONE  # the reader has read all that it wanted
    except typer.TyperException as error:
        code, sentence = ExitCode.WRONG_INPUT, error.format_message().replace("Value error, ", "")
    print(_plain(sentence), file=sys.stderr)
    return code


def _leave(code: int) -> NoReturn:
    """Temporal's client has threads that may abort the interpreter while it shuts down, long after the answer was given.
    So that the exit code stays what it means, the process ends without that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
