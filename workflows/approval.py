"""The approval of a second person: asked for, reminded of, escalated; silence rolls back."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

from domain.decision import Gate
from domain.facts import RollBackOrdered, RollBackReason
from domain.outcome import State, Wait
from domain.step import Owner
from workflows import steps
from workflows.decisions import Decisions
from workflows.journal import Journal
from workflows.step_runner import StepRunner
from workflows.waiting import Waiting


@dataclass(frozen=True)
class _Stage:
    """Until when the approval waits for this owner, and for what the timer is. `remind`: staff is written to as it
    begins."""

    until: timedelta
    owner: Owner
    timer: str
    remind: bool = False


class Approval:
    def __init__(
        self, order_id: str, runner: StepRunner, waiting: Waiting, decisions: Decisions, journal: Journal
    ) -> None:
        self._order_id = order_id
        self._runner = runner
        self._waiting = waiting
        self._decisions = decisions
        self._journal = journal

    async def wait_for_approval(self, gate: Gate) -> None:
        """Wait for a second person where the decision asks for one at this gate; silence rolls back. The due time
        counts from the decision, whichever run waits."""
        case = self._runner.case
        decision, decided_at = case.decision, case.decided_at
        if decision is None or decided_at is None or not self._is_open(gate):
            return
        due_at = decided_at + case.terms.approval_expiry
        with self._decisions.taking_approval():
            await self._wait(gate, due_at)
            await self._decisions.wait_until_recorded()
        await self._waiting.raise_if_rolling_back()
        if self._is_open(gate):
            await self._waiting.order_roll_back(
                RollBackOrdered(
                    reason=RollBackReason.APPROVAL_EXPIRED,
                    sentence=f"Nobody approved within {case.terms.approval_expiry}.",
                )
            )
        self._journal.publish_state()

    def _is_open(self, gate: Gate) -> bool:
        """Asked for, and not given; a request that joins may make it needless."""
        case = self._runner.case
        return case.decision is not None and case.decision.gate is gate and not case.approved

    async def _wait(self, gate: Gate, due_at: datetime) -> None:
        """Until it is given, refused or needless, or has expired."""
        case, runner = self._runner.case, self._runner
        decision, decided_at = case.decision, case.decided_at
        assert decision is not None
        assert decided_at is not None
        for stage in self._list_stages():
            escalated = stage.owner is Owner.SUPERVISOR
            wait = Wait(state=State.WAITING_FOR_APPROVAL, owner=stage.owner, reason=decision.sentence, due_at=due_at)
            with self._journal.show_wait(wait):
                if stage.remind and not case.was_reminded(escalated=escalated):
                    await runner.run_look(
                        steps.REMIND_STAFF,
                        self._order_id,
                        sentence=decision.sentence,
                        escalated=escalated,
                        due_at=due_at,
                    )
                left = max(decided_at + stage.until - workflow.now(), timedelta(0))
                answered = await self._waiting.wait_until(
                    lambda: not self._is_open(gate) or self._waiting.must_roll_back, left, stage.timer
                )
            if answered:
                return

    # Rule: An approval is reminded of, escalated and expires
    def _list_stages(self) -> Iterator[_Stage]:
        """Asked, reminded of, escalated to the supervisor; each lasts until the next one."""
        terms = self._runner.case.terms
        expiry = terms.approval_expiry
        reminder = min(terms.approval_reminder, expiry)
        escalation = max(reminder, min(terms.approval_escalation, expiry))
        yield _Stage(reminder, Owner.SECOND_PERSON, "Remind of the approval")
        yield _Stage(escalation, Owner.SECOND_PERSON, "Escalate the approval", remind=True)
        yield _Stage(expiry, Owner.SUPERVISOR, "The approval expires", remind=True)
