"""How what stops an activity becomes a Temporal failure: in one place, for every activity, in a person's words."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.attempt import attempt_deadline, check_deadline
from activities.signatures import Booked, StepInput
from domain.base import describe_validation_error
from domain.errors import OURS_TO_PUT_RIGHT, ErrorCode, NothingNew, NotLocal, OutcomeUnknown, StepError, Unavailable
from domain.holder import NotTheHolder
from domain.permissions import NotPossible
from providers.books.clock import engine_time
from providers.breaker import AskedProviders, one_attempt


# Rule: A mistake of ours is seen at once, and the step is tried again [its words]
# Rule: A counterpart that names a time is not asked earlier
class StepFailures(Interceptor):
    """Turns `StepError` into an `ApplicationError` whose type is the error code. Whether it is retried is decided by the
    step's row (workflows/steps.py), but for what we have to put right ourselves, whatever the step; a counterpart that named
    a time is not asked before it.

    Data that was read and does not fit, such as an unknown currency, is described by its fields. Anything else that is
    raised is a bug. It is logged with its place, and its own text goes no further: it may hold statements, settings or what
    a customer wrote.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Translating(next)


def _engine_time(arguments: Sequence[object]) -> datetime:
    """When it began, by the engine's clock. A local activity gets it as input: its info has this machine's time."""
    for argument in arguments:
        if isinstance(argument, StepInput) and argument.at is not None:
            return argument.at
    return activity.info().started_time


# Rule: One filter says how many runs wait for a system that is away [where it comes from]
def _details_of(error: StepError, asked: AskedProviders) -> tuple[object, ...]:
    """What the books have learnt all the same, and the provider that is away, where that is why nothing has come of it."""
    away = asked.away if isinstance(error, Unavailable | OutcomeUnknown) else None
    if away is not None:
        return (error.booked or Booked(entries=()), away.counterpart)
    return () if error.booked is None else (error.booked,)


# Rule: An order whose own data cannot be right is refused [what cannot be read at all]
# Rule: An attempt that was held up calls nobody [before each request]
class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        with engine_time(_engine_time(input.args)), one_attempt(partial(check_deadline, attempt_deadline())) as asked:
            return await self._execute(input, asked)

    async def _execute(self, input: ExecuteActivityInput, asked: AskedProviders) -> Any:  # noqa: A002
        try:
            return await super().execute_activity(input)
        except StepError as error:
            wait = error.retry_after if isinstance(error, Unavailable | OutcomeUnknown | NothingNew) else None
            raise ApplicationError(
                error.message,
                *_details_of(error, asked),
                type=error.code.value,
                non_retryable=error.code in OURS_TO_PUT_RIGHT,
                next_retry_delay=timedelta(seconds=wait) if wait is not None else None,
                category=ApplicationErrorCategory.BENIGN
                if isinstance(error, NothingNew | NotLocal) or error.code is ErrorCode.HAS_ENDED
                else ApplicationErrorCategory.UNSPECIFIED,
            ) from None
        except NotPossible as no:
            raise ApplicationError(no.sentence, type=no.code.value, non_retryable=True) from None
        except NotTheHolder as lost:
            namespace = lost.holder.namespace if lost.holder else None
            raise ApplicationError(
                "Another run holds this cancellation.", namespace, type=ErrorCode.NOT_THE_HOLDER, non_retryable=True
            ) from None
        except FailureError:
            raise
        except ValidationError as invalid:
            structlog.get_logger().exception("step_met_invalid_data")
            raise ApplicationError(
                f"What this step has read is not as it has to be ({describe_validation_error(invalid)}). Correct it where "
                "it comes from; the step is tried again by itself.",
                type=ErrorCode.INTERNAL_ERROR,
                non_retryable=True,
            ) from None
        except Exception as bug:  # noqa: BLE001 (reported here to whoever can put it right)
            structlog.get_logger().exception("step_raised_a_bug")
            raise ApplicationError(
                f"An unexpected error ({type(bug).__name__}) stopped this step; its place is in the worker's log. It is "
                "tried again by itself, so a corrected worker heals it.",
                type=ErrorCode.INTERNAL_ERROR,
                non_retryable=True,
            ) from None
