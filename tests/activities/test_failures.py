"""How what stops an activity reaches the run: a code and a sentence, and nothing of what only a developer may read."""

from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.failure.v1
from pydantic import ValidationError
from structlog.testing import capture_logs
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.failures import StepFailures
from activities.signatures import Booked
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from domain.facts import Run
from domain.holder import NotTheHolder
from domain.order import Tender
from domain.permissions import NotPossible
from providers.breaker import Breaker
from tests.activities.samples import ATTEMPT, environment

SECRET = "SELECT card FROM orders WHERE email = 'jane@customer.example'"


class Raising(ActivityInboundInterceptor):
    """The activity itself, which raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            raise ValueError(SECRET)
        except ValueError:
            raise self._error from ValueError(SECRET)


class Asking(ActivityInboundInterceptor):
    """The activity itself, which asks a provider."""

    def __init__(self) -> None:
        self._breaker = Breaker(Counterpart.CARRIER, "The carrier")

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        with self._breaker.call():
            return "asked"


async def nothing() -> None:
    return None


async def execute(made: ActivityInboundInterceptor, may_last: timedelta = ATTEMPT) -> Any:
    """As a worker does it."""
    given = ExecuteActivityInput(fn=nothing, args=[], executor=None, headers={})
    return await environment(may_last=may_last).run(StepFailures().intercept_activity(made).execute_activity, given)


async def failure_of(error: Exception) -> ApplicationError:
    """What the worker makes of it."""
    with pytest.raises(ApplicationError) as failure:
        await execute(Raising(error))
    return failure.value


def sent(failure: ApplicationError) -> str:
    """All of it that goes to the server."""
    made = temporalio.api.failure.v1.Failure()
    DefaultFailureConverter().to_failure(failure, pydantic_data_converter.payload_converter, made)
    return str(made)


@pytest.mark.parametrize("bug", [KeyError(SECRET), RuntimeError(SECRET), TimeoutError(SECRET)])
async def test_a_bug_becomes_a_sentence_without_its_own_text(bug: Exception) -> None:
    """I8: a library's text may hold statements, settings or what a customer wrote. The worker's log has the place."""
    with capture_logs() as logs:
        failure = await failure_of(bug)
    assert failure.type == ErrorCode.INTERNAL_ERROR
    assert failure.non_retryable  # what comes after is the row's: it rests, and is tried again
    assert failure.message.startswith("An unexpected error")
    assert "tried again" in failure.message
    assert failure.__cause__ is None
    for secret in (SECRET, "jane", "SELECT", "orders WHERE"):
        assert secret not in sent(failure)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("step_raised_a_bug", "error")]


async def test_data_that_does_not_fit_is_named_by_its_fields_and_never_by_what_is_in_them() -> None:
    """F2, F5, F17, rule 14, I8: whoever keeps the data knows what to correct; the texts in it go no further."""
    with pytest.raises(ValidationError) as invalid:
        Tender.model_validate(
            {"tender_id": "T1", "kind": SECRET, "amount": {"amount": 1, "currency": "XXX"}, "reference": 5}
        )
    failure = await failure_of(invalid.value)
    assert failure.type == ErrorCode.INTERNAL_ERROR
    assert failure.non_retryable
    for part in ("kind:", "amount.currency:", "reference:", "Correct it", "tried again"):
        assert part in failure.message
    assert "jane" not in sent(failure)


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (Refused(ErrorCode.NO_MANDATE, "The customer gave no mandate."), None),
        (Unavailable("The gateway is busy."), None),
        (Unavailable("The gateway is busy.", retry_after=7), timedelta(seconds=7)),
        (OutcomeUnknown("The answer was lost.", retry_after=3), timedelta(seconds=3)),
    ],
    ids=["refused", "busy", "busy for 7 s", "lost"],
)
async def test_a_counterparts_answer_keeps_its_code_sentence_and_time(error: StepError, wait: timedelta | None) -> None:
    failure = await failure_of(error)
    assert (failure.type, failure.message) == (error.code, error.message)
    assert failure.next_retry_delay == wait
    assert not failure.non_retryable  # the step's row decides
    assert failure.details == ()
    assert SECRET not in sent(failure)


async def test_what_the_books_have_learnt_goes_with_the_answer() -> None:
    error = Unavailable("The gateway is busy.")
    error.booked = Booked(entries=())
    assert (await failure_of(error)).details == (error.booked,)


@pytest.mark.parametrize(
    ("holder", "namespace"), [(Run(namespace="other-region", run_id="r"), "other-region"), (None, None)]
)
async def test_a_run_that_is_not_the_holder_hears_where_the_holder_is(
    holder: Run | None, namespace: str | None
) -> None:
    failure = await failure_of(NotTheHolder(holder))
    assert (failure.type, failure.non_retryable) == (ErrorCode.NOT_THE_HOLDER, True)
    assert failure.details == (namespace,)


async def test_what_a_person_may_not_do_is_final_and_in_words_for_them() -> None:
    failure = await failure_of(NotPossible("It has been approved already."))
    assert (failure.type, failure.message) == (ErrorCode.NOT_POSSIBLE, "It has been approved already.")
    assert failure.non_retryable


async def test_a_failure_of_the_engine_goes_through_as_it_is() -> None:
    already = ApplicationError("as it is", type="of the engine")
    assert await failure_of(already) is already


async def test_an_attempt_that_was_held_up_asks_no_provider() -> None:
    """I2: its worker may have stood still between two calls of one effect: the last one would be made after the undo."""
    assert await execute(Asking()) == "asked"
    with pytest.raises(ApplicationError) as late:
        await execute(Asking(), may_last=timedelta(0))
    assert late.value.type == ErrorCode.UNAVAILABLE
    assert "held up" in late.value.message
