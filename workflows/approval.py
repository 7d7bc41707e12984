"""The approval of a second person: asked for, reminded of, escalated; silence rolls back."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

from activities.signatures import RemindStaff
from domain.outcome import Outcome, Owner, State, Wait
from domain.policy import Decision, Gate
from workflows import steps
from workflows.case import SYSTEM, Case
from workflows.journal import Journal
from workflows.saga import RollBack
from workflows.step_runner import StepRunner, wait_until


@dataclass(frozen=True)
class _Stage:
    """How long the approval waits for this owner, and for what the timer is. `remind`: staff is written to as it begins."""

    lasts: timedelta
    owner: Owner
    timer: str
    remind: bool = False


class Approval:
    def __init__(self, case: Case, journal: Journal, runner: StepRunner) -> None:
        self._case = case
        self._journal = journal
        self._runner = runner

    async def wait_for_approval(self, gate: Gate) -> None:
        """Wait for a second person where the decision asks for one at this gate; silence rolls back."""
        case, decision = self._case, self._case.decision
        if decision is None or decision.gate is not gate or case.is_approved:
            return
        due_at = workflow.now() + case.terms.approval_expiry
        for stage in self._list_stages():
            wait = Wait(state=State.WAITING_FOR_APPROVAL, owner=stage.owner, reason=decision.sentence, due_at=due_at)
            with self._journal.show_wait(wait):
                if stage.remind:
                    await self._remind_staff(decision, due_at, escalated=stage.owner is Owner.SUPERVISOR)
                answered = await wait_until(lambda: case.is_approved or case.must_roll_back, stage.lasts, stage.timer)
            if answered:
                break
        case.raise_if_rolling_back()
        if not case.is_approved:
            sentence = f"Nobody approved within {case.terms.approval_expiry}."
            raise case.request_roll_back(RollBack(Outcome.ROLLED_BACK, sentence))
        self._journal.publish_unless_waiting()

    def _list_stages(self) -> Iterator[_Stage]:
        """Asked, reminded of, escalated to the supervisor; each lasts until the next one."""
        terms = self._case.terms
        expiry = terms.approval_expiry
        reminder = min(terms.approval_reminder, expiry)
        yield _Stage(reminder, Owner.SECOND_PERSON, "Remind of the approval")
        if not workflow.patched("approvals-are-escalated"):
            self._case.record_action("reminder: the approval is still due", SYSTEM, "")
            yield _Stage(expiry - reminder, Owner.SECOND_PERSON, "The approval expires")
            return
        escalation = max(reminder, min(terms.approval_escalation, expiry))
        yield _Stage(escalation - reminder, Owner.SECOND_PERSON, "Escalate the approval", remind=True)
        yield _Stage(expiry - escalation, Owner.SUPERVISOR, "The approval expires", remind=True)

    async def _remind_staff(self, decision: Decision, due_at: datetime, *, escalated: bool) -> None:
        """Write to staff; when nobody can be written to, nothing is held up."""
        action = "escalated: nobody has answered" if escalated else "reminder: the approval is due"
        self._case.record_action(action, SYSTEM, "")
        await self._runner.run_look(
            steps.REMIND_STAFF,
            self._case.order_id,
            lambda ids: RemindStaff(**ids, sentence=decision.sentence, escalated=escalated, due_at=due_at),
        )
