"""Every kind of wait in which somebody may say something to a run, read from the process itself."""

import re
from pathlib import Path
from typing import Any

import workflows
from domain.errors import ErrorCode
from domain.outcome import State, Wait
from domain.step import StepName
from workflows import steps
from workflows.steps import Role, Step

_SOURCE = "".join(file.read_text(encoding="utf-8") for file in sorted(Path(workflows.__path__[0]).glob("*.py")))
_STATES = frozenset(re.findall(r"state=State\.(WAITING_\w+)", _SOURCE))
_STEPS = frozenset(re.findall(r"wait_for_person\(\s*steps\.(\w+)", _SOURCE))

_ELSEWHERE = {
    StepName.TAKE_UP: "a run of another namespace holds the cancellation",
    StepName.CHECK_ORDER: "an order management system that cannot freeze",
    StepName.GIVE_STORE_CREDIT: "others have refunded what store credit was chosen for: an act of providers.py",
}
"""Steps at whose waits no order of the built-in shop arrives by itself, and what has to be so for one."""


def name_of(wait: Wait) -> str:
    return _name(wait.state, wait.step)


def _name(state: State, step: StepName | None) -> str:
    return f"{state}-{step}" if step else str(state)


def every_wait() -> frozenset[str]:
    """For an approval; for what a step has begun elsewhere; for a person, where a counterpart's answer is final and nothing
    is rolled back by it, and where the process asks by itself. Whatever else a step meets is a fault."""
    named = {getattr(steps, name).name for name in _STEPS}
    asked = {step.name for step in steps.ALL_STEPS if _waits_for_person(step)} | named
    watched = {
        State.WAITING_FOR_APPROVAL: None,
        State.WAITING_FOR_CARRIER: StepName.STOP_SHIPMENT,
        State.WAITING_FOR_SETTLEMENT: StepName.REVERSE_PAYMENT,
    }
    assert {state.name for state in watched} == _STATES, "a wait of the process is not known here"
    return frozenset(
        [
            *(_name(state, step) for state, step in watched.items()),
            *(_name(State.NEEDS_ATTENTION, step) for step in asked - set(_ELSEWHERE)),
        ]
    )


def _waits_for_person(step: Step[Any, Any]) -> bool:
    """A row with refusals, but for those that roll back, and for those whose sender hears the refusal."""
    to_sender = ErrorCode.NOT_POSSIBLE in step.refusals or step is steps.QUOTE_CANCELLATION
    return bool(step.refusals) and step.role is not Role.COMPENSATABLE and not to_sender
