"""What a run shows of itself: the step table, the waits, three axes; by query, in the Temporal UI, in search attributes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

from domain.clocks import RefundDue
from domain.outcome import (
    GoodsStatus,
    MoneyStatus,
    PaperStatus,
    Progress,
    StaffAction,
    State,
    StepName,
    StepRow,
    StepStatus,
    Wait,
)
from domain.policy import Decision
from domain.request import Actor, CancellationRequest
from runtime import search_attributes as attributes

# Of several waits at once the one that needs a person most is shown.
_URGENCY = (
    State.NEEDS_ATTENTION,
    State.WAITING_FOR_APPROVAL,
    State.WAITING_FOR_CARRIER,
    State.WAITING_FOR_SETTLEMENT,
)
_DETAILS_LIMIT = 18_000  # bytes; the server takes 20 kB


class Journal:
    """Every change is one method; each brings the current details up to date, which costs no event in the history. Search
    attributes do cost one, so they change only when the run starts or stops to wait, and at its end."""

    def __init__(self, request: CancellationRequest, cancellation_id: str) -> None:
        self.cancellation_id = cancellation_id
        self.order_id = request.order_id
        self._reason = request.reason
        self.goods = GoodsStatus.UNTOUCHED
        self.money = MoneyStatus.UNTOUCHED
        self.paper = PaperStatus.UNTOUCHED
        self.decision: Decision | None = None
        self.pivot_passed = False
        self.credit_note: str | None = None
        self.customer_id: str | None = None
        self.refund_due: RefundDue | None = None
        self.actions: list[StaffAction] = []
        self._base = State.RUNNING
        self._waits: list[Wait] = []
        self._rows: dict[tuple[StepName, str], StepRow] = {}
        self._published: object = None
        self._turned = ""

    @property
    def state(self) -> State:
        waiting = {wait.state for wait in self._waits}
        return next((state for state in _URGENCY if state in waiting), self._base)

    @property
    def closed(self) -> bool:
        return self._base not in {State.RUNNING, State.ROLLING_BACK}

    @property
    def rows(self) -> tuple[StepRow, ...]:
        return tuple(self._rows.values())

    def progress(self) -> Progress:
        return Progress(
            cancellation_id=self.cancellation_id,
            order_id=self.order_id,
            state=self.state,
            goods=self.goods,
            money=self.money,
            paper=self.paper,
            decision=self.decision,
            pivot_passed=self.pivot_passed,
            waits=tuple(self._waits),
            steps=self.rows,
            actions=tuple(self.actions),
            credit_note=self.credit_note,
            customer_id=self.customer_id,
            refund_due=self.refund_due,
        )

    def began(self, step: StepName, target: str) -> None:
        before = self._rows.get((step, target))
        started = before.started_at if before else workflow.now()
        self._put(StepRow(step=step, target=target, status=StepStatus.RUNNING, started_at=started))

    def ended(
        self, step: StepName, target: str, status: StepStatus, detail: str = "", reference: str | None = None
    ) -> None:
        row = self._rows[step, target]
        self._put(
            row.model_copy(
                update={"status": status, "detail": detail, "reference": reference, "ended_at": workflow.now()}
            )
        )

    def _put(self, row: StepRow) -> None:
        self._rows[row.step, row.target] = row
        self.show()

    def acted(self, action: str, actor: Actor, note: str) -> None:
        self.actions.append(StaffAction(action=action, actor=actor, note=note, at=workflow.now()))
        self.show()

    @contextmanager
    def waiting(self, wait: Wait) -> Iterator[None]:
        """The run waits for somebody: visible in its details and findable by its search attributes until it goes on."""
        if wait.step and wait.target and (row := self._rows.get((wait.step, wait.target))):
            attention = wait.state is State.NEEDS_ATTENTION
            status = StepStatus.NEEDS_ATTENTION if attention else StepStatus.WAITING
            self._rows[wait.step, wait.target] = row.model_copy(update={"status": status, "detail": wait.reason})
        self._waits.append(wait)
        self.publish()
        try:
            yield
        finally:
            self._waits.remove(wait)

    def went_on(self) -> None:
        """Nothing is waited for any more; say so, unless the run is about to end and will say more."""
        if not self._waits:
            self.publish()

    def rolling_back(self, why: str) -> None:
        self._base = State.ROLLING_BACK
        self._turned = why
        self.show()

    def close(self, outcome: State) -> None:
        self._base = outcome
        self.publish()

    def publish(self) -> None:
        """Details and search attributes. The first wait's owner and due time are the run's."""
        first = min(self._waits, key=lambda wait: _URGENCY.index(wait.state), default=None)
        shown = (self.state, self.goods, self.money, self.paper, first and (first.owner, first.due_at))
        if shown != self._published:
            self._published = shown
            self._upsert(first)
        self.show()

    def _upsert(self, first: Wait | None) -> None:
        updates: list[SearchAttributeUpdate[str] | SearchAttributeUpdate[datetime]] = [
            attributes.ORDER_ID.value_set(self.order_id),
            attributes.REASON.value_set(self._reason),
            attributes.STATE.value_set(self.state),
            attributes.GOODS.value_set(self.goods),
            attributes.MONEY.value_set(self.money),
            attributes.PAPER.value_set(self.paper),
            attributes.OWNER.value_set(first.owner) if first else attributes.OWNER.value_unset(),
            attributes.DUE_AT.value_set(first.due_at) if first else attributes.DUE_AT.value_unset(),
        ]
        workflow.upsert_search_attributes(updates)

    def show(self) -> None:
        workflow.set_current_details(describe(self.progress(), self._turned)[:_DETAILS_LIMIT])


_MARKS = {
    StepStatus.RUNNING: "▶",
    StepStatus.WAITING: "⏳",
    StepStatus.DONE: "✅",
    StepStatus.DECLINED: "↩",
    StepStatus.NEEDS_ATTENTION: "❗",
    StepStatus.RESOLVED: "☑",
    StepStatus.FAILED: "✖",
}


def describe(progress: Progress, turned: str) -> str:
    """The run as a page for a person, in the Markdown that the Temporal UI shows: lists, because it sets tables without
    space between the cells. `turned` says why the process has turned round."""
    lines = [f"**{_words(progress.state)}** · cancellation `{progress.cancellation_id}`", ""]
    if progress.decision:
        lines += [progress.decision.sentence, ""]
    if turned:
        lines += [f"Turned round: {turned}", ""]
    for wait in progress.waits:
        lines += [
            f"❗ Waits for **{_words(wait.owner)}**, due {wait.due_at:%Y-%m-%d %H:%M} UTC: {wait.reason}",
            "",
            *_way_on(progress, wait),
        ]
    lines += [
        f"goods: **{_words(progress.goods)}** · money: **{_words(progress.money)}** · paper: **{_words(progress.paper)}**",
        "",
    ]
    if progress.refund_due and progress.money_is_owed:
        law = progress.refund_due
        lines += [f"By law the money is due {law.at:%Y-%m-%d %H:%M} UTC ({law.law}).", ""]
    waiting = {(wait.step, wait.target) for wait in progress.waits}
    for row in progress.steps:
        says = [f"{_MARKS[row.status]} {_words(row.step)} {row.target}"]
        if (row.step, row.target) in waiting:
            says.append("waits, see above")
        elif row.detail:
            says.append(_cell(row.detail))
        if row.reference:
            says.append(f"`{row.reference}`")
        lines.append(f"- {' · '.join(says)}")
    lines += ["", *(f"- {entry.at:%Y-%m-%d %H:%M} {entry.actor}: {entry.action}" for entry in progress.actions)]
    return "\n".join(lines).rstrip()


def _way_on(progress: Progress, wait: Wait) -> list[str]:
    """What a person types to go on."""
    order = progress.order_id
    if wait.state is State.WAITING_FOR_APPROVAL:
        return [f"`starter.py approve {order} --actor KIND:ID` or `starter.py reject {order} --actor KIND:ID`", ""]
    if wait.state is State.NEEDS_ATTENTION and wait.step:
        place = f"{order} --step {wait.step} --target {wait.target} --actor KIND:ID"
        ways = [f"`starter.py retry {place}` or `starter.py resolve {place} --resolution … --reference …`", ""]
        if wait.choices:
            methods = "|".join(wait.choices)
            choose = f"starter.py choose {order} --actor KIND:ID --tender {wait.target} --method {methods}"
            ways += [f"or, as the customer chooses, `{choose}`", ""]
        return ways
    return []


def _words(code: str) -> str:
    return code.replace("_", " ")


def _cell(text: str) -> str:
    return text.replace("\n", " ")
