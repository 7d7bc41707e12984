"""What is known of one cancellation while it runs: the parts of the workflow share it, and nothing else of each other's."""

from collections.abc import Callable, Sequence

from temporalio import workflow

from activities.signatures import Verification
from domain.money import Money
from domain.outcome import (
    CancellationResult,
    CarriedOut,
    GoodsStatus,
    MoneyStatus,
    Outcome,
    PaperStatus,
    Progress,
    Reversal,
    StaffAction,
    State,
    StepName,
    StepRow,
    StepStatus,
    Wait,
    goods_status,
    money_status,
)
from domain.plan import Plan, Terms
from domain.policy import Decision
from domain.request import Actor, ActorKind, CancellationRequest, cancellation_id
from domain.shipment import Stop, StopStatus
from workflows.saga import RollBack

SYSTEM = Actor(kind=ActorKind.SYSTEM, id="cancellation-workflow")
Place = tuple[StepName, str]
"""A row of the step table: the step, and the order, shipment or tender that it is about."""

# Of several waits at once the one that needs a person most is shown.
_URGENCY = (
    State.NEEDS_ATTENTION,
    State.WAITING_FOR_APPROVAL,
    State.WAITING_FOR_CARRIER,
    State.WAITING_FOR_SETTLEMENT,
)


