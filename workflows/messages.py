"""Updates as people send them: with a description, and refused in words when nothing was written."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.workflow import UpdateMethodMultiParam

P = ParamSpec("P")
Answer = TypeVar("Answer")


def update(*, description: str) -> Callable[[Callable[P, Awaitable[Answer]]], UpdateMethodMultiParam[P, Answer]]:
    """`workflow.update` with a description; Temporal's types take the coroutine for the answer."""
    return workflow.update(description=description)  # type: ignore[return-value]


def refuse_empty(check: Callable[P, None]) -> Callable[P, None]:
    """The validator of an update, also where its sender has written nothing at all: then it is called with its workflow
    alone."""

    @wraps(check)
    def check_given(*args: P.args, **kwargs: P.kwargs) -> None:
        if len(args) == 1:
            raise ApplicationError(
                'The message is empty. Write it as JSON, with who acts at least: {"actor": "KIND:ID"}.',
                type="unreadable_message",
            )
        check(*args, **kwargs)

    return check_given
