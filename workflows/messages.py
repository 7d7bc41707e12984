"""The decorator of an update with a description, with the types that Temporal's own one loses."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from temporalio import workflow
from temporalio.workflow import UpdateMethodMultiParam

P = ParamSpec("P")
Answer = TypeVar("Answer")


def update(*, description: str) -> Callable[[Callable[P, Awaitable[Answer]]], UpdateMethodMultiParam[P, Answer]]:
    """`workflow.update` with a description; Temporal's types take the coroutine for the answer."""
    return workflow.update(description=description)  # type: ignore[return-value]