class Case:
    """Each of the three axes is written by the part whose business it is; what several parts need is recorded by a method
    that says what happened."""

    def __init__(self, request: CancellationRequest) -> None:
        self.request = request
        self.cancellation_id = cancellation_id(request.order_id, request.request_id)
        self.goods = GoodsStatus.UNTOUCHED
        self.money = MoneyStatus.UNTOUCHED
        self.paper = PaperStatus.UNTOUCHED
        self.verification: Verification | None = None
        self.plan: Plan | None = None
        self.stops: tuple[Stop, ...] = ()
        self.reversals: tuple[Reversal, ...] = ()
        self.credit_note: str | None = None
        self.actions: tuple[StaffAction, ...] = ()
        self.is_approved = False
        self.is_past_pivot = False
        self.was_reopened = False
        self.roll_back_cause: RollBack | None = None
        self.rolled_back_because = ""
        self.events_heard = 0
        self.parcel_events_heard = 0
        self._base = State.RUNNING
        self._waits: tuple[Wait, ...] = ()
        self._rows: dict[Place, StepRow] = {}
        self._on_change: Callable[[], None] = lambda: None

    def call_on_change(self, show: Callable[[], None]) -> None:
        """Whoever shows the case hears of every change by this."""
        self._on_change = show

    # What follows from it

    @property
    def order_id(self) -> str:
        return self.request.order_id

    @property
    def decision(self) -> Decision | None:
        return self.verification.decision if self.verification else None

    @property
    def customer_id(self) -> str | None:
        """The order's owner, once verified."""
        return self.verification.customer_id if self.verification else None

    @property
    def terms(self) -> Terms:
        return self.plan.terms if self.plan else Terms()

    @property
    def has_moved_money(self) -> bool:
        """Whether money has begun to go back, by this run or by an earlier one that it goes on from."""
        earlier = self.verification is not None and self.verification.money_moved
        return earlier or any(reversal.refunded or reversal.released for reversal in self.reversals)

    @property
    def given_back(self) -> tuple[Money, Money] | None:
        """Refunded and released, all tenders together; None where there was no plan."""
        if self.plan is None:
            return None
        refunded = Money.total((reversal.refunded for reversal in self.reversals), self.plan.currency)
        return refunded, Money.total((reversal.released for reversal in self.reversals), self.plan.currency)

    @property
    def first_wait(self) -> Wait | None:
        """The wait whose owner and due time are the run's."""
        return min(self._waits, key=lambda wait: _URGENCY.index(wait.state), default=None)

    @property
    def is_waiting(self) -> bool:
        return bool(self._waits)

    @property
    def state(self) -> State:
        return self.first_wait.state if self.first_wait else self._base

    @property
    def has_ended(self) -> bool:
        return self._base not in {State.RUNNING, State.ROLLING_BACK}

    @property
    def rows(self) -> tuple[StepRow, ...]:
        return tuple(self._rows.values())

    def to_progress(self) -> Progress:
        planned = self.verification.plan if self.verification else None
        return Progress(
            cancellation_id=self.cancellation_id,
            order_id=self.order_id,
            state=self.state,
            goods=self.goods,
            money=self.money,
            paper=self.paper,
            decision=self.decision,
            pivot_passed=self.is_past_pivot,
            waits=self._waits,
            steps=self.rows,
            actions=self.actions,
            credit_note=self.credit_note,
            customer_id=self.customer_id,
            refund_due=planned.refund_due if planned else None,
        )

    # What happens

    def record_verification(self, verification: Verification) -> None:
        """An earlier run may be over, and is known. Or this run takes its cancellation up under its own id, because that run
        was lost before its end, or because its outcome no longer holds: forward only, and every effect is looked up before
        it is made."""
        self.verification = verification
        self.plan = verification.plan
        if verification.existing:
            self.cancellation_id = verification.existing.cancellation_id
            self.is_past_pivot = True
            self.is_approved = verification.approved
            if verification.existing.carried_out and verification.plan:
                self._reopen_from(verification.existing.carried_out)
        self._on_change()

    def _reopen_from(self, done: CarriedOut) -> None:
        """This cancellation was closed, and its outcome no longer holds."""
        self.was_reopened = True
        self.stops, self.reversals = done.stops, done.reversals
        self.goods = goods_status(self.stops, done.plan.left_out)
        self.money = money_status(self.reversals, len(self.reversals))
        self.record_credit_note(done.credit_note)
        self.record_action("opened again: what it had achieved came undone", SYSTEM, "")

    def record_stops(self, stops: Sequence[Stop]) -> Plan:
        """In the place of what was known of these parcels. The lines of those that the carrier did not stop leave the plan
        as a return offer."""
        assert self.plan is not None  # nothing is stopped before there is a plan
        renewed = {stop.shipment_id for stop in stops}
        self.stops = (*(stop for stop in self.stops if stop.shipment_id not in renewed), *stops)
        declined = frozenset(stop.shipment_id for stop in self.stops if stop.status is StopStatus.DECLINED)
        self.plan = self.plan.without(declined)
        self.goods = goods_status(self.stops, self.plan.left_out)
        return self.plan

    def record_pivot(self) -> None:
        self.is_past_pivot = True

    def record_reversal(self, reversal: Reversal, *, tenders: int) -> None:
        """What became of one of so many tenders, in the place of what was known of it."""
        others = (known for known in self.reversals if known.tender_id != reversal.tender_id)
        self.reversals = (*others, reversal)
        self.money = money_status(self.reversals, tenders)
        self._on_change()

    def record_credit_note(self, number: str | None) -> None:
        self.credit_note = number
        self.paper = PaperStatus.CREDITED if number else PaperStatus.NONE_NEEDED

    def record_approval(self) -> None:
        self.is_approved = True

    def record_action(self, action: str, actor: Actor, note: str) -> None:
        """What a person did, or the system at a set time."""
        self.actions = (*self.actions, StaffAction(action=action, actor=actor, note=note, at=workflow.now()))
        self._on_change()

    def record_event(self, *, about_parcel: bool) -> None:
        """An event only wakes the run up: it reads carrier and gateway itself before it believes anything."""
        self.events_heard += 1
        self.parcel_events_heard += about_parcel

    # The table of steps, and the waits

    def begin_step(self, place: Place) -> None:
        step, target = place
        before = self._rows.get(place)
        started = before.started_at if before else workflow.now()
        self._rows[place] = StepRow(step=step, target=target, status=StepStatus.RUNNING, started_at=started)
        self._on_change()

    def end_step(self, place: Place, status: StepStatus, detail: str = "", reference: str | None = None) -> None:
        update = {"status": status, "detail": detail, "reference": reference, "ended_at": workflow.now()}
        self._rows[place] = self._rows[place].model_copy(update=update)
        self._on_change()

    def begin_wait(self, wait: Wait) -> None:
        if wait.step and wait.target and (row := self._rows.get((wait.step, wait.target))):
            attention = wait.state is State.NEEDS_ATTENTION
            status = StepStatus.NEEDS_ATTENTION if attention else StepStatus.WAITING
            self._rows[wait.step, wait.target] = row.model_copy(update={"status": status, "detail": wait.reason})
        self._waits = (*self._waits, wait)

    def end_wait(self, wait: Wait) -> None:
        waits = list(self._waits)
        waits.remove(wait)
        self._waits = tuple(waits)

    # Roll-back, and the end

    def repeat_known_result(self) -> CancellationResult | None:
        """How this cancellation ended before, where the order book knows that."""
        known = self.verification.existing if self.verification else None
        if known is None or known.result is None:
            return None
        result = known.result.model_copy(update={"existing": True})
        self.goods, self.money, self.paper = result.goods, result.money, result.paper
        self.credit_note = result.credit_note
        return result

    def request_roll_back(self, cause: RollBack) -> RollBack:
        """Keep the first cause, so that everything that waits in parallel hears of it; returns that first cause."""
        self.roll_back_cause = self.roll_back_cause or cause
        return self.roll_back_cause

    @property
    def must_roll_back(self) -> bool:
        """After the pivot a cancel request is too late; a person's order is not."""
        wanted = workflow.cancellation_reason() is not None and not self.is_past_pivot
        return wanted or self.roll_back_cause is not None

    def raise_if_rolling_back(self) -> None:
        """Called between steps: raises RollBack when somebody wants the process to stop."""
        if self.roll_back_cause:
            raise self.roll_back_cause
        if self.must_roll_back:
            raise self.request_roll_back(RollBack(Outcome.ROLLED_BACK, "A cancel request was sent to the run."))

    def begin_roll_back(self, why: str) -> None:
        self._base = State.ROLLING_BACK
        self.rolled_back_because = why
        self._on_change()

    def end(self, outcome: Outcome) -> None:
        self._base = State(outcome.value)
