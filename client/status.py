"""Where a cancellation stands, as far as can be seen from outside: live, by its result, or by what it published."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from temporalio.common import SearchAttributeKey

from client import pauses
from client.engine import Execution, Run
from domain.base import Value
from domain.money import Money, money
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, PaperStatus, Progress, State, Wait
from domain.request import ReasonCode
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
    def last_published(cls, run: Run, sentence: str) -> "Status":
        seen = Summary.of(run)
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

    def while_paused(self, waits: Sequence[Wait]) -> "Status":
        """With what waits for somebody to unpause it before the waits of its own."""
        return self.model_copy(update={"state": pauses.STATE, "waits": (*waits, *self.waits)}) if waits else self


class Summary(Value):
    """One cancellation in a list, by its latest run. What the run has not published yet is `untouched` or None, and so is
    the id of the cancellation where the request was refused and no book keeps it. `paused`: somebody has paused the run, or
    a step of it; then it needs the attention of operations, whatever it has published."""

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
    amount: Money | None
    started_at: datetime
    ended_at: datetime | None
    paused: bool = False

    @property
    def key(self) -> tuple[str, str | None]:
        """Runs with the same are of one cancellation."""
        return self.order_id, self.cancellation_id

    @classmethod
    def of(cls, run: Run) -> "Summary":
        return cls(
            order_id=run.order_id,
            run_id=run.run_id,
            cancellation_id=run.cancellation_id,
            execution=run.execution,
            state=pauses.STATE if run.is_paused else published_state(run),
            reason=_published(run, attributes.REASON, ReasonCode),
            goods=_published(run, attributes.GOODS, GoodsStatus) or GoodsStatus.UNTOUCHED,
            money=_published(run, attributes.MONEY, MoneyStatus) or MoneyStatus.UNTOUCHED,
            paper=_published(run, attributes.PAPER, PaperStatus) or PaperStatus.UNTOUCHED,
            owner=pauses.OWNER if run.is_paused else _published(run, attributes.OWNER, Owner),
            due_at=run.attributes.get(attributes.DUE_AT),
            amount=_published_amount(run),
            started_at=run.started_at,
            ended_at=run.closed_at,
            paused=run.is_paused,
        )


def published_state(run: Run) -> State:
    """What the run has said itself when it last began or ceased to wait."""
    return _published(run, attributes.STATE, State) or State.RUNNING


def _published(run: Run, key: SearchAttributeKey[str], words: type[Word]) -> Word | None:
    """A search attribute of a run, None when it is absent or a word that this version does not know."""
    value = run.attributes.get(key)
    return words(value) if value in set(words) else None


def _published_amount(run: Run) -> Money | None:
    """None when it is absent, or not written as this version writes it."""
    try:
        return money(run.attributes.get(attributes.AMOUNT, ""))
    except ValueError:
        return None
