"""What a run shows of itself: the step table, the waits, three axes; by query, in the Temporal UI, in search attributes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from temporalio import workflow

from domain.case import Case
from domain.messages import PutOff
from domain.outcome import Progress, State, Wait
from domain.request import CancellationRequest, summary_of
from domain.standing import actions_of, amount_of, given_back_of, goods_of, money_of, paper_of, step_table
from domain.step import Owner, StepRow, StepStatus
from runtime import search_attributes as attributes
from workflows.run_page import describe

# Of several waits at once the one that needs a person most is shown.
_URGENCY = (
    State.NEEDS_ATTENTION,
    State.WAITING_FOR_APPROVAL,
    State.WAITING_FOR_CARRIER,
    State.WAITING_FOR_SETTLEMENT,
)
_DETAILS_LIMIT = 18_000  # bytes; the server takes 20 kB


class Journal:
    """A view of the case and of the waits. Every change brings the current details up to date, which costs no event in the
    history. Search attributes do cost one, so they change only when the run starts or stops to wait, and at its end, and in
    its first task where its starter has set none.
    `continues`: the run continues another one."""

    def __init__(self, case: Case, request: CancellationRequest, *, continues: bool) -> None:
        self._case = case
        self._request = request
        self._continues = continues
        self._waits: list[Wait] = []
        self._put_off: list[Wait] = []
        self._is_scheduled = False

    @property
    def waits(self) -> tuple[Wait, ...]:
        return () if self._case.ended else (*self._waits, *self._put_off)

    @property
    def state(self) -> State:
        if ended := self._case.ended:
            return State(ended.outcome.value)
        waiting = {wait.state for wait in self.waits}
        running = State.ROLLING_BACK if self._case.roll_back_cause else State.RUNNING
        return next((state for state in _URGENCY if state in waiting), running)

    @property
    def next_due(self) -> datetime | None:
        return min((wait.due_at for wait in self.waits), default=None)

    def progress(self) -> Progress:
        case = self._case
        plan, opened = case.plan, case.request
        refunded, released = given_back_of(case)
        return Progress(
            cancellation_id=case.cancellation_id,
            order_id=self._request.order_id,
            state=self.state,
            goods=goods_of(case),
            money=money_of(case),
            paper=paper_of(case),
            decision=case.decision,
            past_pivot=case.past_pivot,
            waits=self.waits,
            steps=self._rows(),
            actions=actions_of(case),
            credit_note=case.credit_note,
            customer_id=case.customer_id,
            requested_by=opened.actor if opened else None,
            requested_at=case.requested_at,
            reason=opened.reason if opened else None,
            planned_refund=plan.refund if plan else None,
            planned_release=plan.release if plan else None,
            refunded=refunded,
            released=released,
            refund_due=plan.refund_due if plan else None,
        )

    def _rows(self) -> tuple[StepRow, ...]:
        """The step table, with what waits marked as such."""
        waiting = {(wait.step, wait.target): wait for wait in self.waits}

        def marked(row: StepRow) -> StepRow:
            wait = waiting.get((row.step, row.target))
            if wait is None:
                return row
            attention = wait.state is State.NEEDS_ATTENTION
            status = StepStatus.NEEDS_ATTENTION if attention else StepStatus.WAITING
            return row.model_copy(update={"status": status, "detail": wait.reason, "ended_at": None})

        return tuple(marked(row) for row in step_table(self._case))

    @contextmanager
    def show_wait(self, wait: Wait) -> Iterator[None]:
        """The run waits for somebody: visible in its details and findable by its search attributes until it goes on."""
        self._waits.append(wait)
        self.publish_state()
        try:
            yield
        finally:
            self._waits.remove(wait)

    # Rule: An event about an ended cancellation is seen in the run that it waits for
    def show_put_off(self, subject: str, about: PutOff, owner: Owner) -> None:
        """An event about an ended cancellation of the order waits for the end of this one: until then it is a wait of
        its `owner`. A run that continues this one is sent the event again."""
        if any(wait.target == subject for wait in self._put_off):
            return
        self._put_off.append(
            Wait(
                state=State.NEEDS_ATTENTION,
                owner=owner,
                reason=(
                    f"An event about {subject} says that the ended cancellation {about.cancellation_id} of this order may "
                    "not hold any more. It is looked at when this one has ended: see to what this one waits for."
                ),
                due_at=about.due_at,
                target=subject,
            )
        )
        self.publish_state()

    def publish_start(self) -> None:
        """Where whoever started the run has not set them: lists show its order and state from its first task on."""
        if workflow.info().typed_search_attributes.get(attributes.STATE) is None:
            self._upsert_attributes(None)

    # Rule: A wait shows in the list of runs
    def publish_state(self) -> None:
        """Details and search attributes. The most urgent wait's owner and due time are the run's."""
        first = min(self.waits, key=lambda wait: _URGENCY.index(wait.state), default=None)
        self._upsert_attributes(first)
        self.publish_cancellation_id()
        self.show_details()

    def publish_cancellation_id(self) -> None:
        """Put the books' cancellation id into the memo, which lists show, where it is not the one that this request would
        have opened; None where no book keeps the request."""
        case = self._case
        if not case.last_seq and not case.ended:
            return
        known = case.cancellation_id if case.last_seq else None
        if workflow.memo_value("cancellation_id", None, type_hint=str) != known:
            workflow.upsert_memo({"cancellation_id": known})

    def _upsert_attributes(self, first: Wait | None) -> None:
        """Upsert the attributes whose value has changed. A run that ends without any book keeping its request loses the
        order's id, so that lists leave it out: the order is unknown, or somebody else's."""
        case, shown = self._case, workflow.info().typed_search_attributes
        amount = amount_of(case)
        away = next((wait.away for wait in self.waits if wait.away), None)
        unknown = case.ended is not None and not case.last_seq
        updates = [
            update
            for update in (
                attributes.ORDER_ID.value_unset() if unknown else attributes.ORDER_ID.value_set(self._request.order_id),
                attributes.REASON.value_set((case.request or self._request).reason),
                attributes.STATE.value_set(self.state),
                attributes.GOODS.value_set(goods_of(case)),
                attributes.MONEY.value_set(money_of(case)),
                attributes.PAPER.value_set(paper_of(case)),
                attributes.OWNER.value_set(first.owner) if first else attributes.OWNER.value_unset(),
                attributes.DUE_AT.value_set(first.due_at) if first else attributes.DUE_AT.value_unset(),
                attributes.AMOUNT.value_set(str(amount)) if amount is not None else attributes.AMOUNT.value_unset(),
                attributes.AWAY.value_set(away) if away else attributes.AWAY.value_unset(),
            )
            if shown.get(update.key) != update.value
        ]
        if updates:
            workflow.upsert_search_attributes(updates)

    def show_details(self) -> None:
        """Schedule one update of the details for this activation."""
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._show_details)

    def _show_details(self) -> None:
        self._is_scheduled = False
        page = describe(self.progress(), self._case)
        if self._continues:  # the summary that the first run was started with is gone
            page = f"**{summary_of(self._request)}**\n\n{page}"
        workflow.set_current_details(page.encode()[:_DETAILS_LIMIT].decode(errors="ignore"))
