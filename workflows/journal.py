"""What a run shows of itself: the step table, the waits, three axes; in the Temporal UI, and in search attributes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

from domain.outcome import Progress, State, StepStatus, Wait
from runtime import search_attributes as attributes
from workflows.case import Case

_DETAILS_LIMIT = 18_000  # bytes; the server takes 20 kB


class Journal:
    """A view of the case. Every change brings the current details up to date, which costs no event in the history. Search
    attributes do cost one, so they change only when the run starts or stops to wait, and at its end."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._published: object = None
        case.call_on_change(self.show_details)

    @contextmanager
    def show_wait(self, wait: Wait) -> Iterator[None]:
        """The run waits for somebody: visible in its details and findable by its search attributes until it goes on."""
        self._case.begin_wait(wait)
        self.publish_state()
        try:
            yield
        finally:
            self._case.end_wait(wait)

    def publish_unless_waiting(self) -> None:
        """Nothing is waited for any more; say so, unless the run is about to end and will say more."""
        if not self._case.is_waiting:
            self.publish_state()

    def publish_state(self) -> None:
        """Details and search attributes. The first wait's owner and due time are the run's."""
        case, first = self._case, self._case.first_wait
        shown = (case.state, case.goods, case.money, case.paper, first and (first.owner, first.due_at))
        if shown != self._published:
            self._published = shown
            self._upsert_attributes(first)
        self.show_details()

    def _upsert_attributes(self, first: Wait | None) -> None:
        case = self._case
        updates: list[SearchAttributeUpdate[str] | SearchAttributeUpdate[datetime]] = [
            attributes.ORDER_ID.value_set(case.order_id),
            attributes.REASON.value_set(case.request.reason),
            attributes.STATE.value_set(case.state),
            attributes.GOODS.value_set(case.goods),
            attributes.MONEY.value_set(case.money),
            attributes.PAPER.value_set(case.paper),
            attributes.OWNER.value_set(first.owner) if first else attributes.OWNER.value_unset(),
            attributes.DUE_AT.value_set(first.due_at) if first else attributes.DUE_AT.value_unset(),
        ]
        workflow.upsert_search_attributes(updates)

    def show_details(self) -> None:
        page = describe_run(self._case.to_progress(), self._case.rolled_back_because)
        workflow.set_current_details(page[:_DETAILS_LIMIT])


_MARKS = {
    StepStatus.RUNNING: "▶",
    StepStatus.WAITING: "⏳",
    StepStatus.DONE: "✅",
    StepStatus.DECLINED: "↩",
    StepStatus.NEEDS_ATTENTION: "❗",
    StepStatus.RESOLVED: "☑",
    StepStatus.FAILED: "✖",
}


def describe_run(progress: Progress, rolled_back_because: str) -> str:
    """The run as a page for a person, in the Markdown that the Temporal UI shows: lists, because it sets tables without
    space between the cells."""
    lines = [f"**{_words(progress.state)}** · cancellation `{progress.cancellation_id}`", ""]
    if progress.decision:
        lines += [progress.decision.sentence, ""]
    if rolled_back_because:
        lines += [f"Turned round: {rolled_back_because}", ""]
    for wait in progress.waits:
        lines += [
            f"❗ Waits for **{_words(wait.owner)}**, due {wait.due_at:%Y-%m-%d %H:%M} UTC: {wait.reason}",
            "",
            *_list_ways_on(progress, wait),
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


def _list_ways_on(progress: Progress, wait: Wait) -> list[str]:
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
