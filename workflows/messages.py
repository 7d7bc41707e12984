"""The messages of the contract: the decorator of an update, with the types that Temporal's own one loses, and how a signal
is read."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.workflow import UpdateMethodMultiParam

from domain.contract import Answer, Message, UpdateType

Run = TypeVar("Run")
Event = TypeVar("Event", bound=BaseModel)


def update(
    kind: UpdateType[Message, Answer], *, description: str
) -> Callable[[Callable[[Run, Message], Awaitable[Answer]]], UpdateMethodMultiParam[[Run, Message], Answer]]:
    """`workflow.update` with a name and a description; Temporal's types take the coroutine for the answer."""
    return workflow.update(name=kind.name, description=description)  # type: ignore[return-value]


def read_signal(kind: type[Event], sent: Any) -> Event | None:
    """None: whatever it is, it is no such event."""
    try:
        return kind.model_validate(sent)
    except ValidationError:
        return None
