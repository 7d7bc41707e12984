"""Where a cancellation stands, as far as can be seen from outside: live, by its result, or by what it published."""

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey

from domain.base import Value
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, PaperStatus, Progress, State
from domain.request import ReasonCode, workflow_id
from domain.step import Owner
from runtime import search_attributes as attributes

Word = TypeVar("Word", bound=StrEnum)


class Source(StrEnum):
    """Where a status comes from: the run itself, its result, or what it last published for the list of runs."""

    RUN = "run"
    RESULT = "result"
    LAST_PUBLISHED = "last_published"


class Status(Progress):
    """Progress with its source. `sentence` says how the cancellation ended, or why this is not live."""

    source: Source
    sentence: str = ""

    @classmethod
    def live(cls, progress: Progress) -> "Status":
        return cls(**dict(progress), source=Source.RUN)

    @classmethod
    def ended(cls, result: CancellationResult) -> "Status":
        both = Progress.model_fields.keys() & CancellationResult.model_fields.keys()
        return cls(
            **{name: getattr(result, name) for name in both},
            state=State(result.outcome.value),
            source=Source.RESULT,
            sentence=result.sentence,
        )

    @classmethod
    async def last_published(cls, run: WorkflowExecution, sentence: str) -> "Status":
        seen = await Summary.of(run)
        return cls(
            cancellation_id=seen.cancellation_id or "",
            order_id=seen.order_id,
            state=seen.state,
            goods=seen.goods,
            money=seen.money,
            paper=seen.paper,
            source=Source.LAST_PUBLISHED,
            sentence=sentence,
        )


class Execution(StrEnum):
    """What the engine says of the run. `canceled`, `terminated` and `timed_out` mean that the run was lost: nothing was
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
    """One cancellation in a list, by its latest run. What the run has not published yet is `untouched` or None, and so is
    the id of the cancellation where the request was refused and no book keeps it."""

    order_id: str
    run_id: str
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

    @property
    def key(self) -> tuple[str, str | None]:
        """Runs with the same are of one cancellation."""
        return self.order_id, self.cancellation_id

    @classmethod
    async def of(cls, run: WorkflowExecution) -> "Summary":
        status = run.status or WorkflowExecutionStatus.RUNNING
        return cls(
            order_id=run.id.removeprefix(workflow_id("")),
            run_id=run.run_id,
            cancellation_id=await memo_id(run),
            execution=Execution(status.name.lower()),
            state=_published(run, attributes.STATE, State) or State.RUNNING,
            reason=_published(run, attributes.REASON, ReasonCode),
            goods=_published(run, attributes.GOODS, GoodsStatus) or GoodsStatus.UNTOUCHED,
            money=_published(run, attributes.MONEY, MoneyStatus) or MoneyStatus.UNTOUCHED,
            paper=_published(run, attributes.PAPER, PaperStatus) or PaperStatus.UNTOUCHED,
            owner=_published(run, attributes.OWNER, Owner),
            due_at=run.typed_search_attributes.get(attributes.DUE_AT),
            started_at=await run.memo_value("opened_at", run.start_time, type_hint=datetime),
            ended_at=run.close_time,
        )


async def memo_id(run: WorkflowExecution) -> str | None:
    """The id of the cancellation, as the run shows it from its start and corrects it by the books."""
    found: str | None = await run.memo_value("cancellation_id", None, type_hint=str)
    return found


def _published(run: WorkflowExecution, key: SearchAttributeKey[str], words: type[Word]) -> Word | None:
    """A search attribute of a run, None when it is absent or a word that this version does not know."""
    value = run.typed_search_attributes.get(key)
    return words(value) if value in set(words) else None
