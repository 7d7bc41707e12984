"""How a counterpart's answer becomes a Temporal failure: in one place, for every activity."""

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import OutcomeUnknown, StepError, Unavailable


class StepFailures(Interceptor):
    """Turns `StepError` into an `ApplicationError` whose type is the error code. Whether it is retried is decided by the
    step's row (workflows/steps.py); a counterpart that named a time is not asked before it.

    Anything else that is raised is a bug: it stays as it is, is retried, and is seen.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await super().execute_activity(input)
        except StepError as error:
            wait = error.retry_after if isinstance(error, Unavailable | OutcomeUnknown) else None
            known = getattr(error, "known", None)
            raise ApplicationError(
                error.message,
                *([known] if known is not None else []),
                type=error.code.value,
                next_retry_delay=timedelta(seconds=wait) if wait is not None else None,
            ) from None
