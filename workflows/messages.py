"""The decorator of an update of the contract, with the types that Temporal's own one loses."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.workflow import UpdateMethodMultiParam

from domain.contract import Answer, Message, UpdateType

Run = TypeVar("Run")


def update(
    kind: UpdateType[Message, Answer], *, description: str
) -> Callable[[Callable[[Run, Message], Awaitable[Answer]]], UpdateMethodMultiParam[[Run, Message], Answer]]:
    """`workflow.update` with a name and a description; Temporal's types take the coroutine for the answer."""
    return workflow.update(name=kind.name, description=description)  # type: ignore[return-value]
